//! AUTH: plugins first, then the users file; who fails is kept waiting, and counted.

use std::sync::Arc;
use std::time::Duration;

use portcullis_smtp::Reply;
use portcullis_smtp::sasl::{Credentials, Mechanism, Secret, Verifier};
use portcullis_smtp::server::Verdict;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};

use super::{Pipeline, out_of_step};
use crate::message::{ClientAddress, SessionFacts};
use crate::metrics::{AuthResult, Bound};
use crate::policy::{AuthRuling, Stage};
use crate::users::{Throttle, Unavailable, Users};

/// Who may log in at a listener. Shared by its sessions.
#[derive(Debug)]
pub struct Login {
    /// Asked where no plugin has an opinion.
    pub users: Option<Arc<Users>>,
    /// Who has failed too often.
    pub throttle: Arc<Throttle>,
    /// How long a failed attempt takes at least. It is also what hides whether somebody is there:
    /// whatever was compared took less.
    pub failure_delay: Duration,
}

impl Login {
    /// Clients at a Unix socket are of this machine, which has its own means against its users.
    fn admits(&self, client: ClientAddress) -> bool {
        client.ip().is_none_or(|ip| self.throttle.admits(ip, std::time::Instant::now()))
    }

    async fn check(&self, credentials: &Credentials) -> AuthRuling {
        let Credentials { user, authorization, secret, .. } = credentials;
        let Some(users) = &self.users else { return AuthRuling::Unknown };
        // Nobody here may act for anybody else; that is for plugins to allow.
        if authorization.as_ref().is_some_and(|other| other != user) {
            return AuthRuling::Unknown;
        }
        let right = match secret {
            Secret::Password(password) => users.authenticate(user, password).await,
            Secret::Proved => Ok(true),
            Secret::Token(_) => Ok(false),
        };
        match right {
            Ok(true) => AuthRuling::Authenticated(user.clone()),
            Ok(false) => AuthRuling::Unknown,
            Err(Unavailable::Busy) => {
                let text = "too many logins at once, try again later";
                AuthRuling::Unavailable(Reply::fixed(454, (4, 7, 0), text))
            }
            Err(Unavailable::Failed) => {
                let text = "passwords cannot be checked, try again later";
                AuthRuling::Unavailable(Reply::fixed(454, (4, 7, 0), text))
            }
        }
    }
}

/// One attempt to log in.
struct Attempt<'a> {
    began: Instant,
    mechanism: Mechanism,
    user: &'a str,
}

impl Pipeline {
    /// Whether the client is who it says to be.
    pub(super) async fn auth(&mut self, credentials: &Credentials) -> Verdict {
        let house = self.site.house();
        let Some(login) = house.login.clone() else { return out_of_step() };
        let attempt = Attempt::new(credentials.mechanism, &credentials.user);
        if !login.admits(self.session.client) {
            self.throttled(&login, &attempt).await;
            return Verdict::Reply(too_many());
        }
        let mut case = self.case(&house, None);
        let chain = &house.chain;
        let said = chain.authenticate(&mut case, &mut self.memory, credentials).await;
        self.show_calls(&case.calls);
        self.calls.add(case.calls);
        let ruling = match said {
            AuthRuling::Unknown => login.check(credentials).await,
            ruling => ruling,
        };
        match ruling {
            AuthRuling::Authenticated(identity) => self.welcome(&attempt, identity),
            AuthRuling::Refused(reply) => {
                self.failed(&login, &attempt).await;
                Verdict::Reply(reply)
            }
            AuthRuling::Unavailable(reply) => {
                self.tell(&attempt, AuthResult::Unavailable);
                Verdict::Reply(reply)
            }
            AuthRuling::Unknown => {
                self.failed(&login, &attempt).await;
                Verdict::Reply(wrong())
            }
        }
    }

    /// What is known of a user, for mechanisms that do not show the password.
    pub(super) async fn known(
        &mut self,
        mechanism: Mechanism,
        user: &str,
    ) -> Result<Option<Verifier>, Reply> {
        let Some(login) = self.site.house().login.clone() else { return Ok(None) };
        if !login.admits(self.session.client) {
            self.throttled(&login, &Attempt::new(mechanism, user)).await;
            return Err(too_many());
        }
        Ok(match &login.users {
            Some(users) => users.verifier(mechanism, user).await,
            None => None,
        })
    }

    /// The client does not know what it should.
    pub(super) async fn unproved(&mut self, mechanism: Mechanism, user: &str) {
        if let Some(login) = self.site.house().login.clone() {
            self.failed(&login, &Attempt::new(mechanism, user)).await;
            self.tell_verdict(Stage::Auth, None, None, &Verdict::Reply(wrong()));
        }
    }

    fn welcome(&mut self, attempt: &Attempt<'_>, identity: String) -> Verdict {
        let facts = Arc::make_mut(&mut self.session);
        facts.user = Some(identity);
        facts.mechanism = Some(attempt.mechanism.name().to_owned());
        self.tell(attempt, AuthResult::Success);
        Verdict::Accept
    }

    async fn failed(&mut self, login: &Login, attempt: &Attempt<'_>) {
        if let Some(ip) = self.session.client.ip() {
            login.throttle.failed(ip, std::time::Instant::now());
        }
        self.tell(attempt, AuthResult::Failure);
        sleep_until(attempt.began + login.failure_delay).await;
    }

    async fn throttled(&mut self, login: &Login, attempt: &Attempt<'_>) {
        self.site.house().metrics.bound_reached(Bound::FailuresPerAddress);
        self.tell(attempt, AuthResult::Throttled);
        sleep_until(attempt.began + login.failure_delay).await;
    }

    fn tell(&self, attempt: &Attempt<'_>, result: AuthResult) {
        self.site.house().metrics.auth(attempt.mechanism, result);
        let SessionFacts { id, listener, client, user: identity, .. } = &*self.session;
        let (mechanism, user) = (attempt.mechanism.name(), attempt.user);
        match result {
            AuthResult::Success => {
                info!(target: "session", id, listener, %client, mechanism, user, identity, "logged in");
            }
            // Whoever is throttled must not fill the log either.
            AuthResult::Throttled => {
                debug!(target: "session", id, listener, %client, mechanism, user, "login not tried");
            }
            AuthResult::Failure | AuthResult::Unavailable => {
                let result = result.label();
                info!(target: "session", id, listener, %client, mechanism, user, result, "login failed");
            }
        }
    }
}

impl<'a> Attempt<'a> {
    fn new(mechanism: Mechanism, user: &'a str) -> Self {
        Self { began: Instant::now(), mechanism, user }
    }
}

/// Word for word what the session says where a proof is wrong: it must not tell who is there.
fn wrong() -> Reply {
    Reply::fixed(535, (5, 7, 8), "authentication failed")
}

fn too_many() -> Reply {
    Reply::fixed(454, (4, 7, 0), "too many failed logins from your address, try again later")
}
