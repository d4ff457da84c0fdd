//! AUTH (RFC 4954): a dialogue of challenges and responses within the conversation.
//!
//! A mechanism is a small machine in a file of its own; it joins in [`machine`], and with its name in
//! [`Mechanism`]. It hears what the client says and answers what it wants next; what is common to
//! all (base64, the length of lines, `*`, failures) is dealt with here.
//!
//! ```text
//!   AUTH --> Response <--challenge-- machine --> Nonce / Verifier (the driver's turn)
//!               '------octets------>    '------> Question::Auth, or disproved
//! ```

mod cram_md5;
mod gs2;
mod identity;
mod login;
mod oauth;
mod plain;
mod scram;

use std::fmt;
use std::mem;

use self::cram_md5::CramMd5;
use self::login::Login;
use self::oauth::Oauth;
use self::plain::Plain;
use self::scram::Scram;
use super::phase::Phase;
use super::verdict::{Answer, Question};
use super::{Event, Lapse, Limit, Session, Step, replies};
use crate::Reply;
use crate::lines::LineError;
use crate::sasl::{Armored, ChannelBindings, Credentials, Mechanism, Secret, Verifier};

/// The octets that [`Step::Nonce`] asks for: 24 characters in base64.
pub const NONCE_OCTETS: usize = 18;

/// An exchange that goes on.
pub(super) struct Exchange {
    mechanism: Mechanism,
    machine: Box<dyn Machine>,
    waits: Waits,
    /// Policy does not know the user: whatever is proved, it is not true.
    unknown: bool,
}

impl fmt::Debug for Exchange {
    /// Not what the machine has heard: a digest or a proof is good for guessing passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// For what an exchange waits.
#[derive(Debug)]
enum Waits {
    /// Fresh octets.
    Nonce,
    /// The client's next line.
    Response,
    /// The verdict of policy.
    Verdict,
    /// What is known of this user.
    Verifier(String),
    /// Any line of the client: it was told of its failure in the mechanism's words, and this is the
    /// reply.
    Word(Reply),
}

/// A mechanism's part of the exchange.
trait Machine: Send {
    /// Hears something and says what is to come.
    fn hear(&mut self, heard: Heard<'_>, scene: &Scene<'_>) -> Next;

    /// What the client is told in a challenge of its own before it hears that policy refused.
    fn regret(&self) -> Option<&'static str> {
        None
    }
}

/// What a machine hears.
enum Heard<'a> {
    /// The client waits for the first challenge. Only where the server speaks first.
    Begin,
    /// Octets as random as those of a key.
    Nonce([u8; NONCE_OCTETS]),
    /// What the client says.
    Response(&'a [u8]),
    /// What policy knows, or something like it if it knows nothing.
    Verifier(Verifier),
}

/// What a machine may look at.
struct Scene<'a> {
    hostname: &'a str,
    bindings: Option<&'a ChannelBindings>,
    /// Whether the mechanism that binds to the channel was offered.
    plus: bool,
}

/// What a machine wants.
enum Next {
    /// This is to be said, and the client's response heard.
    Challenge(Vec<u8>),
    /// Policy has the word.
    Decide(Claim),
    /// The proof is wrong, and this user's name was used.
    Disproved(String),
    /// The exchange has failed before a proof was tried; the client is told why in the mechanism's
    /// words.
    Fail(&'static str),
    /// The client does not speak the mechanism.
    Malformed,
    /// Fresh octets are needed.
    Nonce,
    /// What is known of this user?
    Verifier(String),
}

/// Who somebody says to be.
struct Claim {
    user: String,
    authorization: Option<String>,
    secret: Secret,
}

/// Who begins an exchange.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Opening {
    /// The client; without an initial response it is asked by an empty challenge.
    Client,
    /// The server, but an initial response answers what it would have said.
    Either,
    /// The server; an initial response is a mistake.
    Server,
}

/// The table of mechanisms.
fn machine(mechanism: Mechanism) -> (Opening, Box<dyn Machine>) {
    match mechanism {
        Mechanism::CramMd5 => (Opening::Server, Box::<CramMd5>::default()),
        Mechanism::Login => (Opening::Either, Box::<Login>::default()),
        Mechanism::OauthBearer => (Opening::Client, Box::new(Oauth::Bearer)),
        Mechanism::Plain => (Opening::Client, Box::new(Plain)),
        Mechanism::ScramSha256 => (Opening::Client, Box::new(Scram::new(false))),
        Mechanism::ScramSha256Plus => (Opening::Client, Box::new(Scram::new(true))),
        Mechanism::Xoauth2 => (Opening::Client, Box::new(Oauth::Xoauth2)),
    }
}

impl Session {
    /// Answers [`Step::Nonce`].
    pub fn nonce(&mut self, octets: [u8; NONCE_OCTETS]) {
        if matches!(self.exchange(), Some(Exchange { waits: Waits::Nonce, .. })) {
            self.tell(Heard::Nonce(octets));
        }
    }

    /// Answers [`Step::Verifier`]: what is known, nothing if the user is not, or a reply if that
    /// cannot be said now.
    ///
    /// A user who is not known is led through the exchange like others, up to its end.
    pub fn verifier(&mut self, known: Result<Option<Verifier>, Reply>) {
        let Some(Exchange { mechanism, waits, .. }) = self.exchange() else { return };
        let Waits::Verifier(user) = waits else { return };
        let (mechanism, user) = (*mechanism, mem::take(user));
        match known {
            Err(reply) => self.refuse_client(&reply),
            Ok(known) => {
                let known = known.filter(|verifier| verifier.suits(mechanism));
                let unknown = known.is_none();
                let decoy = || self.settings.auth.decoy.verifier(mechanism, &user);
                let verifier = known.unwrap_or_else(decoy);
                if let Some(exchange) = self.exchange() {
                    exchange.unknown = unknown;
                }
                self.tell(Heard::Verifier(verifier));
            }
        }
    }

    /// AUTH was said where it may be.
    pub(super) fn open_exchange(&mut self, mechanism: Mechanism, initial: Option<&Armored>) {
        let (opening, machine) = machine(mechanism);
        let initial = match (initial.map(Armored::open), opening) {
            (Some(Some(_)), Opening::Server) => {
                return self.fault(&replies::no_initial_response());
            }
            (Some(None), _) => return self.fault(&replies::bad_base64()),
            (Some(Some(octets)), Opening::Client | Opening::Either) => Some(octets),
            (None, _) => None,
        };
        let exchange = Exchange { mechanism, machine, waits: Waits::Response, unknown: false };
        self.phase = Phase::Auth(Box::new(exchange));
        match initial {
            Some(octets) => self.tell(Heard::Response(&octets)),
            None if opening == Opening::Client => self.challenge(b""),
            None => self.tell(Heard::Begin),
        }
    }

    /// Goes on with the exchange; a step if it is not the session's turn.
    pub(super) fn go_on(&mut self) -> Option<Step> {
        let Exchange { mechanism, waits, .. } = self.exchange()?;
        match waits {
            Waits::Nonce => return Some(Step::Nonce),
            Waits::Verifier(user) => {
                return Some(Step::Verifier { mechanism: *mechanism, user: user.clone() });
            }
            Waits::Response | Waits::Verdict | Waits::Word(_) => {}
        }
        let response = match self.lines.next(RESPONSE_OCTETS) {
            None => return Some(Step::Read),
            Some(Ok(b"*")) => Err(replies::cancelled()),
            Some(Ok(line)) => crate::sasl::open(line).ok_or_else(replies::bad_base64),
            Some(Err(LineError::Chunk | LineError::Control)) => Err(replies::bad_base64()),
            Some(Err(LineError::TooLong)) => Err(replies::response_too_long()),
        };
        self.transcribe_response();
        if let Some(Exchange { waits: Waits::Word(reply), .. }) = self.exchange() {
            let reply = reply.clone();
            self.refuse_client(&reply);
            return None;
        }
        match response {
            Ok(octets) => self.tell(Heard::Response(&octets)),
            Err(reply) => {
                self.phase = Phase::Ready;
                self.fault(&reply);
            }
        }
        None
    }

    /// Policy has decided about [`Question::Auth`].
    pub(super) fn admit(&mut self, answer: Answer) {
        match answer {
            Answer::No(reply) => {
                let regret = self.exchange().and_then(|exchange| exchange.machine.regret());
                match regret {
                    // RFC 7628 section 3.2.2; what is refused for now needs no other token.
                    Some(regret) if reply.is_permanent() => self.regret(regret, reply),
                    _ => self.refuse_client(&reply),
                }
            }
            Answer::Yes(_) => {
                self.phase = Phase::Ready;
                self.standing.authenticated = true;
                self.say(&replies::authenticated());
            }
        }
    }

    fn tell(&mut self, heard: Heard<'_>) {
        let Self { phase: Phase::Auth(exchange), settings, channel, .. } = self else { return };
        let scene = Scene {
            hostname: &settings.hostname,
            bindings: channel.bindings.as_deref(),
            plus: settings.auth.offers(Mechanism::ScramSha256Plus, channel),
        };
        let mechanism = exchange.mechanism;
        exchange.waits = match exchange.machine.hear(heard, &scene) {
            Next::Challenge(octets) => return self.challenge(&octets),
            Next::Decide(Claim { user, .. }) if exchange.unknown => return self.disprove(user),
            Next::Decide(Claim { user, authorization, secret }) => {
                let credentials = Credentials { mechanism, user, authorization, secret };
                self.asked = Some(Question::Auth(Box::new(credentials)));
                Waits::Verdict
            }
            Next::Disproved(user) => return self.disprove(user),
            Next::Fail(words) => return self.regret(words, replies::wrong_credentials()),
            Next::Malformed => {
                self.phase = Phase::Ready;
                return self.fault(&replies::malformed_response());
            }
            Next::Nonce => Waits::Nonce,
            Next::Verifier(user) => Waits::Verifier(user),
        };
    }

    /// Says a challenge and waits for the response.
    fn challenge(&mut self, octets: &[u8]) {
        self.say_challenge(octets);
        self.wait_for(Waits::Response);
    }

    /// Tells of a failure in the mechanism's words; the reply comes after the client's next line.
    fn regret(&mut self, words: &str, reply: Reply) {
        self.say_challenge(words.as_bytes());
        self.wait_for(Waits::Word(reply));
    }

    fn disprove(&mut self, user: String) {
        let Some(Exchange { mechanism, .. }) = self.exchange() else { return };
        self.aside = Some(Box::new(Step::Disproved { mechanism: *mechanism, user }));
        self.refuse_client(&replies::wrong_credentials());
    }

    /// The exchange is over, and has shown nobody.
    fn refuse_client(&mut self, reply: &Reply) {
        self.phase = Phase::Ready;
        self.lapse(Lapse::AuthFailure);
        if self.conduct.count(Lapse::AuthFailure) > self.settings.limits.auth_failures {
            return self.hang_up(Limit::AuthFailures);
        }
        self.say(reply);
    }

    /// Not by a [`Reply`], which would fold it.
    fn say_challenge(&mut self, octets: &[u8]) {
        self.events.push(Event::Reply(CHALLENGE));
        self.output.extend_from_slice(b"334 ");
        self.output.extend_from_slice(crate::sasl::close(octets).as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.transcribe_challenge();
    }

    fn wait_for(&mut self, waits: Waits) {
        if let Some(exchange) = self.exchange() {
            exchange.waits = waits;
        }
    }

    fn exchange(&mut self) -> Option<&mut Exchange> {
        match &mut self.phase {
            Phase::Auth(exchange) => Some(exchange),
            _ => None,
        }
    }
}

const CHALLENGE: u16 = 334;
/// A line of an exchange with its CRLF (RFC 4954 section 4). Not a setting: a token that a server
/// issued must fit.
const RESPONSE_OCTETS: usize = 12_288;
