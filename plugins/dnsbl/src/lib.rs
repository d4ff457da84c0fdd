//! Asks DNS lists about clients, senders and names; see README.md.

mod asking;
mod memory;
mod settings;
mod subjects;

use std::net::IpAddr;

use portcullis_plugin::{Hook, Recipient, Session, Transaction, Verdict, dns::LookupError, plugin};
use zones::{Judgement, OnError, Teller, inside};

use crate::asking::ask;
use crate::memory::Memory;
use crate::settings::{Of, Settings, Stage};
use crate::subjects::Subjects;

/// Lists, and what is made of what they say.
#[derive(Debug)]
pub struct Dnsbl {
    settings: Settings,
    teller: Teller,
    /// What recipients are answered, and of which mail: a pooled copy has seen others.
    refusal: Option<(String, Option<Verdict>)>,
}

#[plugin]
impl Dnsbl {
    fn configure(mut settings: Settings) -> Result<Self, String> {
        if !settings.error_score.is_finite() || !settings.refuse.score.is_finite() {
            return Err("points are finite numbers".to_owned());
        }
        if settings.refuse.at == Stage::Never && settings.on_error == OnError::Defer {
            return Err("on_error: `defer` is a refusal, and `refuse.at` is `never`".to_owned());
        }
        let exempt = &mut settings.exempt;
        exempt
            .without(&["recipients"], "`refuse.except` has the local parts that are reachable")?;
        if settings.refuse.at == Stage::Connect {
            let instead = "with `refuse.at: connect` it is the client who is refused, before it has \
                           named a sender; leave out clients or listeners instead";
            exempt.without(&["senders", "symbols"], instead)?;
        }
        exempt.clients.networks_or(inside);
        let teller = Teller::new(settings.store.take());
        Ok(Self { settings, teller, refusal: None })
    }

    fn skip(&self) -> Vec<Hook> {
        match self.settings.refuse.at {
            Stage::Connect => Vec::new(),
            Stage::Rcpt => vec![Hook::Connect],
            Stage::Mail | Stage::Never => vec![Hook::Connect, Hook::Rcpt],
        }
    }

    fn connect(&self, session: &Session) -> Result<Verdict, LookupError> {
        if self.settings.exempt.clients.contain(session) {
            return Ok(Verdict::Next);
        }
        let client = session.client_ip();
        let before = Memory::load(session);
        let mut memory = before.clone();
        let judged = self.judge(Subjects::of_client(client), &mut memory)?;
        memory.save(session, &before);
        Ok(self.refusal(&judged, client).unwrap_or(Verdict::Next))
    }

    fn mail(
        &mut self,
        session: &Session,
        transaction: &Transaction,
    ) -> Result<Verdict, LookupError> {
        self.refusal = Some((transaction.id(), None));
        if self.settings.exempt.transaction(session, transaction) {
            take_back(session);
            return Ok(Verdict::Next);
        }
        let client = session.client_ip();
        let wanted = |of| self.settings.lists.iter().any(|list| list.of.contains(&of));
        let subjects = Subjects::new(client, wanted, session, transaction);
        let before = Memory::load(session);
        let mut memory = before.clone();
        let judged = self.judge(subjects, &mut memory)?;
        note(session, &judged, &mut memory);
        let refusal = self.refusal(&judged, client);
        let later = refusal.as_ref().filter(|_| self.settings.refuse.at != Stage::Mail);
        memory.refuse(&transaction.id(), later);
        memory.save(session, &before);
        judged.score(transaction, "DNSBL", self.settings.on_error, self.settings.error_score);
        if self.settings.refuse.at == Stage::Mail {
            return Ok(refusal.unwrap_or(Verdict::Next));
        }
        self.refusal = Some((transaction.id(), refusal));
        Ok(Verdict::Next)
    }

    fn rcpt(
        &mut self,
        session: &Session,
        transaction: &Transaction,
        recipient: &Recipient,
    ) -> Verdict {
        let id = transaction.id();
        // A tarpit behind this plugin makes it another copy.
        let known = self.refusal.take().filter(|(of, _)| *of == id);
        let (_, told) = self.refusal.insert(known.unwrap_or_else(|| {
            let refusal = Memory::load(session).refusal(&id);
            (id, refusal)
        }));
        let Some(refusal) = told else { return Verdict::Next };
        let local_part = recipient.local_part();
        let open = &self.settings.refuse.except;
        if open.iter().any(|open| open.eq_ignore_ascii_case(local_part)) {
            return Verdict::Next;
        }
        refusal.clone()
    }
}

impl Dnsbl {
    fn judge(
        &self,
        subjects: Subjects,
        memory: &mut Memory,
    ) -> Result<Judgement<'_, Of>, LookupError> {
        let leave = memory.leave();
        let mut judged = ask(&self.settings.lists, subjects, leave, &self.teller)?;
        memory.hear(judged.silent, leave);
        judged.silent |= leave;
        let refuse = &self.settings.refuse;
        let why = refuse.at != Stage::Never && judged.against() >= refuse.score;
        judged.confirm(why, &self.teller)?;
        Ok(judged)
    }

    fn refusal(&self, judged: &Judgement<'_, Of>, client: Option<IpAddr>) -> Option<Verdict> {
        let refuse = &self.settings.refuse;
        if refuse.at == Stage::Never {
            return None;
        }
        let verdict = judged.refusal(refuse.score, &refuse.reply, client, self.settings.on_error);
        if verdict.is_some() {
            judged.tell();
        }
        verdict
    }
}

/// What is exempt is as if nothing were listed, whatever another mail of the session was.
fn take_back(session: &Session) {
    let before = Memory::load(session);
    if before.noted {
        let mut memory = before.clone();
        note(session, &Judgement::default(), &mut memory);
        memory.save(session, &before);
    }
}

/// Facts for plugins that come later. What another mail of the session left is taken back.
fn note(session: &Session, judged: &Judgement<'_, Of>, memory: &mut Memory) {
    if judged.listings.is_empty() && !memory.noted {
        return;
    }
    memory.noted = !judged.listings.is_empty();
    for (key, against) in [("listed", true), ("allowed", false)] {
        // A session with too many notes has no room; the scores tell as well.
        let _ = session.set_note(key, &judged.names(against));
    }
}
