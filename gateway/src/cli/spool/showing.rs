//! What waits, for people and for programs.

use std::io::{self, Write};
use std::process::ExitCode;

use jiff::Timestamp;

use super::{Failed, Filter, Format, Found};
use crate::message::Content;
use crate::spool::{Addressee, Entry, Id, State};

pub(super) fn list(found: &Found, filter: &Filter, format: Format) -> Result<ExitCode, Failed> {
    let (survey, now) = (found.survey(), Timestamp::now());
    let (mut count, mut unreadable) = (0_u64, false);
    for id in survey.ids()? {
        let entry = match survey.entry(&id) {
            // It was delivered while we looked.
            Ok(None) => continue,
            Ok(Some(entry)) => entry,
            Err(reason) => {
                eprintln!("error: the file of {id} is no message: {reason}");
                unreadable = true;
                continue;
            }
        };
        if !filter.takes(&entry) {
            continue;
        }
        count += 1;
        let text = match format {
            Format::Json => json(&entry)?,
            Format::Text => brief(&entry, now),
        };
        if print(text.as_bytes()).is_err() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let torn = survey.torn();
    if !torn.is_empty() {
        let aside = found.spool.directory.join("torn");
        eprintln!("note: in {} lie files that are no messages: {}", aside.display(), torn.len());
    }
    if format == Format::Text {
        let (what, waits) = if count == 1 { ("message", "waits") } else { ("messages", "wait") };
        let kind = if filter.is_empty() { "" } else { " of this kind" };
        // Who reads no further has read enough.
        let _ = print(format!("{count} {what}{kind} {waits}\n").as_bytes());
    }
    Ok(if unreadable { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub(super) fn show(found: &Found, id: &Id, format: Format) -> Result<ExitCode, Failed> {
    let entry = found.survey().entry(id).map_err(|reason| torn(id, &reason))?;
    let entry = entry.ok_or_else(|| unknown(id))?;
    let text = match format {
        Format::Json => json(&entry)?,
        Format::Text => full(&entry, Timestamp::now()),
    };
    let _ = print(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// Writes the message, as it will be sent.
pub(super) fn content(found: &Found, id: &Id) -> Result<ExitCode, Failed> {
    let message = found.survey().message(id).map_err(|reason| torn(id, &reason))?;
    let message = message.ok_or_else(|| unknown(id))?;
    let written = print(&message.prefix)
        .and_then(|()| print(message.message.header.as_bytes()))
        .and_then(|()| copy(&message.message.body));
    match written {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failed::Asked(format!("the message cannot be written: {error}"))),
    }
}

fn copy(body: &Content) -> io::Result<()> {
    let (mut at, mut block) = (0, vec![0; 64 << 10]);
    while at < body.octets() {
        let count = match body.read_at(at, &mut block)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => count,
        };
        print(&block[..count])?;
        at += count as u64;
    }
    Ok(())
}

fn print(octets: &[u8]) -> io::Result<()> {
    io::stdout().lock().write_all(octets)
}

fn torn(id: &Id, reason: &dyn std::fmt::Display) -> Failed {
    Failed::Asked(format!("the file of {id} is no message: {reason}"))
}

fn unknown(id: &Id) -> Failed {
    Failed::Asked(format!("no message {id} waits"))
}

fn json(entry: &Entry) -> Result<String, Failed> {
    let json = serde_json::to_string(entry).map_err(|error| Failed::Asked(error.to_string()))?;
    Ok(json + "\n")
}

/// A line for the message, and one for each recipient.
fn brief(entry: &Entry, now: Timestamp) -> String {
    let held = if entry.held { "  held" } else { "" };
    let (age, size) = (span(seconds(entry.accepted, now)), size(entry.octets));
    let mut text = format!("{}  {age}  {size}  from <{}>{held}\n", entry.id, entry.reverse_path);
    for recipient in &entry.recipients {
        text += &format!("    {}\n", addressee(recipient, now));
    }
    text
}

fn full(entry: &Entry, now: Timestamp) -> String {
    let from = &entry.provenance;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let parameters: Vec<_> = entry.parameters.iter().filter_map(|it| it.word()).collect();
    let mut text = String::new();
    for (name, value) in [
        ("id", entry.id.to_string()),
        ("transaction", from.id.clone()),
        ("accepted", format!("{:.0}, {} ago", entry.accepted, span(seconds(entry.accepted, now)))),
        ("octets", entry.octets.to_string()),
        ("held", if entry.held { "yes" } else { "no" }.to_owned()),
        ("from", format!("<{}>", entry.reverse_path)),
        ("parameters", or_none((!parameters.is_empty()).then(|| parameters.join(" ")))),
        ("listener", from.listener.clone()),
        ("client", or_none(from.address.map(|address| address.to_string()))),
        ("helo", or_none(from.helo.clone())),
        ("user", or_none(from.login.clone())),
    ] {
        text += &format!("{name:<13}{}\n", printable(&value));
    }
    for recipient in &entry.recipients {
        text += &format!("{:<13}{}\n", "to", addressee(recipient, now));
    }
    text
}

fn addressee(Addressee { address, upstream, state, .. }: &Addressee, now: Timestamp) -> String {
    let what = match state {
        State::Waiting { attempts: 0, .. } => "not tried yet".to_owned(),
        State::Waiting { attempts, next, said } => {
            let times =
                if *attempts == 1 { "once".to_owned() } else { format!("{attempts} times") };
            let next = match seconds(now, *next) {
                0 => "now".to_owned(),
                left => format!("in {}", span(left)),
            };
            let said = said.as_deref().map(|said| format!(": {}", printable(said)));
            format!("tried {times}, next {next}{}", said.unwrap_or_default())
        }
        State::Delivered => "delivered".to_owned(),
        State::Failed { said, reported } => {
            let told = if *reported { "" } else { ", the sender is to be told" };
            format!("failed{told}: {}", printable(said))
        }
        State::Dropped => "dropped".to_owned(),
    };
    let upstream = if upstream.is_empty() { "(no route)" } else { upstream };
    format!("<{address}>  {upstream}  {what}")
}

/// Whole seconds from one time to a later one.
fn seconds(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0)
}

fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

fn size(octets: u64) -> String {
    match octets {
        0..1024 => format!("{octets}B"),
        1024..1_048_576 => format!("{}KiB", octets >> 10),
        _ => format!("{}MiB", octets >> 20),
    }
}

/// What peers said may not move the cursor.
fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|char| {
            let escaped = char.is_control().then(|| char.escape_default());
            let plain = escaped.is_none().then_some(char);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use portcullis_smtp::{Mailbox, ReversePath};

    use super::*;
    use crate::message::Provenance;

    #[test]
    fn people_see_who_waits_and_for_what() {
        let now = Timestamp::from_second(1_800_000_000).expect("a time");
        let ago = |seconds| now - jiff::SignedDuration::from_secs(seconds);
        let addressee = |address: &str, state| Addressee {
            address: Mailbox::parse(address).expect("an address"),
            parameters: Vec::new(),
            upstream: "store".to_owned(),
            state,
        };
        let said = Some("451 4.2.0 \u{1b}[2J busy".to_owned());
        let entry = Entry {
            id: "0123456789abc01234567".parse().expect("an id"),
            accepted: ago(3700),
            provenance: Provenance::default(),
            reverse_path: ReversePath::Null,
            parameters: Vec::new(),
            octets: 4300,
            held: true,
            pinned: false,
            recipients: vec![
                addressee("a@example.com", State::new(now)),
                addressee("b@example.com", State::Waiting { attempts: 2, next: ago(-120), said }),
                addressee("c@example.com", State::Delivered),
                addressee(
                    "d@example.com",
                    State::Failed { said: "550 no".to_owned(), reported: false },
                ),
            ],
        };
        assert_eq!(
            brief(&entry, now),
            "0123456789abc01234567  1h1m  4KiB  from <>  held\n\
             \x20   <a@example.com>  store  not tried yet\n\
             \x20   <b@example.com>  store  tried 2 times, next in 2m: 451 4.2.0 \\u{1b}[2J busy\n\
             \x20   <c@example.com>  store  delivered\n\
             \x20   <d@example.com>  store  failed, the sender is to be told: 550 no\n"
        );
        assert!(full(&entry, now).contains("accepted     2027-01-15T06:58:20Z, 1h1m ago\n"));
    }
}
