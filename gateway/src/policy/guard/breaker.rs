//! The breaker of one plugin at one hook.
//!
//! At one hook: a plugin that fails at messages and answers at MAIL all the same would otherwise
//! prove at MAIL that it works, and fail on.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tracing::{info, warn};

use crate::config;
use crate::metrics::PluginMetrics;
use crate::policy::Hook;

#[derive(Debug)]
pub(super) struct Breaker {
    settings: config::Breaker,
    /// What a call has to look at: one of the levels below.
    level: AtomicU8,
    /// Calls since the first failure of the window.
    calls: AtomicU64,
    state: Mutex<State>,
}

/// Nothing has failed.
const QUIET: u8 = 0;
/// Something has failed: calls are counted.
const WATCHED: u8 = 1;
/// It is open, or half open.
const TRIPPED: u8 = 2;

#[derive(Clone, Debug)]
enum State {
    Closed(Option<Window>),
    Open {
        until: Instant,
    },
    /// Half open: one call is made.
    Probing,
}

/// Failures that come close together.
#[derive(Clone, Debug)]
struct Window {
    since: Instant,
    failures: u64,
    networks: Vec<Option<IpAddr>>,
}

impl Breaker {
    pub(super) fn new(settings: config::Breaker) -> Self {
        Self {
            settings,
            level: AtomicU8::new(QUIET),
            calls: AtomicU64::new(0),
            state: Mutex::new(State::Closed(None)),
        }
    }

    /// Another one that is as this one is now.
    pub(super) fn double(&self) -> Self {
        Self {
            settings: self.settings,
            level: AtomicU8::new(self.level.load(Ordering::Relaxed)),
            calls: AtomicU64::new(self.calls.load(Ordering::Relaxed)),
            state: Mutex::new(self.state().clone()),
        }
    }

    /// Whether the plugin is called, and if so, whether everything depends on that call.
    pub(super) fn admit(&self, plugin: &str, hook: Hook) -> Option<bool> {
        match self.level.load(Ordering::Relaxed) {
            QUIET => return Some(false),
            WATCHED => {
                self.calls.fetch_add(1, Ordering::Relaxed);
                return Some(false);
            }
            _ => {}
        }
        let mut state = self.state();
        match &*state {
            State::Closed(_) => Some(false),
            State::Open { until } if Instant::now() >= *until => {
                *state = State::Probing;
                info!(plugin, hook = hook.label(), "plugin breaker half open: one call is tried");
                Some(true)
            }
            State::Open { .. } | State::Probing => None,
        }
    }

    /// The one call that was made succeeded.
    pub(super) fn proved(&self, plugin: &str, hook: Hook, metrics: &PluginMetrics) {
        let mut state = self.state();
        if matches!(*state, State::Probing) {
            *state = State::Closed(None);
            self.level.store(QUIET, Ordering::Relaxed);
            metrics.breaker_closed();
            info!(plugin, hook = hook.label(), "plugin breaker closed: it answers again");
        }
    }

    /// The one call that was made has no end.
    pub(super) fn unproved(&self) {
        let mut state = self.state();
        if matches!(*state, State::Probing) {
            *state = State::Open { until: Instant::now() };
        }
    }

    /// A call failed; `before` is when the last one about the same message did.
    pub(super) fn failed(
        &self,
        plugin: &str,
        hook: Hook,
        network: Option<IpAddr>,
        probe: bool,
        before: Option<Instant>,
        metrics: &PluginMetrics,
    ) {
        if self.settings.failures == 0 {
            return;
        }
        let now = Instant::now();
        let until = now + self.settings.open;
        let mut state = self.state();
        match &mut *state {
            State::Probing if probe => {
                *state = State::Open { until };
                let open = self.settings.open;
                warn!(plugin, hook = hook.label(), ?open, "plugin breaker open again");
            }
            State::Closed(window) => {
                let Some((failures, networks)) = self.count(window, now, network, before) else {
                    return;
                };
                let calls = self.calls.load(Ordering::Relaxed);
                *state = State::Open { until };
                self.level.store(TRIPPED, Ordering::Relaxed);
                metrics.breaker_opened();
                let (hook, open) = (hook.label(), self.settings.open);
                warn!(
                    plugin,
                    hook,
                    failures,
                    networks,
                    calls,
                    ?open,
                    "plugin breaker open: it is not called, its on_failure applies"
                );
            }
            // Begun before it opened.
            State::Open { .. } | State::Probing => {}
        }
    }

    /// How many failures from how many networks, if they are enough.
    fn count(
        &self,
        window: &mut Option<Window>,
        now: Instant,
        network: Option<IpAddr>,
        before: Option<Instant>,
    ) -> Option<(u64, usize)> {
        let over = |window: &Window| now - window.since > self.settings.window;
        if window.as_ref().is_none_or(over) {
            *window = Some(Window { since: now, failures: 0, networks: Vec::new() });
            self.calls.store(1, Ordering::Relaxed);
            self.level.store(WATCHED, Ordering::Relaxed);
        }
        let window = window.as_mut()?;
        if before.is_some_and(|before| before >= window.since) {
            // The same message once more is neither a failure nor a call.
            let _ = self
                .calls
                .try_update(Ordering::Relaxed, Ordering::Relaxed, |calls| calls.checked_sub(1));
            return None;
        }
        window.failures += 1;
        if window.networks.len() < self.settings.networks && !window.networks.contains(&network) {
            window.networks.push(network);
        }
        let enough = window.failures >= self.settings.failures
            && window.networks.len() >= self.settings.networks
            && window.failures.saturating_mul(2) >= self.calls.load(Ordering::Relaxed);
        enough.then_some((window.failures, window.networks.len()))
    }

    /// The plugin is gone.
    pub(super) fn forget(&self, metrics: &PluginMetrics) {
        if !matches!(*self.state(), State::Closed(_)) {
            metrics.breaker_closed();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A state that a panic left behind is still a state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
