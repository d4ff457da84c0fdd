//! Links in texts and in HTML. One pass over what is read, whatever it is: no text takes longer than
//! its length.

use crate::host::has_scheme;

/// How a link stands in a message.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Place {
    /// Somebody is to follow it.
    Link,
    /// Written out, or shown.
    Text,
}

/// The links of a plain text: words with a scheme, with `www.` before them, or with a path behind a
/// name that has a dot.
pub(crate) fn text(text: &[u8], mut each: impl FnMut(Place, &[u8])) {
    words(text, &mut each);
}

fn words(text: &[u8], each: &mut impl FnMut(Place, &[u8])) {
    for word in text.split(|byte| ENDS[usize::from(*byte)]) {
        if word.len() >= SHORTEST && word.contains(&b'.') {
            look(&word[..word.len().min(LONGEST)], each);
        }
    }
}

fn look(word: &[u8], each: &mut impl FnMut(Place, &[u8])) {
    if let Some(colon) = word.windows(3).position(|three| three == b"://") {
        // As in `see:http://a.example`: mail programs find the scheme, whatever stands before it.
        let start = colon.saturating_sub(LONGEST_SCHEME);
        let start = (start..colon).find(|at| has_scheme(&word[*at..]));
        return start.into_iter().for_each(|start| each(Place::Text, &word[start..]));
    }
    let www = word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"www."));
    let name = &word[..word.iter().position(|byte| *byte == b'/').unwrap_or(0)];
    if www || (name.contains(&b'.') && !name.contains(&b'@')) {
        each(Place::Text, &[b"//", word].concat());
    }
}

/// The links of HTML: all attributes that hold one, and what is written out. Comments are looked into,
/// since some mail programs do so (conditional comments).
pub(crate) fn html(html: &[u8], mut each: impl FnMut(Place, &[u8])) {
    let mut rest = html;
    while let Some(open) = rest.iter().position(|byte| *byte == b'<') {
        words(&rest[..open], &mut each);
        rest = &rest[open + 1..];
        if rest.first().is_some_and(u8::is_ascii_alphabetic) {
            rest = attributes(rest, &mut each);
        }
    }
    words(rest, &mut each);
}

/// The attributes of a tag (WHATWG HTML 13.2.5.32 and what follows); gives back what is behind it.
fn attributes<'a>(tag: &'a [u8], each: &mut impl FnMut(Place, &[u8])) -> &'a [u8] {
    let mut rest = skip(tag, |byte| !is_space(byte) && !matches!(byte, b'/' | b'>'));
    loop {
        rest = skip(rest, |byte| is_space(byte) || byte == b'/');
        match rest.first() {
            None => return rest,
            Some(b'>') => return &rest[1..],
            Some(_) => {}
        }
        let in_name = |byte| !is_space(byte) && !matches!(byte, b'/' | b'>' | b'=');
        let behind = skip(&rest[1..], in_name);
        let name = &rest[..rest.len() - behind.len()];
        rest = skip(behind, is_space);
        if let Some(value) = rest.strip_prefix(b"=") {
            let (value, behind) = split_value(skip(value, is_space));
            attribute(name, value, each);
            rest = behind;
        }
    }
}

/// The value of an attribute, and what is behind it.
fn split_value(text: &[u8]) -> (&[u8], &[u8]) {
    match text.first() {
        Some(quote @ (b'"' | b'\'')) => {
            let text = &text[1..];
            let end = text.iter().position(|byte| byte == quote).unwrap_or(text.len());
            (&text[..end], text.get(end + 1..).unwrap_or_default())
        }
        _ => {
            let behind = skip(text, |byte| !is_space(byte) && byte != b'>');
            (&text[..text.len() - behind.len()], behind)
        }
    }
}

fn attribute(name: &[u8], value: &[u8], each: &mut impl FnMut(Place, &[u8])) {
    if value.len() < SHORTEST {
        return;
    }
    let is = |names: &[&[u8]]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
    // Where a link leads stands at its beginning.
    let value = &value[..value.len().min(LONGEST)];
    let decoded = value.contains(&b'&').then(|| references(value));
    let value = decoded.as_deref().unwrap_or(value);
    if is(&LINKS) {
        each(Place::Link, value);
    } else if is(&EMBEDDED) {
        each(Place::Text, value);
    } else if value.contains(&b':') {
        // As in `style`, `srcset`, or `content` of a meta element.
        words(value, each);
    }
}

/// Character references undone, as far as links have them (WHATWG HTML 13.2.5.72).
fn references(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.iter().position(|byte| *byte == b'&') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        match reference(rest) {
            Some((c, length)) => {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[length..];
            }
            None => out.push(b'&'),
        }
    }
    out.extend_from_slice(rest);
    out
}

/// A character and how many octets stand for it.
fn reference(rest: &[u8]) -> Option<(char, usize)> {
    let [b'#', number @ ..] = rest else {
        let named = NAMED.iter().find(|(name, _)| rest.starts_with(name))?;
        return Some((named.1, named.0.len()));
    };
    let (radix, start) = if matches!(number, [b'x' | b'X', ..]) { (16, 2) } else { (10, 1) };
    let digits = rest[start..].iter().take(MOST_DIGITS);
    let count = digits.take_while(|byte| char::from(**byte).is_digit(radix)).count();
    let digits = str::from_utf8(&rest[start..start + count]).ok()?;
    let c = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    let end = start + count;
    Some((c, end + usize::from(rest.get(end) == Some(&b';'))))
}

fn skip(text: &[u8], skipped: impl Fn(u8) -> bool) -> &[u8] {
    let end = text.iter().position(|byte| !skipped(*byte)).unwrap_or(text.len());
    &text[end..]
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

/// What ends a word in which a link may stand.
const ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let mut byte = 0;
    while byte <= 32 {
        ends[byte] = true;
        byte += 1;
    }
    let others = b"\"'<>()[]{}|`,;^\x7f";
    let mut at = 0;
    while at < others.len() {
        ends[others[at] as usize] = true;
        at += 1;
    }
    ends
};

const LINKS: [&[u8]; 5] = [b"href", b"action", b"formaction", b"xlink:href", b"data"];
const EMBEDDED: [&[u8]; 5] = [b"src", b"background", b"poster", b"longdesc", b"cite"];

const NAMED: [(&[u8], char); 14] = [
    (b"amp;", '&'),
    (b"amp", '&'),
    (b"colon;", ':'),
    (b"sol;", '/'),
    (b"bsol;", '\\'),
    (b"period;", '.'),
    (b"Tab;", '\t'),
    (b"NewLine;", '\n'),
    (b"commat;", '@'),
    (b"num;", '#'),
    (b"quest;", '?'),
    (b"equals;", '='),
    (b"percnt;", '%'),
    (b"shy;", '\u{ad}'),
];

const SHORTEST: usize = 4;
const LONGEST: usize = 8192;
const LONGEST_SCHEME: usize = 5;

/// There may be zeros before a number; who writes more of them is not followed.
const MOST_DIGITS: usize = 32;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::host::hosts;

    fn in_text(input: &str) -> String {
        let mut all = Vec::new();
        text(input.as_bytes(), |_, link| all.push(String::from_utf8_lossy(link).into_owned()));
        all.join(" ")
    }

    fn in_html(input: &str) -> String {
        let mut all = Vec::new();
        html(input.as_bytes(), |_, link| all.push(String::from_utf8_lossy(link).into_owned()));
        all.join(" ")
    }

    #[test]
    fn links_in_texts() {
        for (text, links) in [
            ("see http://a.example/x, or", "http://a.example/x"),
            ("<HTTPS://A.example>", "HTTPS://A.example"),
            ("(see:http://a.example)", "http://a.example"),
            ("xxhttp://a.example", "http://a.example"),
            ("www.a.example today", "//www.a.example"),
            ("a.example/path", "//a.example/path"),
            ("at a.example we", ""),
            ("me@a.example", ""),
            ("me@a.example/x", ""),
            ("and/or 1.5 e.g. ... x://a.b", ""),
        ] {
            assert_eq!(in_text(text), links, "{text}");
        }
    }

    #[test]
    fn links_in_html() {
        for (html, links) in [
            ("<a href=\"http://a.example\">x</a>", "http://a.example"),
            ("<A\nHREF = 'http://a.example' x>", "http://a.example"),
            ("<a href=http://a.example/x>b", "http://a.example/x"),
            ("<a/href=//a.example>", "//a.example"),
            ("<a title=\"<a href='\" href=//a.example>", "//a.example"),
            ("<a href=\"http&colon;&sol;&#47;a&#x2e;example\">", "http://a.example"),
            ("<a href=\"http://a&#0000000046example\">", "http://a.example"),
            ("<form action=//a.example><p formaction=//b.example>", "//a.example //b.example"),
            ("<img src=//a.example/b.png>", "//a.example/b.png"),
            ("<div style=\"background:url(http://a.example/x)\">", "http://a.example/x"),
            ("<meta content='0;url=http://a.example'>", "http://a.example"),
            ("<!--[if mso]><a href=//a.example><![endif]-->", "//a.example"),
            ("<style>a{b:url('http://a.example')}</style>", "http://a.example"),
            ("http://a.example<br>http://b.example", "http://a.example http://b.example"),
            ("<a href=\"http://a.example", "http://a.example"),
            ("< a href=//a.example>", ""),
            ("<a href>", ""),
            ("<a =b href=//a.example>", "//a.example"),
            ("<a href=\"//a.example/?a&amp;b&c;&#;&#xg;\">", "//a.example/?a&b&c;&#;&#xg;"),
        ] {
            assert_eq!(in_html(html), links, "{html}");
        }
    }

    #[test]
    fn no_input_is_slow() {
        let pieces = [
            "<",
            "<a ",
            "<a href=",
            "\"",
            "='",
            "&#x",
            "&",
            "://",
            "http://a.",
            ">",
            "<!--",
            "a=b ",
            "/",
            ".",
            "ahttp:",
        ];
        let start = Instant::now();
        for one in pieces {
            for other in pieces {
                let input = format!("{one}{other}").repeat(10_000);
                html(input.as_bytes(), |_, link| hosts(link, |_| {}));
                text(input.as_bytes(), |_, link| hosts(link, |_| {}));
            }
        }
        assert!(start.elapsed().as_secs() < 120, "{:?}", start.elapsed());
    }

    #[test]
    fn random_octets_do_no_harm() {
        let mut seed = 7u64;
        let letters = b"<>a=\"'/&#;x:.htp \n-!\xff\xc3\0%";
        for _ in 0..3_000 {
            let next = |_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                letters[usize::try_from(seed >> 33).unwrap() % letters.len()]
            };
            let input: Vec<u8> = (0..200).map(next).collect();
            html(&input, |_, link| hosts(link, |_| {}));
            hosts(&[b"http://", &*input].concat(), |_| {});
        }
    }
}
