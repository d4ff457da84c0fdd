//! Messages at which a plugin has failed.
//!
//! A message is poison if the plugin fails at it again and again and answers about others
//! meanwhile. A plugin that fails at everything has another trouble, and when that is over nobody's
//! mail is to wait for longer.

use std::collections::HashMap;
use std::hash::RandomState;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::warn;

use super::subject::Subject;
use crate::config;
use crate::policy::Hook;

#[derive(Debug)]
pub(super) struct Poisons {
    settings: config::Poison,
    /// Of the hashes: nobody outside can foresee which messages are taken for the same.
    key: RandomState,
    /// Whether any failure is remembered, so that answers need not be counted.
    watchful: AtomicBool,
    /// Whether any message is poison, so that calls need not look.
    any: AtomicBool,
    /// Answers since the first failure, by hook.
    answers: [AtomicU64; Hook::ALL.len()],
    failures: Mutex<HashMap<(u64, u64), Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u64,
    last: Instant,
    /// How many answers there were then.
    answers: u64,
}

impl Poisons {
    pub(super) fn new(settings: config::Poison) -> Self {
        Self {
            settings,
            key: RandomState::new(),
            watchful: AtomicBool::new(false),
            any: AtomicBool::new(false),
            answers: Hook::ALL.map(|_| AtomicU64::new(0)),
            failures: Mutex::default(),
        }
    }

    /// Another one that remembers the same.
    pub(super) fn double(&self) -> Self {
        let flag = |flag: &AtomicBool| AtomicBool::new(flag.load(Ordering::Relaxed));
        let count = |hook: usize| AtomicU64::new(self.answers[hook].load(Ordering::Relaxed));
        Self {
            settings: self.settings,
            key: self.key.clone(),
            watchful: flag(&self.watchful),
            any: flag(&self.any),
            answers: std::array::from_fn(count),
            failures: Mutex::new(self.failures().clone()),
        }
    }

    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// The plugin answered.
    pub(super) fn answered(&self, hook: Hook) {
        if self.watchful.load(Ordering::Relaxed) {
            self.answers[hook as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether this is poison.
    pub(super) fn knows(&self, subject: &Subject<'_>) -> bool {
        let outline = subject.outline(&self.key);
        let mut failures = self.failures();
        failures.retain(|_, one| one.last.elapsed() <= self.settings.window);
        self.any.store(failures.values().any(|one| self.is_poison(one)), Ordering::Relaxed);
        self.watchful.store(!failures.is_empty(), Ordering::Relaxed);
        if !failures.iter().any(|((known, _), one)| *known == outline && self.is_poison(one)) {
            return false;
        }
        drop(failures);
        let content = subject.content(&self.key);
        self.failures().get(&(outline, content)).is_some_and(|one| self.is_poison(one))
    }

    fn is_poison(&self, one: &Failures) -> bool {
        self.settings.failures > 0 && one.count >= self.settings.failures
    }

    /// Remembers a failure, and says when there was one at the same message before.
    pub(super) fn failed(&self, plugin: &str, subject: &Subject<'_>) -> Option<Instant> {
        let known = (subject.outline(&self.key), subject.content(&self.key));
        let now = Instant::now();
        let answers = self.answers[subject.hook as usize].load(Ordering::Relaxed);
        let mut failures = self.failures();
        let Some(one) = failures.get_mut(&known) else {
            if failures.len() >= MESSAGES {
                let oldest = failures.iter().min_by_key(|(_, one)| one.last).map(|(key, _)| *key);
                oldest.and_then(|oldest| failures.remove(&oldest));
            }
            failures.insert(known, Failures { count: 1, last: now, answers });
            self.watchful.store(true, Ordering::Relaxed);
            if self.settings.failures == 1 {
                self.condemn(plugin, subject, 1);
            }
            return None;
        };
        let before = std::mem::replace(&mut one.last, now);
        if now - before > self.settings.window {
            one.count = 1;
        } else if answers != one.answers {
            one.count += 1;
            if one.count == self.settings.failures {
                self.condemn(plugin, subject, one.count);
            }
        }
        one.answers = answers;
        Some(before)
    }

    fn condemn(&self, plugin: &str, subject: &Subject<'_>, times: u64) {
        self.any.store(true, Ordering::Relaxed);
        let case = subject.case;
        let id = case.envelope.as_ref().map_or(&case.session.id, |envelope| &envelope.id);
        let (hook, window) = (subject.hook.label(), self.settings.window);
        warn!(
            plugin,
            hook,
            id,
            times,
            ?window,
            "poison: the plugin failed at this message again and again and is not shown it any more"
        );
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<(u64, u64), Failures>> {
        // A map that a panic left behind is still a map.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Remembered of one plugin: 64 KiB. A flood of messages that kill it pushes out older ones, which
/// are then tried again.
const MESSAGES: usize = 1_024;

#[cfg(test)]
impl Poisons {
    pub(super) fn len(&self) -> usize {
        self.failures().len()
    }
}
