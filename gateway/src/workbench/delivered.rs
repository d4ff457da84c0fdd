//! What goes on to the upstream when all hooks have been asked.

use super::expected::Difference;
use super::fact::{Matcher, quoted};
use super::play::{Ended, Played, text_of};
use crate::config::Place;
use crate::config::section::{Entry, Section};
use crate::config::tree::Value;
use crate::message::Message;

/// What is expected of it.
#[derive(Clone, Debug)]
pub struct Delivered {
    place: Place,
    /// Nothing is delivered at all.
    nothing: bool,
    sender: Option<(Matcher, Place)>,
    recipients: Option<(Vec<String>, Place)>,
    routes: Vec<(String, Matcher, Place)>,
    headers: Vec<(String, Vec<Matcher>, Place)>,
    body: Option<(Matcher, Place)>,
}

impl Delivered {
    const KEYS: &'static [&'static str] = &["body", "headers", "recipients", "routes", "sender"];

    pub(super) fn read(expect: &Section<'_>) -> Option<Self> {
        let reader = expect.reader;
        let Entry { key, node } = expect.entry("delivered")?;
        let place = reader.place(key.mark);
        let nothing = Self {
            place,
            nothing: true,
            sender: None,
            recipients: None,
            routes: Vec::new(),
            headers: Vec::new(),
            body: None,
        };
        if matches!(&node.value, Value::Scalar { .. }) {
            return expect.choice("delivered", &[("nothing", ())]).map(|()| nothing);
        }
        let section = expect.section("delivered", Self::KEYS);
        let matcher = |key: &str| {
            let entry = section.entry(key)?;
            Some((Matcher::read(reader, entry.node)?, reader.place(entry.key.mark)))
        };
        let words = section.words("recipients").map(|words| {
            let words = words.iter().map(|word| word.text.to_owned()).collect();
            (words, reader.place(section.mark_of("recipients")))
        });
        let routes = section.names("routes", &[]).entries;
        let headers = section.names("headers", &[]).entries;
        Some(Self {
            nothing: false,
            sender: matcher("sender"),
            recipients: words,
            routes: routes
                .iter()
                .filter_map(|Entry { key, node }| {
                    let matcher = Matcher::read(reader, node)?;
                    Some((key.text.to_owned(), matcher, reader.place(key.mark)))
                })
                .collect(),
            headers: headers.iter().filter_map(|entry| values(&section, entry)).collect(),
            body: matcher("body"),
            ..nothing
        })
    }

    pub(super) fn compare(&self, played: &Played, differences: &mut Vec<Difference>) {
        let delivers = matches!(played.ended, Ended::Passed | Ended::Quarantined);
        if delivers == self.nothing {
            let words = |delivers| if delivers { "a message" } else { "nothing" };
            return differences.push(Difference {
                place: self.place.clone(),
                about: "delivered".into(),
                expected: words(!self.nothing).into(),
                came: words(delivers).into(),
            });
        }
        if let Some(envelope) = &played.case.envelope {
            if let Some((matcher, place)) = &self.sender {
                let sender = envelope.reverse_path.to_string();
                unlike(differences, place, "delivered sender", matcher, Some(&sender));
            }
            self.compare_recipients(played, differences);
        }
        if let Some(message) = &played.case.message {
            self.compare_headers(message, differences);
            if let Some((matcher, place)) = &self.body {
                let body = text_of(&message.body);
                unlike(differences, place, "delivered body", matcher, Some(&body));
            }
        }
    }

    fn compare_recipients(&self, played: &Played, differences: &mut Vec<Difference>) {
        let recipients = played.case.envelope.iter().flat_map(|envelope| &envelope.recipients);
        let refused = |index| played.case.refused.iter().any(|(refused, _)| *refused == index);
        let recipients: Vec<_> = recipients.filter(|one| !refused(one.index)).collect();
        if let Some((expected, place)) = &self.recipients {
            let came: Vec<_> = recipients.iter().map(|one| one.address.to_string()).collect();
            if *expected != came {
                differences.push(Difference {
                    place: place.clone(),
                    about: "delivered recipients".into(),
                    expected: format!("[{}]", expected.join(", ")),
                    came: format!("[{}]", came.join(", ")),
                });
            }
        }
        for (address, matcher, place) in &self.routes {
            let recipient = recipients.iter().find(|one| one.address.as_str() == address);
            let route = recipient.and_then(|one| one.route.as_deref());
            unlike(differences, place, &format!("route of {address}"), matcher, route);
        }
    }

    fn compare_headers(&self, message: &Message, differences: &mut Vec<Difference>) {
        for (name, matchers, place) in &self.headers {
            let values = message.header.values(name);
            let values: Vec<_> =
                values.map(|value| String::from_utf8_lossy(&value).into_owned()).collect();
            if !fit(matchers, &values) {
                differences.push(Difference {
                    place: place.clone(),
                    about: format!("delivered header {name}"),
                    expected: list(&matchers.iter().map(ToString::to_string).collect::<Vec<_>>()),
                    came: list(&values.iter().map(|value| quoted(value)).collect::<Vec<_>>()),
                });
            }
        }
    }
}

/// Whether the values of a header are as expected.
pub(crate) fn fit(matchers: &[Matcher], values: &[String]) -> bool {
    match matchers {
        [Matcher::Absent] => values.is_empty(),
        matchers => {
            let mut pairs = matchers.iter().zip(values);
            matchers.len() == values.len() && pairs.all(|(m, v)| m.fits(Some(v)))
        }
    }
}

/// Values as a scenario file has them.
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => "null".to_owned(),
        [one] => one.clone(),
        items => format!("[{}]", items.join(", ")),
    }
}

/// The values of one header: one, a list of them, or null for none.
pub(crate) fn values(
    section: &Section<'_>,
    entry: &Entry<'_>,
) -> Option<(String, Vec<Matcher>, Place)> {
    let reader = section.reader;
    let matchers = match &entry.node.value {
        Value::Sequence(nodes) => {
            nodes.iter().filter_map(|node| Matcher::read(reader, node)).collect()
        }
        _ => vec![Matcher::read(reader, entry.node)?],
    };
    Some((entry.key.text.to_owned(), matchers, reader.place(entry.key.mark)))
}

fn unlike(
    differences: &mut Vec<Difference>,
    place: &Place,
    about: &str,
    matcher: &Matcher,
    came: Option<&str>,
) {
    if !matcher.fits(came) {
        differences.push(Difference {
            place: place.clone(),
            about: about.to_owned(),
            expected: matcher.to_string(),
            came: came.map_or_else(|| "null".to_owned(), quoted),
        });
    }
}
