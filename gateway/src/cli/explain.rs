//! `portcullis explain`: what would become of a message, and who would say so.

use std::io::{BufRead, IsTerminal, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use portcullis_smtp::{Mailbox, ReversePath};

use super::{MISCONFIGURED, unfit};
use crate::explain::{self, HELO, Inquiry};
use crate::gateway::{self, Rehearsals};
use crate::telemetry::Paint;
use crate::workbench::with_crlf;

/// What is asked, and how it is answered.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  portcullis explain --config portcullis.yaml --from ann@a.example --to bob@b.example --client 192.0.2.7
  portcullis explain --config portcullis.yaml --to bob@b.example --eml mail.eml --format json
  jq -c . inquiries.json | portcullis explain --config portcullis.yaml --batch -

An inquiry of --batch is {\"from\": \"\", \"to\": [\"\"], \"client\": \"\", \"helo\": \"\", \"user\": \"\", \
\"listener\": \"\", \"tls\": false, \"message\": \"\"}, of which only \"to\" has to be there.")]
pub(super) struct Explain {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A recipient; may be given several times.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "batch", value_parser = explain::mailbox)]
    to: Vec<Mailbox>,
    /// The sender; "<>" is that of bounces.
    #[arg(long, value_name = "ADDRESS", value_parser = reverse_path, default_value = "<>")]
    from: Sender,
    /// The client's address; by default it is not known.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// What the client calls itself.
    #[arg(long, value_name = "NAME", value_parser = explain::helo, default_value = HELO)]
    helo: String,
    /// The listener that it comes to; by default the first.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Who has logged in; by default nobody.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The connection is under TLS.
    #[arg(long)]
    tls: bool,
    /// The message; "-" is standard input. Without one, the conversation ends before DATA.
    #[arg(long, value_name = "FILE")]
    eml: Option<PathBuf>,
    /// Inquiries, one a line as JSON, and as many answers; "-" is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "client", "listener", "user", "tls", "eml"])]
    batch: Option<PathBuf>,
    /// text for people, json for programs.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Form::Text)]
    format: Form,
}

#[derive(Clone, Debug)]
struct Sender(ReversePath);

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Form {
    Text,
    Json,
}

impl Explain {
    pub(super) async fn execute(self) -> ExitCode {
        let rehearsals = match gateway::check(&self.config).await {
            Ok(parts) => parts.rehearsals(),
            Err(error) => return unfit(&error, None),
        };
        let answered = match &self.batch {
            Some(batch) => answer_all(&rehearsals, batch).await,
            None => self.answer(&rehearsals).await,
        };
        answered.unwrap_or_else(|error| {
            eprintln!("error: {error}");
            MISCONFIGURED.into()
        })
    }

    async fn answer(self, rehearsals: &Rehearsals) -> Result<ExitCode, Box<dyn std::error::Error>> {
        let message = match &self.eml {
            Some(file) => {
                let octets = read(file).map_err(|error| format!("{}: {error}", file.display()))?;
                Some(with_crlf(&octets))
            }
            None => None,
        };
        let inquiry = Inquiry {
            listener: self.listener,
            sender: self.from.0,
            recipients: self.to,
            client: self.client,
            helo: self.helo,
            user: self.user,
            tls: self.tls,
            message,
        };
        let explanation = rehearsals.explain(&inquiry).await?;
        let told = match self.format {
            Form::Text => explanation.told(Paint::for_stdout()),
            Form::Json => format!("{}\n", serde_json::to_string_pretty(&explanation)?),
        };
        std::io::stdout().write_all(told.as_bytes())?;
        Ok(if explanation.is_yes() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// One answer a line.
async fn answer_all(
    rehearsals: &Rehearsals,
    file: &Path,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let inquiries: Box<dyn BufRead> = match file == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => {
            let file = std::fs::File::open(file);
            Box::new(std::io::BufReader::new(file?))
        }
    };
    let mut all = ExitCode::SUCCESS;
    for (number, line) in (1..).zip(inquiries.lines()) {
        let wrong = |error: &dyn std::error::Error| format!("line {number}: {error}");
        let inquiry: Inquiry = serde_json::from_str(&line?).map_err(|error| wrong(&error))?;
        let explanation = rehearsals.explain(&inquiry).await.map_err(|error| wrong(&error))?;
        let mut told = serde_json::to_string(&explanation)?;
        told.push('\n');
        std::io::stdout().write_all(told.as_bytes())?;
        if !explanation.is_yes() {
            all = ExitCode::FAILURE;
        }
    }
    Ok(all)
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    if file != Path::new("-") {
        return std::fs::read(file);
    }
    if std::io::stdin().is_terminal() {
        eprintln!("the message, ended by Ctrl-D:");
    }
    let mut octets = Vec::new();
    std::io::stdin().lock().read_to_end(&mut octets)?;
    Ok(octets)
}

fn reverse_path(text: &str) -> Result<Sender, explain::Unsayable> {
    explain::reverse_path(text).map(Sender)
}
