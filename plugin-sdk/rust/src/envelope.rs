//! What is easier to ask of a session and an envelope than the contract's own functions.

use std::net::IpAddr;
use std::time::Duration;

use crate::{Forwarded, Recipient, Session, Transaction};

impl Session {
    /// The client's address; an IPv4 address even where the socket calls it `::ffff:192.0.2.1`. None
    /// for a client of a Unix socket, and where a proxy does not know it.
    pub fn client_ip(&self) -> Option<IpAddr> {
        self.client_address().parse::<IpAddr>().ok().map(|address| address.to_canonical())
    }

    /// How often the client has done this against the manners of the protocol, such as `early-talker`.
    pub fn lapses(&self, name: &str) -> u32 {
        let known = self.conduct().into_iter().find(|(known, _)| known == name);
        known.map_or(0, |(_, count)| count)
    }

    /// Holds the reply of this step back for so long, or as long as may be: 60 seconds. Nothing of the
    /// plugin waits.
    pub fn hold_back(&self, delay: Duration) {
        let milliseconds = delay.min(Self::LONGEST_DELAY).as_millis();
        // Within bounds it fails only where there is no more room for edits, and that is no harm.
        let _ = self.delay(u32::try_from(milliseconds).unwrap_or_default());
    }

    /// As long as one reply can be held back.
    pub const LONGEST_DELAY: Duration = Duration::from_secs(60);
}

impl Default for Forwarded {
    /// A proxy that said nothing.
    fn default() -> Self {
        Self {
            name: None,
            address: None,
            port: None,
            protocol: None,
            helo: None,
            identity: None,
            source: None,
        }
    }
}

impl Transaction {
    /// The domain of the sender; none for the null reverse-path and for a bare local part.
    pub fn sender_domain(&self) -> Option<String> {
        self.sender().and_then(|sender| split_address(&sender).1.map(str::to_owned))
    }
}

impl Recipient {
    /// What stands before the last `@`.
    pub fn local_part(&self) -> &str {
        split_address(&self.address).0
    }

    /// What stands after the last `@`, as it was written. Empty for the bare `<Postmaster>`, the one
    /// recipient without a domain (RFC 5321 4.1.1.3).
    pub fn domain(&self) -> &str {
        split_address(&self.address).1.unwrap_or_default()
    }
}

/// Local part and domain. The last `@` parts them: a quoted local part may hold others.
pub fn split_address(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once('@') {
        Some((local_part, domain)) => (local_part, Some(domain)),
        None => (address, None),
    }
}
