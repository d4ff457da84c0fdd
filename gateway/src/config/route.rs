//! Which recipients go where.

use portcullis_smtp::address::domain_to_ascii;

use super::names;
use super::section::{Reader, Section, Text};
use super::tree::Node;

/// One rule of where recipients go.
#[derive(Clone, Debug)]
pub struct Route {
    /// Recipient domains, lower case; `.example.org` fits every name below it; `*` fits all.
    pub domains: Vec<String>,
    /// A name from `upstreams`.
    pub upstream: String,
}

impl Route {
    pub(super) const KEYS: &'static [&'static str] = &["domains", "upstream"];

    /// All routes. What can never be reached is a mistake: somebody expects it to be.
    pub(super) fn read_all(reader: &Reader<'_>, nodes: &[Node], upstreams: &[&str]) -> Vec<Self> {
        let mut seen = Vec::new();
        nodes.iter().filter_map(|node| Self::read(reader, node, upstreams, &mut seen)).collect()
    }

    fn read(
        reader: &Reader<'_>,
        node: &Node,
        upstreams: &[&str],
        seen: &mut Vec<(String, usize)>,
    ) -> Option<Self> {
        let section = Section::of(reader, "a route", node, Self::KEYS);
        if section.entry("domains").is_none() {
            section.missing("domains", "a list of recipient domains, or [\"*\"] for all");
        }
        let words = section.words("domains");
        if words.as_ref().is_some_and(Vec::is_empty) {
            let help = "[\"*\"] fits all domains";
            reader.error(section.mark_of("domains"), "\"domains\" is empty", Some(help));
        }
        let mut domains = Vec::new();
        for word in words.unwrap_or_default() {
            domains.extend(domain(reader, word, seen));
        }
        seen.extend(domains.iter().map(|domain| (domain.clone(), section.mark_of("domains").line)));
        let upstream = section.required("upstream", "one of the names in \"upstreams\"")?;
        let upstream = section.known_name("upstream", upstream, upstreams);
        Some(Self { domains, upstream })
    }
}

fn domain(
    reader: &Reader<'_>,
    Text { text, mark }: Text<'_>,
    seen: &[(String, usize)],
) -> Option<String> {
    let bare = text.strip_prefix('.').unwrap_or(text);
    // Domains beyond ASCII are compared as DNS has them.
    let ascii = domain_to_ascii(bare).unwrap_or_default();
    if text != "*" && !names::is_domain(&ascii) {
        let help = names::domain_help(text);
        reader.error(mark, format!("\"{text}\" is no domain"), Some(&help));
        return None;
    }
    let below = if text.starts_with('.') { "." } else { "" };
    let domain = if text == "*" { text.to_owned() } else { format!("{below}{ascii}") };
    if let Some((earlier, line)) = seen.iter().find(|(seen, _)| *seen == domain || seen == "*") {
        let help = format!("\"{earlier}\" in line {line} comes first");
        reader.error(mark, format!("\"{text}\" never comes to this route"), Some(&help));
    }
    Some(domain)
}
