//! A plugin's settings: YAML in, JSON out.

use super::section::{Entry, Reader, distinct};
use super::tree::{Node, Value, is_null};

/// A plugin's settings, as YAML's core schema reads them.
pub(crate) fn to_json(reader: &Reader<'_>, node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Broken => serde_json::Value::Null,
        Value::Sequence(items) => items.iter().map(|item| to_json(reader, item)).collect(),
        Value::Mapping(entries) => distinct(reader, entries)
            .into_iter()
            .map(|Entry { key, node }| (key.text.to_owned(), to_json(reader, node)))
            .collect(),
        Value::Scalar { text, plain: false } => text.as_str().into(),
        Value::Scalar { text, plain: true } => plain_to_json(text).unwrap_or_else(|| {
            let text = format!("{text} is a number that JSON cannot hold");
            reader.error(node.mark, text, Some("put it into quotes, if it is meant as text"));
            serde_json::Value::Null
        }),
    }
}

/// YAML 1.2, section 10.3.2: `yes`, `no`, `on` and `off` are text.
pub(super) fn plain_to_json(text: &str) -> Option<serde_json::Value> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let radix = |prefix, radix| {
        text.strip_prefix(prefix).and_then(|digits| u64::from_str_radix(digits, radix).ok())
    };
    Some(match text {
        _ if is_null(text) => serde_json::Value::Null,
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        _ if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") => {
            return None;
        }
        _ if !unsigned.is_empty() && unsigned.bytes().all(|octet| octet.is_ascii_digit()) => {
            let text = text.strip_prefix('+').unwrap_or(text);
            match (text.parse::<i64>(), text.parse::<u64>()) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                _ => return None,
            }
        }
        _ if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) => number.into(),
        _ if is_float(unsigned) => serde_json::Number::from_f64(text.parse().ok()?)?.into(),
        _ => text.into(),
    })
}

/// `1.5`, `.5`, `1.`, `1e3`: what YAML's core schema calls a float.
fn is_float(unsigned: &str) -> bool {
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = |text: &str| text.bytes().all(|octet| octet.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.map(|text| text.strip_prefix(['+', '-']).unwrap_or(text));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|text| !text.is_empty() && digits(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_become_what_yaml_says() {
        let json = |text: &str| plain_to_json(text).map(|value| value.to_string());
        for (text, expected) in [
            ("", "null"),
            ("~", "null"),
            ("true", "true"),
            ("yes", "\"yes\""),
            ("no", "\"no\""),
            ("12", "12"),
            ("-7", "-7"),
            ("+7", "7"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("1.5", "1.5"),
            ("1e3", "1000.0"),
            ("10.0.0.1", "\"10.0.0.1\""),
            ("-", "\"-\""),
            ("18446744073709551615", "18446744073709551615"),
            ("e5", "\"e5\""),
            (".", "\".\""),
            ("12:30", "\"12:30\""),
            ("0x", "\"0x\""),
            ("nan", "\"nan\""),
        ] {
            assert_eq!(json(text).as_deref(), Some(expected), "{text:?}");
        }
        assert_eq!(json(".inf"), None);
        assert_eq!(json("99999999999999999999999"), None);
        assert_eq!(json("1e999"), None);
    }
}
