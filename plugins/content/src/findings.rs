//! Everything that is found in one message.

use crate::check::Check;
use crate::name::sanitised;

/// One thing found, and where.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) check: Check,
    /// The part; none is the message.
    pub(crate) part: Option<u32>,
    /// Of the file, and of what an archive holds, as it may be shown.
    pub(crate) name: String,
}

/// In the order in which they were found.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    pub(crate) fn of_message(&mut self, check: Check) {
        self.0.push(Finding { check, part: None, name: String::new() });
    }

    /// Once for a part and a check: the first name tells.
    pub(crate) fn of_part(&mut self, check: Check, part: u32, name: &str) {
        if !self.0.iter().any(|known| known.check == check && known.part == Some(part)) {
            self.0.push(Finding { check, part: Some(part), name: sanitised(name) });
        }
    }
}

impl Finding {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let Self { check, part, name } = self;
        match part {
            None => format!("the message {}", check.text()),
            Some(_) if name.is_empty() => format!("an attachment {}", check.text()),
            Some(_) => format!("the attachment \"{name}\" {}", check.text()),
        }
    }
}
