//! Who clients are in the eyes of plugins.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use portcullis::config::{self, Grant, OnFailure};
use portcullis::message::{Edit, Forwarded, HeaderEdit, SessionFacts, TlsFacts};
use portcullis::policy::{
    AuthRuling, Case, Chain, FailureReason, Hook, HookCall, HookFailure, Link, Memory, Opinion,
};
use portcullis_smtp::sasl::{Mechanism, Secret};
use serde_json::json;

use crate::house::{House, built, call, credentials};
use crate::text::{self, Verdict};

/// A plugin whose answer lies at 1024.
fn answering(data: &str) -> Vec<u8> {
    hook(&format!("{data} {}", function("(i32.const 1024)")))
}

fn hook(code: &str) -> Vec<u8> {
    text::module(&["auth"], code)
}

/// The handle of the session, then pointers and lengths: mechanism, user, and behind their
/// discriminants the authorization (5) and the secret (8).
fn function(body: &str) -> String {
    format!("(func $auth (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) {body})")
}

/// Says that the client is whoever is called by the text at these two parameters.
fn echo(pointer: u32) -> Vec<u8> {
    let body = format!(
        "(i32.store8 (i32.const 1024) (i32.const 1))
        (i32.store (i32.const 1028) (local.get {pointer}))
        (i32.store (i32.const 1032) (local.get {}))
        (i32.const 1024)",
        pointer + 1
    );
    hook(&function(&body))
}

/// An answer is to the secret where it is shown, and to nothing else.
fn told_the_secret() -> Vec<u8> {
    let body = "(i32.store8 (i32.const 1024) (local.get 8))
        (i32.store (i32.const 1028) (local.get 9))
        (i32.store (i32.const 1032) (local.get 10))
        (i32.const 1024)";
    hook(&function(body))
}

async fn ask_with(
    house: &House,
    wasm: &[u8],
    grants: &[Grant],
    call: HookCall,
) -> Result<Opinion, HookFailure> {
    let change = |plugin: &mut config::Plugin| plugin.grants = grants.to_vec();
    let plugin = house.load_with(wasm, change).await;
    plugin.copy().call(call).await.map(|answer| answer.opinion)
}

async fn ask(house: &House, wasm: &[u8]) -> Result<Opinion, HookFailure> {
    ask_with(house, wasm, &[Grant::AuthSecret], call(Hook::Auth)).await
}

#[tokio::test]
async fn each_answer_is_heard() {
    let house = House::new();
    for (data, opinion) in [
        (String::new(), "Next"),
        (text::identity(1024, "ann@example.org"), "Authenticated(\"ann@example.org\")"),
        (text::identity(1024, &"\u{e9}".repeat(127)), "Authenticated"),
        (text::reply(1024, Verdict::Reject, 535, "no"), "Reject"),
        (text::reply(1024, Verdict::Defer, 454, "later"), "Defer"),
        (text::reply(1024, Verdict::Defer, 421, "later, and elsewhere"), "Defer"),
    ] {
        let heard = format!("{:?}", ask(&house, &answering(&data)).await.unwrap());
        assert!(heard.starts_with(opinion), "{heard}");
    }
}

#[tokio::test]
async fn answers_that_name_nobody_or_have_the_wrong_class_are_failures() {
    let house = House::new();
    for data in [
        text::identity(1024, ""),
        text::identity(1024, &"x".repeat(256)),
        text::identity(1024, "ann\r\nbob"),
        text::identity(1024, "ann\0"),
        text::identity(1024, "ann\u{85}"),
        text::reply(1024, Verdict::Reject, 454, "later"),
        text::reply(1024, Verdict::Reject, 235, "welcome"),
        text::reply(1024, Verdict::Defer, 535, "no"),
        text::reply(1024, Verdict::Defer, 334, "go on"),
    ] {
        let failure = ask(&house, &answering(&data)).await.unwrap_err();
        assert_eq!(failure.reason, FailureReason::BadAnswer, "{failure}");
    }
    // A fifth variant, as `disconnect` is the fifth of a verdict.
    let unheard_of = text::reply(1024, Verdict::Disconnect, 421, "bye");
    let failure = ask(&house, &answering(&unheard_of)).await.unwrap_err();
    assert_eq!(failure.reason, FailureReason::Trap, "{failure}");
}

#[tokio::test]
async fn a_secret_is_shown_where_it_is_granted_and_revealed() {
    let house = House::new();
    let wasm = told_the_secret();
    let mut proved = credentials();
    (proved.mechanism, proved.secret) = (Mechanism::ScramSha256, Secret::Proved);
    let mut token = credentials();
    (token.mechanism, token.secret) = (Mechanism::OauthBearer, Secret::Token("abc".into()));
    let granted = [Grant::AuthSecret];
    let identity = |text: &str| Opinion::Authenticated(text.to_owned());
    for (credentials, grants, opinion) in [
        (credentials(), &granted[..], identity("open sesame")),
        (credentials(), &[], Opinion::Next),
        (token.clone(), &granted, identity("abc")),
        (token, &[Grant::Route], Opinion::Next),
        (proved, &granted, Opinion::Next),
    ] {
        let mut call = call(Hook::Auth);
        call.credentials = Some(Arc::new(credentials));
        assert_eq!(ask_with(&house, &wasm, grants, call).await, Ok(opinion));
    }
}

#[tokio::test]
async fn nobody_vouches_for_a_secret_that_was_not_shown() {
    let house = House::new();
    let wasm = echo(3);
    let failure = ask_with(&house, &wasm, &[], call(Hook::Auth)).await.unwrap_err();
    assert_eq!(failure.reason, FailureReason::BadAnswer);
    assert_eq!(failure.detail, "authenticated without the grant auth-secret");
    let mut proved = call(Hook::Auth);
    let mut credentials = credentials();
    (credentials.mechanism, credentials.secret) = (Mechanism::CramMd5, Secret::Proved);
    proved.credentials = Some(Arc::new(credentials));
    let ann = Opinion::Authenticated("ann".to_owned());
    assert_eq!(ask_with(&house, &wasm, &[], proved).await, Ok(ann));
    let mechanism = Opinion::Authenticated("PLAIN".to_owned());
    assert_eq!(ask(&house, &echo(1)).await, Ok(mechanism), "the name on the wire");
}

#[tokio::test]
async fn each_misbehaviour_at_auth_is_the_failure_that_it_is() {
    let house = House::new();
    if let Some(wasm) = built("test-misbehave") {
        for (mode, reason) in [
            ("control-identity", FailureReason::BadAnswer),
            ("empty-identity", FailureReason::BadAnswer),
            ("long-identity", FailureReason::BadAnswer),
            ("loop", FailureReason::Timeout),
            ("trap", FailureReason::Trap),
            ("vouch", FailureReason::BadAnswer),
            ("wrong-class", FailureReason::BadAnswer),
        ] {
            let settings = json!({ "mode": mode, "when": { "hook": "auth" } });
            let plugin = house
                .load_with(&wasm, |plugin| {
                    plugin.settings = settings;
                    plugin.time_limit = Duration::from_millis(500);
                })
                .await;
            let failure = plugin.copy().call(call(Hook::Auth)).await.unwrap_err();
            assert_eq!(failure.reason, reason, "{mode}: {failure}");
        }
    }
}

fn case(session: Arc<SessionFacts>) -> Case {
    Case::new(session, 1_000)
}

#[tokio::test]
async fn a_chain_goes_on_after_a_failure_and_ends_with_who_knows() {
    let house = House::new();
    let Some(porter) = built("test-porter") else { return };
    let trap = hook(&function("unreachable"));
    let settings = json!({ "users": { "ann": "open sesame" }, "away": ["bob"] });
    let mut links = Vec::new();
    for (name, wasm, on_failure) in
        [("trap", &trap, OnFailure::Accept), ("porter", &porter, OnFailure::Tempfail)]
    {
        let plugin = house
            .load_with(wasm, |plugin| {
                plugin.name = name.to_owned();
                plugin.grants = vec![Grant::AuthSecret];
                plugin.on_failure = on_failure;
                plugin.settings = settings.clone();
            })
            .await;
        house.metrics.announce_plugin(name, &[Hook::Auth.label()]);
        links.push(Link { plugin, metrics: house.metrics.plugin(name) });
    }
    let chain = Chain::new(links, false);
    for (user, secret, ruling) in [
        ("ann", "open sesame", "Authenticated(\"ann\")"),
        ("ann", "open barley", "Refused"),
        ("bob", "x", "Unavailable"),
        ("eve", "x", "Unknown"),
    ] {
        let mut credentials = credentials();
        credentials.user = user.to_owned();
        credentials.secret = Secret::Password(secret.to_owned());
        let mut case = case(call(Hook::Auth).session);
        let heard = chain.authenticate(&mut case, &mut Memory::default(), &credentials).await;
        assert!(format!("{heard:?}").starts_with(ruling), "{heard:?}");
        assert_eq!(heard == AuthRuling::Unknown, user == "eve");
    }
    let rendered = house.metrics.render();
    for result in ["accept", "defer", "next", "reject"] {
        let labels = format!("hook=\"auth\",plugin=\"porter\",result=\"{result}\"");
        let line = format!("portcullis_plugin_calls_total{{{labels}}} 1\n");
        assert!(rendered.contains(&line), "{line}\n{rendered}");
    }
    let labels = "hook=\"auth\",plugin=\"trap\",reason=\"trap\"";
    let line = format!("portcullis_plugin_failures_total{{{labels}}} 4\n");
    assert!(rendered.contains(&line), "{rendered}");
}

#[tokio::test]
async fn a_plugin_sees_who_the_client_is_and_what_its_proxy_said() {
    let house = House::new();
    let Some(porter) = built("test-porter") else { return };
    let plugin = house
        .load_with(&porter, |plugin| {
            plugin.settings = json!({ "tell": true });
            plugin.grants = vec![Grant::RewriteHeaders];
        })
        .await;
    let mut call = call(Hook::Headers);
    let session = Arc::make_mut(&mut call.session);
    session.user = Some("ann".into());
    session.mechanism = Some("SCRAM-SHA-256".into());
    session.client_name = Some("proxied.example".into());
    session.tls = Some(TlsFacts {
        server_name: Some("mx.example".into()),
        client_subject: Some("CN=ann".into()),
        at_proxy: true,
        ..TlsFacts::default()
    });
    session.forwarded = Some(Box::new(Forwarded {
        name: Some("origin.example".into()),
        address: Some(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().into()),
        port: Some(2525),
        protocol: Some("ESMTP".into()),
        helo: Some("helo.example".into()),
        identity: Some("4711".into()),
        source: Some("REMOTE".into()),
    }));
    let answer = plugin.copy().call(call).await.unwrap();
    let [Edit::Header(HeaderEdit::Add { value, .. })] = &answer.edits[..] else {
        panic!("{answer:?}")
    };
    let told: serde_json::Value = serde_json::from_slice(value).unwrap();
    assert_eq!(
        told,
        json!({
            "client-address": "192.0.2.1",
            "client-port": 4025,
            "client-name": "proxied.example",
            "helo": "client.example",
            "user": "ann",
            "mechanism": "SCRAM-SHA-256",
            "server-name": "mx.example",
            "client-subject": "CN=ann",
            "tls-at-proxy": true,
            "forwarded-name": "origin.example",
            "forwarded-address": "192.0.2.7",
            "forwarded-port": 2525,
            "forwarded-protocol": "ESMTP",
            "forwarded-helo": "helo.example",
            "forwarded-identity": "4711",
            "forwarded-source": "REMOTE",
        })
    );
}
