use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::Signature;

use super::*;

#[test]
fn a_policy_is_looked_for_upwards() {
    let names = ["_dmarc.a.example.org.", "_dmarc.example.org.", "_dmarc.org."];
    assert_eq!(walk("a.example.org"), names);
    assert_eq!(walk("org"), [] as [&str; 0]);
    let deep = walk("a.b.c.d.e.f.g.h.i.j.example.org");
    assert_eq!(deep.len(), 8);
    assert_eq!(deep[1], "_dmarc.f.g.h.i.j.example.org.");
}

#[test]
fn only_domains_that_may_align_are_looked_at() {
    assert!(may_align("news.example.ORG", "example.org"));
    assert!(!may_align("example.net", "example.org"));
}

#[test]
fn a_signature_that_covers_very_many_fields_takes_no_time_to_speak_of() {
    let names: String = (0..50_000).map(|number| format!("{number:x}:")).collect();
    let header = format!(
        "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=s; h={names}from;\r\n \
         bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\nFrom: a@example.org\r\n\r\n"
    );
    let received = received(header);
    let message = parse(&received).expect("a message");
    assert_eq!(message.dkim_headers.len(), 0);
    let findings: Vec<_> = unreadable(&message).collect();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].outcome, Outcome::Neutral);
    let reason = findings[0].reason.as_deref();
    assert_eq!(reason, Some("the signature covers too many fields"));
}

#[test]
fn a_signature_with_sha_1_counts_for_no_policy() {
    let signature = |a| Signature { a, ..Signature::default() };
    let (old, new) = (signature(Algorithm::RsaSha1), signature(Algorithm::RsaSha256));
    let all = [&old, &new].map(|signature| DkimOutput::pass().with_signature(signature));
    assert_eq!(outcome::strong(&all), all[1..]);
}

fn received(header: String) -> Received {
    let header = crate::message::HeaderSection::parse(header.into_bytes());
    let body = crate::message::Content::from_bytes(Vec::new());
    Received { header: Arc::new(header), body, sender: Arc::default() }
}

#[test]
fn a_small_message_that_takes_long_to_verify_is_verified_on_another_thread() {
    let signature = |names: &str| {
        format!(
            "DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s; h={names}from; \
             bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
        )
    };
    let names: String = (100..350).map(|number| format!("{number:x}:")).collect();
    let (honest, many) = (signature("to:subject:date:message-id:"), signature(&names));
    let fields = "aa:\r\n".repeat(1000);
    for (signatures, fields, soon) in [
        (String::new(), "", true),
        (honest.repeat(3), "", true),
        (honest.repeat(3), &*fields, true),
        // All by one key.
        (honest.repeat(10), "", false),
        (many.clone(), &fields, false),
        (many.repeat(7), "", false),
    ] {
        let message = received(format!("{signatures}From: a@example.org\r\n{fields}\r\n"));
        assert!(message.is_small());
        let wanted = Wanted::read(&message).expect("a message");
        assert_eq!(wanted.is_soon_verified, soon, "{}", &signatures[..signatures.len().min(200)]);
        assert!(wanted.keys.len() <= 1);
    }
}
