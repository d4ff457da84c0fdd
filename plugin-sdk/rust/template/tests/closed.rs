use closed::Closed;
use portcullis_plugin::testing::configure;
use portcullis_plugin::{Recipient, Verdict};
use serde_json::json;

#[test]
fn closed_domains_are_refused() {
    let closed: Closed = configure(&json!({ "domains": ["closed.example"] })).unwrap();
    for (address, verdict) in [
        ("a@Closed.example", Verdict::reject(550, "5.7.1", "closed for good")),
        ("a@open.example", Verdict::Next),
    ] {
        assert_eq!(closed.rcpt(&Recipient::fake(address)), verdict, "{address}");
    }
}

#[test]
fn misspelt_settings_are_found() {
    let mistake = configure::<Closed>(&json!({ "domain": [] })).unwrap_err();
    assert_eq!(mistake, "domain: unknown field `domain`, expected `domains`");
}
