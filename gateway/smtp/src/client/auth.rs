//! AUTH, the client's side (RFC 4954): who the gateway is, proved by the best mechanism that the
//! server offers.
//!
//! A mechanism is a small machine in a file of its own; it joins in [`Exchange::begin`] and with its
//! name in [`Mechanism`]. It hears challenges and answers them, or says what is wrong with them.
//!
//! ```text
//!   AUTH [initial response] --> 334 challenge --> response --> ... --> 235
//!                                    '--> * --> any reply: the login has failed
//! ```

mod cram_md5;
mod mechanism;
mod passwords;
mod scram;

use std::fmt;

use zeroize::Zeroizing;

use crate::Reply;
use crate::sasl::{ChannelBindings, close, open};

use super::{ClientError, Expected, Extensions, Session, Stage};
use cram_md5::CramMd5;
use passwords::{InTurn, Plain};
use scram::Scram;

pub use mechanism::Mechanism;

/// As whom to log in, and how.
#[derive(Clone, Eq, PartialEq)]
pub struct Login {
    user: String,
    password: Zeroizing<String>,
    mechanisms: Vec<Mechanism>,
    nonce: [u8; 18],
}

impl Login {
    /// A login by the best of these mechanisms that the server offers. The nonce is for this session
    /// alone, and as random as a key. None if the name or the password is empty or holds what no
    /// mechanism can say.
    ///
    /// The password is taken as it is, without SASLprep (RFC 4013): for ASCII that is the same.
    #[must_use]
    pub fn new(
        user: &str,
        password: &str,
        mechanisms: &[Mechanism],
        nonce: [u8; 18],
    ) -> Option<Self> {
        if [user, password].iter().any(|text| text.is_empty() || text.contains('\0')) {
            return None;
        }
        let (user, password) = (user.to_owned(), Zeroizing::new(password.to_owned()));
        Some(Self { user, password, mechanisms: mechanisms.to_owned(), nonce })
    }
}

impl fmt::Debug for Login {
    /// Never the password: what is debugged ends in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

/// A mechanism's part of the exchange.
trait Machine: Send {
    /// What the client says first; none where the server begins.
    fn begin(&mut self) -> Option<Octets>;

    /// What to say to a challenge; none if it makes no sense, or proves that the server is somebody
    /// else.
    fn answer(&mut self, challenge: &[u8]) -> Option<Octets>;

    /// Whether everything was said that a yes needs, by either side.
    fn is_complete(&self) -> bool;
}

/// What is said in an exchange may be the password.
type Octets = Zeroizing<Vec<u8>>;

/// An exchange that goes on.
pub(super) struct Exchange {
    mechanism: Mechanism,
    machine: Box<dyn Machine>,
    /// Said when the server asks for it: it did not fit the first line.
    unsaid: Option<Octets>,
    cancelled: bool,
}

impl fmt::Debug for Exchange {
    /// Not what the machine knows: the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// What the choice of a mechanism depends on.
struct Scene<'a> {
    extensions: &'a Extensions,
    private: bool,
    bindings: &'a ChannelBindings,
}

impl Exchange {
    fn begin(login: &Login, scene: &Scene<'_>) -> Result<Self, ClientError> {
        let mechanism = choose(login, scene)?;
        let (user, password) = (&*login.user, &*login.password);
        let machine: Box<dyn Machine> = match mechanism {
            Mechanism::CramMd5 => Box::new(CramMd5::new(user, password)),
            Mechanism::Login => Box::new(InTurn::new(user, password)),
            Mechanism::Plain => Box::new(Plain::new(user, password)),
            Mechanism::ScramSha1
            | Mechanism::ScramSha1Plus
            | Mechanism::ScramSha256
            | Mechanism::ScramSha256Plus => {
                let flag = scram::flag(mechanism, &login.mechanisms, scene);
                Box::new(Scram::new(user, password, mechanism, flag, &close(&login.nonce)))
            }
        };
        Ok(Self { mechanism, machine, unsaid: None, cancelled: false })
    }

    /// The line that begins it.
    fn line(&mut self) -> Zeroizing<String> {
        let mut line = Zeroizing::new(format!("AUTH {}", self.mechanism));
        let Some(initial) = self.machine.begin() else { return line };
        let initial_text = Zeroizing::new(close(&initial));
        // RFC 4954 section 4: what does not fit a command line is said when the server asks.
        if line.len() + 1 + initial_text.len() + 2 > COMMAND_OCTETS {
            self.unsaid = Some(initial);
        } else {
            line.push(' ');
            line.push_str(&initial_text);
        }
        line
    }

    fn is_complete(&self) -> bool {
        self.unsaid.is_none() && self.machine.is_complete()
    }

    /// What to say to a challenge.
    fn answer(&mut self, challenge: &str) -> Option<Zeroizing<String>> {
        let challenge = match challenge {
            "=" => Octets::default(),
            text => open(text.as_bytes())?,
        };
        let response = match self.unsaid.take() {
            Some(initial) => challenge.is_empty().then_some(initial)?,
            None => self.machine.answer(&challenge)?,
        };
        Some(Zeroizing::new(close(&response)))
    }
}

/// The best mechanism that is offered and may be used.
fn choose(login: &Login, scene: &Scene<'_>) -> Result<Mechanism, ClientError> {
    let usable = |mechanism: &Mechanism| {
        login.mechanisms.contains(mechanism)
            && scene.extensions.offers_mechanism(mechanism.name())
            && !(mechanism.is_bound() && scene.bindings.is_empty())
    };
    let mut usable = Mechanism::ALL.into_iter().filter(usable).peekable();
    if usable.peek().is_none() {
        return Err(ClientError::NoMechanism);
    }
    let safe = |mechanism: &Mechanism| scene.private || !mechanism.reveals_password();
    usable.find(safe).ok_or(ClientError::PasswordInClear)
}

impl Session {
    /// Logs in, if that is wanted.
    pub(super) fn log_in(&mut self) -> Result<(), ClientError> {
        let Some(login) = &self.settings.login else { return Ok(()) };
        let scene = Scene {
            extensions: &self.extensions,
            private: self.settings.private,
            bindings: &self.settings.bindings,
        };
        let mut exchange = Exchange::begin(login, &scene)?;
        let line = exchange.line();
        self.exchange = Some(exchange);
        self.say(&line);
        Ok(())
    }

    /// An answer within the exchange.
    pub(super) fn challenged(&mut self, reply: &Reply) -> Result<(), ClientError> {
        let (stage, code) = (Stage::Auth, reply.code());
        let Some(mut exchange) = self.exchange.take() else {
            return Err(ClientError::Unexpected { stage, code });
        };
        if self.has_input() {
            return Err(ClientError::Unsolicited { code });
        }
        let mechanism = exchange.mechanism;
        match code {
            _ if exchange.cancelled => return Err(ClientError::BadChallenge { mechanism }),
            334 => {
                let response = exchange.answer(&reply.text());
                // RFC 4954 section 4: `*` cancels.
                exchange.cancelled = response.is_none();
                self.exchange = Some(exchange);
                self.say(response.as_deref().map_or("*", String::as_str));
            }
            200..300 if exchange.is_complete() => self.logged_in = true,
            // The server has not forgotten it by XCLIENT (RFC 4954 section 4: no second AUTH).
            503 if self.logged_in => {}
            // A yes before its proof: whoever says that does not know the password.
            200..300 => return Err(ClientError::Unproved { mechanism }),
            300..400 => return Err(ClientError::Unexpected { stage, code }),
            _ => return Err(ClientError::Refused { stage, reply: reply.clone() }),
        }
        Ok(())
    }

    /// A line of the exchange. It does not wait with the commands: it holds secrets.
    fn say(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.expected.push_back(Expected::Reply(Stage::Auth));
    }
}

/// RFC 5321 section 4.5.3.1.4, with the line's end.
const COMMAND_OCTETS: usize = 512;
