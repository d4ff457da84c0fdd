//! The header section: what has to be there, what may be there once, and what bulk mail says of
//! itself (RFC 5322 3.6).

use crate::check::Check;

/// What is known of a header section after one look at it.
#[derive(Debug, Default)]
pub(crate) struct Section<'a> {
    from: u32,
    date: u32,
    message_id: u32,
    received: u32,
    repeated: bool,
    raw: bool,
    dated: Option<&'a [u8]>,
    unsubscribe: bool,
    one_click: bool,
    precedence: Option<&'a [u8]>,
    list_id: bool,
    mime: Mime<'a>,
}

/// The fields of RFC 2045.
#[derive(Debug, Default)]
struct Mime<'a> {
    content_type: Option<&'a [u8]>,
    types: u32,
    encodings: u32,
    disposition: bool,
}

impl<'a> Section<'a> {
    pub(crate) fn new(section: &'a [u8]) -> Self {
        let mut found = Self { raw: !section.is_ascii(), ..Self::default() };
        let mut once = [0u32; ONCE.len()];
        let mut at = 0;
        while at < section.len() {
            let end = field_end(section, at);
            let field = &section[at..end];
            at = end;
            let Some(colon) = field.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (field[..colon].trim_ascii_end(), field[colon + 1..].trim_ascii());
            if let Some(place) = ONCE.iter().position(|one| name.eq_ignore_ascii_case(one)) {
                once[place] += 1;
            }
            found.add(name, value);
        }
        found.repeated = once.iter().any(|count| *count > 1);
        found
    }

    /// Names are compared by their length and first letter before anything else.
    fn add(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        match (name.len(), name.first().map(u8::to_ascii_lowercase)) {
            (4, Some(b'f')) if is(b"from") => self.from += 1,
            (4, Some(b'd')) if is(b"date") => {
                self.date += 1;
                self.dated = Some(value);
            }
            (8, Some(b'r')) if is(b"received") => self.received += 1,
            (10, Some(b'm')) if is(b"message-id") => self.message_id += 1,
            (7, Some(b'l')) if is(b"list-id") => self.list_id = true,
            (16, Some(b'l')) if is(b"list-unsubscribe") => self.unsubscribe = true,
            (21, Some(b'l')) if is(b"list-unsubscribe-post") => self.one_click = true,
            (10, Some(b'p')) if is(b"precedence") => self.precedence = Some(value),
            (12, Some(b'c')) if is(b"content-type") => {
                self.mime.types += 1;
                self.mime.content_type = Some(value);
            }
            (25, Some(b'c')) if is(b"content-transfer-encoding") => self.mime.encodings += 1,
            (19, Some(b'c')) if is(b"content-disposition") => self.mime.disposition = true,
            _ => {}
        }
    }

    /// What is wrong or remarkable.
    pub(crate) fn findings(&self, utf8: bool) -> impl Iterator<Item = Check> {
        let bulk = self.precedence.is_some_and(|value| {
            [b"bulk".as_slice(), b"junk", b"list"].iter().any(|one| value.eq_ignore_ascii_case(one))
        });
        [
            (self.from == 0, Check::MissingFrom),
            (self.from > 1, Check::ManyFrom),
            (self.date == 0, Check::MissingDate),
            (self.dated.is_some_and(|date| !is_date(date)), Check::BrokenDate),
            (self.message_id == 0, Check::MissingMessageId),
            (self.repeated, Check::RepeatedField),
            (self.received > MANY_RECEIVED, Check::ManyReceived),
            (self.raw && !utf8, Check::RawOctets),
            (self.mime.types > 1 || self.mime.encodings > 1, Check::BrokenMime),
            (self.unsubscribe, Check::ListUnsubscribe),
            (self.unsubscribe && self.one_click, Check::OneClick),
            (bulk && !self.unsubscribe && !self.list_id, Check::Bulk),
        ]
        .into_iter()
        .filter_map(|(holds, check)| holds.then_some(check))
    }

    /// Whether the message is one text without a name, which most are: its parts need no look.
    pub(crate) fn is_plain_text(&self) -> bool {
        if self.mime.disposition || self.mime.types > 1 {
            return false;
        }
        let Some(kind) = self.mime.content_type else { return true };
        let text = kind.get(..5).is_some_and(|kind| kind.eq_ignore_ascii_case(b"text/"));
        text && !contains(kind, b"name")
    }
}

/// Where the field that starts here ends: before the next line that is no continuation.
fn field_end(section: &[u8], mut at: usize) -> usize {
    while let Some(line) = section[at..].iter().position(|byte| *byte == b'\n') {
        at += line + 1;
        if !matches!(section.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
    section.len()
}

fn contains(value: &[u8], word: &[u8]) -> bool {
    value.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// RFC 5322 3.3, as loosely as mail is written: a day, a month's name, a year, a time, in this order.
fn is_date(value: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(value) else { return false };
    let mut words = text
        .split(|c: char| c.is_ascii_whitespace() || c == ',')
        .filter(|word| !word.is_empty())
        .peekable();
    words.next_if(|word| word.len() >= 3 && word.bytes().all(|byte| byte.is_ascii_alphabetic()));
    let (Some(day), Some(month), Some(year), Some(time)) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return false;
    };
    let number = |word: &str, most: u32| word.parse().is_ok_and(|number: u32| number <= most);
    let month = month.get(..3).map(str::to_ascii_lowercase);
    let mut clock = time.split(':');
    number(day, 31)
        && month.is_some_and(|month| MONTHS.contains(&month.as_str()))
        && number(year, 9_999)
        && clock.next().is_some_and(|hours| number(hours, 23))
        && clock.next().is_some_and(|minutes| number(minutes, 59))
        && clock.next().is_none_or(|seconds| number(seconds, 60))
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Those that RFC 5322 3.6 allows once, From apart.
const ONCE: [&[u8]; 8] =
    [b"date", b"sender", b"reply-to", b"to", b"cc", b"message-id", b"in-reply-to", b"subject"];

/// Mail in a loop has them; lists of lists stay below.
const MANY_RECEIVED: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(section: &str) -> Vec<Check> {
        Section::new(section.replace('\n', "\r\n").as_bytes()).findings(false).collect()
    }

    const GOOD: &str =
        "From: a@example.org\nDate: Sun, 22 Nov 2026 19:00:00 +0000\nMessage-ID: <a>\n";

    #[test]
    fn sane_headers_are_let_be() {
        assert_eq!(findings(GOOD), []);
        assert_eq!(findings(&format!("{GOOD}Subject:\n a\n\tb\nX: 1\nX: 2\n")), []);
    }

    #[test]
    fn what_is_wrong_is_found() {
        for (section, want) in [
            ("X: 1\n", vec![Check::MissingFrom, Check::MissingDate, Check::MissingMessageId]),
            (&format!("{GOOD}from : b\n"), vec![Check::ManyFrom]),
            (&format!("{GOOD}To: a\nX:\n to: b\nto: c\n"), vec![Check::RepeatedField]),
            (&GOOD.replace("Nov", "Brumaire"), vec![Check::BrokenDate]),
            (&format!("{GOOD}Subject: \u{e9}\n"), vec![Check::RawOctets]),
            (&format!("{GOOD}{}", "Received: x\n".repeat(51)), vec![Check::ManyReceived]),
            (&format!("{GOOD}Content-Type: a/b\ncontent-type: c/d\n"), vec![Check::BrokenMime]),
            (&format!("{GOOD}Precedence: Bulk\n"), vec![Check::Bulk]),
            (
                &format!(
                    "{GOOD}Precedence: bulk\nList-Unsubscribe: <x>\nList-Unsubscribe-Post: y\n"
                ),
                vec![Check::ListUnsubscribe, Check::OneClick],
            ),
        ] {
            assert_eq!(findings(section), want, "{section}");
        }
    }

    #[test]
    fn dates_are_read_loosely() {
        for date in [
            "Sun, 22 Nov 2026 19:00:00 +0000",
            "22 Nov 26 9:00 GMT",
            "Sun,22  November 2026 19:00:60 -0000 (UTC)",
            "Fri, 1 Jan 1999 00:00:00",
        ] {
            assert!(is_date(date.as_bytes()), "{date}");
        }
        for date in [
            "",
            "yesterday",
            "2026-11-22T19:00:00Z",
            "32 Nov 2026 19:00",
            "22 Nov 2026 25:00",
            "Sun, 22 Nov 2026",
        ] {
            assert!(!is_date(date.as_bytes()), "{date}");
        }
    }

    #[test]
    fn one_text_is_known_without_a_list_of_parts() {
        for (section, want) in [
            ("", true),
            ("Content-Type: text/plain; charset=utf-8", true),
            ("Content-Type: TEXT/html", true),
            ("Content-Type: text/plain; NAME=a.exe", false),
            ("Content-Type: multipart/mixed; boundary=x", false),
            ("Content-Disposition: attachment; filename=a.exe", false),
            ("Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=x", false),
        ] {
            assert_eq!(Section::new(section.as_bytes()).is_plain_text(), want, "{section}");
        }
    }
}
