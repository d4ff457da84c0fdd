//! What goes on to upstreams, and to which.

use crate::config::section::{Entry, Section};
use crate::config::tree::Value;
use crate::config::{Config, Place, spelling};
use crate::explain::{self, Explanation, Way};
use crate::message::HeaderSection;
use crate::workbench::{Difference, Matcher, fit, list, quoted, values, with_crlf};

/// What is expected of it.
#[derive(Clone, Debug)]
pub(super) struct Delivered {
    place: Place,
    /// Nothing is delivered at all.
    nothing: bool,
    sender: Option<(Matcher, Place)>,
    recipients: Option<(Vec<String>, Place)>,
    routes: Routes,
    headers: Vec<(String, Vec<Matcher>, Place)>,
    body: Option<(Matcher, Place)>,
}

/// Where recipients go: `{ADDRESS: UPSTREAM}`, null for nowhere.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes(Vec<(String, Matcher, Place)>);

impl Routes {
    pub(super) fn read(section: &Section<'_>, config: &Config) -> Self {
        let reader = section.reader;
        let read = |Entry { key, node }: &Entry<'_>| {
            let matcher = Matcher::read(reader, node)?;
            if let Matcher::Exact(name) = &matcher
                && !config.upstreams.contains_key(name)
            {
                let help = spelling::help(name, config.upstreams.keys().map(String::as_str));
                let text = format!("there is no upstream \"{name}\"");
                reader.error(node.mark, text, Some(&help));
            }
            Some((key.text.to_owned(), matcher, reader.place(key.mark)))
        };
        Self(section.names("routes", &[]).entries.iter().filter_map(read).collect())
    }

    pub(super) fn compare(&self, explanation: &Explanation, differences: &mut Vec<Difference>) {
        for (address, matcher, place) in &self.0 {
            let names = |way: &&Way| {
                way.recipient == *address || way.said.as_ref().is_some_and(|said| said == address)
            };
            let way = explanation.recipients.iter().find(names);
            let goes = way.filter(|way| !way.refused).and_then(|way| way.upstream.as_ref());
            let goes = goes.map(|upstream| upstream.name.as_str());
            if !matcher.fits(goes) {
                let came = match (goes, way) {
                    (Some(upstream), _) => upstream.to_owned(),
                    (None, Some(way)) if way.refused => {
                        let reply = way.reply.as_deref().unwrap_or_default();
                        format!("null (it is refused: {reply})")
                    }
                    (None, Some(way)) => format!("null ({})", way.decision),
                    (None, None) => "null (there is no such recipient)".to_owned(),
                };
                differences.push(Difference {
                    place: place.clone(),
                    about: format!("route of {address}"),
                    expected: matcher.to_string(),
                    came,
                });
            }
        }
    }
}

impl Delivered {
    const KEYS: &'static [&'static str] = &["body", "headers", "recipients", "routes", "sender"];

    pub(super) fn read(expect: &Section<'_>, config: &Config) -> Option<Self> {
        let reader = expect.reader;
        let Entry { key, node } = expect.entry("delivered")?;
        let nothing = Self {
            place: reader.place(key.mark),
            nothing: true,
            sender: None,
            recipients: None,
            routes: Routes::default(),
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
        let headers = section.names("headers", &[]).entries;
        Some(Self {
            nothing: false,
            sender: matcher("sender"),
            recipients: words,
            routes: Routes::read(&section, config),
            headers: headers.iter().filter_map(|entry| values(&section, entry)).collect(),
            body: matcher("body"),
            ..nothing
        })
    }

    pub(super) fn compare(&self, explanation: &Explanation, differences: &mut Vec<Difference>) {
        let messages = &explanation.delivered;
        if messages.is_empty() != self.nothing {
            let words = |delivers| if delivers { "a message" } else { "nothing" };
            return differences.push(Difference {
                place: self.place.clone(),
                about: "delivered".to_owned(),
                expected: words(!self.nothing).to_owned(),
                came: words(!messages.is_empty()).to_owned(),
            });
        }
        self.compare_recipients(messages, differences);
        self.routes.compare(explanation, differences);
        for message in messages {
            let to = message.upstream.as_deref().unwrap_or("the spool");
            let about = |what: &str| format!("delivered {what} ({to})");
            if let Some((matcher, place)) = &self.sender {
                unlike(differences, place, about("sender"), matcher, &message.sender);
            }
            self.compare_headers(message, about, differences);
            if let Some((matcher, place)) = &self.body {
                unlike(differences, place, about("body"), matcher, &message.body);
            }
        }
    }

    /// Of all upstreams together, of which the order says nothing.
    fn compare_recipients(
        &self,
        messages: &[explain::Delivered],
        differences: &mut Vec<Difference>,
    ) {
        let Some((expected, place)) = &self.recipients else { return };
        let came: Vec<_> = messages.iter().flat_map(|message| &message.recipients).collect();
        let (mut one, mut other) = (expected.iter().collect::<Vec<_>>(), came.clone());
        one.sort();
        other.sort();
        if one != other {
            let came: Vec<_> = came.into_iter().map(String::as_str).collect();
            differences.push(Difference {
                place: place.clone(),
                about: "delivered recipients".to_owned(),
                expected: format!("[{}]", expected.join(", ")),
                came: format!("[{}]", came.join(", ")),
            });
        }
    }

    fn compare_headers(
        &self,
        message: &explain::Delivered,
        about: impl Fn(&str) -> String,
        differences: &mut Vec<Difference>,
    ) {
        let header = HeaderSection::parse(with_crlf(format!("{}\n", message.header).as_bytes()));
        for (name, matchers, place) in &self.headers {
            let values = header.values(name);
            let values: Vec<_> =
                values.map(|value| String::from_utf8_lossy(&value).into_owned()).collect();
            if !fit(matchers, &values) {
                differences.push(Difference {
                    place: place.clone(),
                    about: about(&format!("header {name}")),
                    expected: list(&matchers.iter().map(ToString::to_string).collect::<Vec<_>>()),
                    came: list(&values.iter().map(|value| quoted(value)).collect::<Vec<_>>()),
                });
            }
        }
    }
}

fn unlike(
    differences: &mut Vec<Difference>,
    place: &Place,
    about: String,
    matcher: &Matcher,
    came: &str,
) {
    if !matcher.fits(Some(came)) {
        let (expected, came) = (matcher.to_string(), quoted(came));
        differences.push(Difference { place: place.clone(), about, expected, came });
    }
}
