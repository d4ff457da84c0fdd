//! The hook `on-auth`: credentials into a plugin, and what it says of them out of it.
//!
//! Plugins export the interface, so its types are not among the generated bindings.

use portcullis_smtp::Reply;
use portcullis_smtp::sasl::{Credentials, Secret};
use wasmtime::component::{ComponentType, Lift, Lower};

use super::bindings;
use super::convert::{bad, refusal};
use crate::policy::{HookFailure, Opinion};

/// Credentials as the plugin gets them.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Shown {
    mechanism: String,
    user: String,
    authorization: Option<String>,
    secret: Option<String>,
}

/// What the plugin says of them.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(super) enum Said {
    #[component(name = "next")]
    Next,
    #[component(name = "authenticated")]
    Authenticated(String),
    #[component(name = "refused")]
    Refused(bindings::Reply),
    #[component(name = "unavailable")]
    Unavailable(bindings::Reply),
}

/// The credentials, with the secret only for a plugin that has the grant.
pub(super) fn shown(credentials: &Credentials, granted: bool) -> Shown {
    Shown {
        mechanism: credentials.mechanism.name().to_owned(),
        user: credentials.user.clone(),
        authorization: credentials.authorization.clone(),
        secret: revealed(credentials).filter(|_| granted).map(str::to_owned),
    }
}

/// What the plugin's answer means, if it may give it.
pub(super) fn opinion(
    credentials: &Credentials,
    granted: bool,
    said: Said,
) -> Result<Opinion, HookFailure> {
    let reply = |answer, word, fits: fn(&Reply) -> bool| {
        Ok(silent(credentials, refusal(answer, word, fits)?))
    };
    Ok(match said {
        Said::Next => Opinion::Next,
        Said::Authenticated(identity) => {
            // It has checked nothing: what it was to check was not shown to it.
            if revealed(credentials).is_some() && !granted {
                return Err(bad("authenticated without the grant auth-secret".to_owned()));
            }
            Opinion::Authenticated(checked(identity)?)
        }
        Said::Refused(answer) => Opinion::Reject(reply(&answer, "refused", Reply::is_permanent)?),
        Said::Unavailable(answer) => {
            Opinion::Defer(reply(&answer, "unavailable", Reply::is_transient)?)
        }
    })
}

/// The identity, if it can be one.
fn checked(identity: String) -> Result<String, HookFailure> {
    let wrong = match identity.len() {
        0 => "is empty",
        _ if identity.len() > IDENTITY_OCTETS => "is longer than 255 octets",
        _ if identity.contains(char::is_control) => "has control characters",
        _ => return Ok(identity),
    };
    Err(bad(format!("authenticated: the identity {wrong}")))
}

/// The reply, without words in which the secret is said back: replies are logged.
fn silent(credentials: &Credentials, reply: Reply) -> Reply {
    if !holds_secret(credentials, &reply.text()) {
        return reply;
    }
    let text = if reply.is_transient() { "try again later" } else { "not authenticated" };
    Reply::new(reply.code(), reply.status(), text).unwrap_or(reply)
}

/// Whether a text says the secret, as it is or as the log would write it.
pub(super) fn holds_secret(credentials: &Credentials, text: &str) -> bool {
    revealed(credentials).is_some_and(|secret| {
        let escaped = || secret.escape_debug().to_string();
        !secret.is_empty() && (text.contains(secret) || text.contains(&escaped()))
    })
}

/// The secret, where it was said and not proved.
fn revealed(credentials: &Credentials) -> Option<&str> {
    match &credentials.secret {
        Secret::Password(secret) | Secret::Token(secret) => Some(secret),
        Secret::Proved => None,
    }
}

/// The longest identity: what fits into a log line and a database's column.
const IDENTITY_OCTETS: usize = 255;
