//! Values with places for what is known about the mail.

use std::str::FromStr;

use portcullis_plugin::{Session, Transaction};
use serde::{Deserialize, Deserializer, de};

/// A header's value, with `{client-address}` and the like.
#[derive(Debug)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Fact(usize),
}

/// What a template can tell, in the order of `NAMES`.
#[derive(Debug)]
pub(crate) struct Facts([String; NAMES.len()]);

const NAMES: [&str; 5] = ["client-address", "helo", "sender", "id", "listener"];

impl Facts {
    pub(crate) fn new(session: &Session, transaction: &Transaction) -> Self {
        Self([
            session.client_address(),
            printable(&session.helo().unwrap_or_default()),
            printable(&transaction.sender().unwrap_or_default()),
            transaction.id(),
            session.listener(),
        ])
    }
}

impl Template {
    pub(crate) fn fill(&self, facts: &Facts) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Fact(place) => facts.0[*place].as_str(),
        });
        parts.collect()
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(template: &str) -> Result<Self, String> {
        if template.contains(char::is_control) {
            return Err("the value of a header is one line".to_owned());
        }
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some((text, behind)) = rest.split_once('{') {
            let (name, behind) = behind.split_once('}').ok_or_else(known)?;
            let place = NAMES.iter().position(|known| *known == name).ok_or_else(known)?;
            parts.extend([Part::Text(text.to_owned()), Part::Fact(place)]);
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Self(parts))
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

fn known() -> String {
    format!("in braces stands one of {}", NAMES.join(", "))
}

/// Clients say what they like; a header must stay one line of text.
fn printable(said: &str) -> String {
    said.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_are_filled() {
        let session = Session::fake().with_helo("a\r\nX-Evil: b");
        let facts = Facts::new(&session, &Transaction::fake().with_null_sender());
        for (template, value) in [
            ("plain", "plain"),
            ("", ""),
            ("{listener}", "mx"),
            ("from [{client-address}] ({helo}) <{sender}>", "from [192.0.2.1] (a??X-Evil: b) <>"),
            ("{id}{id} }", "transaction-1transaction-1 }"),
        ] {
            assert_eq!(template.parse::<Template>().unwrap().fill(&facts), value);
        }
    }

    #[test]
    fn templates_that_are_not() {
        for template in ["{", "{id", "{ID}", "{}", "a\nb"] {
            assert!(template.parse::<Template>().is_err(), "{template:?}");
        }
    }
}
