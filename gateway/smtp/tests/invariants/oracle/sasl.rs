//! What must hold of AUTH.

use std::sync::Arc;

use portcullis_smtp::Reply;
use portcullis_smtp::sasl::{ChannelBindings, Credentials, Mechanism, Secret, Verifier};
use portcullis_smtp::server::{
    Auth, Channel, Limits, NONCE_OCTETS, Question, Session, Settings, Step, Verdict,
};

/// Always the same, so that an exchange can be written down.
pub(crate) const NONCE: [u8; NONCE_OCTETS] = *b"a nonce, not fresh";

/// Every mechanism, in clear text.
pub(crate) fn offered(required: bool) -> Auth {
    Auth { mechanisms: Mechanism::ALL.into(), in_clear: true, required, ..Auth::default() }
}

/// TLS to which one can be bound.
pub(crate) fn channel() -> Channel {
    let bindings = ChannelBindings { exporter: Some([7; 32]), end_point: None };
    Channel { tls: true, bindings: Some(Box::new(bindings)), ..Channel::default() }
}

/// Policy knows alice's password, which is `secret`; sometimes it cannot say so.
pub(crate) fn known(mechanism: Mechanism, user: &str, choice: u8) -> Known {
    match (mechanism, user) {
        _ if choice >= 240 => Err(Reply::fixed(454, (4, 7, 0), "later")),
        (Mechanism::CramMd5, "alice") => Ok(Some(Verifier::Password("secret".to_owned()))),
        (_, "alice") => Ok(Some(Verifier::scram("secret", b"salt of alice".to_vec(), 1))),
        _ => Ok(None),
    }
}

type Known = Result<Option<Verifier>, Reply>;

/// What policy is told must be what the contract says.
pub(crate) fn check(credentials: &Credentials) {
    let Credentials { mechanism, user, authorization, secret } = credentials;
    assert!(!user.is_empty() || *mechanism == Mechanism::OauthBearer);
    check_name(user);
    if let Some(other) = authorization {
        assert!(!other.is_empty() && other != user);
        check_name(other);
    }
    match (mechanism, secret) {
        (Mechanism::Plain | Mechanism::Login, Secret::Password(text))
        | (Mechanism::OauthBearer | Mechanism::Xoauth2, Secret::Token(text)) => {
            assert!(!text.is_empty() && !text.contains(char::is_control));
            let shown = format!("{secret:?}");
            assert!(shown == "Password(..)" || shown == "Token(..)");
        }
        (
            Mechanism::CramMd5 | Mechanism::ScramSha256 | Mechanism::ScramSha256Plus,
            Secret::Proved,
        ) => assert_eq!(user, "alice", "nobody else has a secret"),
        _ => panic!("{mechanism} brings no such secret"),
    }
}

pub(crate) fn check_name(name: &str) {
    assert!(name.len() <= 255 && super::syntax::is_plain(name), "{name:?}");
}

/// One exchange: an octet for the mechanism, then messages with 0xFF between them.
pub(crate) fn exchange(octets: &[u8]) {
    let Some((&first, rest)) = octets.split_first() else { return };
    let mechanism = Mechanism::ALL[usize::from(first) % Mechanism::ALL.len()];
    let limits = Limits { errors: u32::MAX, ..Limits::default() };
    let settings = Settings { auth: offered(false), limits, ..Settings::new("mx.example") };
    let mut session = Session::new(Arc::new(settings), channel());
    session.receive(format!("EHLO a\r\nAUTH {mechanism}\r\n").as_bytes());
    let mut asked = play(&mut session);
    for message in rest.split(|&octet| octet == 0xff) {
        session.receive(format!("{}\r\n", base64(message)).as_bytes());
        asked += play(&mut session);
    }
    assert!(asked <= 1, "one exchange has one end");
}

/// Lets the session go as far as it goes. How often policy had to decide about a client.
fn play(session: &mut Session) -> usize {
    let mut asked = 0;
    loop {
        match session.poll() {
            Step::Ask(Question::Auth(credentials)) => {
                asked += 1;
                check(&credentials);
                session.decide(Verdict::Accept);
            }
            Step::Ask(_) => session.decide(Verdict::Accept),
            Step::Disproved { user, .. } => check_name(&user),
            Step::Nonce => session.nonce(NONCE),
            Step::Verifier { mechanism, user } => {
                check_name(&user);
                session.verifier(known(mechanism, &user, 0));
            }
            Step::Read | Step::Close => break,
            step => panic!("{step:?}"),
        }
    }
    let output = session.take_output();
    super::read_replies(&output);
    asked
}

/// RFC 4648 section 4, without any cleverness.
fn base64(octets: &[u8]) -> String {
    let mut text = String::new();
    for group in octets.chunks(3) {
        let bits = (0..3)
            .fold(0, |bits, at| bits << 8 | u32::from(group.get(at).copied().unwrap_or_default()));
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at > group.len() { '=' } else { char::from(digit) });
        }
    }
    text
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
