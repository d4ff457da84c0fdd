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
