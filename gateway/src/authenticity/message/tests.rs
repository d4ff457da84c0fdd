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
    let header = crate::message::HeaderSection::parse(header.into_bytes());
    let body = crate::message::Content::from_bytes(Vec::new());
    let received = Received { header: Arc::new(header), body, sender: Arc::default() };
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
