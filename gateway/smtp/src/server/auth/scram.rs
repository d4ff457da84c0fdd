//! SCRAM-SHA-256 and -PLUS (RFC 5802, RFC 7677): both sides prove that they know the password, and
//! with -PLUS that they speak over the same TLS connection.
//!
//! ```text
//!   C: n,,n=user,r=nonce                     client-first
//!   S: r=nonce and ours,s=salt,i=4096        server-first
//!   C: c=biws,r=nonce and ours,p=proof       client-final
//!   S: v=signature                           server-final
//!   C:                                       (RFC 4954 section 4: nothing)
//! ```

mod message;

use subtle::ConstantTimeEq;

use self::message::{ClientFinal, ClientFirst};
use super::gs2::Flag;
use super::{Claim, Heard, Machine, Next, Scene};
use crate::sasl::keys::{Octets, hmac_sha256, sha256};
use crate::sasl::{ChannelBindings, Secret, Verifier, close};

#[derive(Debug)]
pub(super) struct Scram {
    /// Whether this is -PLUS.
    plus: bool,
    state: State,
}

/// What came last.
#[derive(Debug, Default)]
enum State {
    #[default]
    Start,
    /// The client's first message.
    First(First),
    /// The same, and what policy knows.
    Known(First, Verifier),
    /// Our first message.
    Challenged(Challenged),
    /// A proof that holds; our signature went out.
    Proved(First),
}

/// What is kept of the client's first message.
#[derive(Debug)]
struct First {
    user: String,
    authorization: Option<String>,
    /// What the final message must repeat: the header, and what it binds to.
    binding: Vec<u8>,
    /// `client-first-message-bare`.
    bare: String,
    nonce: String,
}

#[derive(Debug)]
struct Challenged {
    first: First,
    verifier: Verifier,
    /// Both nonces.
    nonce: String,
    /// `server-first-message`.
    message: String,
}

impl Scram {
    pub(super) fn new(plus: bool) -> Self {
        Self { plus, state: State::Start }
    }
}

impl Machine for Scram {
    fn hear(&mut self, heard: Heard<'_>, scene: &Scene<'_>) -> Next {
        match (std::mem::take(&mut self.state), heard) {
            (State::Start, Heard::Response(message)) => self.begin(message, scene),
            (State::First(first), Heard::Verifier(verifier)) => {
                self.state = State::Known(first, verifier);
                Next::Nonce
            }
            (State::Known(first, verifier), Heard::Nonce(octets)) => {
                self.challenge(first, verifier, &close(&octets))
            }
            (State::Challenged(challenged), Heard::Response(message)) => {
                self.judge(challenged, message)
            }
            (State::Proved(first), Heard::Response(b"")) => Next::Decide(Claim {
                user: first.user,
                authorization: first.authorization,
                secret: Secret::Proved,
            }),
            _ => Next::Malformed,
        }
    }
}

impl Scram {
    fn begin(&mut self, message: &[u8], scene: &Scene<'_>) -> Next {
        let first = match ClientFirst::read(message) {
            Ok(first) => first,
            Err(error) => return error,
        };
        let bound = match bind(&first.flag, self.plus, scene) {
            Ok(bound) => bound,
            Err(words) => return Next::Fail(words),
        };
        let user = first.user;
        self.state = State::First(First {
            authorization: first.authorization.filter(|name| *name != user),
            user: user.clone(),
            binding: [first.header.as_bytes(), bound].concat(),
            bare: first.bare.to_owned(),
            nonce: first.nonce.to_owned(),
        });
        Next::Verifier(user)
    }

    fn challenge(&mut self, first: First, verifier: Verifier, ours: &str) -> Next {
        let Verifier::Scram { salt, iterations, .. } = &verifier else {
            return Next::Disproved(first.user);
        };
        let nonce = format!("{}{ours}", first.nonce);
        let message = format!("r={nonce},s={},i={iterations}", close(salt));
        let octets = message.clone().into_bytes();
        self.state = State::Challenged(Challenged { first, verifier, nonce, message });
        Next::Challenge(octets)
    }

    fn judge(&mut self, challenged: Challenged, message: &[u8]) -> Next {
        let Challenged { first, verifier, nonce, message: ours } = challenged;
        let Some(last) = ClientFinal::read(message) else { return Next::Malformed };
        if last.nonce != nonce {
            return Next::Malformed;
        }
        if *last.binding != first.binding {
            return Next::Fail("e=channel-bindings-dont-match");
        }
        let said = format!("{},{ours},{}", first.bare, last.without_proof);
        match signature(&verifier, said.as_bytes(), &last.proof) {
            Some(signature) => {
                self.state = State::Proved(first);
                Next::Challenge(format!("v={}", close(&signature)).into_bytes())
            }
            // RFC 5802 section 5.1 leaves `e=invalid-proof` to us: the reply says as much, at once.
            None => Next::Disproved(first.user),
        }
    }
}

/// Our signature, if the client's proof holds (RFC 5802 section 3).
fn signature(verifier: &Verifier, said: &[u8], proof: &Octets) -> Option<Octets> {
    let Verifier::Scram { stored_key, server_key, .. } = verifier else { return None };
    let mut client_key = hmac_sha256(stored_key, &[said]);
    client_key.iter_mut().zip(proof).for_each(|(octet, other)| *octet ^= other);
    let holds = bool::from(sha256(&client_key).ct_eq(stored_key));
    holds.then(|| hmac_sha256(server_key, &[said]))
}

/// The octets that the client's header binds to (RFC 5802 section 6).
fn bind<'a>(flag: &Flag<'_>, plus: bool, scene: &Scene<'a>) -> Result<&'a [u8], &'static str> {
    match (flag, plus) {
        (Flag::No, false) => Ok(b""),
        // The client thinks that we cannot, and we had said that we can: somebody between us has
        // taken it out of our list.
        (Flag::NotOffered, false) if scene.plus => Err("e=server-does-support-channel-binding"),
        (Flag::NotOffered, false) => Ok(b""),
        (Flag::Bound(name), true) => {
            named(name, scene.bindings).ok_or("e=unsupported-channel-binding-type")
        }
        (Flag::Bound(_), false) => Err("e=channel-binding-not-supported"),
        (Flag::No | Flag::NotOffered, true) => Err("e=channel-bindings-dont-match"),
    }
}

fn named<'a>(name: &str, bindings: Option<&'a ChannelBindings>) -> Option<&'a [u8]> {
    let bindings = bindings?;
    match name {
        "tls-exporter" => bindings.exporter.as_ref().map(<[u8; 32]>::as_slice),
        "tls-server-end-point" => bindings.end_point.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
