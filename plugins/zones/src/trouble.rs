//! Lists that answer wrongly or not at all.

use portcullis_plugin::log::Level;
use portcullis_plugin::{kv, log, metrics, random};
use serde::Deserialize;

/// What is made of it that no list has answered.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// As if nothing were listed.
    #[default]
    Pass,
    /// The client is to come again.
    Defer,
    /// Points.
    Score,
}

/// Tells of trouble with lists: each time in the metrics, once in a while in the log.
#[derive(Debug, Default)]
pub struct Teller {
    /// Remembers what was told.
    store: Option<String>,
}

impl Teller {
    /// With a store that remembers for an hour what was told; without, one case in many is told.
    pub fn new(store: Option<String>) -> Self {
        Self { store }
    }

    /// A list did not answer.
    pub fn silent(&self, list: &str) {
        metrics::add("unanswered", 1, Some(("list", list)));
        log::debug("a list did not answer", &[("list", list)]);
    }

    /// A list answered what is no answer to the question.
    pub fn nonsense(&self, list: &str, answer: &str) {
        metrics::add("nonsense", 1, Some(("list", list)));
        let text = "a list does not serve this resolver, or is none: its answer is ignored";
        self.tell(list, text, &[("list", list), ("answer", answer)]);
    }

    /// A list has what no list may have.
    pub fn broken(&self, list: &str) {
        metrics::add("broken", 1, Some(("list", list)));
        let text = "a list has the whole world on it: its answers are ignored";
        self.tell(list, text, &[("list", list)]);
    }

    fn tell(&self, list: &str, text: &str, fields: &[(&str, &str)]) {
        let level = if self.is_time(list) { Level::Warn } else { Level::Debug };
        log::write(level, text, fields);
    }

    fn is_time(&self, list: &str) -> bool {
        let by_chance = || random::bytes(1).first().is_none_or(|byte| byte % ONE_IN == 0);
        let Some(store) = &self.store else { return by_chance() };
        let told = kv::Store::open(store)
            .and_then(|store| store.add(&format!("told:{list}"), 1, Some(HOUR)));
        // A store that fails is no reason to be silent.
        told.map_or_else(|_| by_chance(), |times| times == 1)
    }
}

const ONE_IN: u8 = 32;
const HOUR: u32 = 3_600;
