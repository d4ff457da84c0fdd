//! The addresses of an upstream among which its mail is shared out.

use crate::config::names;
use crate::config::reading::Shape;
use crate::config::section::{Reader, Section, Text};
use crate::config::tree::{Node, Value};

use super::address::{self, UpstreamAddress};

/// One of the addresses of an upstream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Where it listens.
    pub address: UpstreamAddress,
    /// How much of the mail it gets, beside the others.
    pub weight: u32,
    /// Whether it gets mail only while all others are down.
    pub backup: bool,
}

impl Member {
    pub(super) const KEYS: &'static [&'static str] = &["address", "backup", "weight"];

    /// The only one.
    #[must_use]
    pub fn only(address: UpstreamAddress) -> Self {
        Self { address, weight: 1, backup: false }
    }

    /// Those of `address`, `addresses` or `mx`; none after a mistake.
    pub(super) fn read_all(section: &Section<'_>) -> Vec<Self> {
        let given: Vec<_> =
            WAYS.iter().filter_map(|key| Some((*key, section.entry(key)?))).collect();
        if let [(first, _), (second, entry), ..] = given[..] {
            let text = format!("there is \"{first}\" and \"{second}\"");
            let help = "one of \"address\", \"addresses\" and \"mx\" says where the upstream is";
            section.reader.error(entry.key.mark, text, Some(help));
            return Vec::new();
        }
        if section.entry("port").is_some() && section.entry("mx").is_none() {
            let help = "it is for \"mx\"; an address has its port behind a colon";
            section.reader.error(section.mark_of("port"), "a port without \"mx\"", Some(help));
        }
        match given.first() {
            Some(("addresses", _)) => Self::read_list(section),
            Some(("mx", _)) => read_mx(section).map(Self::only).into_iter().collect(),
            _ => {
                let text = section.required("address", address::HELP);
                let address = text.and_then(|text| UpstreamAddress::read(section.reader, text));
                address.map(Self::only).into_iter().collect()
            }
        }
    }

    fn read_list(section: &Section<'_>) -> Vec<Self> {
        let (reader, mark) = (section.reader, section.mark_of("addresses"));
        section.shaped("addresses", Shape::ListOfEither);
        let Some(nodes) = section.list("addresses") else { return Vec::new() };
        if nodes.is_empty() {
            reader.error(mark, "there are no addresses", Some(address::HELP));
        }
        let mut members: Vec<Self> = Vec::new();
        for node in nodes {
            let Some(member) = Self::read(reader, node) else { continue };
            if members.iter().any(|other| other.address == member.address) {
                let text = format!("\"{}\" is listed twice", member.address);
                let help = "\"weight\" gives an address more of the mail";
                reader.error(node.mark, text, Some(help));
            }
            members.push(member);
        }
        if !members.is_empty() && members.iter().all(|member| member.backup) {
            let help = "\"backup\" is for those that get mail only while all others are down";
            reader.error(mark, "there are only backups", Some(help));
        }
        members
    }

    fn read(reader: &Reader<'_>, node: &Node) -> Option<Self> {
        match &node.value {
            Value::Scalar { text, .. } if !node.is_null() => {
                UpstreamAddress::read(reader, Text { text, mark: node.mark }).map(Self::only)
            }
            _ => {
                let section = Section::of(reader, "an address", node, Self::KEYS);
                let weight = section.count("weight", 1..=1000, 1) as u32;
                let backup = section.choice_or("backup", SWITCH, false);
                let text = section.required("address", address::HELP)?;
                let address = UpstreamAddress::read(reader, text)?;
                Some(Self { address, weight, backup })
            }
        }
    }
}

fn read_mx(section: &Section<'_>) -> Option<UpstreamAddress> {
    let port = section.count("port", 1..=65535, 25) as u16;
    let Text { text, mark } = section.text("mx")?;
    if names::is_domain(text) {
        return Some(UpstreamAddress::Mx { domain: text.to_owned(), port });
    }
    let help = "the domain whose mail exchangers take the mail, such as example.org";
    section.reader.error(mark, format!("\"{text}\" is no domain"), Some(help));
    None
}

/// The keys that say where an upstream is.
const WAYS: [&str; 3] = ["address", "addresses", "mx"];

const SWITCH: &[(&str, bool)] = &[("false", false), ("true", true)];
