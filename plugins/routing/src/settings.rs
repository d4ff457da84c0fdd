//! The settings as they are written.

use serde::{Deserialize, Deserializer, de};
use terms::Addresses;

/// The settings of `routing`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default)]
    pub(crate) routes: Vec<Route>,
    #[serde(default)]
    pub(crate) archive: Vec<Archive>,
}

/// Where recipients go that fit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    pub(crate) recipients: Option<Addresses>,
    pub(crate) senders: Option<Addresses>,
    pub(crate) upstream: Option<String>,
    pub(crate) least_busy: Option<Vec<String>>,
    pub(crate) canary: Option<Canary>,
}

/// A share of mail for a new store.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Canary {
    pub(crate) upstream: String,
    pub(crate) percent: Percent,
    #[serde(default)]
    pub(crate) by: By,
    /// Where the others go; on to the next route without it.
    pub(crate) others: Option<String>,
    /// Another one chooses others.
    #[serde(default)]
    pub(crate) seed: String,
}

/// In hundredths of a percent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Percent(pub(crate) u32);

/// Of what a share is taken.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum By {
    #[default]
    Recipient,
    Transaction,
}

/// Who gets a copy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Archive {
    pub(crate) address: String,
    pub(crate) upstream: String,
    pub(crate) recipients: Option<Addresses>,
    pub(crate) senders: Option<Addresses>,
    /// Whether reports (mail from `<>`) are copied, too.
    #[serde(default = "yes")]
    pub(crate) bounces: bool,
}

impl Settings {
    /// What is wrong although it could be read.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.routes.is_empty() && self.archive.is_empty() {
            return Err("there is nothing to do: neither `routes` nor `archive`".to_owned());
        }
        for (place, route) in self.routes.iter().enumerate() {
            let ways =
                [route.upstream.is_some(), route.least_busy.is_some(), route.canary.is_some()];
            if ways.iter().filter(|way| **way).count() != 1 {
                return Err(format!(
                    "routes[{place}]: one of `upstream`, `least_busy` and `canary` is needed"
                ));
            }
            if route.least_busy.as_ref().is_some_and(Vec::is_empty) {
                return Err(format!("routes[{place}].least_busy: there is no upstream in it"));
            }
        }
        for (place, archive) in self.archive.iter().enumerate() {
            if archive
                .address
                .split_once('@')
                .is_none_or(|(local, of)| local.is_empty() || of.is_empty())
            {
                let address = &archive.address;
                return Err(format!("archive[{place}].address: `{address}` is not an address"));
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(deserializer)?;
        if !(0.0..=100.0).contains(&percent) {
            return Err(de::Error::custom("a percentage is a number from 0 to 100"));
        }
        // Bounded just now.
        Ok(Self((percent * 100.0).round() as u32))
    }
}

fn yes() -> bool {
    true
}
