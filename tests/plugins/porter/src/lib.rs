//! Knows clients by name and password, and tells what it sees of a session, for the tests of the
//! gateway.

use std::collections::BTreeMap;

use portcullis_plugin::{
    Authentication, Credentials, EditError, Hook, Message, Session, Verdict, plugin,
};
use serde::Deserialize;
use serde_json::json;

/// The plugin is its settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Porter {
    /// Passwords and tokens by user. Others are the next plugin's business.
    #[serde(default)]
    users: BTreeMap<String, String>,
    /// Users about whom nothing can be told now.
    #[serde(default)]
    away: Vec<String>,
    /// Whether to write a header `X-Session`; grant `rewrite-headers`.
    #[serde(default)]
    tell: bool,
}

#[plugin]
impl Porter {
    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }

    fn skip(&self) -> Vec<Hook> {
        if self.tell { Vec::new() } else { vec![Hook::Headers] }
    }

    fn auth(&self, credentials: &Credentials) -> Authentication {
        if self.away.contains(&credentials.user) {
            return Authentication::unavailable();
        }
        let Some(known) = self.users.get(&credentials.user) else { return Authentication::Next };
        let other =
            credentials.authorization.as_ref().is_some_and(|name| *name != credentials.user);
        match &credentials.secret {
            _ if other => Authentication::refused(),
            Some(secret) if secret != known => Authentication::refused(),
            // Without a secret the client has proved it, if the gateway thinks so too.
            Some(_) | None => Authentication::authenticated(&credentials.user),
        }
    }

    fn headers(&self, session: &Session, message: &Message) -> Result<Verdict, EditError> {
        message.add_header(None, "X-Session", told(session).as_bytes())?;
        Ok(Verdict::Next)
    }
}

/// A session as one line of JSON; what is not known is left out.
fn told(session: &Session) -> String {
    let tls = session.tls();
    let forwarded = session.forwarded().unwrap_or_default();
    let facts = json!({
        "client-address": session.client_address(),
        "client-port": session.client_port(),
        "client-name": session.client_name(),
        "helo": session.helo(),
        "user": session.user(),
        "mechanism": session.mechanism(),
        "server-name": tls.as_ref().and_then(|tls| tls.server_name.clone()),
        "tls-at-proxy": session.tls_at_proxy().then_some(true),
        "client-subject": tls.as_ref().and_then(|tls| tls.client_subject.clone()),
        "forwarded-name": forwarded.name,
        "forwarded-address": forwarded.address,
        "forwarded-port": forwarded.port,
        "forwarded-protocol": forwarded.protocol,
        "forwarded-helo": forwarded.helo,
        "forwarded-identity": forwarded.identity,
        "forwarded-source": forwarded.source,
    });
    let facts: BTreeMap<_, _> =
        facts.as_object().into_iter().flatten().filter(|(_, fact)| !fact.is_null()).collect();
    json!(facts).to_string()
}

#[cfg(test)]
mod tests {
    use portcullis_plugin::testing::{self, Grant};

    use super::*;

    fn porter() -> Porter {
        let settings = json!({ "users": { "ann": "open sesame" }, "away": ["bob"], "tell": true });
        testing::configure(&settings).unwrap()
    }

    #[test]
    fn clients_are_known_by_their_secrets() {
        let ann = || Credentials::fake("ann").with_secret("open sesame");
        for (credentials, answer) in [
            (ann(), Authentication::authenticated("ann")),
            (ann().with_authorization("ann"), Authentication::authenticated("ann")),
            (ann().with_authorization("bob"), Authentication::refused()),
            (ann().with_secret("open barley"), Authentication::refused()),
            (Credentials::fake("bob").with_secret("x"), Authentication::unavailable()),
            (Credentials::fake("eve").with_secret("x"), Authentication::Next),
        ] {
            assert_eq!(porter().auth(&credentials), answer, "{credentials:?}");
        }
    }

    #[test]
    fn what_is_seen_is_told() {
        let message = Message::fake("Subject: a\n\nb\n").with_grant(Grant::RewriteHeaders);
        porter().headers(&Session::fake().with_user("ann"), &message).unwrap();
        let facts = r#"{"client-address":"192.0.2.1","client-port":49152,"mechanism":"PLAIN","user":"ann"}"#;
        assert_eq!(message.edited_text(), format!("Subject: a\r\nX-Session: {facts}\r\n\r\nb\r\n"));
    }
}
