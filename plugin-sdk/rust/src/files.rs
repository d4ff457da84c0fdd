//! What the gateway read from the plugin's `files`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The texts of the plugin's `files`, by the names that the configuration gives them: a setting called
/// `files`. Where one changes, the plugin is configured anew.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(transparent)]
pub struct Files(BTreeMap<String, String>);

impl Files {
    /// The text of a file.
    ///
    /// # Errors
    ///
    /// If the configuration names no such file; for the operator.
    pub fn text(&self, name: &str) -> Result<&str, String> {
        let text = self.0.get(name).map(String::as_str);
        text.ok_or_else(|| format!("there is no file `{name}` among the plugin's `files`"))
    }

    /// The lines of a file that say something, with their numbers, trimmed: not the empty ones, nor
    /// those that begin with `#`.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn lines(&self, name: &str) -> Result<impl Iterator<Item = (usize, &str)>, String> {
        let lines = (1..).zip(self.text(name)?.lines().map(str::trim));
        Ok(lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')))
    }

    /// The same, each line split behind its first word, as in maps of Postfix: `key value`.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub fn pairs(&self, name: &str) -> Result<impl Iterator<Item = (usize, &str, &str)>, String> {
        let pair = |(number, line): (usize, _)| {
            let (key, value) = str::split_once(line, char::is_whitespace).unwrap_or((line, ""));
            (number, key, value.trim_start())
        };
        Ok(self.lines(name)?.map(pair))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_pairs_are_those_that_say_something() {
        let json = serde_json::json!({"list": "# who\n\nalice\r\n  bob  \n", "map": "a  b c\nd\n"});
        let files: Files = serde_json::from_value(json).unwrap();
        assert_eq!(files.lines("list").unwrap().collect::<Vec<_>>(), [(3, "alice"), (4, "bob")]);
        let pairs: Vec<_> = files.pairs("map").unwrap().collect();
        assert_eq!(pairs, [(1, "a", "b c"), (2, "d", "")]);
        let mistake = files.text("other").unwrap_err();
        assert_eq!(mistake, "there is no file `other` among the plugin's `files`");
    }
}
