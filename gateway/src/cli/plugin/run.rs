//! `portcullis plugin run`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::setup;
use crate::cli::MISCONFIGURED;
use crate::config;
use crate::workbench::{Called, Ended, Given, Mail, Names, Played, Setup, Workbench};

/// The plugin runs in the gateway's own engine; nothing listens, nothing is sent.
///
/// Exit code: 0 it answered, 1 it failed, 2 it cannot be loaded, or what was given is wrong.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  portcullis plugin run closed.wasm --eml mail.eml --settings '{\"domains\": [\"closed.example\"]}'
  portcullis plugin run list.wasm --client 192.0.2.1 --grant dns --dns system
  portcullis plugin run greylist.wasm --eml mail.eml --session session.yaml --grant kv=greylist")]
pub(in crate::cli) struct Run {
    #[command(flatten)]
    given: setup::Given,
    /// Make a snapshot of a large plugin, too, as the gateway does.
    #[arg(long)]
    snapshots: bool,
}

impl Run {
    pub(super) async fn execute(self) -> ExitCode {
        let setup = match self.given.setup() {
            Ok(setup) => setup,
            Err(error) => {
                eprintln!("{error}");
                return MISCONFIGURED.into();
            }
        };
        let Setup { plugin, upstreams, given, world } = &setup;
        let cache = config::cache_directory();
        let workbench =
            Workbench::new(plugin, upstreams.clone(), world, &cache, self.snapshots).await;
        let workbench = match workbench {
            Ok(workbench) => workbench,
            Err(error) => {
                eprintln!("error: {error}");
                return MISCONFIGURED.into();
            }
        };
        let played = workbench.play(given).await;
        super::print(&told(given, &played, matches!(world.names, Names::Fixed(_))));
        let failed = played.calls.iter().any(|call| call.result.is_err());
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// What the plugin did, hook by hook, and what is left of the mail.
fn told(given: &Given, played: &Played, fixed: bool) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "client {}", given.session.client);
    if let Some(Mail { reverse_path, recipients, .. }) = &given.mail {
        let to: Vec<_> = recipients.iter().map(|(address, _)| address.to_string()).collect();
        let _ = writeln!(text, "mail   <{reverse_path}> to {}", to.join(", "));
    }
    for call in &played.calls {
        let _ = write!(text, "\n{}", told_call(played, call));
    }
    // What is said in a hook is told with its name; of a hook that is asked often, it cannot be
    // told at which time.
    lines(&mut text, "asked", &played.asked);
    if fixed && played.asked.iter().any(|line| line.text.starts_with("dns ")) {
        text.push_str("  only the names of --session exist; --dns system asks real name servers\n");
    }
    lines(&mut text, "logged", &played.log);
    let _ = writeln!(text, "\n{}", ended(&played.ended));
    if given.message.is_some() && matches!(played.ended, Ended::Passed | Ended::Quarantined) {
        envelope(&mut text, given, played);
        headers(&mut text, given, played);
    }
    text
}

fn told_call(played: &Played, call: &Called) -> String {
    let about = call.recipient.as_ref().map(|to| format!(" {to}")).unwrap_or_default();
    let took = format!("{:.1?}", call.took);
    let mut text = format!("{}{about}: {} ({took})\n", call.hook, played.said(call));
    for edit in played.edits(call) {
        let _ = writeln!(text, "  {edit}");
    }
    text
}

fn lines(text: &mut String, what: &str, lines: &[crate::telemetry::KeptLine]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{what}");
    for line in lines {
        let field = |name: &str| line.fields.iter().find(|(known, _)| *known == name);
        let hook = field("hook").map(|(_, hook)| hook.as_str()).unwrap_or_default();
        let fields = field("fields").map(|(_, fields)| format!(" {fields}")).unwrap_or_default();
        let level = if what == "asked" { String::new() } else { format!("{} ", line.level) };
        let _ = writeln!(text, "  {hook}: {level}{}{fields}", line.text);
    }
}

fn ended(ended: &Ended) -> String {
    match ended {
        Ended::Discarded => "the client hears yes, and nothing is delivered".to_owned(),
        Ended::Disconnected(reply) => format!("the client hears {reply}, and is disconnected"),
        Ended::Passed => "nothing is refused".to_owned(),
        Ended::Quarantined => "the client hears yes, and the message goes to quarantine".to_owned(),
        Ended::Refused(reply) => format!("the client hears {reply}"),
    }
}

/// How the envelope changed.
fn envelope(text: &mut String, given: &Given, played: &Played) {
    let (Some(mail), Some(envelope)) = (&given.mail, &played.case.envelope) else { return };
    if mail.reverse_path != envelope.reverse_path {
        let _ =
            writeln!(text, "- from <{}>\n+ from <{}>", mail.reverse_path, envelope.reverse_path);
    }
    let before: BTreeSet<_> = mail.recipients.iter().map(|(to, _)| to.to_string()).collect();
    let after: BTreeSet<_> = envelope.recipients.iter().map(|to| to.address.to_string()).collect();
    for gone in before.difference(&after) {
        let _ = writeln!(text, "- to <{gone}>");
    }
    for new in after.difference(&before) {
        let _ = writeln!(text, "+ to <{new}>");
    }
    for to in &envelope.recipients {
        if let Some(route) = &to.route {
            let _ = writeln!(text, "+ <{}> goes to {route}", to.address);
        }
    }
}

/// How the header section changed, line by line.
fn headers(text: &mut String, given: &Given, played: &Played) {
    let (Some(before), Some(message)) = (&given.message, &played.case.message) else { return };
    let after = message.header.fields_as_bytes();
    let end = crate::message::HeaderSection::find_end(before, 0).unwrap_or(before.len());
    let lines = |octets: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(octets);
        text.lines().filter(|line| !line.is_empty()).map(printable).collect()
    };
    let (before, after) = (lines(&before[..end]), lines(after));
    let mut left = before.iter().peekable();
    for line in &after {
        // A line that comes later in what was there says that those before it are gone.
        match left.clone().position(|old| old == line) {
            Some(at) => {
                for gone in left.by_ref().take(at) {
                    let _ = writeln!(text, "- {gone}");
                }
                left.next();
            }
            None => {
                let _ = writeln!(text, "+ {line}");
            }
        }
    }
    for gone in left {
        let _ = writeln!(text, "- {gone}");
    }
}

/// A line of a mail, safe for a terminal.
fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}
