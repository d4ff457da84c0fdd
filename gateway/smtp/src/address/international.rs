//! Addresses beyond ASCII (RFC 6531 section 3.3).

use std::borrow::Cow;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// Whether a domain with labels beyond ASCII is one: these are U-labels (RFC 5890 section 2.3.2.1),
/// but for capitals.
///
/// What IDNA would map to something else than lower case is refused: nobody shall wonder which
/// domain a full-width letter stands for, or how many labels an ideographic full stop makes.
pub(super) fn is_domain(text: &str) -> bool {
    let uts46 = Uts46::new();
    let (mapped, result) = uts46.to_unicode(text.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow);
    let mut labels = mapped.split('.');
    let as_written = text.split('.').all(|label| {
        let lower = label.chars().flat_map(char::to_lowercase);
        labels.next().is_some_and(|mapped| label.is_ascii() || mapped.chars().eq(lower))
    });
    result.is_ok()
        && as_written
        && labels.next().is_none()
        && text.chars().all(is_safe)
        && to_ascii(text, DnsLength::Verify).is_some()
}

/// A domain for comparisons: lower case, labels beyond ASCII as DNS has them. Nothing, if there is no
/// such form.
#[must_use]
pub fn domain_to_ascii(domain: &str) -> Option<Cow<'_, str>> {
    if !domain.is_ascii() {
        return to_ascii(domain, DnsLength::Verify);
    }
    let is_lower = !domain.bytes().any(|octet| octet.is_ascii_uppercase());
    Some(if is_lower { domain.into() } else { domain.to_ascii_lowercase().into() })
}

fn to_ascii(domain: &str, length: DnsLength) -> Option<Cow<'_, str>> {
    let uts46 = Uts46::new();
    uts46.to_ascii(domain.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow, length).ok()
}

/// Whether a character beyond ASCII can stand in a line of a log, a header or a terminal without
/// ending it, hiding in it or turning it round: no control, no white space, nothing that changes
/// the direction of what follows, and nothing that two addresses can differ in unseen. The joiners
/// U+200C and U+200D are letters to those who write Persian or Hindi.
pub(crate) fn is_safe(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => false,
        _ => !c.is_control() && !c.is_whitespace(),
    }
}
