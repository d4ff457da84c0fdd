//! What is wrong with a configuration file, told the way rustc tells it.

use std::fmt;
use std::path::{Path, PathBuf};

/// A place in a configuration file, for messages.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Counted from 1; 0 if unknown.
    pub line: usize,
    /// Counted from 1, in characters; 0 if unknown.
    pub column: usize,
    /// How many characters are meant; 0 if unknown.
    pub width: usize,
    /// The line itself; empty if unknown.
    pub excerpt: String,
}

impl Place {
    /// A file as a whole.
    #[must_use]
    pub fn file(file: &Path) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Printable(&self.file.to_string_lossy()))?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

/// Whether a mistake keeps the configuration from being served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// It does.
    Error,
    /// Legal but dangerous.
    Warning,
}

/// One thing that is wrong, where, and what to write instead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// Whether it is fatal.
    pub severity: Severity,
    /// What is wrong; lower case, no full stop.
    pub text: String,
    /// Where.
    pub place: Place,
    /// What to write instead, if there is something to say.
    pub help: Option<String>,
}

impl Mistake {
    /// What kind of mistake it is, for machines: its sentence without what is quoted, numbers, and what
    /// follows a colon. `unknown key "recipents"` is `unknown-key`.
    #[must_use]
    pub fn code(&self) -> String {
        let mut words = String::new();
        for (index, part) in self.text.split('"').enumerate() {
            let part = if index % 2 == 0 { part } else { " " };
            words.push_str(part);
        }
        let sentence = words.split(':').find(|part| part.chars().any(char::is_alphabetic));
        let plain =
            |word: &&str| !word.chars().any(|c| c.is_ascii_digit() || matches!(c, '/' | '$'));
        let fit =
            |word: &str| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_lowercase();
        let words = sentence.unwrap_or_default().split_whitespace().filter(plain).map(fit);
        words.filter(|word| !word.is_empty()).take(CODE_WORDS).collect::<Vec<_>>().join("-")
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(f, "{severity}: {}", Printable(&self.text))?;
        let gutter = if self.place.line == 0 { 1 } else { self.place.line.to_string().len() };
        if self.place != Place::default() {
            writeln!(f, "{:gutter$}--> {}", "", self.place)?;
        }
        if !self.place.excerpt.is_empty() {
            let excerpt = discreet(&self.place.excerpt);
            let (excerpt, before) = crop(&excerpt, self.place.column);
            let width = self.place.width.clamp(1, excerpt.chars().count().max(before + 1) - before);
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{} | {excerpt}", self.place.line)?;
            writeln!(f, "{:gutter$} | {:before$}{}", "", "", "^".repeat(width))?;
        }
        if let Some(help) = &self.help {
            writeln!(f, "{:gutter$} = help: {}", "", Printable(help))?;
        }
        Ok(())
    }
}

/// All that is wrong with a configuration, in the order of the file.
///
/// Later stages add what only they can see with [`at`](Self::at), and show it the same way.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Adds an error.
    pub fn at(&mut self, place: &Place, text: impl Into<String>, help: Option<&str>) {
        self.push(Mistake {
            severity: Severity::Error,
            text: text.into(),
            place: place.clone(),
            help: help.map(str::to_owned),
        });
    }

    /// Adds a warning.
    pub fn warn(&mut self, place: &Place, text: impl Into<String>, help: Option<&str>) {
        self.push(Mistake {
            severity: Severity::Warning,
            text: text.into(),
            place: place.clone(),
            help: help.map(str::to_owned),
        });
    }

    /// Adds one, after those that stand before it in its file.
    pub fn push(&mut self, mistake: Mistake) {
        let Place { file, line, column, .. } = &mistake.place;
        let key = (file, line, column);
        let index = self.0.partition_point(|other| {
            let Place { file, line, column, .. } = &other.place;
            (file, line, column) <= key
        });
        self.0.insert(index, mistake);
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.0.iter()
    }

    /// Nothing, or the mistakes.
    ///
    /// # Errors
    /// The mistakes, if there are any.
    pub fn or_fail(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl<'a> IntoIterator for &'a Mistakes {
    type Item = &'a Mistake;
    type IntoIter = std::slice::Iter<'a, Mistake>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Text from a file, safe for a terminal: control characters escaped.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.0.lines().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            for c in line.chars() {
                if c.is_control() {
                    write!(f, "{}", c.escape_default())?
                } else {
                    write!(f, "{c}")?
                }
            }
        }
        Ok(())
    }
}

/// A line with its secrets starred: what stands behind a key that speaks of one, misspelt or not, and
/// passwords in URLs. Rather too much than too little; the columns stay.
fn discreet(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once(':') {
        shown.push_str(before);
        shown.push(':');
        rest = behind;
        let hidden = if behind.starts_with("//") {
            let word = behind.split([' ', '"', '\'']).next().unwrap_or(behind);
            let user =
                word.rfind('@').and_then(|at| word[..at].find(':').map(|from| (from + 1, at)));
            let Some((from, to)) = user else { continue };
            from..to
        } else if is_secret(before) {
            let from = behind.len() - behind.trim_start().len();
            if let Some(length) = reference(&behind[from..]) {
                shown.push_str(&behind[..from + length]);
                rest = &behind[from + length..];
                continue;
            }
            let plain = !behind[from..].starts_with(['"', '\'']);
            let end = if plain && shown.contains('{') { behind.find([',', '}']) } else { None };
            from..end.unwrap_or(behind.len())
        } else {
            continue;
        };
        shown.push_str(&behind[..hidden.start]);
        shown.extend(behind[hidden.clone()].chars().map(|_| '*'));
        rest = &behind[hidden.end..];
    }
    shown + rest
}

/// The octets of a value that says where the secret stands and not what it is, as `"${file:secret}"`.
fn reference(value: &str) -> Option<usize> {
    let quote = value.starts_with(['"', '\'']).then(|| &value[..1]);
    let bare = &value[quote.map_or(0, str::len)..];
    let inner = bare.strip_prefix("${")?;
    let end = inner.find('}')?;
    let rest = &inner[end + 1..];
    let rest = match quote {
        Some(quote) => rest.strip_prefix(quote)?,
        None => rest,
    };
    let over = rest.is_empty() || rest.starts_with([' ', ',', '}', ']']);
    (over && !inner[..end].contains('$')).then(|| value.len() - rest.len())
}

/// Whether what ends here is a key whose value is nobody's business.
pub(super) fn is_secret(before: &str) -> bool {
    let end = before.trim_end_matches([' ', '"', '\'']);
    let is_key = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let key = end.rsplit(|c| !is_key(c)).next().unwrap_or(end).to_ascii_lowercase();
    !key.ends_with("file")
        && ["pas", "pw", "secret", "token", "api_key", "apikey", "api-key", "credential"]
            .iter()
            .any(|part| key.contains(part))
}

/// The part of a line around a column that fits on a screen, without control characters (each
/// becomes one space, so that the caret stays in place), and how many characters precede the
/// column there.
fn crop(line: &str, column: usize) -> (String, usize) {
    let before = column.saturating_sub(1);
    let start = if before < EXCERPT { 0 } else { before - EXCERPT / 2 };
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    (line.chars().skip(start).take(EXCERPT).map(visible).collect(), before - start)
}

/// Enough of a sentence to know it by.
const CODE_WORDS: usize = 8;

/// Characters of a line that are shown: as wide as our own source.
const EXCERPT: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize, column: usize, width: usize, excerpt: &str) -> Place {
        Place { file: "a.yaml".into(), line, column, width, excerpt: excerpt.to_owned() }
    }

    #[test]
    fn a_mistake_looks_like_rustc() {
        let mut mistakes = Mistakes::default();
        let place = place(12, 5, 9, "    recipents: 1000");
        mistakes.at(&place, "unknown key \"recipents\"", Some("did you mean \"recipients\"?"));
        assert_eq!(
            mistakes.to_string(),
            concat!(
                "error: unknown key \"recipents\"\n",
                "  --> a.yaml:12:5\n",
                "   |\n",
                "12 |     recipents: 1000\n",
                "   |     ^^^^^^^^^\n",
                "   = help: did you mean \"recipients\"?\n",
            )
        );
    }

    #[test]
    fn mistakes_come_in_the_order_of_the_file() {
        let mut mistakes = Mistakes::default();
        mistakes.at(&place(9, 1, 1, "x"), "third", None);
        mistakes.at(&place(2, 1, 1, "x"), "first", None);
        mistakes.at(&place(9, 1, 1, "x"), "fourth", None);
        mistakes.warn(&place(2, 7, 1, "x"), "second", None);
        let texts: Vec<_> = mistakes.iter().map(|mistake| mistake.text.as_str()).collect();
        assert_eq!(texts, ["first", "second", "third", "fourth"]);
    }

    #[test]
    fn nothing_in_the_file_reaches_the_terminal_raw() {
        let mut mistakes = Mistakes::default();
        mistakes.at(&place(1, 3, 2, "\ta\u{1b}[2J"), "bad \u{1b}]0;x\u{7}", None);
        assert!(mistakes.to_string().chars().all(|c| !c.is_control() || c == '\n'));
    }

    #[test]
    fn secrets_are_not_shown() {
        for (line, shown) in [
            ("      password: s3cret, with: {all}", "      password: *******************"),
            ("auth: {user: me, password: s3cret}", "auth: {user: me, password: ******}"),
            ("auth: {\"pasword\" : 's,3}', user: me}", "auth: {\"pasword\" : *****************"),
            ("  api_token: ä", "  api_token: *"),
            ("  password: ${file:a}", "  password: ${file:a}"),
            ("{password: \"${env:A}\", user: b}", "{password: \"${env:A}\", user: b}"),
            ("  password: x${env:A}", "  password: *********"),
            ("  password: ${env:A}x", "  password: *********"),
            ("  api_key: abc", "  api_key: ***"),
            ("    password_file: a", "    password_file: a"),
            ("url: \"redis://me:a:b@c@host/0\"", "url: \"redis://me:*****@host/0\""),
            ("url: redis://host:6379/0", "url: redis://host:6379/0"),
            ("address: [::1]:25", "address: [::1]:25"),
        ] {
            let mut mistakes = Mistakes::default();
            mistakes.at(&place(1, 1, 1, line), "wrong", None);
            let text = mistakes.to_string();
            assert_eq!(text.lines().nth(3), Some(format!("1 | {shown}").as_str()));
        }
    }

    #[test]
    fn a_mistake_has_a_code_without_what_is_particular_to_it() {
        for (text, code) in [
            ("unknown key \"recipents\"", "unknown-key"),
            ("\"localhost\" is no address to listen at", "is-no-address-to-listen-at"),
            ("2m is out of range for \"greeting_delay\"", "is-out-of-range-for"),
            ("cannot read \"x\": No such file or directory (os error 2)", "cannot-read"),
            ("", ""),
        ] {
            let mut mistakes = Mistakes::default();
            mistakes.at(&Place::default(), text, None);
            assert_eq!(mistakes.0[0].code(), code, "{text}");
        }
    }

    #[test]
    fn a_long_line_is_cropped_around_the_column() {
        let mut mistakes = Mistakes::default();
        let line = format!("{}HERE{}", "x".repeat(5000), "y".repeat(5000));
        mistakes.at(&place(1, 5001, 4, &line), "long", None);
        let text = mistakes.to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[3].find("HERE"), lines[4].find("^^^^"));
        assert!(lines.iter().all(|line| line.len() < 120), "{text}");
    }
}
