//! SCRAM-SHA-1, SCRAM-SHA-256 and -PLUS, the client's side (RFC 5802, RFC 7677). The server proves
//! that it knows the password, too, or it gets no mail.

use std::ops::RangeInclusive;

use hmac::{Hmac, Mac};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Machine, Mechanism, Octets, Scene};
use crate::sasl::{ChannelBindings, close, open};

pub(super) struct Scram {
    hash: Hash,
    user: String,
    password: Zeroizing<String>,
    /// `gs2-header`, and the octets that it binds to.
    header: String,
    bound: Vec<u8>,
    nonce: String,
    state: State,
}

/// What came last.
enum State {
    Start,
    /// Our first message.
    First,
    /// Our proof; this is what the server's is to be.
    Proved(Vec<u8>),
    /// The server's proof.
    Complete,
}

/// What the client says of binding to the channel (RFC 5802 section 6).
pub(super) enum Flag {
    /// `p`: bound in this way to these octets.
    Bound(&'static str, Vec<u8>),
    /// `n`: it cannot.
    No,
    /// `y`: it could, but the server did not offer it. Where somebody between has taken the offer
    /// away, the server finds out by that.
    NotOffered,
}

/// How this mechanism is to be bound.
pub(super) fn flag(mechanism: Mechanism, allowed: &[Mechanism], scene: &Scene<'_>) -> Flag {
    let ChannelBindings { exporter, end_point } = scene.bindings;
    let bound = match (exporter, end_point) {
        // RFC 9266 section 1: the one for TLS 1.3.
        (Some(exporter), _) => Flag::Bound("tls-exporter", exporter.to_vec()),
        (None, Some(end_point)) => Flag::Bound("tls-server-end-point", end_point.clone()),
        (None, None) => return Flag::No,
    };
    let offered = |plus: &Mechanism| scene.extensions.offers_mechanism(plus.name());
    let plus = [Mechanism::ScramSha256Plus, Mechanism::ScramSha1Plus];
    if mechanism.is_bound() {
        bound
    } else if plus.iter().all(|plus| allowed.contains(plus)) && !plus.iter().any(offered) {
        Flag::NotOffered
    } else {
        Flag::No
    }
}

impl Scram {
    pub(super) fn new(
        user: &str,
        password: &str,
        mechanism: Mechanism,
        flag: Flag,
        nonce: &str,
    ) -> Self {
        let hash = match mechanism {
            Mechanism::ScramSha1 | Mechanism::ScramSha1Plus => Hash::Sha1,
            _ => Hash::Sha256,
        };
        let (header, bound) = match flag {
            Flag::Bound(name, octets) => (format!("p={name},,"), octets),
            Flag::No => ("n,,".to_owned(), Vec::new()),
            Flag::NotOffered => ("y,,".to_owned(), Vec::new()),
        };
        let password = Zeroizing::new(password.to_owned());
        let (user, nonce) = (sasl_name(user), nonce.to_owned());
        Self { hash, user, password, header, bound, nonce, state: State::Start }
    }

    fn bare(&self) -> String {
        format!("n={},r={}", self.user, self.nonce)
    }

    /// `client-final-message`, and what the server is to prove itself by.
    fn prove(&self, challenge: &[u8]) -> Option<(Octets, Vec<u8>)> {
        let message = std::str::from_utf8(challenge).ok()?;
        let first = ServerFirst::read(message, &self.nonce)?;
        let hash = self.hash;
        let salted = hash.salted(&self.password, &first.salt, first.iterations);
        let client_key = hash.mac(&salted, b"Client Key");
        let stored_key = hash.digest(&client_key);
        let binding = close(&[self.header.as_bytes(), &self.bound].concat());
        let without_proof = format!("c={binding},r={}", first.nonce);
        let said = format!("{},{message},{without_proof}", self.bare());
        let mut proof = hash.mac(&stored_key, said.as_bytes());
        proof.iter_mut().zip(client_key.iter()).for_each(|(octet, key)| *octet ^= key);
        let signature = hash.mac(&hash.mac(&salted, b"Server Key"), said.as_bytes());
        let last = format!("{without_proof},p={}", close(&proof));
        Some((Zeroizing::new(last.into_bytes()), signature.to_vec()))
    }
}

impl Machine for Scram {
    fn begin(&mut self) -> Option<Octets> {
        self.state = State::First;
        Some(Zeroizing::new(format!("{}{}", self.header, self.bare()).into_bytes()))
    }

    fn answer(&mut self, challenge: &[u8]) -> Option<Octets> {
        match &self.state {
            State::First => {
                let (last, signature) = self.prove(challenge)?;
                self.state = State::Proved(signature);
                Some(last)
            }
            State::Proved(signature) => {
                let said = std::str::from_utf8(challenge).ok()?.strip_prefix("v=")?;
                let said = open(said.split(',').next()?.as_bytes())?;
                if !bool::from(said.as_slice().ct_eq(signature)) {
                    return None;
                }
                self.state = State::Complete;
                Some(Octets::default())
            }
            State::Start | State::Complete => None,
        }
    }

    fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }
}

/// `server-first-message`.
struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Octets,
    iterations: u32,
}

impl<'a> ServerFirst<'a> {
    fn read(message: &'a str, ours: &str) -> Option<Self> {
        let mut attributes = message.split(',');
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let theirs = nonce.strip_prefix(ours)?;
        if theirs.is_empty() || !theirs.bytes().all(|octet| octet.is_ascii_graphic()) {
            return None;
        }
        let salt = open(attributes.next()?.strip_prefix("s=")?.as_bytes())?;
        let digits = attributes.next()?.strip_prefix("i=")?;
        let iterations = digits.parse().ok().filter(|count| ITERATIONS.contains(count))?;
        digits.bytes().all(|digit| digit.is_ascii_digit()).then_some(())?;
        (!salt.is_empty()).then_some(Self { nonce, salt, iterations })
    }
}

#[derive(Clone, Copy)]
enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    fn digest(self, octets: &[u8]) -> Octets {
        Zeroizing::new(match self {
            Self::Sha1 => Sha1::digest(octets).to_vec(),
            Self::Sha256 => Sha256::digest(octets).to_vec(),
        })
    }

    fn mac(self, key: &[u8], octets: &[u8]) -> Octets {
        const ANY: &str = "HMAC takes keys of any length";
        Zeroizing::new(match self {
            Self::Sha1 => {
                let mac = Hmac::<Sha1>::new_from_slice(key).expect(ANY);
                mac.chain_update(octets).finalize().into_bytes().to_vec()
            }
            Self::Sha256 => {
                let mac = Hmac::<Sha256>::new_from_slice(key).expect(ANY);
                mac.chain_update(octets).finalize().into_bytes().to_vec()
            }
        })
    }

    /// `Hi(password, salt, iterations)`.
    fn salted(self, password: &str, salt: &[u8], iterations: u32) -> Octets {
        let octets = match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        };
        let mut salted = Zeroizing::new(vec![0; octets]);
        match self {
            Self::Sha1 => pbkdf2_hmac::<Sha1>(password.as_bytes(), salt, iterations, &mut salted),
            Self::Sha256 => {
                pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted);
            }
        }
        salted
    }
}

/// `saslname`.
fn sasl_name(user: &str) -> String {
    user.replace('=', "=3D").replace(',', "=2C")
}

/// Fewer than RFC 7677 section 4 wants, and the password can be guessed from the proof; with more a
/// server could keep us busy for seconds.
const ITERATIONS: RangeInclusive<u32> = 4096..=600_000;

#[cfg(test)]
mod tests;
