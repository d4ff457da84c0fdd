//! Parameters of MAIL and RCPT (RFC 5321 section 4.1.2, `esmtp-param`).
//!
//! An extension that brings a parameter adds one row to `KNOWN`; what is in no row, or belongs to
//! an extension that is not offered, is refused with 555 (RFC 5321 section 4.1.1.11).
//!
//! A [`Parameter`] holds its value decoded, for those who judge; [`Parameter::word`] encodes it
//! anew for the next server, so that nothing a client hides in an encoding becomes a command.

mod date_time;
mod value;

use self::value::Value;
use crate::command::{CommandError, Dialect, Verb};
use crate::extension::Extension;

pub use self::date_time::DateTime;

/// One parameter: keyword in capitals, decoded value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameter {
    /// `SIZE`, `BODY`, ...
    pub keyword: String,
    /// What follows the `=`, if there is one.
    pub value: Option<String>,
}

impl Parameter {
    /// Its length as `keyword=value`, decoded.
    pub(crate) fn octets(&self) -> usize {
        self.keyword.len() + self.value.as_ref().map_or(0, |value| value.len() + 1)
    }

    /// The parameter as it stands in a command: one word (RFC 5321 section 4.1.2), its value
    /// encoded. Nothing, if that cannot be.
    #[must_use]
    pub fn word(&self) -> Option<String> {
        let Self { keyword, value } = self;
        let row = KNOWN.iter().find(|row| row.keyword == keyword);
        let Some(value) = value else {
            return is_keyword(keyword).then(|| keyword.clone());
        };
        let value = match row.and_then(|row| row.value) {
            Some(kind) => kind.write(value),
            None => value.clone(),
        };
        let fits = is_keyword(keyword) && is_value(&value) && value.is_ascii();
        fits.then(|| format!("{keyword}={value}"))
    }
}

/// The value of a parameter, if it is there and has one.
#[must_use]
pub fn value_of<'a>(parameters: &'a [Parameter], keyword: &str) -> Option<&'a str> {
    parameters.iter().find(|parameter| parameter.keyword == keyword)?.value.as_deref()
}

/// Whether a parameter is there.
#[must_use]
pub fn has(parameters: &[Parameter], keyword: &str) -> bool {
    parameters.iter().any(|parameter| parameter.keyword == keyword)
}

/// Reads what follows the path of a MAIL or RCPT.
pub(crate) fn read(
    verb: Verb,
    text: &str,
    dialect: Dialect,
) -> Result<Vec<Parameter>, CommandError> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let parameter = read_one(verb, word, dialect)?;
        // Two values for one keyword: which one would be passed on?
        if has(&parameters, &parameter.keyword) {
            return Err(CommandError::Parameter);
        }
        parameters.push(parameter);
    }
    // RFC 4865 section 4.2.
    if has(&parameters, "HOLDFOR") && has(&parameters, "HOLDUNTIL") {
        return Err(CommandError::Parameter);
    }
    Ok(parameters)
}

/// A parameter that some extension brings.
struct Known {
    verb: Verb,
    keyword: &'static str,
    needs: Needs,
    /// None for a keyword alone.
    value: Option<Value>,
}

/// What must be offered for a parameter to be known.
#[derive(Clone, Copy)]
enum Needs {
    /// RFC 4954 section 5: wherever there is AUTH, whether this client makes use of it or not.
    Auth,
    Nothing,
    Offer(Extension),
}

/// A keyword may have several rows: each extension adds the values that it brings.
const KNOWN: &[Known] = &[
    // RFC 4954 section 5.
    mail("AUTH", Needs::Auth, Some(Value::Identity)),
    // RFC 6152 section 2.
    mail("BODY", Needs::Nothing, Some(Value::OneOf(&["7BIT", "8BITMIME"]))),
    // RFC 3030 section 3.
    mail("BODY", Needs::Offer(Extension::BinaryMime), Some(Value::OneOf(&["BINARYMIME"]))),
    // RFC 2852 section 4.
    mail("BY", Needs::Offer(Extension::DeliverBy), Some(Value::Time)),
    // RFC 3461 section 4.4.
    mail("ENVID", Needs::Offer(Extension::Dsn), Some(Value::Token)),
    // RFC 4865 section 4.2.
    mail("HOLDFOR", Needs::Offer(Extension::FutureRelease), Some(Value::Interval)),
    mail("HOLDUNTIL", Needs::Offer(Extension::FutureRelease), Some(Value::Until)),
    // RFC 6710 section 4.1.
    mail("MT-PRIORITY", Needs::Offer(Extension::MtPriority), Some(Value::Priority)),
    // draft-hall-prdr-00 section 4.2.
    mail("PRDR", Needs::Offer(Extension::Prdr), None),
    // RFC 8689 section 2.
    mail("REQUIRETLS", Needs::Offer(Extension::RequireTls), None),
    // RFC 3461 section 4.3.
    mail("RET", Needs::Offer(Extension::Dsn), Some(Value::OneOf(&["FULL", "HDRS"]))),
    // RFC 1870 section 3.
    mail("SIZE", Needs::Nothing, Some(Value::Number)),
    // RFC 6531 section 3.4.
    mail("SMTPUTF8", Needs::Offer(Extension::SmtpUtf8), None),
    // RFC 3461 sections 4.1 and 4.2.
    rcpt("NOTIFY", Needs::Offer(Extension::Dsn), Some(Value::Notify)),
    rcpt("ORCPT", Needs::Offer(Extension::Dsn), Some(Value::Original)),
    // RFC 7293 section 3.1.
    rcpt("RRVS", Needs::Offer(Extension::Rrvs), Some(Value::Since)),
];

const fn mail(keyword: &'static str, needs: Needs, value: Option<Value>) -> Known {
    Known { verb: Verb::Mail, keyword, needs, value }
}

const fn rcpt(keyword: &'static str, needs: Needs, value: Option<Value>) -> Known {
    Known { verb: Verb::Rcpt, keyword, needs, value }
}

impl Known {
    /// The decoded value, if `value` is one; `Some(None)` where there is to be none and is none.
    fn read(&self, value: Option<&str>, dialect: Dialect) -> Option<Option<String>> {
        match (self.value, value) {
            (None, None) => Some(None),
            (Some(kind), Some(value)) => kind.read(value, dialect).map(Some),
            (None, Some(_)) | (Some(_), None) => None,
        }
    }
}

impl Needs {
    fn are_met(self, dialect: Dialect) -> bool {
        match self {
            Self::Auth => dialect.auth,
            Self::Nothing => true,
            Self::Offer(extension) => dialect.offers.has(extension),
        }
    }
}

fn read_one(verb: Verb, word: &str, dialect: Dialect) -> Result<Parameter, CommandError> {
    let (keyword, value) = match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    };
    if !is_keyword(keyword) || !value.is_none_or(is_value) {
        return Err(CommandError::Parameter);
    }
    let is_meant = |row: &&Known| {
        row.verb == verb && row.keyword.eq_ignore_ascii_case(keyword) && row.needs.are_met(dialect)
    };
    let mut rows = KNOWN.iter().filter(is_meant).peekable();
    let known = rows.peek().ok_or(CommandError::UnknownParameter)?.keyword.to_owned();
    let value = rows.find_map(|row| row.read(value, dialect)).ok_or(CommandError::Parameter)?;
    Ok(Parameter { keyword: known, value })
}

/// `esmtp-keyword`.
fn is_keyword(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        && !text.is_empty()
        && !text.starts_with('-')
}

/// `esmtp-value` (RFC 5321 section 4.1.2, RFC 6531 section 3.3).
fn is_value(text: &str) -> bool {
    let fits = |c: char| matches!(c, '!'..='<' | '>'..='~') || !c.is_ascii();
    !text.is_empty() && text.chars().all(fits)
}

#[cfg(test)]
mod tests;
