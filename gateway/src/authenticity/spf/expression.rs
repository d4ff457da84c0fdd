//! Texts with macros (RFC 7208 section 7), read as the library has them, which expands them.

use mail_auth::spf::{Macro, Variable};

/// A macro-string that ends as a domain does.
pub(super) fn domain(text: &str) -> Option<Macro> {
    let expression = string(text)?;
    // RFC 7208 section 7.1: domain-end.
    let ends = text.ends_with('}') || text.ends_with("%%") || {
        let text = text.strip_suffix('.').unwrap_or(text);
        text.rsplit_once('.').is_some_and(|(_, label)| is_top_label(label))
    };
    (ends && !has_explanation_letters(&expression)).then_some(expression)
}

/// A macro-string: no spaces.
pub(super) fn string(text: &str) -> Option<Macro> {
    if text.bytes().all(|octet| octet.is_ascii_graphic()) { parts(text) } else { None }
}

/// A text for people: macro-strings with spaces between them.
pub(super) fn explanation(text: &str) -> Option<Macro> {
    let fits = |octet: u8| octet.is_ascii_graphic() || octet == b' ';
    if text.bytes().all(fits) { parts(text) } else { None }
}

fn parts(text: &str) -> Option<Macro> {
    let (mut parts, mut literal, mut rest) = (Vec::new(), Vec::new(), text);
    while let Some((before, after)) = rest.split_once('%') {
        literal.extend_from_slice(before.as_bytes());
        let (kind, after) = after.split_at_checked(1)?;
        rest = after;
        match kind {
            "%" => literal.push(b'%'),
            "_" => literal.push(b' '),
            "-" => literal.extend_from_slice(b"%20"),
            "{" => {
                let (inside, after) = after.split_once('}')?;
                rest = after;
                if !literal.is_empty() {
                    parts.push(Macro::Literal(std::mem::take(&mut literal).into()));
                }
                parts.push(variable(inside)?);
                if parts.len() > PARTS {
                    return None;
                }
            }
            _ => return None,
        }
    }
    literal.extend_from_slice(rest.as_bytes());
    if !literal.is_empty() {
        parts.push(Macro::Literal(literal.into()));
    }
    Some(Macro::List(parts.into()))
}

/// `macro-letter transformers *delimiter`.
fn variable(text: &str) -> Option<Macro> {
    let mut rest = text.chars();
    let first = rest.next()?;
    let letter = letter(first.to_ascii_lowercase())?;
    let rest = rest.as_str();
    let end = rest.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(end);
    let num_parts = match digits {
        "" => 0,
        digits => digits.parse().unwrap_or(u32::MAX),
    };
    // The last so many parts: none is no number of parts.
    if num_parts == 0 && !digits.is_empty() {
        return None;
    }
    let (reverse, rest) = match rest.strip_prefix(['r', 'R']) {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let mut delimiters = 0;
    for delimiter in rest.bytes() {
        if !b".-+,/_=".contains(&delimiter) {
            return None;
        }
        delimiters |= bit(delimiter);
    }
    if delimiters == 0 {
        delimiters = bit(b'.');
    }
    let escape = first.is_ascii_uppercase();
    Some(Macro::Variable { letter, num_parts, reverse, escape, delimiters })
}

/// As the library has a set of delimiters.
fn bit(delimiter: u8) -> u64 {
    1 << (delimiter - b'+')
}

fn letter(letter: char) -> Option<Variable> {
    Some(match letter {
        's' => Variable::Sender,
        'l' => Variable::SenderLocalPart,
        'o' => Variable::SenderDomainPart,
        'd' => Variable::Domain,
        'i' => Variable::Ip,
        'p' => Variable::ValidatedDomain,
        'v' => Variable::IpVersion,
        'h' => Variable::HeloDomain,
        'c' => Variable::SmtpIp,
        'r' => Variable::HostDomain,
        't' => Variable::CurrentTime,
        _ => return None,
    })
}

/// Letters that are for explanations only.
fn has_explanation_letters(expression: &Macro) -> bool {
    let Macro::List(parts) = expression else { return false };
    parts.iter().any(|part| match part {
        Macro::Variable { letter, .. } => {
            matches!(letter, Variable::SmtpIp | Variable::HostDomain | Variable::CurrentTime)
        }
        _ => false,
    })
}

/// Letters, digits and inner hyphens, and not digits alone.
fn is_top_label(label: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
    !label.is_empty()
        && label.bytes().all(fits)
        && !label.starts_with('-')
        && !label.ends_with('-')
        && !label.bytes().all(|octet| octet.is_ascii_digit())
}

/// Literals and macros of one text. Records have less than ten; each macro may stand for a kilobyte
/// that the client said, and a record has room for thousands.
const PARTS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_very_many_macros_is_none() {
        assert!(string(&"%{h}".repeat(PARTS)).is_some());
        assert!(string(&"%{h}".repeat(PARTS + 1)).is_none());
        assert!(explanation(&"%{h} ".repeat(PARTS)).is_none());
    }
}
