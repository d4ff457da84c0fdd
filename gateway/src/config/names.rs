//! Names of plugins, listeners and upstreams; host names and domains.

use super::section::{Section, Text};
use super::tree::Node;

/// The required name of a list item.
pub(super) fn name(section: &Section<'_>) -> Option<String> {
    let text = section.required("name", "it is shown in logs and metrics")?;
    check(section, text).then(|| text.text.to_owned())
}

/// Whether a name can stand in logs, metrics and routes; says so if not.
pub(crate) fn check(section: &Section<'_>, Text { text, mark }: Text<'_>) -> bool {
    let fit = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b'-');
    let good = (1..=64).contains(&text.len()) && text.bytes().all(fit);
    if !good {
        let help = "a name has 1 to 64 letters, digits, \"_\" or \"-\"; it is a label in metrics";
        section.reader.error(mark, format!("\"{text}\" cannot be a name"), Some(help));
    }
    good
}

/// Complains about list items that have a name which an earlier one has.
pub(super) fn refuse_duplicates<'a>(
    what: &str,
    section: &Section<'_>,
    items: impl Iterator<Item = &'a Node>,
) {
    let mut seen: Vec<Text<'_>> = Vec::new();
    for name in items.filter_map(declared) {
        match seen.iter().find(|earlier| earlier.text == name.text) {
            None => seen.push(name),
            Some(earlier) => {
                let help = format!("the first one is in line {}", earlier.mark.line);
                let text = format!("there are two {what}s \"{}\"", name.text);
                section.reader.error(name.mark, text, Some(&help));
            }
        }
    }
}

/// The name that a list item claims, whatever else is wrong with the item.
pub(super) fn declared(node: &Node) -> Option<Text<'_>> {
    let super::tree::Value::Mapping(entries) = &node.value else { return None };
    entries.iter().find_map(|(key, value)| match (&key.value, &value.value) {
        (super::tree::Value::Scalar { text: key, .. }, super::tree::Value::Scalar { text, .. })
            if key == "name" =>
        {
            Some(Text { text, mark: value.mark })
        }
        _ => None,
    })
}

/// The names that the items of a list claim, whatever else is wrong with it.
pub(super) fn declared_in<'a>(section: &Section<'a>, key: &str) -> Vec<&'a str> {
    match section.entry(key).map(|entry| &entry.node.value) {
        Some(super::tree::Value::Sequence(nodes)) => {
            nodes.iter().filter_map(declared).map(|name| name.text).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether this is a domain name as DNS has them: labels of letters, digits, hyphens (and
/// underscores, which hosts of Windows networks have).
pub(super) fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
    };
    let all_digits = |label: &str| label.bytes().all(|octet| octet.is_ascii_digit());
    text.len() <= 253
        && text.split('.').all(label)
        && !text.rsplit('.').next().is_some_and(all_digits)
}

/// Why something is not a domain, and what would be.
pub(super) fn domain_help(text: &str) -> String {
    if text.contains('@') {
        "a domain is what follows the \"@\"".to_owned()
    } else if let Some(rest) = text.strip_prefix("*.") {
        format!("write \".{rest}\" for every name below {rest}")
    } else if let Some(rest) = text.strip_suffix('.') {
        format!("write \"{rest}\", without the dot at the end")
    } else if !text.is_ascii() {
        "write it as DNS does, with \"xn--\"".to_owned()
    } else {
        "a domain has letters, digits and hyphens between dots, such as mx.example.org".to_owned()
    }
}
