//! Has strangers come twice; see README.md.

mod record;
mod sender;
mod settings;
mod stranger;

use portcullis_plugin::kv::{KvError, Store};
use portcullis_plugin::{
    EditError, Hook, Message, Recipient, Reply, Session, Transaction, Verdict, clock, log, metrics,
    plugin,
};

use crate::record::Step;
use crate::settings::{Ask, OnError, Settings};
use crate::stranger::{Current, Reason};

/// The greylist.
#[derive(Debug)]
pub struct Greylist {
    settings: Settings,
    /// The transaction that this copy judges.
    current: Option<Current>,
}

#[plugin]
impl Greylist {
    fn configure(settings: Settings) -> Result<Self, String> {
        settings.check()?;
        Ok(Self { settings, current: None })
    }

    fn skip(&self) -> Vec<Hook> {
        let mut skip = Vec::new();
        if self.settings.ask_at != Ask::Data && self.settings.null_sender != Ask::Data {
            skip.push(Hook::Data);
        }
        if self.settings.ask_at == Ask::Data && self.settings.null_sender != Ask::Rcpt {
            skip.push(Hook::Rcpt);
        }
        if !self.settings.header {
            skip.push(Hook::Headers);
        }
        skip
    }

    fn rcpt(
        &mut self,
        session: &Session,
        transaction: &Transaction,
        recipient: &Recipient,
    ) -> Result<Verdict, KvError> {
        self.ask(Ask::Rcpt, session, transaction, || vec![recipient.address.clone()])
    }

    fn data(&mut self, session: &Session, transaction: &Transaction) -> Result<Verdict, KvError> {
        let recipients = || transaction.recipients().into_iter().map(|one| one.address).collect();
        self.ask(Ask::Data, session, transaction, recipients)
    }

    fn headers(&self, transaction: &Transaction, message: &Message) -> Result<Verdict, EditError> {
        let current = self.current.as_ref().filter(|current| current.id == transaction.id());
        if let Some(passed) = current.and_then(|current| current.passed) {
            message.add_header(Some(0), "X-Greylist", passed.to_string().as_bytes())?;
        }
        Ok(Verdict::Next)
    }
}

impl Greylist {
    fn ask(
        &mut self,
        here: Ask,
        session: &Session,
        transaction: &Transaction,
        recipients: impl FnOnce() -> Vec<String>,
    ) -> Result<Verdict, KvError> {
        let mut current = match self.current.take() {
            Some(current) if current.id == transaction.id() => current,
            _ => Current::of(session, transaction, &self.settings),
        };
        let ask_at = match current.sender {
            Some(_) => self.settings.ask_at,
            None => self.settings.null_sender,
        };
        let verdict = if ask_at == here {
            self.judge(&mut current, transaction, recipients())
        } else {
            Ok(Verdict::Next)
        };
        self.current = Some(current);
        verdict
    }

    /// One verdict for all of these recipients: that of the one who has to wait longest.
    fn judge(
        &self,
        current: &mut Current,
        transaction: &Transaction,
        mut recipients: Vec<String>,
    ) -> Result<Verdict, KvError> {
        let asked = recipients.len();
        if current.exempt || self.settings.exempt.scored(transaction) {
            recipients.clear();
        }
        recipients.retain(|address| !self.settings.exempt.recipient(address));
        let exempt = asked - recipients.len();
        if exempt > 0 {
            current.note(Reason::Exempt, exempt);
        }
        if recipients.is_empty() {
            return Ok(Verdict::Next);
        }
        let Some(name) = current.stranger(transaction, &self.settings) else {
            current.note(Reason::NotSuspicious, recipients.len());
            return Ok(Verdict::Next);
        };
        match self.wait(current, &name, &recipients) {
            Ok(0) => Ok(Verdict::Next),
            Ok(seconds) => {
                metrics::add("recipients", count(&recipients), Some(("result", "deferred")));
                self.tell(current, &name, &recipients, seconds);
                Ok(Verdict::Defer(self.reply(seconds)))
            }
            // The operator's mistake, which no mail should hide.
            Err(KvError::Denied) => Err(KvError::Denied),
            Err(error) => {
                current.note(Reason::StoreAway, recipients.len());
                log::debug("the store does not say", &[("error", &error.to_string())]);
                Ok(match self.settings.on_error {
                    OnError::Pass => Verdict::Next,
                    OnError::Defer => {
                        Verdict::defer(451, "4.3.0", "cannot tell strangers now, come again later")
                    }
                })
            }
        }
    }

    /// How long the sender has to wait; 0 if it has waited.
    fn wait(
        &self,
        current: &mut Current,
        name: &str,
        recipients: &[String],
    ) -> Result<u64, KvError> {
        let store = Store::open(&self.settings.store)?;
        let now = clock::now() / 1000;
        let allowed = format!("a {name}");
        let mut longest = 0;
        // A call takes 100 keys.
        for recipients in recipients.chunks(99) {
            let triplets = recipients.iter().map(|recipient| current.triplet(name, recipient));
            let mut keys: Vec<_> = triplets.collect();
            keys.push(allowed.clone());
            let mut entries = store.get(&keys)?;
            if entries.len() != keys.len() {
                return Err(nonsense());
            }
            if self.settings.auto_allow > 0
                && let Step::Known { renew, .. } =
                    Step::of(entries.pop().flatten().as_ref(), now, &self.settings)
            {
                if renew {
                    self.know(&store, &allowed, now)?;
                }
                current.note(Reason::Allowed, recipients.len());
                continue;
            }
            for (key, entry) in keys.iter().zip(&entries) {
                let step = Step::of(entry.as_ref(), now, &self.settings);
                longest = longest.max(self.take(&store, current, key, name, step, now)?);
            }
        }
        Ok(longest)
    }

    fn take(
        &self,
        store: &Store,
        current: &mut Current,
        key: &str,
        name: &str,
        step: Step,
        now: u64,
    ) -> Result<u64, KvError> {
        match step {
            Step::Begin { version } => {
                self.begin(store, key, version, now)?;
                Ok(u64::from(self.settings.delay.as_seconds()))
            }
            Step::Wait { seconds } => Ok(seconds),
            Step::Pass { waited, version } => {
                let ttl = Some(self.settings.known_for.as_seconds());
                match store.put(key, &record::known(now), ttl, Some(version)) {
                    Ok(_) => self.count(store, current, name, now)?,
                    // Somebody else has let the same triplet pass.
                    Err(KvError::Conflict) => {}
                    Err(error) => return Err(error),
                }
                metrics::observe("waited_seconds", seconds(waited));
                current.note(Reason::Waited(waited), 1);
                Ok(0)
            }
            Step::Known { renew, version } => {
                if renew {
                    let ttl = Some(self.settings.known_for.as_seconds());
                    match store.put(key, &record::known(now), ttl, Some(version)) {
                        Ok(_) | Err(KvError::Conflict) => {}
                        Err(error) => return Err(error),
                    }
                }
                current.note(Reason::Known, 1);
                Ok(0)
            }
        }
    }

    /// Has a triplet wait from now on. A store that forgets at once what it has acknowledged would
    /// have it wait for ever, and is as good as none.
    fn begin(&self, store: &Store, key: &str, version: u64, now: u64) -> Result<(), KvError> {
        let ttl = Some(self.settings.retry_window.as_seconds());
        match store.put(key, &record::waiting(now), ttl, Some(version)) {
            // Somebody else was faster by a moment.
            Ok(_) | Err(KvError::Conflict) => {}
            Err(error) => return Err(error),
        }
        let kept = store.get_one(key)?;
        let waits = matches!(Step::of(kept.as_ref(), now, &self.settings), Step::Wait { .. });
        if waits { Ok(()) } else { Err(nonsense()) }
    }

    /// One more message of this network has come again. Many recipients of one do not count: what
    /// is to be known is whether it does so every time.
    fn count(
        &self,
        store: &Store,
        current: &mut Current,
        name: &str,
        now: u64,
    ) -> Result<(), KvError> {
        if self.settings.auto_allow == 0 || std::mem::replace(&mut current.counted, true) {
            return Ok(());
        }
        let ttl = Some(self.settings.known_for.as_seconds());
        let passes = store.add(&format!("n {name}"), 1, ttl)?;
        if passes >= i64::from(self.settings.auto_allow) {
            self.know(store, &format!("a {name}"), now)?;
            log::info("sender is known from now on", &[("by", name)]);
        }
        Ok(())
    }

    fn know(&self, store: &Store, key: &str, now: u64) -> Result<(), KvError> {
        store.put_for(key, &record::known(now), self.settings.known_for.as_seconds())
    }

    fn reply(&self, seconds: u64) -> Reply {
        let mut reply = self.settings.reply.reply().clone();
        reply.text = reply.text.replace("{seconds}", &seconds.to_string());
        reply
    }

    fn tell(&self, current: &Current, name: &str, recipients: &[String], seconds: u64) {
        if !log::enabled(log::Level::Info) {
            return;
        }
        let fields = [
            ("by", name),
            ("sender", current.sender.as_deref().unwrap_or_default()),
            ("recipient", &recipients[0]),
            ("seconds", &seconds.to_string()),
        ];
        log::info("stranger has to come again", &fields);
    }
}

fn nonsense() -> KvError {
    KvError::Unavailable("the store does not keep what it is given".to_owned())
}

fn count(recipients: &[String]) -> u64 {
    u64::try_from(recipients.len()).unwrap_or(u64::MAX)
}

/// Some hours at most.
fn seconds(waited: u64) -> f64 {
    u32::try_from(waited).map_or(f64::MAX, f64::from)
}
