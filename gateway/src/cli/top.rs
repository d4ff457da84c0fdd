//! `portcullis top`: what a gateway does, as it does it.

mod scrape;
mod screen;
mod terminal;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::Value;

use super::asking::Gateway;
use crate::admin::Client;
use scrape::{Interval, Scrape};
use screen::{Facts, Line};

/// Which gateway, and how.
#[derive(Args, Debug)]
pub(super) struct Top {
    #[command(flatten)]
    gateway: Gateway,
    /// Print one frame as plain text, of one interval, and end.
    #[arg(long)]
    once: bool,
    /// Show only sessions and transactions that have this in them.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    filter: String,
    /// Seconds from one look to the next.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    interval: f64,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 1".to_owned())?;
    match (0.1..=3600.0).contains(&seconds) {
        true => Ok(seconds),
        false => Err("from 0.1 to 3600".to_owned()),
    }
}

impl Top {
    pub(super) async fn execute(self) -> ExitCode {
        let gateway = match self.gateway.find() {
            Ok(gateway) => gateway,
            Err(code) => return code,
        };
        let interval = Duration::from_secs_f64(self.interval);
        let looked = match self.once {
            true => once(&gateway, interval, &self.filter).await,
            false if !std::io::stdout().is_terminal() => {
                Err("standard output is no terminal: --once prints one frame".to_owned())
            }
            false => terminal::show(&gateway, interval, self.filter).await,
        };
        match looked {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }
}

/// One look.
#[derive(Clone, Debug)]
struct Look {
    at: Instant,
    scrape: Scrape,
    facts: Facts,
}

impl Look {
    async fn at(gateway: &Client) -> Result<Self, String> {
        let scrape = Scrape::parse(&gateway.get("/metrics").await?);
        let at = Instant::now();
        let facts = Facts {
            status: json(gateway, "/api/status").await?,
            sessions: json(gateway, &format!("/api/sessions?limit={SESSIONS}")).await?,
            transactions: json(gateway, &format!("/api/transactions?limit={TRANSACTIONS}")).await?,
        };
        Ok(Self { at, scrape, facts })
    }

    /// What is shown, of the time since an earlier one.
    fn lines_since(&self, before: &Self, wanted: &str) -> Vec<Line> {
        let seconds = self.at.duration_since(before.at).as_secs_f64();
        let interval = Interval { before: &before.scrape, after: &self.scrape, seconds };
        screen::lines(&self.facts, &interval, wanted)
    }
}

async fn json(gateway: &Client, path: &str) -> Result<Value, String> {
    let text = gateway.get(path).await?;
    serde_json::from_str(&text).map_err(|error| format!("{path} is not understood: {error}"))
}

async fn once(gateway: &Client, interval: Duration, wanted: &str) -> Result<(), String> {
    let before = Look::at(gateway).await?;
    tokio::time::sleep(interval).await;
    let after = Look::at(gateway).await?;
    let mut output = std::io::stdout().lock();
    for line in after.lines_since(&before, wanted) {
        // Whoever reads a part of it may close it then.
        if writeln!(output, "{}", line.text()).is_err() {
            break;
        }
    }
    Ok(())
}

/// More than there are lines on a screen.
const SESSIONS: usize = 200;
const TRANSACTIONS: usize = 200;
