//! How a plugin and what is given to it are named at the command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use portcullis_smtp::{Mailbox, ReversePath};

use crate::message::{ClientAddress, HeaderSection};
use crate::workbench::{Mail, Names, Options, Setup, read_file};

/// Of `run` and `bench`.
#[derive(Args, Debug)]
pub(super) struct Given {
    /// The plugin.
    file: PathBuf,
    /// The message. Its From and To are the envelope, unless something else says what is.
    #[arg(long, value_name = "FILE")]
    eml: Option<PathBuf>,
    /// Session, envelope, settings, grants, DNS, stores: YAML with the keys of a scenario
    /// (plugin-sdk/scenarios.md), without `name` and `expect`.
    #[arg(long, value_name = "FILE")]
    session: Option<PathBuf>,
    /// The plugin's settings: a file of YAML or JSON, or JSON itself.
    #[arg(long, value_name = "FILE|JSON")]
    settings: Option<String>,
    /// What it may do, as in the configuration; kv=STORE, http=ORIGIN, streams=ADDRESS and
    /// upstreams=NAME for those that name something. May be given several times.
    #[arg(long = "grant", value_name = "GRANT")]
    grants: Vec<String>,
    /// The reverse-path; "" is the null one.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// A recipient. May be given several times.
    #[arg(long, value_name = "ADDRESS")]
    to: Vec<String>,
    /// The client's IP address, with or without a port.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<String>,
    /// What it says in EHLO.
    #[arg(long, value_name = "NAME")]
    helo: Option<String>,
    /// Who answers questions for names: nobody but what --session says, or the system's name servers.
    #[arg(long, value_enum, default_value_t = Dns::Given)]
    dns: Dns,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
enum Dns {
    Given,
    System,
}

impl Given {
    /// All of it together, or what is wrong with it.
    pub(super) fn setup(&self) -> Result<Setup, String> {
        let options = Options {
            session: self.session.clone(),
            settings: self.settings.clone(),
            grants: self.grants.clone(),
        };
        let setup = Setup::new(&self.file, &options);
        let mut setup = setup.map_err(|mistakes| mistakes.to_string())?;
        if let Some(path) = &self.eml {
            let message = read_file(path);
            let message = message.map_err(|error| format!("error: {}: {error}", path.display()))?;
            setup.given.mail.get_or_insert_with(|| envelope_of(&message));
            setup.given.message = Some(message);
        }
        self.envelope(&mut setup)?;
        let session = &mut setup.given.session;
        if let Some(client) = &self.client {
            let address = client.parse::<IpAddr>().map(|address| SocketAddr::new(address, 4025));
            let known = address.map(ClientAddress::from).ok().or_else(|| client.parse().ok());
            session.client =
                known.ok_or_else(|| format!("error: --client: \"{client}\" is no IP address"))?;
        }
        session.helo = self.helo.clone().or_else(|| session.helo.take());
        if self.dns == Dns::System {
            setup.world.names = Names::System;
        }
        Ok(setup)
    }

    fn envelope(&self, setup: &mut Setup) -> Result<(), String> {
        if self.from.is_none() && self.to.is_empty() {
            return Ok(());
        }
        let mailbox = |text: &String| {
            Mailbox::parse(text).ok_or_else(|| format!("error: \"{text}\" is no address"))
        };
        let mail = setup.given.mail.get_or_insert_with(Mail::default);
        if let Some(from) = &self.from {
            mail.reverse_path = match from.as_str() {
                "" | "<>" => ReversePath::Null,
                _ => ReversePath::Mailbox(mailbox(from)?),
            };
        }
        if !self.to.is_empty() {
            let to = self.to.iter().map(|to| Ok((mailbox(to)?, Vec::new())));
            mail.recipients = to.collect::<Result<_, String>>()?;
        }
        Ok(())
    }
}

/// An envelope as a mail program would make it of this message.
fn envelope_of(message: &[u8]) -> Mail {
    let end = HeaderSection::find_end(message, 0).unwrap_or(message.len());
    let header = HeaderSection::parse(message[..end].to_vec());
    let addresses = |name: &str| {
        let values = header.values(name);
        values.flat_map(|value| addresses(&String::from_utf8_lossy(&value))).collect::<Vec<_>>()
    };
    let mut mail = Mail::default();
    if let Some(from) = addresses("From").into_iter().next() {
        mail.reverse_path = ReversePath::Mailbox(from);
    }
    let to: Vec<_> = ["To", "Cc"].into_iter().flat_map(addresses).collect();
    if !to.is_empty() {
        mail.recipients = to.into_iter().map(|to| (to, Vec::new())).collect();
    }
    mail
}

/// The addresses of a header, as far as a guess will do: what is in angle brackets, or the words
/// with an `@`.
fn addresses(value: &str) -> Vec<Mailbox> {
    let words = value.split(|c: char| c.is_whitespace() || ",;<>".contains(c));
    words.filter(|word| word.contains('@')).filter_map(Mailbox::parse).collect()
}
