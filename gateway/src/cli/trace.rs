//! `portcullis trace`: what is said in sessions, line by line, as it happens.

mod words;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::asking::Gateway;
use crate::admin::Client;

/// Which gateway, and whose sessions.
#[derive(Args, Debug)]
pub(super) struct Trace {
    #[command(flatten)]
    gateway: Gateway,
    /// Only this client: an address, or a network.
    #[arg(long, value_name = "NET")]
    client: Option<String>,
    /// Only transactions with such a recipient: a part of the address, or a pattern with * and ?.
    #[arg(long, value_name = "PATTERN")]
    rcpt: Option<String>,
    /// Only transactions with such a sender; <> is the null sender of bounces.
    #[arg(long, value_name = "PATTERN")]
    sender: Option<String>,
    /// Only this listener.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// text for people, json for programs, an object a line.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    format: Format,
    /// When it ends by itself: 30s, 10m, 2h.
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = duration)]
    patience: Duration,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn duration(text: &str) -> Result<Duration, String> {
    let help = || "a time such as 30s, 10m or 2h".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(help)?;
    let number: u64 = text[..digits].parse().map_err(|_| help())?;
    let unit = match &text[digits..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(help()),
    };
    match number.checked_mul(unit) {
        Some(seconds @ 1..=86_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("from 1s to 24h".to_owned()),
    }
}

impl Trace {
    pub(super) async fn execute(self) -> ExitCode {
        let gateway = match self.gateway.find() {
            Ok(gateway) => gateway,
            Err(code) => return code,
        };
        let followed = tokio::select! {
            followed = self.follow(&gateway) => followed,
            () = tokio::time::sleep(self.patience) => {
                eprintln!("the time is over (--for)");
                Ok(())
            }
            _ = tokio::signal::ctrl_c() => Ok(()),
        };
        match followed {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    fn path(&self) -> String {
        let mut path = "/api/events?events=step,transaction".to_owned();
        for (name, value) in [
            ("client", &self.client),
            ("recipient", &self.rcpt),
            ("sender", &self.sender),
            ("listener", &self.listener),
        ] {
            if let Some(value) = value {
                path += &format!("&{name}={}", encoded(value));
            }
        }
        path
    }

    async fn follow(&self, gateway: &Client) -> Result<(), String> {
        let mut lines = gateway.follow(&self.path()).await?;
        let mut event = String::new();
        while let Some(line) = lines.next().await? {
            if line.starts_with(": watching") {
                eprintln!("watching; Ctrl-C ends it");
            } else if let Some(name) = line.strip_prefix("event: ") {
                event = name.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ")
                && !self.write(&event, data)
            {
                return Ok(());
            }
        }
        eprintln!("the gateway has ended");
        Ok(())
    }

    /// False if nobody reads it.
    fn write(&self, event: &str, data: &str) -> bool {
        let Ok(data) = serde_json::from_str::<Value>(data) else { return true };
        let text = match self.format {
            Format::Text => words::line(event, &data),
            Format::Json => {
                let mut object = data;
                object["event"] = event.into();
                object.to_string()
            }
        };
        let mut output = std::io::stdout().lock();
        writeln!(output, "{text}").and_then(|()| output.flush()).is_ok()
    }
}

/// As a query takes it.
fn encoded(text: &str) -> String {
    let encode = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
            char::from(octet).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_an_end() {
        assert_eq!(duration("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(duration("24h"), Ok(Duration::from_hours(24)));
        for wrong in ["", "10", "m", "0s", "25h", "1d", "99999999999999999999s", "-1s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_pattern_may_hold_anything() {
        assert_eq!(encoded("*@b.example&x=<é>"), "%2A%40b.example%26x%3D%3C%C3%A9%3E");
    }
}
