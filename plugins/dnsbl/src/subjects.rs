//! What there is to ask about.

use std::net::IpAddr;

use portcullis_plugin::{Session, Transaction};

use crate::settings::Of;

/// What is known of a client and a sender, as far as lists can know it.
#[derive(Debug, Default)]
pub(crate) struct Subjects {
    pub(crate) client: Option<IpAddr>,
    pub(crate) sender: Option<String>,
    pub(crate) helo: Option<String>,
    pub(crate) names: Vec<String>,
}

impl Subjects {
    /// What there is at the hook `connect`.
    pub(crate) fn of_client(client: Option<IpAddr>) -> Self {
        Self { client, ..Self::default() }
    }

    /// What there is at the hook `mail`, of what the lists want to know.
    pub(crate) fn new(
        client: Option<IpAddr>,
        wanted: impl Fn(Of) -> bool,
        session: &Session,
        transaction: &Transaction,
    ) -> Self {
        let sender = || transaction.sender_domain().as_deref().and_then(domain);
        let helo = || session.helo().as_deref().and_then(domain);
        Self {
            client,
            sender: wanted(Of::Sender).then(sender).flatten(),
            helo: wanted(Of::Helo).then(helo).flatten(),
            names: Vec::new(),
        }
    }

    /// The domains of one sort; none that another sort has already.
    pub(crate) fn domains(&self, of: Of) -> impl Iterator<Item = &str> {
        let one = match of {
            Of::Sender => self.sender.as_deref(),
            Of::Helo => self.helo.as_deref().filter(|helo| self.sender.as_deref() != Some(helo)),
            Of::Client | Of::Ptr => None,
        };
        let names = if of == Of::Ptr { &*self.names } else { &[] };
        one.into_iter().chain(names.iter().map(|name| &**name))
    }
}

/// A domain as lists have it: in small letters, with a dot, no address. Addresses must not be asked
/// of lists of domains, some of which answer with an error then.
pub(crate) fn domain(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let labels_fit = name.split('.').all(|label| (1..=63).contains(&label.len()));
    let top = name.rsplit_once('.')?.1;
    let fits = name.len() <= LONGEST
        && labels_fit
        && name.bytes().all(fits)
        && !top.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| name.to_ascii_lowercase())
}

/// Leaves room for the list's zone.
const LONGEST: usize = 180;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_domains_are_domains() {
        assert_eq!(domain("MX.Example.org."), Some("mx.example.org".to_owned()));
        let long = format!("{}.org", "a.".repeat(100));
        for name in
            ["", ".", "localhost", "[192.0.2.1]", "192.0.2.1", "a..b", "a b.c", "b\u{fc}.de"]
                .into_iter()
                .chain([&*long, "a@b.c", "-.*.x y"])
        {
            assert_eq!(domain(name), None, "{name}");
        }
    }
}
