use super::*;
use Grammar::{Lenient, Strict};

/// Address, and whether the lenient and the strict grammar take it.
const MAILBOXES: &[(&str, bool, bool)] = &[
    // Dot-strings.
    ("alice@example.org", true, true),
    ("alice.b.c@example.org", true, true),
    ("alice+tag/x=y@example.org", true, true),
    ("!#$%&'*+-/=?^_`{|}~@example.org", true, true),
    ("1@example.org", true, true),
    ("SRS0=HHH=TT=example.net=bob@example.org", true, true),
    ("a..b@example.org", true, false),
    (".a@example.org", true, false),
    ("a.@example.org", true, false),
    (".@example.org", true, false),
    ("alice", false, false),
    ("@example.org", false, false),
    ("a b@example.org", false, false),
    ("a@b@example.org", false, false),
    ("a:b@example.org", false, false),
    ("a;b@example.org", false, false),
    ("a,b@example.org", false, false),
    ("a<b@example.org", false, false),
    ("a>b@example.org", false, false),
    ("a(b)@example.org", false, false),
    ("a[b]@example.org", false, false),
    ("a\\b@example.org", false, false),
    ("al\u{1}ice@example.org", false, false),
    ("al\tice@example.org", false, false),
    ("al\u{7f}ice@example.org", false, false),
    ("alice\r@example.org", false, false),
    ("alice\n@example.org", false, false),
    ("alice\0@example.org", false, false),
    // Quoted strings.
    ("\"alice b\"@example.org", true, true),
    ("\"a>\\\"@<b\"@example.org", true, true),
    ("\"\"@example.org", true, true),
    ("\" \"@example.org", true, true),
    ("\"a\\\\b\"@example.org", true, true),
    ("\"a\\b\"@example.org", true, true),
    ("\"a@b\"@example.org", true, true),
    ("a\"b\"@example.org", false, false),
    ("\"a\"b@example.org", false, false),
    ("\"a\".\"b\"@example.org", false, false),
    ("\"a@example.org", false, false),
    ("a\"@example.org", false, false),
    ("\"a\"b\"@example.org", false, false),
    ("\"a\\\"@example.org", false, false),
    ("\"a\tb\"@example.org", false, false),
    ("\"a\\\tb\"@example.org", false, false),
    ("\"a\r\nb\"@example.org", false, false),
    // Domains.
    ("alice@a", true, true),
    ("alice@1.2.3.4", true, true),
    ("alice@a-b.example", true, true),
    ("alice@xn--bcher-kva.example", true, true),
    ("alice@EXAMPLE.org", true, true),
    ("alice@under_score.example", true, false),
    ("alice@-x.example", true, false),
    ("alice@x-.example", true, false),
    ("alice@", false, false),
    ("alice@example.org.", false, false),
    ("alice@.example.org", false, false),
    ("alice@example..org", false, false),
    ("alice@exa mple.org", false, false),
    ("alice@exa!mple.org", false, false),
    ("alice@example.org\r\nQUIT", false, false),
    ("alice@<example.org>", false, false),
    ("alice@example.org>", false, false),
    // Address literals.
    ("alice@[192.0.2.1]", true, true),
    ("alice@[IPv6:2001:db8::1]", true, true),
    ("alice@[ipv6:::1]", true, true),
    ("alice@[IPv6:::ffff:192.0.2.1]", true, true),
    ("alice@[192.0.2.256]", false, false),
    ("alice@[192.0.2]", false, false),
    ("alice@[192.0.2.1.5]", false, false),
    ("alice@[2001:db8::1]", false, false),
    ("alice@[IPv6:2001:db8::1::2]", false, false),
    ("alice@[IPv6:fe80::1%eth0]", false, false),
    ("alice@[mailto:x]", false, false),
    ("alice@[X400:c=de]", false, false),
    ("alice@[]", false, false),
    ("alice@[ 192.0.2.1 ]", false, false),
    ("alice@[192.0.2.1", false, false),
    ("alice@192.0.2.1]", false, false),
    ("alice@[192.0.2.1].example", false, false),
    // The one without a domain.
    ("postMaster", true, true),
    ("postmaster@example.org", true, true),
    ("postmaster2", false, false),
    // Beyond ASCII.
    ("j\u{f6}rg@example.org", true, true),
    ("alice@b\u{fc}cher.example", true, true),
    ("j\u{f6}rg@B\u{dc}CHER.example", true, true),
    ("\u{7528}\u{6237}@\u{4f8b}\u{5b50}.\u{5e7f}\u{544a}", true, true),
    ("\u{1f600}@example.org", true, true),
    ("\"j\u{f6} rg\"@example.org", true, true),
    ("a\u{94d}\u{200d}b@example.org", true, true),
    ("alice@xn--bcher-kva.b\u{fc}cher.example", true, true),
    ("alice@under_score.b\u{fc}cher.example", true, false),
    ("alice@-b\u{fc}cher.example", true, false),
    ("alice@b\u{fc}cher>.example", false, false),
    ("alice@b\u{fc}cher <x>.example", false, false),
    ("alice@b\u{fc}cher@x.example", false, false),
    ("alice@\u{fc}/x.example", false, false),
    ("\"\\\u{f6}\"@example.org", false, false),
    ("j\u{f6}..rg@example.org", true, false),
    ("a\u{85}b@example.org", false, false),
    ("a\u{9b}b@example.org", false, false),
    ("a\u{a0}b@example.org", false, false),
    ("a\u{2028}b@example.org", false, false),
    ("a\u{2029}b@example.org", false, false),
    ("a\u{3000}b@example.org", false, false),
    ("a\u{202e}b@example.org", false, false),
    ("a\u{2066}b@example.org", false, false),
    ("a\u{200f}b@example.org", false, false),
    ("a\u{61c}b@example.org", false, false),
    ("\u{feff}a@example.org", false, false),
    ("a\u{200b}b@example.org", false, false),
    ("a\u{ad}b@example.org", false, false),
    ("a\u{2060}b@example.org", false, false),
    ("a\u{e0041}b@example.org", false, false),
    ("\u{645}\u{6cc}\u{200c}\u{62e}@example.org", true, true),
    ("\"\u{202e}\"@example.org", false, false),
    ("alice@\u{ff45}xample.org", false, false),
    ("alice@example\u{3002}org", false, false),
    ("alice@b\u{75}\u{308}cher.example", false, false),
    ("alice@a\u{2044}b.example", true, true),
    ("alice@\u{ff20}.example", false, false),
    ("alice@\u{fe0f}.example", false, false),
    ("alice@\u{fc}\u{5d0}.example", false, false),
    ("\u{ff20}example.org", false, false),
];

#[test]
fn mailboxes_of_both_grammars() {
    for (text, lenient, strict) in MAILBOXES {
        assert_eq!(Mailbox::read(text, Lenient).is_some(), *lenient, "lenient {text:?}");
        assert_eq!(Mailbox::read(text, Strict).is_some(), *strict, "strict {text:?}");
    }
}

#[test]
fn the_parts_of_a_mailbox() {
    let mailbox = Mailbox::parse("\"a@b\"@Example.org").expect("valid");
    assert_eq!((mailbox.local_part(), mailbox.domain()), ("\"a@b\"", Some("Example.org")));
    let postmaster = Mailbox::parse("Postmaster").expect("valid");
    assert_eq!((postmaster.local_part(), postmaster.domain()), ("Postmaster", None));
}

#[test]
fn domains_are_compared_as_dns_has_them() {
    for (address, domain) in [
        ("a@Example.ORG", Some("example.org")),
        ("a@B\u{fc}cher.Example", Some("xn--bcher-kva.example")),
        ("a@b\u{fc}cher.example", Some("xn--bcher-kva.example")),
        ("a@XN--bcher-KVA.example", Some("xn--bcher-kva.example")),
        ("a@stra\u{df}e.example", Some("xn--strae-oqa.example")),
        ("a@[IPv6:::1]", Some("[ipv6:::1]")),
        ("postmaster", None),
    ] {
        let mailbox = Mailbox::parse(address).expect(address);
        assert_eq!(mailbox.ascii_domain().as_deref(), domain, "{address}");
    }
}

#[test]
fn lengths() {
    let local = |n| format!("{}@example.org", "a".repeat(n));
    assert!(Mailbox::read(&local(64), Strict).is_some());
    assert!(Mailbox::read(&local(65), Strict).is_none());
    assert!(Mailbox::read(&local(255), Lenient).is_some());
    assert!(Mailbox::read(&local(256), Lenient).is_none());
    let domain = |n: usize| format!("a@{}{}", "a.".repeat(n / 2), "b".repeat(n % 2));
    assert!(Mailbox::parse(&domain(255)).is_some());
    assert!(Mailbox::parse(&domain(257)).is_none());
    assert!(Mailbox::parse(&format!("a@{}.example", "x".repeat(64))).is_none());
    // As DNS has it, this label is longer.
    assert!(Mailbox::parse(&format!("a@{}.example", "\u{fc}".repeat(63))).is_none());
    let path = |n: usize| format!("<{}@{}b>", "a".repeat(64), "a.".repeat((n - 68) / 2));
    assert_eq!(path(256).len(), 256);
    assert!(split_path(&path(256), Strict).is_some());
    assert!(split_path(&path(258), Strict).is_none());
    assert!(split_path(&path(258), Lenient).is_some());
}

#[test]
fn paths_and_what_follows_them() {
    for (text, lenient, strict) in [
        ("<>", Some(("", "")), Some(("", ""))),
        ("<a@b.example>", Some(("a@b.example", "")), Some(("a@b.example", ""))),
        (
            "<a@b.example> SIZE=1",
            Some(("a@b.example", " SIZE=1")),
            Some(("a@b.example", " SIZE=1")),
        ),
        (
            "<@r.example,@s.example:a@b.example>",
            Some(("a@b.example", "")),
            Some(("a@b.example", "")),
        ),
        ("<@[192.0.2.1]:a@b.example>", Some(("a@b.example", "")), Some(("a@b.example", ""))),
        ("<\"a>b\"@c.example>", Some(("\"a>b\"@c.example", "")), Some(("\"a>b\"@c.example", ""))),
        (
            "<j\u{f6}rg@b.example>",
            Some(("j\u{f6}rg@b.example", "")),
            Some(("j\u{f6}rg@b.example", "")),
        ),
        ("  <a@b.example>", Some(("a@b.example", "")), None),
        (" a@b.example SIZE=1", Some(("a@b.example", " SIZE=1")), None),
        ("a@b.example", Some(("a@b.example", "")), None),
        ("\"a b\"@c.example X=1", Some(("\"a b\"@c.example", " X=1")), None),
        ("< a@b.example >", Some(("a@b.example", "")), Some((" a@b.example ", ""))),
        ("< >", Some(("", "")), Some((" ", ""))),
        ("<@under_score.example:a@b.example>", Some(("a@b.example", "")), None),
        ("", None, None),
        (" ", None, None),
        ("<", None, None),
        ("<a@b.example", None, None),
        ("<a@b.example>SIZE=1", None, None),
        ("<a@b.example>>", None, None),
        ("<\"a@b.example>", None, None),
        ("<@r.example>", None, None),
        ("<@r.example:>", None, None),
        ("<@:a@b.example>", None, None),
        ("<@r.example,s.example:a@b.example>", None, None),
        ("<@r.example,:a@b.example>", None, None),
        ("<@r\u{202e}.example:a@b.example>", None, None),
    ] {
        assert_eq!(split_path(text, Lenient), lenient, "lenient {text:?}");
        assert_eq!(split_path(text, Strict), strict, "strict {text:?}");
    }
}

#[test]
fn names_in_ehlo() {
    for (name, lenient, strict) in [
        ("client.example", true, true),
        ("[192.0.2.1]", true, true),
        ("my pc", true, false),
        ("under_score", true, false),
        ("b\u{fc}cher.example", false, false),
        ("", false, false),
        ("a\u{1}b", false, false),
    ] {
        assert_eq!(Domain::parse(name, Lenient).is_some(), lenient, "{name:?}");
        assert_eq!(Domain::parse(name, Strict).is_some(), strict, "{name:?}");
    }
}

#[test]
fn local_parts_are_compared_without_quotes_and_capitals() {
    for (address, folded) in [
        ("alice@a.example", "alice"),
        ("Alice@a.example", "alice"),
        ("\"Alice\"@a.example", "alice"),
        ("\"a \\\"B\\\" c\"@a.example", "a \"b\" c"),
        ("\"a@b\"@a.example", "a@b"),
        ("B\u{dc}cher@a.example", "b\u{fc}cher"),
        ("Postmaster", "postmaster"),
    ] {
        let mailbox = Mailbox::parse(address).unwrap_or_else(|| panic!("{address}"));
        assert_eq!(mailbox.folded_local_part(), folded, "{address}");
    }
}
