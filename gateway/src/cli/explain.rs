//! `portcullis explain`: what would become of a message, and who would say so.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use portcullis_smtp::{Mailbox, ReversePath};

use super::MISCONFIGURED;
use crate::config;
use crate::explain::{Explanation, Inquiry};

/// Which message.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A recipient; may be given several times.
    #[arg(long, value_name = "ADDRESS", required = true, value_parser = mailbox)]
    to: Vec<Mailbox>,
    /// The sender; by default "<>", as bounces have it.
    #[arg(long, value_name = "ADDRESS", value_parser = reverse_path, default_value = "<>")]
    from: Sender,
    /// The client's address; by default one that no route asks for.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// The listener that it comes to; by default the first.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Who has logged in; by default nobody.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
}

#[derive(Clone, Debug)]
struct Sender(ReversePath);

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Json,
    Text,
}

impl Explain {
    pub(super) fn execute(self) -> ExitCode {
        let config = match config::load(&self.config) {
            Ok(config) => config,
            Err(mistakes) => {
                eprintln!("{mistakes}");
                return MISCONFIGURED.into();
            }
        };
        let inquiry = Inquiry {
            listener: self.listener,
            sender: self.from.0,
            recipients: self.to,
            client: self.client,
            user: self.user,
        };
        let explanation = match Explanation::of(&config, &inquiry) {
            Ok(explanation) => explanation,
            Err(error) => {
                eprintln!("error: {error}");
                return MISCONFIGURED.into();
            }
        };
        match self.format {
            Form::Text => print!("{explanation}"),
            Form::Json => match serde_json::to_string_pretty(&explanation) {
                Ok(json) => println!("{json}"),
                Err(error) => {
                    eprintln!("error: {error}");
                    return ExitCode::FAILURE;
                }
            },
        }
        if explanation.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    let bare = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).unwrap_or(text);
    Mailbox::parse(bare).ok_or_else(|| "this is no address".to_owned())
}

fn reverse_path(text: &str) -> Result<Sender, String> {
    match text {
        "" | "<>" => Ok(Sender(ReversePath::Null)),
        _ => mailbox(text).map(|sender| Sender(ReversePath::Mailbox(sender))),
    }
}
