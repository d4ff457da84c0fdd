//! What an operator wants done with messages that wait.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Entry, Id, State};

/// What is to be done.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Remove it undelivered.
    Drop,
    /// Deliver it to nobody for now.
    Hold,
    /// Deliver it again.
    Release,
    /// Try it at once.
    Retry,
}

impl Action {
    /// Does it to what is known of a message. After [`Action::Drop`] the message is to be removed.
    pub fn apply(self, entry: &mut Entry, now: Timestamp) {
        match self {
            Self::Hold => entry.held = true,
            Self::Release => entry.held = false,
            Self::Drop => {
                for recipient in &mut entry.recipients {
                    if !recipient.state.is_done() {
                        recipient.state = State::Dropped;
                    }
                }
            }
            Self::Retry => {
                for recipient in &mut entry.recipients {
                    if let State::Waiting { next, .. } = &mut recipient.state {
                        *next = now;
                    }
                }
            }
        }
    }
}

/// What is to be done, and with which messages. As JSON it is `POST /api/spool`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// What.
    pub action: Action,
    /// With these.
    #[serde(default)]
    pub ids: Vec<Id>,
    /// With all that wait.
    #[serde(default)]
    pub all: bool,
}

/// What came of an order.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Obeyed {
    /// With how many messages it was done.
    pub done: u64,
    /// Those that do not wait.
    pub unknown: Vec<Id>,
    /// Those with which the disk did not let it be done, and why.
    #[serde(default)]
    pub failed: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::entry;
    use super::*;

    #[test]
    fn what_is_done_with_a_message_is_done_with_those_who_wait_for_it() {
        let mut entry = entry(&["bob@example.com", "eve@example.com"]);
        entry.recipients[0].state = State::Delivered;
        let mut done = |action: Action| {
            action.apply(&mut entry, Timestamp::UNIX_EPOCH);
            (entry.held, entry.recipients[0].state.clone(), entry.recipients[1].state.clone())
        };
        let (_, _, waiting) = done(Action::Hold);
        assert_eq!(done(Action::Hold), (true, State::Delivered, waiting.clone()));
        assert_eq!(done(Action::Release), (false, State::Delivered, waiting));
        let at_once = State::new(Timestamp::UNIX_EPOCH);
        assert_eq!(done(Action::Retry), (false, State::Delivered, at_once));
        assert_eq!(done(Action::Drop), (false, State::Delivered, State::Dropped));
    }

    #[test]
    fn an_order_is_what_the_documentation_says() {
        let order: Order =
            serde_json::from_str(r#"{"action": "retry", "all": true}"#).expect("JSON");
        assert_eq!(order, Order { action: Action::Retry, ids: Vec::new(), all: true });
        for wrong in [r#"{"action": "burn"}"#, r#"{"action": "drop", "ids": ["../x"]}"#, "{}"] {
            assert!(serde_json::from_str::<Order>(wrong).is_err(), "{wrong}");
        }
    }
}
