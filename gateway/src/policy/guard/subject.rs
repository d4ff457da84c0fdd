//! What a call was about, so that the same can be told when it comes again.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use portcullis_smtp::sasl::Credentials;

use crate::message::Message;
use crate::policy::{Case, Hook};

/// What a plugin is asked about.
pub(super) struct Subject<'a> {
    pub(super) hook: Hook,
    pub(super) case: &'a Case,
    pub(super) credentials: Option<&'a Credentials>,
}

impl Subject<'_> {
    /// What is cheap to look at. Senders retry from other addresses of theirs, so that a message is
    /// itself wherever it comes from; before there is one, the client's network and what it said
    /// are all there is. Of the header section only what the plugins before this one rarely touch.
    pub(super) fn outline(&self, key: &RandomState) -> u64 {
        let mut hash = key.build_hasher();
        self.hook.hash(&mut hash);
        let envelope = self.case.envelope.as_deref();
        if let Some(envelope) = envelope {
            envelope.reverse_path.to_string().hash(&mut hash);
        }
        if let Some(Message { header, body, .. }) = &self.case.message {
            for name in FIELDS {
                header.value(name, 0).hash(&mut hash);
            }
            body.octets().hash(&mut hash);
            return hash.finish();
        }
        network(self.case).hash(&mut hash);
        match self.hook {
            Hook::Helo => self.case.session.helo.hash(&mut hash),
            Hook::Auth => self.credentials.map(|given| &given.user).hash(&mut hash),
            _ => {
                let all = envelope.iter().flat_map(|envelope| &envelope.recipients);
                for recipient in all.chain(&self.case.recipient) {
                    recipient.address.as_str().hash(&mut hash);
                }
            }
        }
        hash.finish()
    }

    /// The beginning of the body.
    pub(super) fn content(&self, key: &RandomState) -> u64 {
        let mut hash = key.build_hasher();
        if let Some(message) = &self.case.message {
            let mut chunk = vec![0; CHUNK_OCTETS];
            let mut at = 0;
            while at < CONTENT_OCTETS
                && let Ok(count @ 1..) = message.body.read_at(at, &mut chunk)
            {
                hash.write(&chunk[..count]);
                at += count as u64;
            }
        }
        hash.finish()
    }
}

/// The client's network: who rents one has many addresses. None is the clients without address.
pub(super) fn network(case: &Case) -> Option<IpAddr> {
    Some(match case.session.client.ip()?.to_canonical() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 80 << 80).into(),
    })
}

/// They stay the same when a message is sent again.
const FIELDS: [&str; 5] = ["Message-ID", "Date", "From", "To", "Subject"];

const CHUNK_OCTETS: usize = 16 << 10;

/// Two messages that differ further behind only, and are of the same length, are the same here.
const CONTENT_OCTETS: u64 = 256 << 10;
