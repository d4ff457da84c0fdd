//! What sealers that we trust found before they changed a message (RFC 8617).
//!
//! The gateway has verified the chain as a whole. That says who sealed, not who is honest: whoever
//! seals last can put old, true sets above another body. So what a set says counts only if its
//! sealer, and every sealer after it, is trusted.

use portcullis_plugin::Message;
use portcullis_plugin::mail_auth::Finding;

use crate::domain::{Domains, is_within};
use crate::results::{self, Results};

/// One seal, and what was found by who made it.
struct Set {
    sealer: String,
    /// Whether the chain was whole when it came here, or began here.
    whole: bool,
    results: Results,
}

/// The trusted sealer who saw this author's domain pass.
pub(crate) fn vouching(
    trusted: &Domains<()>,
    chain: &Finding,
    message: &Message,
    author: &str,
) -> Option<String> {
    let newest = chain.property("header.d").filter(|_| chain.outcome == "pass")?;
    let count: usize = chain.property("header.i")?.parse().ok()?;
    if trusted.find(newest).is_none() || count == 0 || count > SETS {
        return None;
    }
    let sets = sets(count, &message.header("ARC-Seal"), &message.header(RESULTS))?;
    if !sets.last()?.sealer.eq_ignore_ascii_case(newest) {
        return None;
    }
    for set in sets.iter().rev() {
        if !set.whole || trusted.find(&set.sealer).is_none() {
            return None;
        }
        if passed(&set.results, author) {
            return Some(set.sealer.clone());
        }
    }
    None
}

/// All sets from the first on. None if one is missing, there twice, or not understood.
fn sets(count: usize, seals: &[Vec<u8>], fields: &[Vec<u8>]) -> Option<Vec<Set>> {
    if seals.len() != count || fields.len() != count {
        return None;
    }
    let mut found: Vec<_> = (0..count).map(|_| None).collect();
    for field in fields {
        let (instance, results) = results::read(std::str::from_utf8(field).ok()?)?;
        let place = found.get_mut((instance? as usize).checked_sub(1)?)?;
        if place.replace((results, None)).is_some() {
            return None;
        }
    }
    for seal in seals {
        let (instance, sealer, validation) = seal_of(std::str::from_utf8(seal).ok()?)?;
        let wanted = if instance == 1 { "none" } else { "pass" };
        let (_, place) = found.get_mut(instance.checked_sub(1)?)?.as_mut()?;
        if place.replace((sealer, validation == wanted)).is_some() {
            return None;
        }
    }
    let set = |found: Option<(Results, Option<(String, bool)>)>| {
        let (results, seal) = found?;
        let (sealer, whole) = seal?;
        Some(Set { sealer, whole, results })
    };
    found.into_iter().map(set).collect()
}

/// Instance, domain and validation of a seal: a list of tags (RFC 6376 section 3.2), none twice.
fn seal_of(value: &str) -> Option<(usize, String, String)> {
    let (mut instance, mut domain, mut validation) = (None, None, None);
    for tag in value.split(';').filter(|tag| !tag.trim().is_empty()) {
        let (name, value) = tag.split_once('=')?;
        let place = match name.trim() {
            "i" => &mut instance,
            "d" => &mut domain,
            "cv" => &mut validation,
            _ => continue,
        };
        if place.replace(value.trim().to_ascii_lowercase()).is_some() {
            return None;
        }
    }
    Some((instance?.parse().ok()?, domain?, validation?))
}

/// DMARC passed for the author's domain; or, where nobody asked for that, SPF or DKIM for one that
/// is the author's or above it.
fn passed(found: &Results, author: &str) -> bool {
    let mut dmarc = found.results.iter().filter(|result| result.method == "dmarc").peekable();
    if dmarc.peek().is_some() {
        let same = |domain: &str| is_within(author, domain) && is_within(domain, author);
        return dmarc.all(|result| {
            result.outcome == "pass" && result.property("header.from").is_some_and(same)
        });
    }
    let aligned = |domain: &str| domain.contains('.') && is_within(author, domain);
    found.results.iter().any(|result| {
        let identity = if result.is("dkim", "pass") {
            result.property("header.d").or_else(|| result.property("header.i"))
        } else if result.is("spf", "pass") {
            result.property("smtp.mailfrom")
        } else {
            None
        };
        identity.is_some_and(|identity| aligned(domain_of(identity)))
    })
}

/// Of an address or a domain.
pub(crate) fn domain_of(identity: &str) -> &str {
    identity.rsplit_once('@').map_or(identity, |(_, domain)| domain)
}

const RESULTS: &str = "ARC-Authentication-Results";

/// RFC 8617 section 4.2.1.
const SETS: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Pattern;

    fn trusting(names: &[&str]) -> Domains<()> {
        let pattern = |name: &&str| (Pattern::try_from((*name).to_owned()).unwrap(), ());
        Domains::new(names.iter().map(pattern))
    }

    fn chain(count: usize, newest: &str) -> Finding {
        let finding = Finding::new("arc", "pass").with_property("header.d", newest);
        finding.with_property("header.i", &count.to_string())
    }

    /// A message with sets of sealer, validation and results.
    fn sealed(sets: &[(&str, &str, &str)]) -> Message {
        let mut text = String::new();
        for (instance, (sealer, validation, results)) in (1..).zip(sets) {
            let seal = format!(
                "ARC-Seal: i={instance}; a=rsa-sha256;\n\td={sealer}; s=x; cv={validation}; b=ab=\n"
            );
            let results =
                format!("ARC-Authentication-Results: i={instance}; mx.{sealer};\n {results}\n");
            text = seal + &results + &text;
        }
        Message::fake(text + "From: ann@example.org\n\n")
    }

    const PASS: &str = "dmarc=pass (p=reject) header.from=example.org";

    #[test]
    fn a_trusted_sealer_vouches() {
        let trusted = trusting(&["list.example", ".relay.example"]);
        for (sets, by) in [
            (&[("list.example", "none", PASS)][..], Some("list.example")),
            (&[("LIST.example", "none", PASS)], Some("list.example")),
            (&[("other.example", "none", PASS)], None),
            (&[("list.example", "none", "dmarc=fail header.from=example.org")], None),
            (&[("list.example", "none", "dmarc=pass header.from=example.net")], None),
            (&[("list.example", "none", "dmarc=pass header.from=a.example.org")], None),
            (&[("list.example", "none", "dmarc=pass")], None),
            (&[("list.example", "none", "spf=fail (; dmarc=pass header.from=example.org)")], None),
            (&[("list.example", "none", "dmarc=pass header.from=example.org; dmarc=fail")], None),
            (&[("list.example", "fail", PASS)], None),
            (
                &[("list.example", "none", PASS), ("a.relay.example", "pass", "arc=pass")],
                Some("list.example"),
            ),
            (&[("list.example", "none", PASS), ("other.example", "pass", "arc=pass")], None),
            (&[("other.example", "none", PASS), ("list.example", "pass", "arc=pass")], None),
            (
                &[("other.example", "none", "arc=none"), ("list.example", "pass", PASS)],
                Some("list.example"),
            ),
        ] {
            let newest = sets.last().unwrap().0;
            let found =
                vouching(&trusted, &chain(sets.len(), newest), &sealed(sets), "Example.org");
            assert_eq!(found.as_deref(), by, "{sets:?}");
        }
    }

    #[test]
    fn where_nobody_asked_for_dmarc_aligned_passes_count() {
        let trusted = trusting(&["list.example"]);
        for (results, vouched) in [
            ("dkim=pass header.d=example.org", true),
            ("dkim=pass header.i=ann@example.org", true),
            ("dkim=fail header.d=example.org", false),
            ("dkim=pass header.d=evil.example", false),
            ("dkim=pass header.d=org", false),
            ("spf=pass smtp.mailfrom=\"a b\"@example.org", true),
            ("spf=pass smtp.helo=example.org", false),
            ("spf=pass smtp.mailfrom=ann@badexample.org", false),
            ("dmarc=none header.from=example.org; dkim=pass header.d=example.org", false),
        ] {
            let message = sealed(&[("list.example", "none", results)]);
            let found = vouching(&trusted, &chain(1, "list.example"), &message, "example.org");
            assert_eq!(found.is_some(), vouched, "{results}");
        }
    }

    #[test]
    fn an_odd_chain_vouches_for_nothing() {
        let trusted = trusting(&["*"]);
        let good = sealed(&[("list.example", "none", PASS)]);
        let asked = |chain: &Finding, message: &Message| {
            vouching(&trusted, chain, message, "example.org").is_some()
        };
        assert!(asked(&chain(1, "list.example"), &good));
        assert!(!asked(&chain(2, "list.example"), &good));
        assert!(!asked(&chain(0, "list.example"), &good));
        assert!(!asked(&chain(1, "other.example"), &good));
        assert!(!asked(&Finding { outcome: "fail".to_owned(), ..chain(1, "list.example") }, &good));
        for section in [
            "ARC-Seal: i=1; d=list.example; cv=none\n",
            "ARC-Seal: i=1; d=a.example; d=list.example; cv=none\nARC-Authentication-Results: i=1; a; dmarc=pass header.from=example.org\n",
            "ARC-Seal: i=2; d=list.example; cv=none\nARC-Authentication-Results: i=1; a; dmarc=pass header.from=example.org\n",
            "ARC-Seal: i=1; d=list.example; cv=none\nARC-Authentication-Results: a; dmarc=pass header.from=example.org\n",
            "ARC-Seal: i=1; d=list.example; cv=none\nARC-Authentication-Results: i=0; a; dmarc=pass header.from=example.org\n",
        ] {
            assert!(!asked(&chain(1, "list.example"), &Message::fake(section)), "{section}");
        }
    }
}
