//! `portcullis plugin inspect`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use crate::cli::MISCONFIGURED;
use crate::config;
use crate::plugins::{Fit, Inspection, LoadFailure};
use crate::policy::Hook;
use crate::workbench::{self, Options, Setup};

/// The grants are those of the calls that it may make: without a grant, they are denied.
///
/// Exit code: 0 it can be loaded, 2 it cannot.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  portcullis plugin inspect closed.wasm
  portcullis plugin inspect closed.wasm --settings '{\"domains\": []}'
  portcullis plugin inspect closed.wasm --json")]
pub(in crate::cli) struct Inspect {
    /// The plugin.
    file: PathBuf,
    /// Its settings: a file of YAML or JSON, or JSON itself. With them, it is also found out whether
    /// its copies can start from a snapshot.
    #[arg(long, value_name = "FILE|JSON")]
    settings: Option<String>,
    /// For other programs.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) async fn execute(self) -> ExitCode {
        let options = Options { settings: self.settings, ..Options::default() };
        report(&self.file, &options, self.json, None).await
    }
}

/// Tells what a file is.
pub(super) async fn tell(file: &Path) -> ExitCode {
    // Whoever builds it will run it.
    report(file, &Options::default(), false, Some(&config::cache_directory())).await
}

async fn report(file: &Path, options: &Options, json: bool, cache: Option<&Path>) -> ExitCode {
    let setup = match Setup::new(file, options) {
        Ok(setup) => setup,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return MISCONFIGURED.into();
        }
    };
    let inspection =
        match workbench::inspect(&setup.plugin, options.settings.is_some(), cache).await {
            Ok(inspection) => inspection,
            Err(error) => {
                eprintln!("error: {error}");
                return MISCONFIGURED.into();
            }
        };
    if json {
        super::print(&format!("{:#}\n", as_json(file, &inspection)));
    } else if !matches!(&inspection.fit, Err(LoadFailure::NotWasm { .. })) {
        super::print(&shown(file, &inspection));
    }
    match &inspection.fit {
        Ok(_) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            MISCONFIGURED.into()
        }
    }
}

fn shown(file: &Path, inspection: &Inspection) -> String {
    let Inspection { octets, digest, told, fit, frozen } = inspection;
    let kind = if told.is_component { "component" } else { "core module" };
    let mut shown = format!("{}: {}, {kind}\n", file.display(), size(*octets as u64));
    let mut line = |name: &str, text: String| shown.push_str(&format!("  {name:<9} {text}\n"));
    line("sha256", digest.to_string());
    if let Ok(fit) = fit {
        line("contract", fit.contract.clone());
        let hooks: Vec<_> = fit.hooks.iter().map(ToString::to_string).collect();
        let all = frozen.is_none() && fit.hooks.len() == Hook::ALL.len();
        let more = if all { "; some may be empty: --settings tells which it wants" } else { "" };
        line("hooks", format!("{}{more}", hooks.join(", ")));
        if !fit.unknown.is_empty() {
            let unknown: Vec<_> = fit.unknown.iter().map(|name| printable(name)).collect();
            line("unknown", format!("{}: never called by this gateway", unknown.join(", ")));
        }
        line("grants", grants(fit));
        let imports: Vec<_> = fit.calls.keys().map(String::as_str).collect();
        line("imports", imports.join(", "));
        line("compiled", format!("in {:.0?}", fit.compiled_in));
    }
    let start = match frozen {
        None => String::new(),
        Some(Ok(true)) => "; copies start from a snapshot".to_owned(),
        Some(Ok(false)) => "; no snapshot: each copy is configured anew, slowly".to_owned(),
        Some(Err(LoadFailure::Configure(why))) => {
            format!("; no snapshot: it refuses its settings: {why}")
        }
        Some(Err(failure)) => format!("; {failure}"),
    };
    line("memory", format!("{}{start}", size(told.memory)));
    let names = if told.has_names {
        "of functions are there: a trap tells where it was"
    } else {
        "of functions are not there: a trap cannot tell where it was"
    };
    line("names", names.to_owned());
    for (field, makers) in &told.producers {
        let makers: Vec<_> = makers.iter().map(|maker| printable(maker)).collect();
        line(&printable(field), makers.join(", "));
    }
    shown
}

/// For the configuration.
fn grants(fit: &Fit) -> String {
    let grants = fit.grants();
    if grants.is_empty() {
        return "none".to_owned();
    }
    let item = |grant: &str| match grant {
        "http" => "{http: [ORIGIN]}".to_owned(),
        "kv" => "{kv: [STORE]}".to_owned(),
        "streams" => "{streams: [ADDRESS]}".to_owned(),
        "upstreams" => "{upstreams: [NAME]}".to_owned(),
        grant => grant.to_owned(),
    };
    let items: Vec<_> = grants.keys().map(|grant| item(grant)).collect();
    format!("[{}]", items.join(", "))
}

fn as_json(file: &Path, inspection: &Inspection) -> serde_json::Value {
    let Inspection { octets, digest, told, fit, frozen } = inspection;
    let hooks = |fit: &Fit| fit.hooks.iter().map(ToString::to_string).collect::<Vec<_>>();
    let fitting = fit.as_ref().ok();
    json!({
        "file": file,
        "octets": octets,
        "sha256": digest.to_string(),
        "component": told.is_component,
        "contract": fitting.map(|fit| fit.contract.clone()),
        "hooks": fitting.map(hooks),
        "unknown": fitting.map(|fit| fit.unknown.clone()),
        "grants": fitting.map(Fit::grants),
        "calls": fitting.map(|fit| fit.calls.clone()),
        "compile_seconds": fitting.map(|fit| fit.compiled_in.as_secs_f64()),
        "memory_octets": told.memory,
        "snapshot": frozen.as_ref().and_then(|frozen| frozen.as_ref().ok()),
        "names": told.has_names,
        "producers": told.producers,
        "error": fit.as_ref().err().map(ToString::to_string),
    })
}

/// Octets for people.
pub(super) fn size(octets: u64) -> String {
    match octets {
        ..1024 => format!("{octets} octets"),
        1024..1_048_576 => format!("{:.0} KiB", octets as f64 / 1024.0),
        _ => format!("{:.1} MiB", octets as f64 / 1_048_576.0),
    }
}

/// What a file says, safe for a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_shown_as_the_configuration_takes_them() {
        let interfaces = ["dns", "http", "kv", "streams", "upstreams"];
        let call = |name| (format!("smtp:filter/{name}@1.0.0"), ["f".to_owned()].into());
        let fit = Fit {
            contract: String::new(),
            hooks: Vec::new(),
            unknown: Vec::new(),
            calls: interfaces.map(call).into(),
            compiled_in: std::time::Duration::ZERO,
        };
        let shown =
            "[dns, {http: [ORIGIN]}, {kv: [STORE]}, {streams: [ADDRESS]}, {upstreams: [NAME]}]";
        assert_eq!(grants(&fit), shown);
    }
}
