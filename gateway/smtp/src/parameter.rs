//! Parameters of MAIL and RCPT (RFC 5321 section 4.1.2, `esmtp-param`).
//!
//! An extension that brings a parameter adds one row to `KNOWN`; what is in no row is refused
//! with 555 (RFC 5321 section 4.1.1.11).

use crate::command::{CommandError, Verb};

/// One parameter: keyword in capitals, decoded value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameter {
    /// `SIZE`, `BODY`, ...
    pub keyword: String,
    /// What follows the `=`, if there is one.
    pub value: Option<String>,
}

/// Reads what follows the path of a MAIL or RCPT.
pub(crate) fn read(verb: Verb, text: &str) -> Result<Vec<Parameter>, CommandError> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let parameter = read_one(verb, word)?;
        // Two values for one keyword: which one would be passed on?
        if parameters.iter().any(|earlier| earlier.keyword == parameter.keyword) {
            return Err(CommandError::Parameter);
        }
        parameters.push(parameter);
    }
    Ok(parameters)
}

/// A parameter that some extension brings.
struct Known {
    verb: Verb,
    keyword: &'static str,
    value: Value,
}

/// What stands behind the `=`.
enum Value {
    /// `1*20DIGIT` (RFC 1870 section 3).
    Number,
    /// One of these, in any case.
    OneOf(&'static [&'static str]),
}

const KNOWN: &[Known] = &[
    // RFC 6152 section 2.
    Known { verb: Verb::Mail, keyword: "BODY", value: Value::OneOf(&["7BIT", "8BITMIME"]) },
    // RFC 1870 section 3.
    Known { verb: Verb::Mail, keyword: "SIZE", value: Value::Number },
];

fn read_one(verb: Verb, word: &str) -> Result<Parameter, CommandError> {
    let (keyword, value) = match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    };
    let is_value = |value: &str| {
        !value.is_empty() && value.bytes().all(|octet| matches!(octet, b'!'..=b'<' | b'>'..=b'~'))
    };
    if !is_keyword(keyword) || !value.is_none_or(is_value) {
        return Err(CommandError::Parameter);
    }
    let known = KNOWN
        .iter()
        .find(|known| known.verb == verb && known.keyword.eq_ignore_ascii_case(keyword))
        .ok_or(CommandError::UnknownParameter)?;
    let value = known.value.read(value).ok_or(CommandError::Parameter)?;
    Ok(Parameter { keyword: known.keyword.to_owned(), value: Some(value) })
}

impl Value {
    fn read(&self, value: Option<&str>) -> Option<String> {
        let value = value?;
        match self {
            Self::Number => {
                let is_number = value.len() <= 20 && value.bytes().all(|b| b.is_ascii_digit());
                is_number.then(|| value.to_owned())
            }
            Self::OneOf(words) => {
                let word = words.iter().find(|word| word.eq_ignore_ascii_case(value))?;
                Some((*word).to_owned())
            }
        }
    }
}

/// `esmtp-keyword`.
fn is_keyword(text: &str) -> bool {
    text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
        && !text.is_empty()
        && !text.starts_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_that_are() {
        let parameter = |keyword: &str, value: &str| Parameter {
            keyword: keyword.to_owned(),
            value: Some(value.to_owned()),
        };
        assert_eq!(
            read(Verb::Mail, " size=10  Body=8bitMIME "),
            Ok(vec![parameter("SIZE", "10"), parameter("BODY", "8BITMIME")])
        );
        assert_eq!(read(Verb::Mail, ""), Ok(vec![]));
    }

    #[test]
    fn parameters_that_are_not() {
        const UNKNOWN: CommandError = CommandError::UnknownParameter;
        const BAD: CommandError = CommandError::Parameter;
        for (verb, text, want) in [
            (Verb::Mail, "RABBIT", UNKNOWN),
            (Verb::Mail, "RABBIT=1", UNKNOWN),
            (Verb::Rcpt, "SIZE=1", UNKNOWN),
            (Verb::Mail, "SIZE", BAD),
            (Verb::Mail, "SIZE=", BAD),
            (Verb::Mail, "SIZE=-1", BAD),
            (Verb::Mail, "SIZE=rabbit", BAD),
            (Verb::Mail, "SIZE=123456789012345678901", BAD),
            (Verb::Mail, "BODY=RABBIT", BAD),
            (Verb::Mail, "BODY=BINARYMIME", BAD),
            (Verb::Mail, "BODY=7BIT BODY=8BITMIME", BAD),
            (Verb::Mail, "=1", BAD),
            (Verb::Mail, "-A=1", BAD),
            (Verb::Mail, "SIZE=1=2", BAD),
            (Verb::Mail, "SIZE=\u{1}", BAD),
        ] {
            assert_eq!(read(verb, text), Err(want), "{text:?}");
        }
    }
}
