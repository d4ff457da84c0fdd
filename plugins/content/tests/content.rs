//! The plugin as operators configure it and messages meet it.

use content::Content;
use portcullis_plugin::testing::{Edit, Grant, configure, settings_in, subscribed};
use portcullis_plugin::{Hook, Message, Plugin, Question, Session, Transaction, Verdict};

fn content(yaml: &str) -> Result<Content, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

const GOOD: &str = "From: a@example.org
Date: Sun, 22 Nov 2026 19:00:00 +0000
Message-ID: <a@example.org>
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=x
";

fn mail(kind: &str, name: &str, content: &[u8]) -> Message {
    let name = Some(name).filter(|name| !name.is_empty());
    Message::fake(format!("{GOOD}\n")).with_part(kind, name, content)
}

fn ask(plugin: &mut Content, transaction: &Transaction, message: &Message) -> Verdict {
    plugin.ask(Question::Message(&Session::fake(), transaction, message))
}

/// What the defaults say: the refusal's text, or the symbols.
fn told(message: &Message) -> String {
    let transaction = Transaction::fake().with_recipient("b@example.com");
    match ask(&mut content("{}").expect("settings"), &transaction, message) {
        Verdict::Reject(reply) => {
            assert_eq!((reply.code, reply.status), (550, Some((5, 7, 1))));
            reply.text
        }
        Verdict::Next => {
            let scores = transaction.scores();
            let symbols: Vec<_> = scores.iter().map(|(symbol, _)| symbol.as_str()).collect();
            symbols.join(" ")
        }
        other => panic!("{other:?}"),
    }
}

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!("samples/", $name)).as_slice()
    };
}

const OCTETS: &str = "application/octet-stream";

#[test]
fn programs_and_scripts_are_refused_whatever_they_are_called() {
    let mut pe = vec![0; 0x90];
    pe[..2].copy_from_slice(b"MZ");
    (pe[0x3c], pe[0x80], pe[0x81]) = (0x80, b'P', b'E');
    for (name, octets, text) in [
        ("a.exe", b"".as_slice(), "the attachment \"a.exe\" is a program"),
        ("a.txt", &pe, "the attachment \"a.txt\" is a program"),
        ("", &pe, "an attachment is a program"),
        ("a", b"\x7fELF\x02\x01\x01\0", "the attachment \"a\" is a program"),
        ("a.pdf.scr", b"", "the attachment \"a.pdf.scr\" is a program"),
        ("e\u{301}\"\u{202e}fdp.exe", b"", "the attachment \"e???fdp.exe\" is a program"),
        ("a.js", b"x()", "the attachment \"a.js\" is a script"),
        ("a.lnk", b"L\0\0\0\x01\x14\x02\0", "the attachment \"a.lnk\" is a program"),
        (
            "a.zip",
            sample!("program.zip"),
            "the attachment \"a.zip: folder/Setup.EXE\" holds a program",
        ),
        ("a.zip", sample!("two.zip"), "the attachment \"a.zip: folder/Setup.EXE\" holds a program"),
        (
            "a.zip",
            sample!("lying.zip"),
            "the attachment \"a.zip: folder/Setup.EXE\" holds a program",
        ),
        ("a.zip", sample!("cut.zip"), "the attachment \"a.zip: folder/Setup.EXE\" holds a program"),
        ("a.7z", sample!("plain.7z"), "the attachment \"a.7z: Setup.exe\" holds a program"),
        ("x.gz", sample!("named.gz"), "the attachment \"x.gz: setup.exe\" holds a program"),
        (
            "a.exe.gz",
            b"\x1f\x8b\x08\0\0\0\0\0\0\0",
            "the attachment \"a.exe.gz: a.exe\" holds a program",
        ),
    ] {
        assert_eq!(told(&mail(OCTETS, name, octets)), text, "{name}");
    }
    let tar = told(&mail(OCTETS, "a.tar", sample!("gnu.tar")));
    assert!(tar.ends_with("setup.exe\" holds a program"), "{tar}");
}

#[test]
fn what_is_suspicious_gets_points() {
    let smuggling = b"<html><script>var b=new Blob([atob('TVqQ')]);URL.createObjectURL(b)</script>";
    let svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='x()'/>";
    for (kind, name, octets, symbols) in [
        (OCTETS, "a.docm", sample!("macros.docm"), "OFFICE_MACROS"),
        (OCTETS, "a.xlsm", sample!("excel4.xlsm"), "OFFICE_MACROS"),
        (OCTETS, "a.docx", sample!("encrypted.docx"), "ENCRYPTED_DOCUMENT"),
        (OCTETS, "a.doc", sample!("embedded.doc"), "OFFICE_EMBEDDED_FILE"),
        (OCTETS, "a.zip", sample!("encrypted.zip"), "ENCRYPTED_ARCHIVE"),
        (OCTETS, "a.zip", sample!("nested.zip"), "NESTED_ARCHIVE"),
        (OCTETS, "a.zip", sample!("script.zip"), "SCRIPT_IN_ARCHIVE"),
        (OCTETS, "a.zip", sample!("bomb.zip"), "ARCHIVE_BOMB"),
        (OCTETS, "a.rar", sample!("rar5-encrypted.rar"), "ENCRYPTED_ARCHIVE"),
        (OCTETS, "a.rar", sample!("rar4-hidden.rar"), "ENCRYPTED_ARCHIVE UNLISTED_ARCHIVE"),
        (OCTETS, "a.iso", b"", "RISKY_ATTACHMENT"),
        ("image/jpeg", "photo.jpg", sample!("plain.zip"), "TYPE_MISMATCH"),
        ("application/pdf", "a.pdf", b"<html><p>", "TYPE_MISMATCH"),
        ("application/pdf", "a.pdf", b"%PDF-1.4\n<< /S /Launch >>", "ACTIVE_PDF"),
        ("text/html", "a.html", smuggling, "HTML_SMUGGLING"),
        ("text/html", "a.html", b"<html><script>x()</script>", "SCRIPTED_HTML"),
        ("image/svg+xml", "a.svg", svg, "ACTIVE_SVG"),
        ("text/plain", "a\u{202e}cod.txt", b"text", "DISGUISED_NAME"),
        ("multipart/mixed", "", b"", "BROKEN_MIME"),
    ] {
        assert_eq!(told(&mail(kind, name, octets)), symbols, "{name}");
    }
}

#[test]
fn ordinary_mail_is_let_be() {
    for (kind, name, octets) in [
        ("text/plain", "", b"MZ and #! are no programs in a text".as_slice()),
        ("text/html", "", b"<html><script>x()</script>"),
        ("text/html", "a.html", b"<html><p>hello"),
        ("application/pdf", "a.pdf", b"%PDF-1.4\n"),
        ("image/png", "a.png", b"\x89PNG\r\n\x1a\n"),
        ("image/jpeg", "a.png", b"\xff\xd8\xff\xe0"),
        ("image/svg+xml", "a.svg", b"<svg xmlns='x'/>"),
        (OCTETS, "a.zip", sample!("plain.zip")),
        (OCTETS, "a.zip", sample!("many.zip")),
        (OCTETS, "a.docx", sample!("clean.docx")),
        ("application/msword", "a.doc", sample!("clean.doc")),
        ("application/msword", "a.doc", b"{\\rtf1 x}"),
        (OCTETS, "a.rar", sample!("rar5.rar")),
        (OCTETS, "google.com!example.org!1!2.xml.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\0"),
        ("text/x-diff", "0001-fix.patch", b"diff --git a/x.js b/x.js"),
        ("text/plain", "example.com", b"a zone"),
        ("application/pgp-signature", "signature.asc", b"-----BEGIN PGP SIGNATURE-----"),
        ("message/rfc822", "Fwd: setup.exe", b"From: a"),
        (OCTETS, "build.sh", b"#!/bin/sh\n"),
    ] {
        assert_eq!(told(&mail(kind, name, octets)), "", "{name}");
    }
}

#[test]
fn header_sections_get_points_good_and_bad() {
    for (section, symbols) in [
        ("From: a@b\n", "MISSING_DATE MISSING_MID"),
        (&format!("{GOOD}From: c@d\n"), "MANY_FROM"),
        (&format!("{GOOD}Subject: \u{e9}\n"), "RAW_OCTETS_IN_HEADER"),
        (&format!("{GOOD}List-Unsubscribe: <https://a>\n"), "LIST_UNSUBSCRIBE"),
    ] {
        assert_eq!(told(&Message::fake(format!("{section}\nx"))), symbols);
    }
    let transaction = Transaction::fake().with_parameter("SMTPUTF8", None);
    let message = Message::fake(format!("{GOOD}Subject: \u{e9}\n\nx"));
    assert_eq!(ask(&mut content("{}").unwrap(), &transaction, &message), Verdict::Next);
    assert_eq!(transaction.scores(), []);
}

#[test]
fn who_has_logged_in_is_exempt_unless_the_settings_say_other() {
    let message = mail(OCTETS, "a.exe", b"");
    let (session, transaction) = (Session::fake().with_user("ann"), Transaction::fake());
    for (yaml, next) in [("{}", true), ("exempt: {authenticated: false}", false)] {
        let verdict =
            content(yaml).unwrap().ask(Question::Message(&session, &transaction, &message));
        assert_eq!(verdict == Verdict::Next, next, "{yaml}");
    }
}

/// What the README shows is what works.
fn example() -> Content {
    content(settings_in(include_str!("../README.md"))).expect("the README's settings are right")
}

#[test]
fn the_example_of_the_readme_does_what_it_says() {
    let to = |address: &str| Transaction::fake().with_recipient(address);
    let reject = Verdict::reject(550, "5.7.1", "no spreadsheets with macros here");
    let xlsm = || mail(OCTETS, "sums.xlsm", sample!("excel4.xlsm"));
    assert_eq!(ask(&mut example(), &to("b@finance.example.org"), &xlsm()), reject);
    assert_eq!(ask(&mut example(), &to("b@example.org"), &xlsm()), Verdict::Next);
    let both = to("a@example.org").with_recipient("b@finance.example.org");
    assert_eq!(ask(&mut example(), &both, &xlsm()), Verdict::Next);
    assert!(matches!(&both.edits()[..], [Edit::RefuseRecipient(1, _)]));
    let report = mail(OCTETS, "report-2026.exe", b"");
    assert_eq!(
        ask(&mut example(), &to("b@example.org").with_sender("x@partner.example"), &report),
        Verdict::Next
    );
    assert!(matches!(ask(&mut example(), &to("b@example.org"), &report), Verdict::Reject(_)));
    let help = ask(&mut example(), &to("b@example.org"), &mail(OCTETS, "a.vbs", b""));
    let text = "the attachment \"a.vbs\" is a program, see https://www.example.org/attachments";
    assert_eq!(help, Verdict::reject(550, "5.7.1", text));
    let iso = mail(OCTETS, "a.iso", b"");
    let quarantine = Verdict::quarantine("disk image");
    assert_eq!(ask(&mut example(), &to("b@example.org"), &iso), quarantine);
}

#[test]
fn tags_are_ours_alone() {
    let mut plugin = content("checks: {macros: tag, missing_date: tag}").unwrap();
    let head = GOOD.replace("Date", "X-Attachment-Policy");
    let message = Message::fake(format!("{head}\n"))
        .with_part(OCTETS, Some("a.docm"), sample!("macros.docm"))
        .with_grant(Grant::RewriteHeaders);
    assert_eq!(ask(&mut plugin, &Transaction::fake(), &message), Verdict::Next);
    let edited = message.edited_text();
    let tags: Vec<_> =
        edited.lines().filter_map(|line| line.strip_prefix("X-Attachment-Policy: ")).collect();
    let macros = "the attachment \"a.docm\" is a document with macros";
    assert_eq!(tags, ["the message has no Date", macros]);
    let many = Message::fake("X-Attachment-Policy: x\n".repeat(2_000) + "\n");
    let refused = Verdict::reject(554, "5.6.0", "too many fields that are ours to give");
    let many = many.with_grant(Grant::RewriteHeaders);
    assert_eq!(ask(&mut plugin, &Transaction::fake(), &many), refused);
}

#[test]
fn sizes_are_weighed_by_recipient() {
    let yaml = "sizes: [{larger_than: 1KB, recipients: [small.example]}, {larger_than: 1MiB}]";
    let mut plugin = content(yaml).unwrap();
    let message = |octets: usize| Message::fake(format!("{GOOD}\n{}", "x".repeat(octets)));
    let small = || Transaction::fake().with_recipient("a@small.example");
    let verdict = Verdict::reject(552, "5.3.4", "the message is too large for this recipient");
    assert_eq!(ask(&mut plugin, &small(), &message(2_000)), verdict);
    assert_eq!(ask(&mut plugin, &small(), &message(100)), Verdict::Next);
    let other = Transaction::fake().with_recipient("a@large.example");
    assert_eq!(ask(&mut plugin, &other, &message(2_000)), Verdict::Next);
    assert_eq!(ask(&mut plugin, &other, &message(1 << 20)), verdict);
}

#[test]
fn limits_bound_the_work() {
    let mut plugin = content("limits: {parts: 2, entries: 10, read: 64KiB}").unwrap();
    let mut message = Message::fake(format!("{GOOD}\n"));
    for _ in 0..5 {
        message = message.with_part(OCTETS, Some("a.zip"), sample!("many.zip"));
    }
    let transaction = Transaction::fake();
    assert_eq!(ask(&mut plugin, &transaction, &message), Verdict::Next);
    let symbols: Vec<_> = transaction.scores().into_iter().map(|(symbol, _)| symbol).collect();
    assert_eq!(symbols, ["TOO_MANY_PARTS", "UNLISTED_ARCHIVE"]);
}

#[test]
fn without_checks_no_hook_is_called() {
    assert_eq!(subscribed(&content("{}").unwrap()), [Hook::Message]);
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (yaml, mistake) in [
        ("check: {}", "check: unknown field `check`, expected one of"),
        ("notice: gone", "notice: unknown field `notice`, expected one of"),
        (
            "checks: {programs: refuse}",
            "checks: unknown check `programs`, expected one of program, script",
        ),
        ("checks: {program: perhaps}", "checks.program: an action is a number of points"),
        ("checks: {program: {refuse: 250 ok}}", "checks.program: an action is a number"),
        ("checks: {missing_date: strip}", "checks.missing_date: is about the message"),
        ("rules: [{refuse: 550 no}]", "rules[0]: a rule has at least one of `name`"),
        ("rules: [{name: a}]", "rules[0]: a rule has `allow: true`, or one of"),
        ("rules: [{name: a, allow: true, score: 1}]", "rules[0]: a rule has `allow: true`"),
        ("rules: [{name: a, score: 1, symbol: a b}]", "rules[0]: symbol: up to 64"),
        ("rules: [{kind: [elf], score: 1}]", "rules[0].kind: not a value that is known"),
        ("sizes: [{larger_than: 1 megabyte}]", "sizes[0].larger_than: a size is"),
        ("help: a b", "help: an address of a page"),
        ("tag_header: 'A:'", "tag_header: `A:` is not the name of a header"),
    ] {
        let told = content(yaml).unwrap_err();
        assert!(told.starts_with(mistake), "{told}");
    }
}
