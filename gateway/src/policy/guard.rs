//! Remembers a plugin's failures, and spares those who would only wait for the next one.
//!
//! A breaker a hook: where a plugin fails for everybody, it is not called for a while. And a memory
//! of poison: a message at which it failed again and again is not shown to it any more. Both are
//! shared by all sessions of all threads.
//!
//! Whoever knows how to make a plugin fail must not be able to switch it off for others. So a
//! breaker counts each message once, asks for several networks, and opens only where at least half
//! of the calls fail: it takes as many hostile calls as there are honest ones.

mod breaker;
mod poison;
mod subject;

use std::sync::Arc;

use portcullis_smtp::sasl::Credentials;

use super::{Case, FailureReason, Hook, HookFailure};
use crate::config::{self, OnFailure};
use crate::metrics::PluginMetrics;
use breaker::Breaker;
use poison::Poisons;
use subject::Subject;

/// What is remembered of one plugin's failures.
#[derive(Debug)]
pub struct Guard {
    plugin: String,
    on_failure: OnFailure,
    on_poison: OnFailure,
    metrics: Arc<PluginMetrics>,
    breakers: [Breaker; Hook::ALL.len()],
    poisons: Poisons,
}

impl Guard {
    /// One that remembers nothing yet.
    #[must_use]
    pub fn new(plugin: &config::Plugin, metrics: Arc<PluginMetrics>) -> Self {
        Self {
            plugin: plugin.name.clone(),
            on_failure: plugin.on_failure,
            on_poison: plugin.poison.on_failure.unwrap_or(plugin.on_failure),
            metrics,
            breakers: Hook::ALL.map(|_| Breaker::new(plugin.breaker)),
            poisons: Poisons::new(plugin.poison),
        }
    }

    /// One that begins with what this one remembers now, and tells it nothing.
    #[must_use]
    pub fn double(&self, metrics: Arc<PluginMetrics>) -> Self {
        Self {
            plugin: self.plugin.clone(),
            on_failure: self.on_failure,
            on_poison: self.on_poison,
            metrics,
            breakers: std::array::from_fn(|hook| self.breakers[hook].double()),
            poisons: self.poisons.double(),
        }
    }

    /// What a failure means.
    #[must_use]
    pub fn on_failure(&self, reason: FailureReason) -> OnFailure {
        if reason == FailureReason::Poison { self.on_poison } else { self.on_failure }
    }

    /// Whether the plugin is to be called about this. Costs next to nothing as long as it does not
    /// fail.
    pub(super) fn admit(
        &self,
        hook: Hook,
        case: &Case,
        credentials: Option<&Credentials>,
    ) -> Result<Pass<'_>, HookFailure> {
        if self.poisons.any() && self.poisons.knows(&Subject { hook, case, credentials }) {
            let detail = "it failed at this very message too often and is not shown it".into();
            return Err(HookFailure { reason: FailureReason::Poison, detail });
        }
        match self.breakers[hook as usize].admit(&self.plugin, hook) {
            Some(probe) => Ok(Pass { guard: self, hook, probe, settled: false }),
            None => {
                let detail = "it failed too often and is not called for now".into();
                Err(HookFailure { reason: FailureReason::Open, detail })
            }
        }
    }
}

impl Drop for Guard {
    /// A plugin that is no longer configured has no open breaker.
    fn drop(&mut self) {
        for breaker in &self.breakers {
            breaker.forget(&self.metrics);
        }
    }
}

/// A call that may be made.
#[must_use]
pub(super) struct Pass<'a> {
    guard: &'a Guard,
    hook: Hook,
    /// Whether this is the one call that finds out if the plugin works again.
    probe: bool,
    settled: bool,
}

impl Pass<'_> {
    /// How the call ended.
    pub(super) fn settle(
        mut self,
        result: Result<(), &HookFailure>,
        case: &Case,
        credentials: Option<&Credentials>,
    ) {
        let Self { guard, hook, probe, .. } = self;
        let breaker = &guard.breakers[hook as usize];
        match result {
            Ok(()) => {
                guard.poisons.answered(hook);
                if probe {
                    breaker.proved(&guard.plugin, hook, &guard.metrics);
                }
            }
            // The gateway's own fault, or a store's, says nothing about the plugin or the message.
            Err(HookFailure {
                reason: FailureReason::Busy | FailureReason::Unavailable, ..
            }) => {
                return;
            }
            Err(_) => {
                let subject = Subject { hook, case, credentials };
                let before = guard.poisons.failed(&guard.plugin, &subject);
                let network = subject::network(case);
                breaker.failed(&guard.plugin, hook, network, probe, before, &guard.metrics);
            }
        }
        self.settled = true;
    }
}

impl Drop for Pass<'_> {
    /// Nobody waited for the end of the call, or it could not be made: the next one finds out.
    fn drop(&mut self) {
        if self.probe && !self.settled {
            self.guard.breakers[self.hook as usize].unproved();
        }
    }
}

#[cfg(test)]
mod tests;
