//! Addresses of mail within words.

/// The text with what is made of each address that is in it.
pub(super) fn addresses(text: &str, mask: impl Fn(&str) -> String) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in text.match_indices('@') {
        if at < done {
            continue;
        }
        let start = local(&text[done..at]) + done;
        let end = at + 1 + domain(&text[at + 1..]);
        if start < at && end > at + 1 {
            masked.push_str(&text[done..start]);
            masked.push_str(&mask(&text[start..end]));
            done = end;
        }
    }
    masked.push_str(&text[done..]);
    masked
}

/// Words put for others, where they stand alone, whatever their case.
pub(super) fn replace(text: &str, word: &str, with: &str) -> String {
    if word.is_empty() || text.len() < word.len() {
        return text.to_owned();
    }
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = None;
    while !rest.is_empty() {
        let fits = rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        let after = || rest[word.len()..].chars().next();
        if fits
            && !before.is_some_and(char::is_alphanumeric)
            && !after().is_some_and(char::is_alphanumeric)
        {
            replaced.push_str(with);
            before = word.chars().last();
            rest = &rest[word.len()..];
            continue;
        }
        let mut characters = rest.chars();
        before = characters.next();
        replaced.extend(before);
        rest = characters.as_str();
    }
    replaced
}

/// Where the local part begins that ends this text.
fn local(before: &str) -> usize {
    if let Some(quoted) = before.strip_suffix('"') {
        let opened = quoted.char_indices().rev().find(|(at, c)| {
            let escapes = quoted[..*at].chars().rev().take_while(|c| *c == '\\').count();
            *c == '"' && escapes % 2 == 0
        });
        return opened.map_or(before.len(), |(at, _)| at);
    }
    let fits = |c: char| c.is_alphanumeric() || !c.is_ascii() || ATOM.contains(c);
    before
        .char_indices()
        .rev()
        .take_while(|(_, c)| fits(*c))
        .last()
        .map_or(before.len(), |(at, _)| at)
}

/// Where the domain ends that begins this text.
fn domain(after: &str) -> usize {
    if after.starts_with('[') {
        return after.find(']').map_or(0, |end| end + 1);
    }
    let fits = |c: char| c.is_alphanumeric() || !c.is_ascii() || "-._".contains(c);
    let end = after.find(|c| !fits(c)).unwrap_or(after.len());
    after[..end].trim_end_matches(['.', '-']).len()
}

/// What an atom has besides letters and digits (RFC 5321 section 4.1.2), and the dot between them.
const ATOM: &str = "!#$%&'*+-/=?^_`{|}~.";
