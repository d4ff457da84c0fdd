//! Who is let in, by whom, and how long it takes who is not.

use std::time::Instant;

use portcullis_smtp::sasl::{Credentials, Mechanism, Secret};

use super::*;
use crate::users::{Hashing, Throttle, Users};

/// A file with alice, whose password is `a`; two failures are allowed.
fn login(failure_delay: Duration) -> Arc<Login> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("users");
    std::fs::write(&file, "alice:{cleartext}a\n").expect("a file");
    let users = Users::open(&file, Hashing::new()).expect("users");
    let throttle = Throttle::new(2, Duration::from_mins(10));
    Arc::new(Login { users: Some(Arc::new(users)), throttle: throttle.into(), failure_delay })
}

async fn listener(script: Script) -> Listener {
    let login = Some(login(Duration::ZERO));
    Setup { login, ..Setup::new(script) }.start().await
}

fn password(user: &str, password: &str) -> Credentials {
    Credentials {
        mechanism: Mechanism::Plain,
        user: user.to_owned(),
        authorization: None,
        secret: Secret::Password(password.to_owned()),
    }
}

async fn auth(house: &mut Listener, credentials: Credentials) -> String {
    house.ask(Question::Auth(Box::new(credentials))).await
}

#[tokio::test]
async fn the_users_file_decides_where_no_plugin_does() {
    let mut house = listener(nothing).await;
    let wrong = "535 5.7.8 authentication failed";
    assert_eq!(auth(&mut house, password("alice", "b")).await, wrong);
    assert_eq!(house.client.session.user, None);
    assert_eq!(auth(&mut house, password("alice", "a")).await, "yes");
    let session = &house.client.session;
    let known = (session.user.as_deref(), session.mechanism.as_deref());
    assert_eq!(known, (Some("alice"), Some("PLAIN")));
    let text = house.metrics.render();
    for result in ["failure", "success"] {
        let line = format!(
            "portcullis_auth_total{{listener=\"mx\",mechanism=\"PLAIN\",result=\"{result}\"}} 1"
        );
        assert!(text.contains(&line), "{text}");
    }
    // RFC 3207 section 4.2.
    house.client.tls_established(TlsFacts::default());
    assert_eq!(house.client.session.user, None);
}

#[tokio::test]
async fn nobody_hears_whether_somebody_is_there() {
    let mut house = listener(nothing).await;
    let known = auth(&mut house, password("alice", "b")).await;
    assert_eq!(auth(&mut house, password("bob", "b")).await, known);
}

#[tokio::test]
async fn nobody_acts_for_somebody_else_and_no_token_is_a_password() {
    let mut house = listener(nothing).await;
    let authorization = Some("bob".to_owned());
    let wrong = "535 5.7.8 authentication failed";
    let other = Credentials { authorization, ..password("alice", "a") };
    assert_eq!(auth(&mut house, other).await, wrong);
    let token = Credentials {
        mechanism: Mechanism::OauthBearer,
        secret: Secret::Token("a".into()),
        ..password("alice", "")
    };
    assert_eq!(auth(&mut house, token).await, wrong);
}

#[tokio::test]
async fn a_proof_by_the_verifier_is_enough() {
    let mut house = listener(nothing).await;
    let known = house.client.verifier(Mechanism::CramMd5, "alice".into()).await;
    assert!(known.is_ok_and(|known| known.is_some()));
    let proved = Credentials {
        mechanism: Mechanism::CramMd5,
        secret: Secret::Proved,
        ..password("alice", "")
    };
    assert_eq!(auth(&mut house, proved).await, "yes");
    for (mechanism, user) in [(Mechanism::CramMd5, "bob"), (Mechanism::ScramSha256, "alice")] {
        assert_eq!(house.client.verifier(mechanism, user.into()).await, Ok(None));
    }
}

#[tokio::test]
async fn a_plugin_has_the_first_word() {
    let mut house = listener(|call| {
        let user = call.credentials.as_ref().map(|credentials| credentials.user.as_str());
        let reply = |code, status| Reply::fixed(code, status, "says the plugin");
        let opinion = match user {
            Some("admin") => Opinion::Authenticated("root@example.org".into()),
            Some("alice") => Opinion::Reject(reply(535, (5, 7, 8))),
            Some("slow") => Opinion::Defer(reply(454, (4, 7, 0))),
            _ => Opinion::Next,
        };
        (opinion, Vec::new())
    })
    .await;
    // For whom a plugin says it, another identity is no matter.
    let other = Credentials { authorization: Some("bob".into()), ..password("admin", "x") };
    assert_eq!(auth(&mut house, other).await, "yes");
    assert_eq!(house.client.session.user.as_deref(), Some("root@example.org"));
    let refused = auth(&mut house, password("alice", "a")).await;
    assert_eq!(refused, "535 5.7.8 says the plugin");
    let deferred = auth(&mut house, password("slow", "a")).await;
    assert_eq!(deferred, "454 4.7.0 says the plugin");
}

#[tokio::test]
async fn who_fails_too_often_is_not_asked_about_any_more() {
    let mut house = listener(|call| {
        let credentials = call.credentials.as_ref();
        // After two failures even the plugin that knows better is not asked.
        let late = credentials.is_some_and(|credentials| credentials.user == "late");
        let opinion = if late { Opinion::Authenticated("late".into()) } else { Opinion::Next };
        (opinion, Vec::new())
    })
    .await;
    let wrong = "535 5.7.8 authentication failed";
    assert_eq!(auth(&mut house, password("alice", "b")).await, wrong);
    house.client.disproved(Mechanism::ScramSha256, "alice".into()).await;
    let too_many = "454 4.7.0 too many failed logins from your address, try again later";
    for user in ["alice", "late"] {
        assert_eq!(auth(&mut house, password(user, "a")).await, too_many);
    }
    let known = house.client.verifier(Mechanism::CramMd5, "alice".into()).await;
    assert_eq!(known.expect_err("throttled").to_string(), too_many);
    let text = house.metrics.render();
    for line in [
        "{listener=\"mx\",mechanism=\"PLAIN\",result=\"throttled\"} 2",
        "{limit=\"failures_per_address\",listener=\"mx\"} 3",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[tokio::test]
async fn a_failure_takes_its_time_and_a_success_does_not() {
    let delay = Duration::from_millis(300);
    let setup = Setup { login: Some(login(delay)), ..Setup::new(nothing) };
    let mut house = setup.start().await;
    let began = Instant::now();
    assert_ne!(auth(&mut house, password("alice", "b")).await, "yes");
    assert!(began.elapsed() >= delay);
    let began = Instant::now();
    house.client.disproved(Mechanism::CramMd5, "alice".into()).await;
    assert!(began.elapsed() >= delay);
    let began = Instant::now();
    assert!(auth(&mut house, password("alice", "a")).await.starts_with("454"));
    assert!(began.elapsed() >= delay);
}

#[tokio::test]
async fn where_nobody_can_log_in_nobody_does() {
    let mut house = Setup::new(nothing).start().await;
    assert_ne!(auth(&mut house, password("alice", "a")).await, "yes");
    assert_eq!(house.client.verifier(Mechanism::CramMd5, "alice".into()).await, Ok(None));
}
