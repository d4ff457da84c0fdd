//! A plugin that is watched: who asks it asks the plugin itself, and what it answers is written
//! down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::policy::{Answer, BoxFuture, Guard, Hook, HookCall, HookFailure, Plugin, PluginCopy};

/// One hook call.
#[derive(Clone, Debug)]
pub struct Called {
    /// Which hook.
    pub hook: Hook,
    /// The recipient that was judged, at `rcpt`.
    pub recipient: Option<String>,
    /// What came of it.
    pub result: Result<Answer, HookFailure>,
    /// How long it took, with the making of the copy, if one was made.
    pub took: Duration,
    /// Octets of memory that the copy had then.
    pub memory: usize,
}

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Arc<Mutex<Vec<Called>>>);

impl Seen {
    fn push(&self, called: Called) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(called);
    }

    pub(super) fn take(&self) -> Vec<Called> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug)]
pub(super) struct Watched {
    plugin: Arc<dyn Plugin>,
    seen: Seen,
}

impl Watched {
    pub(super) fn new(plugin: Arc<dyn Plugin>, seen: Seen) -> Self {
        Self { plugin, seen }
    }
}

impl Plugin for Watched {
    fn name(&self) -> &str {
        self.plugin.name()
    }

    fn answers(&self, hook: Hook) -> bool {
        self.plugin.answers(hook)
    }

    fn guard(&self) -> &Guard {
        self.plugin.guard()
    }

    fn fresh_each_call(&self) -> bool {
        self.plugin.fresh_each_call()
    }

    fn copy(&self) -> Box<dyn PluginCopy> {
        Box::new(WatchedCopy { copy: self.plugin.copy(), seen: self.seen.clone() })
    }
}

struct WatchedCopy {
    copy: Box<dyn PluginCopy>,
    seen: Seen,
}

impl PluginCopy for WatchedCopy {
    fn call<'a>(&'a mut self, call: HookCall) -> BoxFuture<'a, Result<Answer, HookFailure>> {
        Box::pin(async move {
            let hook = call.hook;
            let recipient = call.recipient.as_ref().map(|judged| judged.address.to_string());
            let started = Instant::now();
            let result = self.copy.call(call).await;
            let took = started.elapsed();
            let memory = self.copy.memory_octets();
            self.seen.push(Called { hook, recipient, result: result.clone(), took, memory });
            result
        })
    }

    fn memory_octets(&self) -> usize {
        self.copy.memory_octets()
    }
}
