//! Replies with places to fill in.

use portcullis_plugin::{Refusal, Reply, Verdict};
use serde::{Deserialize, Deserializer, de::Error};

/// A refusal with `{client}` and the like in its text.
#[derive(Clone, Debug)]
pub struct Form(Refusal);

impl Form {
    /// A refusal with the places that a plugin knows.
    pub fn read(line: &str, places: &[&str]) -> Result<Self, String> {
        let refusal: Refusal = line.parse()?;
        let form = Self(refusal);
        form.check(places)?;
        Ok(form)
    }

    /// The same from settings.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
        places: &[&str],
    ) -> Result<Self, D::Error> {
        let form = Self(Refusal::deserialize(deserializer)?);
        form.check(places).map_err(D::Error::custom)?;
        Ok(form)
    }

    fn check(&self, places: &[&str]) -> Result<(), String> {
        let mut rest = &*self.0.reply().text;
        while let Some((_, behind)) = rest.split_once('{') {
            let place = behind.split_once('}').filter(|(place, _)| places.contains(place));
            let Some((_, behind)) = place else {
                return Err(format!("in braces stands one of {}", places.join(", ")));
            };
            rest = behind;
        }
        Ok(())
    }

    /// The answer, with these values at the places of these names.
    pub fn fill(&self, values: &[(&str, &str)]) -> Verdict {
        let reply = self.0.reply();
        let (mut text, mut rest) = (String::new(), &*reply.text);
        while let Some((before, behind)) = rest.split_once('{') {
            text.push_str(before);
            let Some((place, behind)) = behind.split_once('}') else { break };
            let value = values.iter().find(|(known, _)| *known == place);
            text.push_str(&plain(value.map_or("", |(_, value)| value), LONGEST_VALUE));
            rest = behind;
        }
        text.push_str(rest);
        Reply { text: plain(&text, LONGEST), ..reply.clone() }.into()
    }
}

/// What somebody else said, as one line of printable ASCII of at most so many octets.
pub fn plain(said: &str, longest: usize) -> String {
    let mut text = String::with_capacity(said.len().min(longest));
    for c in said.chars() {
        let c = match c {
            ' '..='~' => c,
            _ if c.is_whitespace() => ' ',
            _ => '?',
        };
        if text.len() == longest {
            text.truncate(longest.saturating_sub(3));
            text.push_str("...");
            break;
        }
        if !(c == ' ' && text.ends_with(' ')) {
            text.push(c);
        }
    }
    text.truncate(text.trim_end().len());
    text
}

const LONGEST_VALUE: usize = 200;

/// Room for code, status and the transaction's id in a line of 512 octets (RFC 5321 4.5.3.1.5).
const LONGEST: usize = 420;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_list_says_is_one_line_of_ascii() {
        assert_eq!(plain("a\r\n250 b\u{202e}\u{fc}\0 ", 99), "a 250 b????".replace("????", "???"));
        assert_eq!(plain(&"x".repeat(300), 8), "xxxxx...");
        assert_eq!(plain("12345678", 8), "12345678");
        let form = Form::read("550 5.7.1 {client}: {reason}", &["client", "reason"]).unwrap();
        let filled = form.fill(&[("client", "192.0.2.1"), ("reason", "{client}\r\n250 ok")]);
        assert_eq!(filled, Verdict::reject(550, "5.7.1", "192.0.2.1: {client} 250 ok"));
    }

    #[test]
    fn places_that_are_not_known() {
        for line in ["550 {x}", "550 {client", "550 {}"] {
            assert!(Form::read(line, &["client"]).is_err(), "{line}");
        }
    }
}
