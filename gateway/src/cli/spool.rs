//! `portcullis spool`: what waits on the disk, and what is to become of it.

mod acting;
mod showing;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use portcullis_smtp::Mailbox;

use super::{MISCONFIGURED, chain};
use crate::admin::Client;
use crate::config;
use crate::spool::{Action, Entry, Id, SpoolError, Survey};

/// What to do with messages that wait.
#[derive(Debug, Subcommand)]
pub(super) enum Spool {
    /// Remove messages undelivered. Nobody is told of it.
    Drop {
        #[command(flatten)]
        selection: Selection,
        /// Do not ask whether that is meant.
        #[arg(long)]
        yes: bool,
    },
    /// Deliver messages to nobody until they are released.
    Hold(Selection),
    /// List the messages that wait.
    List {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        filter: Filter,
        /// text for people, json for programs, an object a line.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: Format,
    },
    /// Deliver messages again that were held.
    Release(Selection),
    /// Try messages at once, instead of when it is their time.
    Retry(Selection),
    /// Show all that is known of a message.
    Show {
        #[command(flatten)]
        place: Place,
        /// The message.
        id: Id,
        /// text for people, json for programs.
        #[arg(long, value_name = "FORMAT", default_value = "text", conflicts_with = "content")]
        format: Format,
        /// Write the message itself, as it will be sent.
        #[arg(long)]
        content: bool,
    },
}

/// Which spool.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(super) struct Place {
    /// The configuration file of its gateway.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its directory, if there is no configuration.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

/// Which messages of a spool.
#[derive(Args, Debug)]
pub(super) struct Selection {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filter: Filter,
    /// All messages that wait.
    #[arg(long, conflicts_with_all = ["ids", "recipient", "sender", "upstream"])]
    all: bool,
    /// The messages.
    #[arg(value_name = "ID", conflicts_with_all = ["recipient", "sender", "upstream"])]
    ids: Vec<Id>,
}

/// What messages have in common; with several, all of it.
#[derive(Args, Debug)]
pub(super) struct Filter {
    /// Somebody of this address or domain still waits for them.
    #[arg(long, value_name = "ADDRESS|DOMAIN")]
    recipient: Option<String>,
    /// They are from this address or domain; <> is the null sender.
    #[arg(long, value_name = "ADDRESS|DOMAIN")]
    sender: Option<String>,
    /// They still have to go to this upstream.
    #[arg(long, value_name = "NAME")]
    upstream: Option<String>,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

/// A spool, and the gateway that may use it.
#[derive(Debug)]
struct Found {
    spool: config::Spool,
    /// Who asks that gateway, if it can be asked.
    client: Option<Client>,
}

impl Spool {
    pub(super) async fn execute(self) -> ExitCode {
        let done = match self {
            Self::Drop { selection, yes } => acting::execute(Action::Drop, selection, yes).await,
            Self::Hold(selection) => acting::execute(Action::Hold, selection, true).await,
            Self::List { place, filter, format } => {
                place.find().and_then(|found| showing::list(&found, &filter, format))
            }
            Self::Release(selection) => acting::execute(Action::Release, selection, true).await,
            Self::Retry(selection) => acting::execute(Action::Retry, selection, true).await,
            Self::Show { place, id, content: true, .. } => {
                place.find().and_then(|found| showing::content(&found, &id))
            }
            Self::Show { place, id, format, .. } => {
                place.find().and_then(|found| showing::show(&found, &id, format))
            }
        };
        done.unwrap_or_else(|failed| failed.tell())
    }
}

/// Why nothing was done, or not all.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Asked(String),
    #[error("{0}")]
    Misconfigured(String),
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl Failed {
    fn tell(self) -> ExitCode {
        if let Self::Misconfigured(mistakes) = self {
            eprintln!("{mistakes}");
            return MISCONFIGURED.into();
        }
        eprintln!("error: {}", chain(&self));
        ExitCode::FAILURE
    }
}

impl Place {
    fn find(self) -> Result<Found, Failed> {
        if let Some(directory) = self.directory {
            return Ok(Found { spool: config::Spool::in_directory(directory), client: None });
        }
        let file = self.config.unwrap_or_default();
        let config =
            config::load(&file).map_err(|mistakes| Failed::Misconfigured(mistakes.to_string()))?;
        let none = || Failed::Asked(format!("{} has no \"spool\"", file.display()));
        let spool = config.spool.ok_or_else(none)?;
        Ok(Found { spool, client: Client::of(&config.admin).ok() })
    }
}

impl Found {
    fn survey(&self) -> Survey {
        Survey::of(&self.spool.directory)
    }
}

impl Filter {
    fn is_empty(&self) -> bool {
        self.recipient.is_none() && self.sender.is_none() && self.upstream.is_none()
    }

    fn takes(&self, entry: &Entry) -> bool {
        let sender =
            self.sender.as_deref().is_none_or(|wanted| match entry.reverse_path.mailbox() {
                Some(mailbox) => is_of(mailbox, wanted),
                None => wanted.is_empty() || wanted == "<>",
            });
        let mut left = entry.recipients.iter().filter(|recipient| !recipient.state.is_done());
        let nobody = self.recipient.is_none() && self.upstream.is_none();
        sender
            && (nobody
                || left.any(|one| {
                    self.recipient.as_deref().is_none_or(|wanted| is_of(&one.address, wanted))
                        && self.upstream.as_ref().is_none_or(|wanted| *wanted == one.upstream)
                }))
    }
}

/// Whether an address is the wanted one, or of the wanted domain.
fn is_of(mailbox: &Mailbox, wanted: &str) -> bool {
    let domain = wanted.strip_prefix('@').unwrap_or(wanted);
    mailbox.as_str().eq_ignore_ascii_case(wanted)
        || mailbox.domain().is_some_and(|own| own.eq_ignore_ascii_case(domain))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Arguments;
    use super::*;

    #[test]
    fn who_is_meant_is_an_address_or_a_domain() {
        let mailbox = Mailbox::parse("Bob@Example.com").expect("an address");
        for wanted in ["bob@example.com", "example.com", "@EXAMPLE.com"] {
            assert!(is_of(&mailbox, wanted), "{wanted}");
        }
        for wanted in ["ob@example.com", "ample.com", "@com", "", "bob"] {
            assert!(!is_of(&mailbox, wanted), "{wanted}");
        }
    }

    #[test]
    fn what_is_meant_is_said() {
        let parse = |line: &str| {
            Arguments::try_parse_from(["portcullis", "spool"].into_iter().chain(line.split(' ')))
        };
        let id = "0123456789abc01234567";
        for line in [
            "list --directory d",
            "list --config c --recipient example.com --format json",
            &format!("show --config c {id} --content"),
            &format!("drop --config c {id} {id} --yes"),
            "retry --directory d --all",
            "hold --directory d --upstream store",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        for line in [
            "list",
            "list --config c --directory d",
            "show --config c ../../etc/passwd",
            &format!("drop --config c --all {id}"),
            &format!("drop --config c --sender x {id}"),
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
