//! Reads `Authentication-Results` and `ARC-Authentication-Results` (RFC 8601 section 2.2).

use terms::folded;

/// What one field tells.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Results {
    /// Whose word it is.
    pub(crate) id: String,
    pub(crate) results: Vec<MethodResult>,
}

#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct MethodResult {
    pub(crate) method: String,
    pub(crate) outcome: String,
    /// As they stand: `header.d`, and without a point what others invented.
    pub(crate) properties: Vec<(String, String)>,
}

impl MethodResult {
    pub(crate) fn is(&self, method: &str, outcome: &str) -> bool {
        self.method == method && self.outcome == outcome
    }

    /// A property that is there once.
    pub(crate) fn property(&self, name: &str) -> Option<&str> {
        let mut values = self.properties.iter().filter(|(known, _)| known == name);
        let (_, value) = values.next()?;
        values.next().is_none().then_some(&**value)
    }
}

/// A piece of a structured field (RFC 5322 section 3.2), comments and white space left out.
#[derive(Debug, Eq, PartialEq)]
struct Token {
    text: String,
    kind: Kind,
    /// Whether it follows the piece before it at once.
    glued: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Atom,
    Quoted,
    Special,
}

/// The field behind its instance, if it has one (RFC 8617 section 4.1.1). None if it is not what the
/// grammar allows: then nobody may conclude anything from it.
pub(crate) fn read(value: &str) -> Option<(Option<u32>, Results)> {
    let tokens = tokens(value)?;
    let is_end = |token: &Token| token.kind == Kind::Special && token.text == ";";
    let mut parts: Vec<_> = tokens.split(is_end).collect();
    let instance = match parts.first()? {
        [name, equals, number]
            if name.text.eq_ignore_ascii_case("i")
                && equals.text == "="
                && name.kind == Kind::Atom =>
        {
            let number = number.text.parse().ok();
            parts.remove(0);
            Some(number?)
        }
        _ => None,
    };
    let (id, version) = parts.first()?.split_first()?;
    // Only version 1 is known (section 2.2).
    let known = match version {
        [] => true,
        [version] => version.text == "1" && !version.glued,
        _ => false,
    };
    if id.kind == Kind::Special || !known {
        return None;
    }
    let mut read = Results { id: folded(&id.text).into_owned(), results: Vec::new() };
    for part in &parts[1..] {
        match part {
            [] => {}
            [none] if none.text.eq_ignore_ascii_case("none") => {}
            part => read.results.push(result(part)?),
        }
    }
    Some((instance, read))
}

fn result(tokens: &[Token]) -> Option<MethodResult> {
    let mut pairs = Vec::new();
    let mut rest = tokens;
    while let [name, equals, first, more @ ..] = rest {
        if name.kind != Kind::Atom || equals.text != "=" || equals.kind != Kind::Special {
            return None;
        }
        if first.kind == Kind::Special {
            return None;
        }
        // `"a b"@example.org` is three pieces, and one value.
        let length = more.iter().take_while(|token| token.glued).count();
        let value =
            more[..length].iter().fold(first.text.clone(), |value, token| value + &token.text);
        pairs.push((name.text.to_ascii_lowercase(), value));
        rest = &more[length..];
    }
    if !rest.is_empty() || pairs.is_empty() {
        return None;
    }
    let (method, outcome) = pairs.remove(0);
    let method = method.split('/').next().unwrap_or_default().to_owned();
    Some(MethodResult { method, outcome: outcome.to_ascii_lowercase(), properties: pairs })
}

/// None if a comment or a quoted string has no end.
fn tokens(value: &str) -> Option<Vec<Token>> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut glued = false;
    let mut rest = value;
    while let Some(first) = rest.chars().next() {
        let (text, kind, length) = match first {
            '(' => {
                rest = &rest[comment(rest)?..];
                glued = false;
                continue;
            }
            c if c.is_ascii_whitespace() => {
                rest = &rest[1..];
                glued = false;
                continue;
            }
            '"' => {
                let (text, length) = quoted(rest)?;
                (text, Kind::Quoted, length)
            }
            ';' | '=' => (first.to_string(), Kind::Special, 1),
            _ => {
                let ends = |c: char| c.is_ascii_whitespace() || "(\";=".contains(c);
                let length = rest.find(ends).unwrap_or(rest.len());
                (rest[..length].to_owned(), Kind::Atom, length)
            }
        };
        tokens.push(Token { text, kind, glued });
        glued = true;
        rest = &rest[length..];
        if tokens.len() > TOKENS {
            return None;
        }
    }
    Some(tokens)
}

/// The length of the comment that begins here.
fn comment(text: &str) -> Option<usize> {
    let (mut depth, mut escaped) = (0_u32, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// What the quoted string that begins here holds, and its length.
fn quoted(text: &str) -> Option<(String, usize)> {
    let (mut held, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => {
                held.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((held, at + 1)),
            c => held.push(c),
        }
    }
    None
}

/// Whose word a field says to be, read as liberally as the most careless reader might: quotes and
/// comments anywhere, space around points. None if it names nobody.
pub(crate) fn claimed(value: &str) -> Option<String> {
    let (mut name, mut gap, mut rest) = (String::new(), false, value);
    while let Some(c) = rest.chars().next() {
        match c {
            '(' => {
                rest = &rest[comment(rest)?..];
                gap = true;
                continue;
            }
            c if c.is_whitespace() || c.is_control() => gap = true,
            ';' | '/' | ',' => break,
            // A result where the name should be.
            '=' => return None,
            '"' | '\\' => {}
            c => {
                if gap && c != '.' && !name.is_empty() && (!name.ends_with('.') || is_version(rest))
                {
                    // A version, or what is none: is it a result without a name before it?
                    let next = rest.trim_start_matches(|c: char| !";=(\" \t".contains(c));
                    return (!next.starts_with('=')).then(|| folded(&name).into_owned());
                }
                gap = false;
                name.push(c);
            }
        }
        rest = &rest[c.len_utf8()..];
    }
    let name = folded(&name);
    (!name.is_empty()).then(|| name.into_owned())
}

fn is_version(text: &str) -> bool {
    let behind = text.trim_start_matches(|c: char| c.is_ascii_digit());
    behind.is_empty() || behind.starts_with([';', '(', ' ', '\t'])
}

/// Of one field. Fields of large providers have a hundred.
const TOKENS: usize = 2_000;

#[cfg(test)]
mod tests;
