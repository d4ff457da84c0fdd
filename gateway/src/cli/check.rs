//! `portcullis check`: all that is wrong with a configuration.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::MISCONFIGURED;
use super::config::print;
use crate::config::{Mistake, Severity};
use crate::gateway::{self, Examination};

/// Which configuration.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// text for people, json for programs.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
    /// Do not try whether the listeners' addresses are free, for a configuration of another machine.
    #[arg(long)]
    no_network: bool,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
enum Format {
    /// As a compiler tells it.
    #[default]
    Text,
    /// One object.
    Json,
}

impl Check {
    pub(super) async fn execute(self) -> ExitCode {
        let file = self.config.display();
        let examination = gateway::examine(&self.config, !self.no_network).await;
        if self.format == Format::Json {
            print(&format!("{:#}\n", to_json(&file.to_string(), &examination)));
        } else {
            if !examination.mistakes.is_empty() {
                eprintln!("{}", examination.mistakes);
            }
            for trouble in &examination.troubles {
                eprintln!("error: {trouble}");
            }
            print(&summary(&examination));
            match counts(&examination) {
                (0, 0) => println!("{file} is fit to serve"),
                (0, warnings) => {
                    println!("{file} is fit to serve, with {}", many(warnings, "warning"))
                }
                (errors, 0) => eprintln!("{file} is not fit to serve: {}", many(errors, "error")),
                (errors, warnings) => eprintln!(
                    "{file} is not fit to serve: {} and {}",
                    many(errors, "error"),
                    many(warnings, "warning")
                ),
            }
        }
        match (examination.is_fit(), examination.misconfigured) {
            (true, _) => ExitCode::SUCCESS,
            (false, true) => MISCONFIGURED.into(),
            (false, false) => ExitCode::FAILURE,
        }
    }
}

fn counts(examination: &Examination) -> (usize, usize) {
    let is_error = |mistake: &&Mistake| mistake.severity == Severity::Error;
    let errors = examination.mistakes.iter().filter(is_error).count();
    (errors + examination.troubles.len(), examination.mistakes.len() - errors)
}

fn many(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// What there is, in a line each.
fn summary(examination: &Examination) -> String {
    let mut text = String::new();
    let mut line = |what: &str, rest: String| {
        let written = writeln!(text, "{what:<12} {rest}");
        debug_assert!(written.is_ok(), "a String takes everything");
    };
    for one in &examination.listeners {
        line(
            "listener",
            format!("{}: {} at {}, TLS {}", one.name, one.protocol, one.address, one.tls),
        );
    }
    for one in &examination.certificates {
        let names = if one.names.is_empty() { "no name".to_owned() } else { one.names.join(", ") };
        let days = many(usize::try_from(one.days).unwrap_or(0), "day");
        line("certificate", format!("{}: {} for {names}, {days} left", one.listener, one.file));
    }
    for one in &examination.plugins {
        let hooks = if one.hooks.is_empty() { "nothing".to_owned() } else { one.hooks.join(", ") };
        let grants = match &one.grants {
            Value::Array(grants) if !grants.is_empty() => {
                format!("; may {}", grants.iter().map(granted).collect::<Vec<_>>().join(", "))
            }
            _ => String::new(),
        };
        let files = one
            .files
            .iter()
            .map(|(name, _, lines)| format!("; reads {name}, {}", many(*lines, "line")));
        let files: String = files.collect();
        line("plugin", format!("{}: asked at {hooks}{grants}{files}", one.name));
    }
    for one in &examination.upstreams {
        let addresses = one.addresses.join(", ");
        let at = if addresses.is_empty() { String::new() } else { format!(" at {addresses}") };
        line("upstream", format!("{}: {}{at}, TLS {}", one.name, one.protocol, one.tls));
    }
    for note in &examination.notes {
        line("note", note.clone());
    }
    text
}

fn granted(grant: &Value) -> String {
    grant.as_str().map_or_else(|| grant.to_string(), str::to_owned)
}

/// The document that gateway/README.md describes.
fn to_json(file: &str, examination: &Examination) -> Value {
    let mistake = |mistake: &Mistake| {
        let place = &mistake.place;
        json!({
            "severity": match mistake.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "code": mistake.code(),
            "text": mistake.text,
            "help": mistake.help,
            "file": place.file.to_string_lossy(),
            "line": place.line,
            "column": place.column,
            "width": place.width,
        })
    };
    json!({
        "file": file,
        "fit": examination.is_fit(),
        "mistakes": examination.mistakes.iter().map(mistake).collect::<Vec<_>>(),
        "troubles": examination.troubles,
        "notes": examination.notes,
        "listeners": examination.listeners.iter().map(|one| json!({
            "name": one.name, "address": one.address, "protocol": one.protocol, "tls": one.tls,
        })).collect::<Vec<_>>(),
        "certificates": examination.certificates.iter().map(|one| json!({
            "listener": one.listener, "file": one.file, "names": one.names,
            "not_after": one.not_after, "days_left": one.days,
        })).collect::<Vec<_>>(),
        "plugins": examination.plugins.iter().map(|one| json!({
            "name": one.name, "file": one.file, "hooks": one.hooks, "grants": one.grants,
            "pinned": one.pinned,
            "files": one.files.iter().map(|(name, path, lines)| json!({
                "name": name, "file": path, "lines": lines,
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "upstreams": examination.upstreams.iter().map(|one| json!({
            "name": one.name, "protocol": one.protocol, "addresses": one.addresses, "tls": one.tls,
        })).collect::<Vec<_>>(),
    })
}
