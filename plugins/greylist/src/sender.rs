//! What stays the same of a reverse-path that changes with each message.

use std::borrow::Cow;

use portcullis_plugin::split_address;

/// The reverse-path without what its sender writes anew each time: tags of BATV, time and hash of
/// SRS, the extension behind a plus, numbers and hexadecimal words.
pub(crate) fn lasting(sender: &str) -> String {
    let sender = sender.to_ascii_lowercase();
    let (local_part, domain) = split_address(&sender);
    let mut lasting = String::with_capacity(sender.len());
    lasting.push_str(&without_numbers(before_plus(&untagged(local_part))));
    lasting.push('@');
    lasting.push_str(domain.unwrap_or_default());
    lasting
}

/// BATV (draft-levine-smtp-batv: `prvs=tag=local`, and what others make of it) and SRS.
fn untagged(local_part: &str) -> Cow<'_, str> {
    for scheme in ["prvs=", "msprvs1=", "btv1=="] {
        let tagged = local_part.strip_prefix(scheme).and_then(|rest| rest.split_once('='));
        if let Some((_, core)) = tagged {
            return core.trim_start_matches('=').into();
        }
    }
    srs(local_part).map_or(Cow::Borrowed(local_part), Cow::Owned)
}

/// `srs0=HASH=TIME=domain=local`, `srs1=HASH=forwarder==HASH=TIME=domain=local`.
fn srs(local_part: &str) -> Option<String> {
    let (scheme, rest) = local_part.split_at_checked(4)?;
    let rest = rest.strip_prefix(['=', '+', '-'])?;
    let (forwarder, rest) = match scheme {
        "srs0" => ("", rest),
        "srs1" => {
            let (forwarder, rest) = rest.split_once("==")?;
            (forwarder.split_once('=')?.1, rest)
        }
        _ => return None,
    };
    let mut parts = rest.splitn(4, '=').skip(2);
    let (domain, local) = (parts.next()?, parts.next()?);
    Some(format!("srs={forwarder}={domain}={local}"))
}

fn before_plus(local_part: &str) -> &str {
    match local_part.split_once('+') {
        Some((before, _)) if !before.is_empty() => before,
        _ => local_part,
    }
}

fn without_numbers(local_part: &str) -> String {
    let mut lasting = String::with_capacity(local_part.len());
    let mut rest = local_part;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        lasting.push_str(if changes(word) { "#" } else { word });
        let separator = behind.chars().next().map_or(0, char::len_utf8);
        lasting.push_str(&behind[..separator]);
        rest = &behind[separator..];
    }
    lasting
}

/// Numbers, and what is written with hexadecimal digits alone. Some names and words are, too: they
/// fall together with others, which does not matter where network and recipient are the same.
fn changes(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit())
        || (word.len() >= 4 && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_from_mail_to_mail_is_left_out() {
        for (sender, expected) in [
            ("Ann@Example.org", "ann@example.org"),
            ("ann+shop@example.org", "ann@example.org"),
            ("+ann@example.org", "+ann@example.org"),
            ("list-bounces-4711@example.org", "list-bounces-#@example.org"),
            ("prvs=0123abcdef=ann@example.org", "ann@example.org"),
            ("msprvs1=17804QJb-x=bounces-12@example.org", "bounces-#@example.org"),
            ("btv1==07819cc5f85==ann@example.org", "ann@example.org"),
            ("SRS0=HHH=TT=a.example=ann@fwd.example", "srs==a.example=ann@fwd.example"),
            ("SRS0+h=t=a.example=ann+x@fwd.example", "srs==a.example=ann@fwd.example"),
            (
                "SRS1=hh=b.example==H=T=a.example=ann@fwd.example",
                "srs=b.example=a.example=ann@fwd.example",
            ),
            (
                "0100018c3f2b77aa-5e0e4f2c-dead-4f1e-9f00-0c1f0a2b3c4d-000000@ses.example",
                "#-#-#-#-#-#-#@ses.example",
            ),
            (
                "bounces-joe=example.com-a1b2@lists.example",
                "bounces-joe=example.com-#@lists.example",
            ),
            ("\u{e9}t\u{e9}-7@example.org", "\u{e9}t\u{e9}-#@example.org"),
            ("postmaster", "postmaster@"),
        ] {
            assert_eq!(lasting(sender), expected, "{sender}");
        }
    }

    #[test]
    fn tags_that_are_cut_short_are_no_tags() {
        for sender in [
            "prvs=x@a.example",
            "prvs=@a.example",
            "srs0=@a.example",
            "srs0=a=b@a.example",
            "srs1=a==@a.example",
            "srs1===@a.example",
            "srs1=\u{e9}@a.example",
            "srs\u{e9}\u{e9}@a.example",
            "@",
            "",
        ] {
            assert!(!lasting(sender).is_empty(), "{sender}");
        }
    }
}
