//! Chooses upstreams, and sends copies to archives; see README.md.

mod settings;

use std::cell::OnceCell;

use portcullis_plugin::{
    EditError, Hook, Recipient, Transaction, Verdict, log, metrics, plugin, upstreams,
};
use terms::Addresses;

use crate::settings::{Archive, By, Canary, Route, Settings};

/// The routes and archives, in their order.
#[derive(Debug)]
pub struct Routing {
    routes: Vec<Route>,
    archives: Vec<Archive>,
}

#[plugin]
impl Routing {
    fn configure(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { routes: settings.routes, archives: settings.archive })
    }

    fn skip(&self) -> Vec<Hook> {
        let idle = [(Hook::Rcpt, self.routes.is_empty()), (Hook::Data, self.archives.is_empty())];
        idle.into_iter().filter(|(_, idle)| *idle).map(|(hook, _)| hook).collect()
    }

    fn rcpt(&self, to: &Recipient, transaction: &Transaction) -> Result<Verdict, EditError> {
        if let Some(upstream) = self.way(to, transaction) {
            transaction.route(upstream, Some(to.index))?;
            metrics::add("routed", 1, Some(("upstream", upstream)));
        }
        Ok(Verdict::Next)
    }

    /// Only now can somebody be added. Recipients that plugins add at DATA after this one are not
    /// among those that are asked for.
    fn data(&self, transaction: &Transaction) -> Result<Verdict, EditError> {
        let (sender, recipients) = (transaction.sender(), transaction.recipients());
        for archive in &self.archives {
            if archive.wants(sender.as_deref(), &recipients) {
                let index = transaction.add_recipient(&archive.address)?;
                transaction.route(&archive.upstream, Some(index))?;
                metrics::add("archived", 1, Some(("upstream", &archive.upstream)));
            }
        }
        Ok(Verdict::Next)
    }
}

impl Routing {
    /// The upstream of the first route that fits and has something to say.
    fn way(&self, to: &Recipient, transaction: &Transaction) -> Option<&str> {
        // To an archive goes what an archive gets, also what comes back from there.
        let mut archives = self.archives.iter();
        if let Some(own) = archives.find(|archive| archive.is(&to.address)) {
            return Some(&own.upstream);
        }
        // Told once, if anybody asks.
        let sender = OnceCell::new();
        self.routes.iter().find_map(|route| {
            let to_fits = |known: &Addresses| known.contain(Some(&to.address));
            let from_fits = |known: &Addresses| {
                known.contain(sender.get_or_init(|| transaction.sender()).as_deref())
            };
            let fits = route.recipients.as_ref().is_none_or(to_fits)
                && route.senders.as_ref().is_none_or(from_fits);
            if !fits {
                return None;
            }
            let busy = || route.least_busy.as_deref().and_then(least_busy);
            let canary = || route.canary.as_ref().and_then(|canary| canary.way(to, transaction));
            route.upstream.as_deref().or_else(busy).or_else(canary)
        })
    }
}

/// The one with the least to do for what it may do, of those that are up. Where nobody can tell, or none
/// is up, the first: mail that waits for one waits for no other.
fn least_busy(names: &[String]) -> Option<&str> {
    let mut best: Option<(&str, f64)> = None;
    for name in names {
        let state = match upstreams::state(name) {
            Ok(state) => state,
            Err(failure) => {
                let why = format!("{failure:?}");
                log::error(
                    "an upstream's state is not known",
                    &[("upstream", name), ("why", &why)],
                );
                continue;
            }
        };
        let load = state.load();
        if state.is_available() && best.is_none_or(|(_, least)| load < least) {
            best = Some((name, load));
        }
    }
    best.map(|(name, _)| name).or_else(|| names.first().map(String::as_str))
}

impl Canary {
    /// The new store for those who are chosen, which are always the same.
    fn way(&self, to: &Recipient, transaction: &Transaction) -> Option<&str> {
        let of = match self.by {
            By::Recipient => to.address.to_ascii_lowercase(),
            By::Transaction => transaction.id(),
        };
        let chosen = hash([&self.seed, &of]) % PARTS < u64::from(self.percent.0);
        if chosen { Some(&self.upstream) } else { self.others.as_deref() }
    }
}

impl Archive {
    fn is(&self, address: &str) -> bool {
        self.address.eq_ignore_ascii_case(address)
    }

    /// Whether it gets a copy: not of what goes there anyway, so that nothing goes in circles.
    fn wants(&self, sender: Option<&str>, recipients: &[Recipient]) -> bool {
        let from = || self.senders.as_ref().is_none_or(|senders| senders.contain(sender));
        let fits = |one: &Recipient| {
            self.recipients.as_ref().is_none_or(|known| known.contain(Some(&one.address)))
        };
        let own = |one: &Recipient| self.is(&one.address);
        (self.bounces || sender.is_some())
            && !sender.is_some_and(|sender| self.is(sender))
            && from()
            && recipients.iter().any(fits)
            && !recipients.iter().any(own)
    }
}

/// The same on every machine and in every version (FNV-1a, mixed so that its low digits are as good as its
/// high ones).
fn hash(texts: [&str; 2]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for octet in texts.join("\n").bytes() {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

/// Hundredths of a percent.
const PARTS: u64 = 10_000;
