//! A plugin that knows who clients are, asked as the gateway would, without wasm.

use std::collections::BTreeMap;

use portcullis_plugin::{
    Authentication, Credentials, Forwarded, Hook, Plugin, Question, Session, Verdict, plugin,
    testing,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, Deserialize)]
struct Porter {
    users: BTreeMap<String, String>,
}

#[plugin]
impl Porter {
    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }

    fn auth(
        &self,
        credentials: &Credentials,
        session: &Session,
    ) -> Result<Authentication, &'static str> {
        let secret = credentials.secret.as_deref().ok_or("no grant auth-secret")?;
        Ok(match self.users.get(&credentials.user) {
            _ if session.tls().is_none() => Authentication::unavailable(),
            Some(known) if known == secret => Authentication::authenticated(&credentials.user),
            Some(_) => Authentication::refused(),
            None => Authentication::Next,
        })
    }
}

/// Has no hook `auth`, and its only hook takes nothing.
#[derive(Debug, Default)]
struct Silent;

#[plugin]
impl Silent {
    fn mail(&self) -> Verdict {
        Verdict::Accept
    }
}

fn porter() -> Porter {
    testing::configure(&json!({ "users": { "ann": "open sesame" } })).expect("settings")
}

fn session() -> Session {
    Session::fake().with_tls(portcullis_plugin::TlsInfo {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS13_AES_256_GCM_SHA384".to_owned(),
        server_name: None,
        client_subject: None,
    })
}

#[test]
fn a_client_is_who_its_secret_says() {
    for (user, secret, answer) in [
        ("ann", "open sesame", Authentication::authenticated("ann")),
        ("ann", "open barley", Authentication::refused()),
        ("bob", "open sesame", Authentication::Next),
    ] {
        let credentials = Credentials::fake(user).with_secret(secret);
        assert_eq!(porter().authenticate(&session(), &credentials), answer, "{user} {secret}");
    }
    let credentials = Credentials::fake("ann").with_secret("open sesame");
    let answer = porter().authenticate(&Session::fake(), &credentials);
    assert_eq!(answer, Authentication::unavailable());
}

#[test]
#[should_panic(expected = "no grant auth-secret")]
fn an_error_is_a_failure() {
    porter().authenticate(&session(), &Credentials::fake("ann"));
}

#[test]
fn the_hook_is_one_like_the_others() {
    assert_eq!(Porter::HOOKS, [Hook::Auth]);
    assert_eq!(Hook::Auth.to_string(), "auth");
    assert_eq!(porter().ask(Question::Connect(&session())), Verdict::Next);
    let credentials = Credentials::fake("ann").with_secret("x");
    assert_eq!(Silent.authenticate(&session(), &credentials), Authentication::Next);
}

#[test]
fn a_secret_is_not_debugged() {
    let credentials = Credentials::fake("ann").with_secret("open sesame");
    assert!(!format!("{credentials:?}").contains("sesame"));
}

#[test]
fn a_session_tells_who_its_client_is() {
    let forwarded = Forwarded { name: Some("a.example".to_owned()), ..Forwarded::default() };
    let session = Session::fake()
        .with_user("ann")
        .with_client_name("proxied.example")
        .with_forwarded(forwarded.clone());
    let tls = portcullis_plugin::TlsInfo {
        version: "TLSv1.3".to_owned(),
        cipher: String::new(),
        server_name: None,
        client_subject: None,
    };
    assert!(!session.tls_at_proxy());
    assert!(!session.clone().with_tls(tls.clone()).tls_at_proxy());
    assert!(session.clone().with_tls_at_proxy(tls).tls_at_proxy());
    assert_eq!(
        (session.user().as_deref(), session.mechanism().as_deref()),
        (Some("ann"), Some("PLAIN"))
    );
    assert_eq!(session.client_name().as_deref(), Some("proxied.example"));
    assert_eq!(session.forwarded(), Some(forwarded));
}
