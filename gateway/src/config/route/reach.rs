//! Routes that nothing ever comes to.

use std::collections::{HashMap, HashSet};

use super::super::mistake::Place;
use super::super::pattern::{NULL, Pattern, fitting};
use super::super::section::{Reader, Text};
use super::{Draft, Route, Target};

/// Says which patterns an earlier route takes everything from. What a map takes may change, so that
/// where one is concerned it is no mistake but a warning.
pub(super) fn check(reader: &Reader<'_>, drafts: &[Draft<'_>]) {
    let mut earlier = Earlier { drafts, by_pattern: HashMap::new(), for_all: Vec::new() };
    for (place, draft) in drafts.iter().enumerate() {
        match &draft.route.target {
            _ if draft.route.recipients.is_some() => patterns(reader, &earlier, draft),
            Target::Upstream(_) => {
                whole(reader, &earlier, draft, "nothing ever comes to this route")
            }
            Target::Map(_) => entries(reader, &earlier, draft),
        }
        earlier.add(place);
    }
}

/// The routes before the one that is looked at.
struct Earlier<'a> {
    drafts: &'a [Draft<'a>],
    by_pattern: HashMap<&'a str, Vec<usize>>,
    /// Those that ask nothing of the recipient.
    for_all: Vec<usize>,
}

impl<'a> Earlier<'a> {
    fn add(&mut self, place: usize) {
        let route = &self.drafts[place].route;
        match (&route.recipients, &route.target) {
            (Some(patterns), _) => {
                for pattern in patterns {
                    self.by_pattern.entry(pattern.as_str()).or_default().push(place);
                }
            }
            (None, Target::Upstream(_)) => self.for_all.push(place),
            // Nobody is behind the last.
            (None, Target::Map(_)) if place + 1 == self.drafts.len() => {}
            (None, Target::Map(map)) => {
                for (pattern, _) in map.map.patterns() {
                    self.by_pattern.entry(pattern).or_default().push(place);
                }
            }
        }
    }

    /// The first that takes everything from a pattern of a route, and what of it does.
    fn over(&self, route: &Route, pattern: &str) -> Option<(&'a Draft<'a>, Option<&'a str>)> {
        let known = |key| self.by_pattern.get_key_value(key);
        let by_pattern = fitting(pattern)
            .filter_map(known)
            .flat_map(|(key, places)| places.iter().map(|place| (*place, Some(*key))));
        let for_all = self.for_all.iter().map(|place| (*place, None));
        let wider = |(place, _): &(usize, Option<&str>)| covers(&self.drafts[*place].route, route);
        let first = by_pattern.chain(for_all).filter(wider).min_by_key(|(place, _)| *place)?;
        Some((&self.drafts[first.0], first.1))
    }
}

fn patterns(reader: &Reader<'_>, earlier: &Earlier<'_>, draft: &Draft<'_>) {
    let all = draft.route.recipients.iter().flatten();
    for (pattern, written) in all.zip(&draft.recipients) {
        let Some((first, by)) = earlier.over(&draft.route, pattern.as_str()) else { continue };
        let text = format!("\"{}\" never comes to this route", written.text);
        let help = comes_first(first, by);
        match &first.route.target {
            Target::Map(_) => reader.warn(written.mark, text, Some(&help)),
            Target::Upstream(_) => reader.error(written.mark, text, Some(&help)),
        }
    }
}

fn whole(reader: &Reader<'_>, earlier: &Earlier<'_>, draft: &Draft<'_>, text: &str) {
    let Some((first, by)) = earlier.over(&draft.route, "*") else { return };
    let help = comes_first(first, by);
    match &first.route.target {
        Target::Map(_) => reader.warn(draft.mark, text, Some(&help)),
        Target::Upstream(_) => reader.error(draft.mark, text, Some(&help)),
    }
}

fn entries(reader: &Reader<'_>, earlier: &Earlier<'_>, draft: &Draft<'_>) {
    let Target::Map(map) = &draft.route.target else { return };
    if earlier.over(&draft.route, "*").is_some() {
        return whole(reader, earlier, draft, "nothing ever comes to this map");
    }
    let over = |(pattern, line)| Some((line, pattern, earlier.over(&draft.route, pattern)?));
    let mut shadowed: Vec<_> = map.map.patterns().filter_map(over).collect();
    shadowed.sort_unstable_by_key(|(line, ..)| *line);
    let told = shadowed.len().min(WARNINGS);
    for (line, pattern, (first, by)) in &shadowed[..told] {
        let place = Place { line: *line, column: 1, ..Place::file(&map.file.path) };
        let text = format!("\"{pattern}\" never comes to this map");
        reader.warn_at(&place, text, Some(&comes_first(first, *by)));
    }
    if shadowed.len() > told {
        let text = format!("{} more entries never come to this map", shadowed.len() - told);
        reader.warn_at(&Place::file(&map.file.path), text, None);
    }
}

fn comes_first(first: &Draft<'_>, by: Option<&str>) -> String {
    if let Target::Map(map) = &first.route.target {
        let of = |(pattern, line)| (Some(pattern) == by).then_some(line);
        let line = map.map.patterns().find_map(of).unwrap_or_default();
        return format!("line {line} of {} comes first", map.file.path.display());
    }
    let mut all = first.route.recipients.iter().flatten().zip(&first.recipients);
    match by.and_then(|by| all.find(|(pattern, _)| pattern.as_str() == by)) {
        Some((_, Text { text, mark })) => format!("\"{text}\" in line {} comes first", mark.line),
        None => {
            let line = first.mark.line;
            format!("the route in line {line} comes first and takes all recipients")
        }
    }
}

/// Whether whatever else the narrow route asks for, the wide one does not ask for more.
fn covers(wide: &Route, narrow: &Route) -> bool {
    let senders = match (&wide.senders, &narrow.senders) {
        (None, _) => true,
        (Some(wide), narrow) => senders(wide, narrow.as_deref()),
    };
    let networks = match (&wide.clients, &narrow.clients) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => {
            narrow.iter().all(|inner| wide.iter().any(|outer| outer.holds(inner)))
        }
    };
    let holds = |wide: &Option<Vec<String>>, narrow: &Option<Vec<String>>| match (wide, narrow) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => {
            wide.iter().any(|word| word == "*") || narrow.iter().all(|word| wide.contains(word))
        }
    };
    senders
        && networks
        && holds(&wide.listeners, &narrow.listeners)
        && holds(&wide.users, &narrow.users)
}

fn senders(wide: &[Pattern], narrow: Option<&[Pattern]>) -> bool {
    let wide: HashSet<_> = wide.iter().map(Pattern::as_str).collect();
    match narrow {
        None => wide.contains("*") && wide.contains(NULL),
        Some(narrow) => {
            narrow.iter().all(|pattern| fitting(pattern.as_str()).any(|key| wide.contains(key)))
        }
    }
}

/// Entries of one map that are told to be shadowed.
const WARNINGS: usize = 100;
