//! Who a client is: what the hook `auth` is asked, and what it answers.

use std::fmt;

use crate::Reply;

/// What a client gave by AUTH.
#[derive(Clone, Eq, PartialEq)]
pub struct Credentials {
    /// The SASL mechanism, for example `PLAIN`.
    pub mechanism: String,
    /// Whose secret it is; no control characters.
    pub user: String,
    /// As whom the client wants to act, if it named somebody (RFC 4422 3.4.1).
    pub authorization: Option<String>,
    /// The password or bearer token: with the grant `auth-secret`, and with mechanisms that reveal
    /// it. Others (`CRAM-MD5`, `SCRAM-SHA-256`) have proved it to the gateway.
    pub secret: Option<String>,
}

impl fmt::Debug for Credentials {
    /// Never the secret itself: what is debugged ends in logs.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Credentials")
            .field("mechanism", &self.mechanism)
            .field("user", &self.user)
            .field("authorization", &self.authorization)
            .field("secret", &self.secret.as_ref().map(|_| ".."))
            .finish()
    }
}

/// What the hook `auth` answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Authentication {
    /// Not mine to tell: ask the next plugin. If nobody has an answer, the client is not
    /// authenticated.
    Next,
    /// The client is this identity: not empty, at most 255 octets, no control characters. Of a
    /// plugin without the grant `auth-secret` it is taken only where the client has proved its
    /// secret to the gateway.
    Authenticated(String),
    /// It is not who it says to be; 5xx.
    Refused(Reply),
    /// Nobody can tell now; 4xx. After a 421 the gateway closes the connection.
    Unavailable(Reply),
}

impl Authentication {
    /// The client is this identity.
    pub fn authenticated(identity: impl Into<String>) -> Self {
        Self::Authenticated(identity.into())
    }

    /// It is not who it says to be: 535 5.7.8, in the words of RFC 4954.
    pub fn refused() -> Self {
        Self::Refused(Reply::new(535, "5.7.8", "authentication credentials invalid"))
    }

    /// Nobody can tell now: 454 4.7.0, in the words of RFC 4954.
    pub fn unavailable() -> Self {
        Self::Unavailable(Reply::new(454, "4.7.0", "temporary authentication failure"))
    }
}
