//! Who may log in at each listener: what is made of its `auth`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use portcullis_smtp::sasl::Mechanism;
use portcullis_smtp::server;

use crate::config::{Auth, Config, Listener, Mistakes};
use crate::pipeline::Login;
use crate::plugins::WasmPlugin;
use crate::policy::{Hook, Plugin};
use crate::users::{self, Book, Hashing, Scheme, Throttle, Users};

/// A listener's `auth`, ready.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    pub(super) login: Arc<Login>,
    /// What its sessions offer.
    pub(super) offer: server::Auth,
}

/// Reads the users files, and says what cannot work or should not be.
///
/// `earlier` knows by the listener's name who has failed too often under the configuration before.
pub(super) fn prepare(
    config: &Config,
    plugins: &[Arc<WasmPlugin>],
    hashing: Hashing,
    earlier: impl Fn(&str) -> Option<Arc<Throttle>>,
    told: &mut Told<'_>,
) -> Vec<Option<Admission>> {
    let Told { mistakes, warnings } = told;
    let mut files = Files { hashing, open: BTreeMap::new(), mistakes, warnings };
    let admission = |listener| files.admission(listener, plugins, &earlier);
    config.listeners.iter().map(admission).collect()
}

/// What is wrong, and what should not be.
pub(super) struct Told<'a> {
    pub(super) mistakes: &'a mut Mistakes,
    pub(super) warnings: &'a mut Mistakes,
}

/// Clients take the best mechanism that is offered and do not try another when it fails, so that
/// SCRAM is offered by itself only where everybody can use it.
fn by_default(book: Option<&Book>) -> Vec<Mechanism> {
    let scram = book.is_some_and(|book| matches!(book.split(Mechanism::ScramSha256), (1.., 0)));
    let bound = [Mechanism::ScramSha256Plus, Mechanism::ScramSha256];
    let plain = [Mechanism::Plain, Mechanism::Login];
    bound.into_iter().filter(|_| scram).chain(plain).collect()
}

/// Users files, each read once.
struct Files<'a> {
    hashing: Hashing,
    open: BTreeMap<&'a Path, Option<Arc<Users>>>,
    mistakes: &'a mut Mistakes,
    warnings: &'a mut Mistakes,
}

/// One listener's `auth`, and who answers there.
struct Scene<'a> {
    name: &'a str,
    auth: &'a Auth,
    /// Whether plugins are asked.
    asked: bool,
    book: Option<&'a Book>,
}

impl<'a> Files<'a> {
    fn admission(
        &mut self,
        listener: &'a Listener,
        plugins: &[Arc<WasmPlugin>],
        earlier: impl Fn(&str) -> Option<Arc<Throttle>>,
    ) -> Option<Admission> {
        let auth = listener.auth.as_ref()?;
        let users = auth.users.as_deref().and_then(|file| self.open(file));
        let book = users.as_ref().map(|users| users.book());
        let mechanisms = match &auth.mechanisms {
            Some(mechanisms) => mechanisms.clone(),
            None => by_default(book.as_deref()),
        };
        let asked = plugins.iter().any(|plugin| {
            plugin.answers(Hook::Auth) && listener.plugins.iter().any(|name| name == plugin.name())
        });
        let scene = Scene { name: &listener.name, auth, asked, book: book.as_deref() };
        scene.check(&mechanisms, self.mistakes, self.warnings);
        let decoy = book.map(|book| book.decoy().clone()).unwrap_or_default();
        let throttle = Throttle::new(auth.failures_per_address, auth.failure_window);
        let known = earlier(&listener.name).filter(|known| known.bounds_as(&throttle));
        Some(Admission {
            login: Arc::new(Login {
                users,
                throttle: known.unwrap_or_else(|| throttle.into()),
                failure_delay: auth.failure_delay,
            }),
            offer: server::Auth {
                mechanisms,
                in_clear: auth.allow_insecure,
                required: auth.required,
                decoy,
            },
        })
    }

    fn open(&mut self, file: &'a Path) -> Option<Arc<Users>> {
        if let Some(users) = self.open.get(file) {
            return users.clone();
        }
        let users = match Users::open(file, self.hashing.clone()) {
            Ok(users) => {
                users::warnings(file, &users.book())
                    .iter()
                    .for_each(|warning| self.warnings.push(warning.clone()));
                Some(Arc::new(users))
            }
            Err(mistakes) => {
                mistakes.iter().for_each(|mistake| self.mistakes.push(mistake.clone()));
                None
            }
        };
        self.open.insert(file, users.clone());
        users
    }
}

impl Scene<'_> {
    fn check(&self, mechanisms: &[Mechanism], mistakes: &mut Mistakes, warnings: &mut Mistakes) {
        let Self { name, auth, .. } = self;
        if auth.users.is_none() && !self.asked {
            let text = format!("nobody can tell who may log in at \"{name}\"");
            let help =
                "give \"auth\" a \"users\" file, or the listener a plugin with the hook on-auth";
            mistakes.at(&auth.place, text, Some(help));
            return;
        }
        let token = |mechanism: &&Mechanism| {
            matches!(mechanism, Mechanism::OauthBearer | Mechanism::Xoauth2)
        };
        if let Some(mechanism) = mechanisms.iter().find(token)
            && !self.asked
        {
            let text = format!("nobody can check the tokens of {mechanism} at \"{name}\"");
            let help = "they are for a plugin with the hook on-auth, and none is asked here";
            mistakes.at(&auth.mechanisms_place, text, Some(help));
        }
        if let Some(book) = self.book {
            self.check_book(book, mechanisms, mistakes, warnings);
        }
    }

    fn check_book(
        &self,
        book: &Book,
        mechanisms: &[Mechanism],
        mistakes: &mut Mistakes,
        warnings: &mut Mistakes,
    ) {
        let auth = self.auth;
        if book.is_empty() {
            let help = "\"portcullis user add\" adds somebody; the file is read again by itself";
            warnings.warn(&auth.users_place, "there is nobody in the users file", Some(help));
            return;
        }
        let scram = [Mechanism::ScramSha256, Mechanism::ScramSha256Plus];
        let scram = scram.into_iter().find(|mechanism| mechanisms.contains(mechanism));
        let cram = Some(Mechanism::CramMd5).filter(|mechanism| mechanisms.contains(mechanism));
        for (mechanism, scheme) in [(cram, Scheme::Cleartext), (scram, Scheme::ScramSha256)] {
            let Some(mechanism) = mechanism else { continue };
            let scheme = scheme.name();
            let help = format!("portcullis user add --replace --scheme {scheme}, or do without it");
            match book.split(mechanism) {
                (0, _) => {
                    let text = format!("nobody in the users file can log in by {mechanism}");
                    mistakes.at(&auth.mechanisms_place, text, Some(&help));
                }
                (_, 0) => {}
                (_, cannot) => {
                    let text = format!("{cannot} in the users file cannot log in by {mechanism}");
                    let help = format!("clients try it first and then give up: {help}");
                    warnings.warn(&auth.mechanisms_place, text, Some(&help));
                }
            }
        }
    }
}
