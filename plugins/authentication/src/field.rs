//! Writes an `Authentication-Results` field (RFC 8601 section 2.2).

use portcullis_plugin::mail_auth::Finding;

/// The value of a field that is being written.
#[derive(Debug)]
pub(crate) struct Field {
    value: String,
    column: usize,
    /// Whether text beyond ASCII may stand in it (RFC 8601 section 5).
    beyond_ascii: bool,
    results: usize,
}

impl Field {
    pub(crate) const NAME: &'static str = "Authentication-Results";

    pub(crate) fn new(id: &str, beyond_ascii: bool) -> Self {
        let value = if is_token(id) { id.to_owned() } else { quoted(id) };
        let column = Self::NAME.len() + 2 + value.len();
        Self { value, column, beyond_ascii, results: 0 }
    }

    /// A method that was asked. What is not for the field, as `policy.published`, is left out.
    pub(crate) fn add(&mut self, finding: &Finding, comment: Option<&str>, more: &[(&str, &str)]) {
        self.begin(&finding.method, &finding.outcome);
        let reason = comment.or(finding.reason.as_deref()).unwrap_or_default();
        self.comment(reason);
        let known = finding.properties.iter().map(|(name, value)| (&**name, &**value));
        let known =
            known.filter(|(name, _)| !matches!(*name, "policy.published" | "policy.explanation"));
        for (name, value) in known.chain(more.iter().copied()) {
            self.property(name, value);
        }
    }

    /// A method without findings.
    pub(crate) fn begin(&mut self, method: &str, outcome: &str) {
        self.value.push(';');
        self.fold();
        self.value.push_str(method);
        self.value.push('=');
        self.value.push_str(outcome);
        self.column += method.len() + 1 + outcome.len();
        self.results += 1;
    }

    pub(crate) fn finish(mut self) -> String {
        if self.results == 0 {
            self.value.push_str("; none");
        }
        self.value
    }

    fn property(&mut self, name: &str, value: &str) {
        let value = self.clean(value);
        // A line holds 998 octets (RFC 5322 section 2.1.1), and half of a value helps nobody.
        if !value.is_empty() && value.len() <= VALUE_OCTETS {
            self.word(&format!("{name}={}", pvalue(&value)));
        }
    }

    fn comment(&mut self, text: &str) {
        let text = self.clean(text);
        let mut words = text.split_whitespace().peekable();
        let (mut open, mut length) = ("(", 0);
        while let Some(word) = words.next() {
            let mut escaped = String::with_capacity(word.len() + 2);
            escaped.push_str(open);
            for c in word.chars().take(WORD_CHARACTERS) {
                if matches!(c, '(' | ')' | '\\') {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
            length += word.len() + 1;
            let last = words.peek().is_none() || length > COMMENT_OCTETS;
            if last {
                escaped.push(')');
            }
            self.word(&escaped);
            if last {
                return;
            }
            open = "";
        }
    }

    /// What may not stand in a header field is left out or replaced.
    fn clean(&self, text: &str) -> String {
        let kept = text.chars().filter(|c| !c.is_control());
        kept.map(|c| if c.is_ascii() || self.beyond_ascii { c } else { '?' }).collect()
    }

    fn word(&mut self, word: &str) {
        if self.column + 1 + word.len() > LINE {
            self.fold();
        } else {
            self.value.push(' ');
            self.column += 1;
        }
        self.value.push_str(word);
        self.column += word.len();
    }

    fn fold(&mut self) {
        self.value.push_str(FOLD);
        self.column = FOLD.len() - 2;
    }
}

/// A token or a mailbox of such as it is, anything else in quotes.
fn pvalue(value: &str) -> String {
    let plain = match value.rsplit_once('@') {
        Some((local, domain)) => (local.is_empty() || is_token(local)) && is_token(domain),
        None => is_token(value),
    };
    if plain { value.to_owned() } else { quoted(value) }
}

/// RFC 2045 section 5.1.
fn is_token(text: &str) -> bool {
    let fits =
        |c: char| (c.is_ascii_graphic() || !c.is_ascii()) && !"()<>@,;:\\\"/[]?=".contains(c);
    !text.is_empty() && text.chars().all(fits)
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

const FOLD: &str = "\r\n    ";

/// RFC 5322 section 2.1.1 wants 78 at most.
const LINE: usize = 77;

/// The longest path has 256 octets (RFC 5321 section 4.5.3.1.3).
const VALUE_OCTETS: usize = 400;

/// Of a reason, which peers may have had a hand in.
const COMMENT_OCTETS: usize = 200;
const WORD_CHARACTERS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(findings: &[Finding]) -> String {
        let mut field = Field::new("mx.example.org", false);
        findings.iter().for_each(|finding| field.add(finding, None, &[]));
        field.finish()
    }

    #[test]
    fn results_have_a_line_each_and_lines_are_short() {
        let reason = "the signature does not fit: headers were changed, or the key is another";
        let dkim = Finding { reason: Some(reason.to_owned()), ..Finding::new("dkim", "fail") };
        let dkim = dkim
            .with_property("header.d", "news.a-rather-long-name.example.org")
            .with_property("header.i", "@news.a-rather-long-name.example.org")
            .with_property("header.b", "a+/b=");
        let spf = Finding::new("spf", "pass").with_property("smtp.mailfrom", "a@example.org");
        assert_eq!(
            written(&[spf, dkim]).replace("\r\n", "\n"),
            "mx.example.org;
    spf=pass smtp.mailfrom=a@example.org;
    dkim=fail (the signature does not fit: headers were changed, or the key
    is another) header.d=news.a-rather-long-name.example.org
    header.i=@news.a-rather-long-name.example.org header.b=\"a+/b=\""
        );
    }

    #[test]
    fn without_results_there_is_none() {
        assert_eq!(written(&[]), "mx.example.org; none");
    }

    #[test]
    fn values_are_quoted_where_they_have_to_be() {
        for (value, expected) in [
            ("example.org", "example.org"),
            ("a.b+c@example.org", "a.b+c@example.org"),
            ("@example.org", "@example.org"),
            ("a=b@example.org", "\"a=b@example.org\""),
            ("\"a b\"@example.org", "\"\\\"a b\\\"@example.org\""),
            ("2001:db8::1", "\"2001:db8::1\""),
            ("a; dkim=pass", "\"a; dkim=pass\""),
            ("a\r\nb", "ab"),
            ("\u{fc}@example.org", "\"?@example.org\""),
        ] {
            let finding = Finding::new("spf", "pass").with_property("smtp.mailfrom", value);
            let expected = format!("mx.example.org;\r\n    spf=pass smtp.mailfrom={expected}");
            assert_eq!(written(&[finding]), expected);
        }
        let mut field = Field::new("mx.example.org", true);
        let finding = Finding::new("spf", "pass").with_property("smtp.mailfrom", "\u{fc}@b\u{fc}");
        field.add(&finding, None, &[]);
        assert!(field.finish().ends_with("smtp.mailfrom=\u{fc}@b\u{fc}"));
    }

    #[test]
    fn a_reason_stays_a_comment() {
        for (reason, comment) in
            [("a) header.d=b (\\", "(a\\) header.d=b \\(\\\\)"), ("\r\nX: y", "(X: y)"), (" ", "")]
        {
            let finding =
                Finding { reason: Some(reason.to_owned()), ..Finding::new("spf", "none") };
            let space = if comment.is_empty() { "" } else { " " };
            let expected = format!("mx.example.org;\r\n    spf=none{space}{comment}");
            assert_eq!(written(&[finding]), expected);
        }
        let finding = Finding { reason: Some("word ".repeat(1000)), ..Finding::new("spf", "none") };
        let text = written(&[finding]);
        assert!(text.len() < 300 && text.ends_with("word)"), "{text}");
        let finding = Finding { reason: Some("(".repeat(5000)), ..Finding::new("spf", "none") };
        assert!(written(&[finding]).lines().all(|line| line.len() < 998));
    }
}
