//! What a users file keeps of a password, and how a password is compared with it.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine};
use portcullis_smtp::sasl::{Mechanism, Verifier};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How a secret is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// A hash that costs memory: the best that can be done for PLAIN and LOGIN.
    Argon2id,
    /// The password itself: what CRAM-MD5 needs, and nobody else should want.
    Cleartext,
    /// What SCRAM-SHA-256 needs (RFC 5803); good for PLAIN and LOGIN, too.
    ScramSha256,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Argon2id, Self::Cleartext, Self::ScramSha256];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Argon2id => "argon2id",
            Self::Cleartext => "cleartext",
            Self::ScramSha256 => "scram-sha-256",
        }
    }

    /// Whether who has such a secret can log in by a mechanism.
    #[must_use]
    pub fn serves(self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::CramMd5 => self == Self::Cleartext,
            Mechanism::Login | Mechanism::Plain => true,
            Mechanism::OauthBearer | Mechanism::Xoauth2 => false,
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => self == Self::ScramSha256,
        }
    }
}

/// One user's secret. Never shown.
#[derive(Clone)]
pub(super) enum Secret {
    Argon2id { params: Params, salt: Vec<u8>, hash: Vec<u8> },
    Cleartext(String),
    Scram { iterations: u32, salt: Vec<u8>, stored_key: Key, server_key: Key },
}

/// A key of SCRAM-SHA-256.
type Key = [u8; 32];

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.scheme().name())
    }
}

/// Why a text is no secret.
#[derive(Debug)]
pub(super) struct Flaw {
    /// The octet of the text where it shows.
    pub(super) at: usize,
    pub(super) text: String,
    pub(super) help: &'static str,
}

/// Why no secret can be made of a password. The operator's to mend.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PasswordError {
    /// It could not be written into a line, or not be typed.
    #[error("a password cannot have control characters")]
    Control,
    /// There is none.
    #[error("the password is empty")]
    Empty,
    /// The system has no randomness, or no memory.
    #[error("the system does not give what making a secret takes")]
    System,
}

impl Secret {
    /// Makes a secret of a password.
    pub(super) fn make(scheme: Scheme, password: &str) -> Result<Self, PasswordError> {
        if password.is_empty() {
            return Err(PasswordError::Empty);
        }
        if password.chars().any(char::is_control) {
            return Err(PasswordError::Control);
        }
        let salt = random::<SALT_OCTETS>()?.to_vec();
        Ok(match scheme {
            Scheme::Argon2id => {
                let params = Params::DEFAULT;
                let mut hash = vec![0; Params::DEFAULT_OUTPUT_LEN];
                argon2id(&params, &salt, password, &mut hash)?;
                Self::Argon2id { params, salt, hash }
            }
            Scheme::Cleartext => Self::Cleartext(password.to_owned()),
            Scheme::ScramSha256 => {
                let (stored_key, server_key) = scram(password, &salt, ITERATIONS)?;
                Self::Scram { iterations: ITERATIONS, salt, stored_key, server_key }
            }
        })
    }

    /// Reads what stands behind a user's name.
    pub(super) fn parse(text: &str) -> Result<Self, Flaw> {
        if let Some(password) = text.strip_prefix(CLEARTEXT) {
            return match password {
                "" => Err(flaw(text, "", "there is no password after {cleartext}", ADD)),
                _ => Ok(Self::Cleartext(password.to_owned())),
            };
        }
        match (text.strip_prefix(ARGON2ID), text.strip_prefix(SCRAM)) {
            (Some(fields), _) => parse_argon2id(text, fields),
            (_, Some(fields)) => parse_scram(text, fields),
            _ => Err(unknown(text)),
        }
    }

    /// As it stands in a file.
    pub(super) fn to_line(&self) -> String {
        match self {
            Self::Argon2id { params, salt, hash } => format!(
                "{ARGON2ID}v=19$m={},t={},p={}${}${}",
                params.m_cost(),
                params.t_cost(),
                params.p_cost(),
                BARE.encode(salt),
                BARE.encode(hash)
            ),
            Self::Cleartext(password) => format!("{CLEARTEXT}{password}"),
            Self::Scram { iterations, salt, stored_key, server_key } => format!(
                "{SCRAM}{iterations}:{}${}:{}",
                PADDED.encode(salt),
                PADDED.encode(stored_key),
                PADDED.encode(server_key)
            ),
        }
    }

    pub(super) fn scheme(&self) -> Scheme {
        match self {
            Self::Argon2id { .. } => Scheme::Argon2id,
            Self::Cleartext(_) => Scheme::Cleartext,
            Self::Scram { .. } => Scheme::ScramSha256,
        }
    }

    /// Whether this is the password. Takes processor time and memory, on purpose.
    pub(super) fn is_of(&self, password: &str) -> bool {
        match self {
            Self::Argon2id { params, salt, hash } => {
                let mut computed = vec![0; hash.len()];
                argon2id(params, salt, password, &mut computed).is_ok() && same(hash, &computed)
            }
            // Hashed, so that how long it takes tells nothing of how much is right.
            Self::Cleartext(expected) => same(&Sha256::digest(expected), &Sha256::digest(password)),
            Self::Scram { iterations, salt, stored_key, .. } => {
                scram(password, salt, *iterations).is_ok_and(|(key, _)| same(stored_key, &key))
            }
        }
    }

    /// What a mechanism needs to see that the client knows the password without seeing it.
    pub(super) fn verifier(&self, mechanism: Mechanism) -> Option<Verifier> {
        match (self, mechanism) {
            (Self::Cleartext(password), Mechanism::CramMd5) => {
                Some(Verifier::Password(password.clone()))
            }
            (
                Self::Scram { iterations, salt, stored_key, server_key },
                Mechanism::ScramSha256 | Mechanism::ScramSha256Plus,
            ) => Some(Verifier::Scram {
                salt: salt.clone(),
                iterations: *iterations,
                stored_key: *stored_key,
                server_key: *server_key,
            }),
            _ => None,
        }
    }

    /// A secret that takes as long to compare, and that nobody's password fits.
    pub(super) fn decoy(&self) -> Result<Self, PasswordError> {
        let noise = random()?;
        Ok(match self {
            Self::Argon2id { params, salt, .. } => {
                Self::Argon2id { params: params.clone(), salt: salt.clone(), hash: noise.to_vec() }
            }
            Self::Cleartext(_) => Self::Cleartext(BARE.encode(noise)),
            Self::Scram { iterations, salt, .. } => Self::Scram {
                iterations: *iterations,
                salt: salt.clone(),
                stored_key: noise,
                server_key: noise,
            },
        })
    }
}

/// What RFC 5802 section 3 calls `StoredKey` and `ServerKey`.
fn scram(password: &str, salt: &[u8], iterations: u32) -> Result<(Key, Key), PasswordError> {
    match &Verifier::scram(password, salt.to_vec(), iterations) {
        Verifier::Scram { stored_key, server_key, .. } => Ok((*stored_key, *server_key)),
        Verifier::Password(_) => Err(PasswordError::System),
    }
}

fn argon2id(
    params: &Params,
    salt: &[u8],
    password: &str,
    hash: &mut [u8],
) -> Result<(), PasswordError> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into(password.as_bytes(), salt, hash)
        .map_err(|_| PasswordError::System)
}

/// Random octets.
pub(super) fn random<const N: usize>() -> Result<[u8; N], PasswordError> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets).map_err(|_| PasswordError::System)?;
    Ok(octets)
}

fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// `v=19$m=19456,t=2,p=1$salt$hash`, the rest of a PHC string.
fn parse_argon2id(whole: &str, fields: &str) -> Result<Secret, Flaw> {
    const FORM: &str = "argon2id is $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>";
    let parts: Vec<&str> = fields.split('$').collect();
    let [version, costs, salt, hash] = parts[..] else {
        return Err(flaw(whole, fields, "an argon2id secret has four parts after its name", FORM));
    };
    if version != "v=19" {
        return Err(flaw(whole, version, "only version 19 of argon2id is known here", FORM));
    }
    let mut numbers = [0; 3];
    let named = costs.split(',').collect::<Vec<_>>();
    for (index, name) in ["m=", "t=", "p="].into_iter().enumerate() {
        let number = named.get(index).and_then(|cost| cost.strip_prefix(name)?.parse().ok());
        numbers[index] = number
            .filter(|_| named.len() == 3)
            .ok_or_else(|| flaw(whole, costs, "the costs cannot be read", FORM))?;
    }
    let [memory, time, lanes] = numbers;
    let octets = |text, what| octets(whole, text, what);
    let (salt, hash) = (octets(salt, "the salt")?, octets(hash, "the hash")?);
    let params = Params::new(memory, time, lanes, Some(hash.len()));
    match params {
        Ok(params)
            if memory <= MEMORY_KIB
                && time <= PASSES
                && lanes <= LANES
                && (argon2::MIN_SALT_LEN..=KEPT_OCTETS).contains(&salt.len())
                && hash.len() >= HASH_OCTETS =>
        {
            Ok(Secret::Argon2id { params, salt, hash })
        }
        _ => {
            const BOUNDS: &str = "m up to 1048576 (1 GiB) and 8 a lane at least, t and p from 1 to \
                                  64; 8 octets of salt, 16 of hash";
            Err(flaw(whole, costs, "the costs, the salt or the hash are out of bounds", BOUNDS))
        }
    }
}

/// `iterations:salt$StoredKey:ServerKey`, the rest of what RFC 5803 has.
fn parse_scram(whole: &str, fields: &str) -> Result<Secret, Flaw> {
    const FORM: &str = "SCRAM is SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>";
    let parts = fields.split_once('$').and_then(|(how, keys)| {
        let (iterations, salt) = how.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        Some((iterations, salt, stored_key, server_key))
    });
    let Some((given, salt, stored_key, server_key)) = parts else {
        return Err(flaw(whole, fields, "a SCRAM secret has four parts after its name", FORM));
    };
    let iterations = given.parse().ok().filter(|number| ITERATION_BOUNDS.contains(number));
    let Some(iterations) = iterations else {
        const HELP: &str = "from 4096 (RFC 7677 section 4) to 2000000, which takes a second";
        return Err(flaw(whole, given, "the iterations are out of range or no number", HELP));
    };
    let salt_octets = octets(whole, salt, "the salt")?;
    if !(1..=KEPT_OCTETS).contains(&salt_octets.len()) {
        return Err(flaw(whole, salt, "the salt is empty or too long", FORM));
    }
    let key = |text, what| {
        Key::try_from(octets(whole, text, what)?)
            .map_err(|_| flaw(whole, text, &format!("{what} has not 32 octets"), FORM))
    };
    let stored_key = key(stored_key, "StoredKey")?;
    let server_key = key(server_key, "ServerKey")?;
    Ok(Secret::Scram { iterations, salt: salt_octets, stored_key, server_key })
}

fn octets(whole: &str, text: &str, what: &str) -> Result<Vec<u8>, Flaw> {
    const HELP: &str = "letters, digits, + and /; copy the whole line";
    PADDED.decode(text).map_err(|_| flaw(whole, text, &format!("{what} is not base64"), HELP))
}

/// A scheme of somebody else's, or a bare password. Only what cannot be a password is named.
fn unknown(text: &str) -> Flaw {
    let word = |word: &str| {
        let fit = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !word.is_empty() && word.len() <= 16 && word.chars().all(fit)
    };
    let braced = text.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let dollars = text.strip_prefix('$').and_then(|rest| rest.split_once('$'));
    let said = match (braced.or(dollars), text.split_once('$')) {
        (Some((name, _)), _) if word(name) => format!("the scheme \"{name}\" is not known here"),
        (_, Some((name, _))) if name.starts_with("SCRAM-") && word(name) => {
            format!("the scheme \"{name}\" is not known here")
        }
        _ => "the secret does not say what kind it is".to_owned(),
    };
    flaw(text, text, &said, ADD)
}

/// What is wrong with a part of a text.
fn flaw(whole: &str, part: &str, text: &str, help: &'static str) -> Flaw {
    let at = match part {
        "" => whole.len(),
        // Parts are slices of the whole, and what they say may stand there twice.
        part => (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize).min(whole.len()),
    };
    Flaw { at, text: text.to_owned(), help }
}

const ADD: &str = "\"portcullis user add --replace\" makes a secret: $argon2id$..., SCRAM-SHA-256$..., \
                   or, for CRAM-MD5 alone, {cleartext} and the password";

const ARGON2ID: &str = "$argon2id$";
const CLEARTEXT: &str = "{cleartext}";
const SCRAM: &str = "SCRAM-SHA-256$";

/// RFC 9106 section 3.1 recommends 16.
const SALT_OCTETS: usize = 16;
/// Longer salts than anybody makes.
const KEPT_OCTETS: usize = 128;
/// Fewer could be guessed instead of the password.
const HASH_OCTETS: usize = 16;
/// Of what is made here: some 20 milliseconds of one processor, about what RFC 7677 section 4 has
/// in mind; clients, telephones among them, have to compute it, too.
pub(super) const ITERATIONS: u32 = 65_536;
/// What a file may have: RFC 7677 section 4, and a second of one processor.
const ITERATION_BOUNDS: std::ops::RangeInclusive<u32> = 4096..=2_000_000;
/// A gibibyte: every login in progress takes that much.
const MEMORY_KIB: u32 = 1 << 20;
const PASSES: u32 = 64;
const LANES: u32 = 64;

/// As RFC 5803 has it.
const PADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// As PHC strings have it.
const BARE: GeneralPurpose = BASE64_STANDARD_NO_PAD;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_is_read_again_and_fits_its_password_only() {
        for scheme in Scheme::ALL {
            let made = Secret::make(scheme, "p\u{e4}ss: word").unwrap();
            let line = made.to_line();
            let read = Secret::parse(&line).unwrap_or_else(|flaw| panic!("{flaw:?}"));
            assert_eq!((read.scheme(), read.to_line()), (scheme, line));
            assert!(read.is_of("p\u{e4}ss: word"), "{read:?}");
            assert!(!read.is_of("p\u{e4}ss: wor"), "{read:?}");
            assert!(!read.decoy().unwrap().is_of("p\u{e4}ss: word"), "{read:?}");
            assert!(!format!("{read:?}").contains("word"));
        }
    }

    #[test]
    fn argon2id_of_others_is_read() {
        // argon2 of the reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1
        let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(Secret::parse(text).unwrap().is_of("password"));
    }

    #[test]
    fn a_password_must_be_one() {
        for scheme in Scheme::ALL {
            let error = |password| Secret::make(scheme, password).err();
            assert_eq!(error(""), Some(PasswordError::Empty));
            assert_eq!(error("a\nb"), Some(PasswordError::Control));
        }
    }

    #[test]
    fn a_verifier_is_given_to_those_who_can_use_it() {
        let cleartext = Secret::make(Scheme::Cleartext, "x").unwrap();
        let scram = Secret::make(Scheme::ScramSha256, "x").unwrap();
        let argon2id = Secret::make(Scheme::Argon2id, "x").unwrap();
        for mechanism in Mechanism::ALL {
            assert!(argon2id.verifier(mechanism).is_none(), "{mechanism}");
            let expected = mechanism == Mechanism::CramMd5;
            assert_eq!(cleartext.verifier(mechanism).is_some(), expected, "{mechanism}");
            let expected = matches!(mechanism, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus);
            assert_eq!(scram.verifier(mechanism).is_some(), expected, "{mechanism}");
        }
    }

    #[test]
    fn flaws_say_where_and_never_the_secret() {
        let key = "A".repeat(43);
        for (text, at, said) in [
            ("hunter2", 0, "the secret does not say what kind it is"),
            ("", 0, "the secret does not say what kind it is"),
            ("{SSHA}hunter2", 0, "the scheme \"SSHA\" is not known here"),
            ("$2y$10$hunter2", 0, "the scheme \"2y\" is not known here"),
            ("$hunter2 !$x", 0, "the secret does not say what kind it is"),
            ("SCRAM-SHA-1$hunter2", 0, "the scheme \"SCRAM-SHA-1\" is not known here"),
            ("{cleartext}", 11, "there is no password after {cleartext}"),
            ("$argon2id$hunter2", 10, "an argon2id secret has four parts after its name"),
            ("$argon2id$v=16$m=8,t=1,p=1$c$d", 10, "only version 19 of argon2id is known here"),
            ("$argon2id$v=19$m=8,p=1,t=1$c$d", 15, "the costs cannot be read"),
            ("$argon2id$v=19$m=8,t=1,p=1$!$d", 27, "the salt is not base64"),
            ("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$!", 39, "the hash is not base64"),
            (
                "$argon2id$v=19$m=9999999,t=1,p=1$c29tZXNhbHQ$c29tZXNhbHQc29tZXNhbHQ",
                15,
                "the costs, the salt or the hash are out of bounds",
            ),
            ("SCRAM-SHA-256$hunter2", 14, "a SCRAM secret has four parts after its name"),
            ("SCRAM-SHA-256$1:a$b:c", 14, "the iterations are out of range or no number"),
            ("SCRAM-SHA-256$4096:$b:c", 23, "the salt is empty or too long"),
            ("SCRAM-SHA-256$4096:c2E=$c2E=:c", 24, "StoredKey has not 32 octets"),
            (&format!("SCRAM-SHA-256$4096:c2E=${key}:!"), 68, "ServerKey is not base64"),
        ] {
            let flaw = Secret::parse(text).expect_err(text);
            assert_eq!((flaw.at, flaw.text.as_str()), (at, said), "{text}");
            assert!(!flaw.text.contains("hunter2"), "{text}");
        }
    }
}
