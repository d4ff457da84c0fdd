//! Has messages scanned for malware by clamd; see README.md.

mod clamd;
mod settings;

use portcullis_plugin::kv::Store;
use portcullis_plugin::{
    EditError, Hook, Message, Transaction, Verdict, clock, log, metrics, plugin,
};
use terms::Away;

use crate::clamd::{Failure, Scan};
use crate::settings::{Infected, OnError, Settings};

/// The plugin is its settings.
#[derive(Debug)]
pub struct Clamav(Settings);

#[plugin]
impl Clamav {
    fn configure(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self(settings))
    }

    fn skip(&self) -> Vec<Hook> {
        Vec::new()
    }

    fn message(&self, transaction: &Transaction, message: &Message) -> Result<Verdict, EditError> {
        let scan = self.scan(message);
        let (verdict, status) = match &scan {
            Scan::Clean => {
                metrics::add("scans", 1, Some(("result", "clean")));
                (Verdict::Next, "clean".to_owned())
            }
            Scan::Infected(signature) => {
                let verdict = self.infected(signature, transaction)?;
                (verdict, format!("infected ({signature})"))
            }
            Scan::Failed(failure) => {
                let verdict = self.unscanned(*failure, transaction, message)?;
                (verdict, format!("not scanned ({})", failure.label()))
            }
        };
        if self.0.header && matches!(verdict, Verdict::Next | Verdict::Quarantine(_)) {
            match mark(message, &status) {
                // A call has 1,000 edits. Who forges more fields than that is no honest sender.
                Err(EditError::OutOfRange) => return Ok(Verdict::reject(554, "5.6.0", TOO_MANY)),
                marked => marked?,
            }
        }
        Ok(verdict)
    }
}

impl Clamav {
    /// By the first server that tells.
    fn scan(&self, message: &Message) -> Scan {
        // How much there is can only be told by who has it: the gateway.
        let size = message.read_all().skip(u64::MAX);
        let Some(size) = u32::try_from(size).ok().filter(|size| *size <= self.0.max_size) else {
            return Scan::Failed(Failure::TooLarge);
        };
        let began = clock::monotonic();
        let mut scan = Scan::Failed(Failure::Away(Away::Unavailable));
        for server in &self.0.servers {
            scan = clamd::scan(server, self.0.timeout.as_seconds() * 1000, message, size);
            // One that cannot scan this message leaves another one no time, or would say the same.
            match &scan {
                Scan::Failed(failure @ Failure::Away(Away::Unavailable | Away::Denied)) => {
                    log::warn(
                        "clamd cannot be asked",
                        &[("server", server), ("why", failure.label())],
                    );
                }
                _ => break,
            }
        }
        let took = clock::monotonic().saturating_sub(began);
        metrics::observe("scan_seconds", took as f64 / 1e9);
        scan
    }

    fn infected(&self, signature: &str, transaction: &Transaction) -> Result<Verdict, EditError> {
        let suspicious = self.0.is_suspicious(signature);
        metrics::add(
            "scans",
            1,
            Some(("result", if suspicious { "suspicious" } else { "infected" })),
        );
        log::info("malware found", &[("signature", signature)]);
        let scores = &self.0.scores;
        if suspicious {
            score(transaction, "CLAMAV_SUSPICIOUS", scores.suspicious)?;
            return Ok(Verdict::Next);
        }
        Ok(match self.0.infected {
            Infected::Reject => self.0.refusal(signature),
            Infected::Quarantine => Verdict::quarantine(format!("malware: {signature}")),
            Infected::Score => {
                score(transaction, "CLAMAV_INFECTED", scores.infected)?;
                Verdict::Next
            }
        })
    }

    /// A large message is scanned by nobody, ever: coming again would not help.
    fn unscanned(
        &self,
        failure: Failure,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<Verdict, EditError> {
        metrics::add("scans", 1, Some(("result", failure.label())));
        log::info("message not scanned", &[("why", failure.label())]);
        let defers = self.0.on_error == OnError::Defer && failure != Failure::TooLarge;
        if defers && !self.waited_enough(message) {
            return Ok(Verdict::defer(451, "4.7.1", "cannot be scanned for malware now"));
        }
        if self.0.on_error != OnError::Pass {
            score(transaction, "CLAMAV_UNSCANNED", self.0.scores.unscanned)?;
        }
        Ok(Verdict::Next)
    }

    /// Whether this message comes again and again for so long that it had better pass. A store that
    /// does not answer knows nothing of it.
    fn waited_enough(&self, message: &Message) -> bool {
        let Some(store) = self.0.store.as_deref().and_then(|name| Store::open(name).ok()) else {
            return false;
        };
        // The client may add to the header section each time.
        let digest = message.read_body().sha256();
        let key: String = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        let now = clock::now() / 1000;
        let patience = self.0.defer_for.as_seconds();
        match store.get_one(&key) {
            Ok(Some(entry)) => {
                let since = str::from_utf8(&entry.value).ok().and_then(|text| text.parse().ok());
                now.saturating_sub(since.unwrap_or(now)) >= patience.into()
            }
            Ok(None) => {
                // Senders give up after five days (RFC 5321 section 4.5.4.1).
                let kept = patience.saturating_add(REMEMBERED);
                let _ = store.put(&key, now.to_string().as_bytes(), Some(kept), Some(0));
                false
            }
            Err(_) => false,
        }
    }
}

fn score(transaction: &Transaction, symbol: &str, points: f64) -> Result<(), EditError> {
    if points == 0.0 { Ok(()) } else { transaction.score(symbol, points) }
}

/// Says what is known, in place of what the message says of itself.
fn mark(message: &Message, status: &str) -> Result<(), EditError> {
    let forged = u32::try_from(message.header(HEADER).len()).unwrap_or(u32::MAX);
    for nth in 0..forged {
        message.drop_header(HEADER, nth)?;
    }
    message.add_header(Some(0), HEADER, status.as_bytes())
}

const HEADER: &str = "X-Virus-Status";
const TOO_MANY: &str = "too many X-Virus-Status fields";

/// Seconds beyond `defer_for`.
const REMEMBERED: u32 = 5 * 86_400;
