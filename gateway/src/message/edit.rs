//! Edits that a plugin has staged and that are applied when its hook has returned normally.
//!
//! They are validated when they are staged, so that applying cannot fail; positions and indexes
//! count what was there when the hook was called.

use std::sync::Arc;
use std::time::Duration;

use portcullis_smtp::{Mailbox, Reply, ReversePath};

use super::{Content, Envelope, Message, Recipient, Score, Splice};

/// One edit.
#[derive(Clone, Debug)]
pub enum Edit {
    /// One more recipient, with the index that the plugin was told.
    AddRecipient(Recipient),
    /// The reply of this step is held back for so long.
    Delay(Duration),
    /// No delivery to this recipient.
    DropRecipient(u32),
    /// An edit of the header section.
    Header(HeaderEdit),
    /// This recipient is refused although the message is not.
    RefuseRecipient(u32, Reply),
    /// A new body.
    ReplaceBody(Content),
    /// Send one recipient, or all, to this upstream.
    Route {
        /// A name from the configuration.
        upstream: String,
        /// The recipient; none is all of them.
        index: Option<u32>,
    },
    /// Points for a symbol.
    Score(Score),
    /// Another address for this recipient.
    SetRecipient(u32, Mailbox),
    /// Another reverse-path.
    SetSender(ReversePath),
    /// Some octets of the body replaced; never beside a new body.
    SpliceBody(Splice),
}

/// An edit of the header section.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum HeaderEdit {
    /// Insert after the first `at` fields; none is at the end.
    Add {
        /// How many fields stay above.
        at: Option<u32>,
        /// The field's name.
        name: String,
        /// The field's value, without the space after the colon and without line ends but folds.
        value: Vec<u8>,
    },
    /// Remove the `nth` field of this name.
    Drop {
        /// The field's name.
        name: String,
        /// Counted from 0.
        nth: u32,
    },
    /// Replace the value of the `nth` field of this name.
    Set {
        /// The field's name.
        name: String,
        /// Counted from 0.
        nth: u32,
        /// The new value.
        value: Vec<u8>,
    },
}

impl HeaderEdit {
    /// The field's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Add { name, .. } | Self::Drop { name, .. } | Self::Set { name, .. } => name,
        }
    }
}

impl Envelope {
    /// Applies the edits that concern the envelope; the others are left alone.
    pub fn apply(&mut self, edits: &[Edit]) {
        for edit in edits {
            match edit {
                Edit::AddRecipient(recipient) => self.recipients.push(recipient.clone()),
                Edit::DropRecipient(index) => self.recipients.retain(|r| r.index != *index),
                Edit::Route { upstream, index } => {
                    for recipient in &mut self.recipients {
                        if index.is_none_or(|index| index == recipient.index) {
                            recipient.route = Some(upstream.clone());
                        }
                    }
                }
                Edit::Score(score) => self.scores.set(score.clone()),
                Edit::SetRecipient(index, address) => {
                    for recipient in self.recipients.iter_mut().filter(|r| r.index == *index) {
                        recipient.address = address.clone();
                    }
                }
                Edit::SetSender(reverse_path) => self.reverse_path = reverse_path.clone(),
                Edit::Delay(_)
                | Edit::Header(_)
                | Edit::RefuseRecipient(..)
                | Edit::ReplaceBody(_)
                | Edit::SpliceBody(_) => {}
            }
        }
    }
}

impl Message {
    /// Applies the edits that concern header section and body; the others are left alone.
    pub fn apply(&mut self, edits: &[Edit]) {
        let header: Vec<_> = edits
            .iter()
            .filter_map(|edit| match edit {
                Edit::Header(edit) => Some(edit),
                _ => None,
            })
            .collect();
        if !header.is_empty() {
            self.header = self.header.edited(&header).into();
            if header.iter().any(|edit| edit.name().to_ascii_lowercase().starts_with("content-")) {
                self.mime = Arc::default();
            }
        }
        let splices: Vec<_> = edits
            .iter()
            .filter_map(|edit| match edit {
                Edit::SpliceBody(splice) => Some(splice),
                _ => None,
            })
            .collect();
        if !splices.is_empty() {
            self.rewrite_body(self.body.spliced(&splices));
        }
        for edit in edits {
            if let Edit::ReplaceBody(body) = edit {
                self.rewrite_body(body.clone());
            }
        }
    }

    fn rewrite_body(&mut self, body: Content) {
        if body.octets() > 0 {
            Arc::make_mut(&mut self.header).separate();
        }
        self.set_body(body);
    }
}
