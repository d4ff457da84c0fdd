//! What goes on, without the addresses that the log must not tell either (`log.addresses`).

use super::presence::{SessionView, TransactionView};
use super::step::What;
use crate::telemetry::Masks;

impl What {
    /// As it may be told.
    pub(super) fn masked(self, masks: &Masks) -> Self {
        if masks.is_full() {
            return self;
        }
        let words = |text: String| masks.text(&text).into_owned();
        match self {
            Self::Command { text } => Self::Command { text: command(&text, masks) },
            Self::End { text } => Self::End { text: words(text) },
            Self::Hook { plugin, hook, verdict, text, seconds } => {
                Self::Hook { plugin, hook, verdict, text: text.map(words), seconds }
            }
            // What is answered to HELO repeats its name.
            Self::Reply { text } => Self::Reply { text: words(text) },
            Self::Upstream { upstream, recipient, text, seconds } => Self::Upstream {
                upstream,
                recipient: masks.address(&recipient).into_owned(),
                text: words(text),
                seconds,
            },
            Self::Connect | Self::Content { .. } | Self::Tls { .. } => self,
        }
    }
}

/// A name in HELO is a client's, and a word in AUTH may be a user's.
fn command(line: &str, masks: &Masks) -> String {
    let Some((verb, rest)) = line.split_once(' ') else { return line.to_owned() };
    match &*verb.to_ascii_uppercase() {
        "EHLO" | "HELO" | "LHLO" => format!("{verb} {}", masks.host(rest)),
        "MAIL" | "RCPT" => masks.text(line).into_owned(),
        "AUTH" => format!("{verb} {}", rest.split(' ').next().unwrap_or_default()),
        // XCLIENT, XFORWARD, VRFY and whatever else: nobody knows what is in there.
        _ => format!("{verb} ..."),
    }
}

impl SessionView {
    /// As it may be shown.
    pub(super) fn masked(mut self, masks: &Masks) -> Self {
        if masks.is_full() {
            return self;
        }
        let client = |client: &mut String| *client = masks.client(client).into_owned();
        let host = |name: &mut String| *name = masks.host(name).into_owned();
        client(&mut self.client);
        self.via.iter_mut().for_each(client);
        self.client_name.iter_mut().chain(&mut self.helo).for_each(host);
        self.user.iter_mut().for_each(|user| *user = masks.address(user).into_owned());
        self.transaction = self.transaction.map(|open| open.masked(masks));
        self
    }
}

impl TransactionView {
    fn masked(mut self, masks: &Masks) -> Self {
        let addresses = self.recipients.iter_mut().chain([&mut self.sender]);
        addresses.for_each(|address| *address = masks.address(address).into_owned());
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::telemetry::Addresses;

    use super::*;

    #[test]
    fn commands_are_told_without_those_who_are_in_them() {
        let masks = Masks::new(Addresses::None, None);
        for (line, told) in [
            ("EHLO pc7.example.org", "EHLO *"),
            ("MAIL FROM:<ann@example.org> SIZE=5", "MAIL FROM:<*> SIZE=5"),
            ("rcpt to:<bob@example.com>", "rcpt to:<*>"),
            ("AUTH PLAIN ...", "AUTH PLAIN"),
            ("XCLIENT ADDR=192.0.2.1", "XCLIENT ..."),
            ("DATA", "DATA"),
        ] {
            let what = What::Command { text: line.to_owned() }.masked(&masks);
            assert_eq!(what, What::Command { text: told.to_owned() });
        }
        let what = What::Command { text: "EHLO pc7.example.org".to_owned() };
        assert_eq!(what.clone().masked(&Masks::default()), what);
    }
}
