//! Who a client is: the one question to which silence is a no.

use portcullis_smtp::sasl::Credentials;
use tracing::debug;

use super::*;

/// What a chain makes of a client's credentials.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum AuthRuling {
    /// The client is this identity: not empty, at most 255 octets, no control characters.
    Authenticated(String),
    /// It is not who it says to be; 5xx.
    Refused(Reply),
    /// Nobody can tell now; 4xx. After a 421 the conversation ends.
    Unavailable(Reply),
    /// No plugin had an opinion.
    Unknown,
}

impl Chain {
    /// Whether any plugin answers credentials.
    #[must_use]
    pub fn authenticates(&self) -> bool {
        !self.order[Hook::Auth as usize].is_empty()
    }

    /// Asks the plugins who the client is; the first that has an opinion decides.
    ///
    /// A failure means what the plugin's `on_failure` says, except that `accept` authenticates
    /// nobody: it goes on to the next plugin.
    pub async fn authenticate(
        &self,
        case: &mut Case,
        memory: &mut Memory,
        credentials: &Credentials,
    ) -> AuthRuling {
        if !self.authenticates() {
            return AuthRuling::Unknown;
        }
        let credentials = Arc::new(credentials.clone());
        for &n in &self.order[Hook::Auth as usize] {
            let link = &self.links[n];
            let mut call = case.hook_call(Hook::Auth, link.plugin.name(), memory);
            call.credentials = Some(credentials.clone());
            let ruling = match self.call(n, call, case, &mut Copies::default()).await {
                Ok(answer) => {
                    let (plugin, id) = (link.plugin.name(), &case.session.id);
                    memory.take(plugin, &answer);
                    let result = answer.opinion.label();
                    debug!(target: "session", id, plugin, result, "asked who the client is");
                    AuthRuling::from(answer.opinion)
                }
                Err(failure) => {
                    report(link, Hook::Auth, case, &failure);
                    AuthRuling::after_failure(link.plugin.guard().on_failure(failure.reason))
                }
            };
            if ruling != AuthRuling::Unknown {
                return ruling;
            }
        }
        AuthRuling::Unknown
    }
}

impl AuthRuling {
    fn after_failure(on_failure: OnFailure) -> Self {
        match on_failure {
            OnFailure::Accept => Self::Unknown,
            OnFailure::Disconnect => {
                Self::Unavailable(Reply::fixed(421, (4, 3, 0), "filter failed, try again later"))
            }
            OnFailure::Reject => {
                Self::Refused(Reply::fixed(535, (5, 7, 8), "filter failed, not authenticated"))
            }
            OnFailure::Tempfail => {
                Self::Unavailable(Reply::fixed(454, (4, 7, 0), "filter failed, try again later"))
            }
        }
    }
}

impl From<Opinion> for AuthRuling {
    fn from(opinion: Opinion) -> Self {
        match opinion {
            Opinion::Authenticated(identity) => Self::Authenticated(identity),
            Opinion::Defer(reply) => Self::Unavailable(reply),
            Opinion::Reject(reply) => Self::Refused(reply),
            // None of these is a yes, whatever it is at other hooks.
            Opinion::Accept
            | Opinion::Discard(_)
            | Opinion::Disconnect(_)
            | Opinion::Next
            | Opinion::Quarantine(_) => Self::Unknown,
        }
    }
}
