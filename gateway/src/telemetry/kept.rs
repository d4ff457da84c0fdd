//! Events that are kept instead of written, for those who look at what was logged.

use std::sync::{Arc, Mutex, PoisonError};

use tracing::{Dispatch, Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{Layer, Registry};

use super::Fields;
use super::line::Value;

/// What was logged where its [`dispatch`](Self::dispatch) is the subscriber. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Mutex<Vec<KeptLine>>>);

/// One event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptLine {
    /// How grave it is.
    pub level: Level,
    /// Who says it.
    pub target: String,
    /// The message.
    pub text: String,
    /// All else.
    pub fields: Vec<(&'static str, String)>,
}

impl Kept {
    /// A subscriber that keeps events of all levels.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        Dispatch::new(Registry::default().with(Keeper(self.clone())))
    }

    /// What was kept so far.
    #[must_use]
    pub fn take(&self) -> Vec<KeptLine> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Keeper(Kept);

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let shown = |value| match value {
            Value::Other(text) | Value::Text(text) => text,
            Value::Record(record) => record.json(),
        };
        let mut line = KeptLine {
            level: *event.metadata().level(),
            target: event.metadata().target().to_owned(),
            text: String::new(),
            fields: Vec::new(),
        };
        for (name, value) in fields.0 {
            match name {
                "message" => line.text = shown(value),
                _ => line.fields.push((name, shown(value))),
            }
        }
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}
