//! Answers a session's questions: plugins first, then routes, then upstreams.
//!
//! ```text
//!   Connect, Hello          chain
//!   Auth                    chain -> users file         a failure takes its time
//!   Mail                    chain                       a transaction begins
//!   Rcpt                    chain -> route -> upstream  the upstream's refusal is the client's
//!   Data, headers           chain
//!   Message                 chain -> Cleared -> upstream or spool -> one reply, or one a recipient
//! ```

mod fold;
mod following;
mod login;
mod proxied;
mod receipts;
mod received;
mod record;
mod site;
mod telling;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use portcullis_smtp::sasl::{Mechanism, Verifier};
use portcullis_smtp::server::{Conduct, Protocol, Question, Verdict};
use portcullis_smtp::xclient::Xclient;
use portcullis_smtp::{Mailbox, Parameter, Reply, ReversePath, parameter};

use crate::config::{DeliveryMode, Duplicates, Mixed};
use crate::live::{Live, Presence, Visit};
use crate::message::{Budget, Envelope, Scores, SessionFacts, TlsFacts};
use crate::metrics::{ConfigurationInUse, ListenerMetrics, Outcome};
use crate::policy::{
    CLOSED, Calls, Case, Chain, Copies, Decision, Hook, Memory, Policy, SessionCalls, Stage,
};
use crate::queue::Keeping;
use crate::routing::CurrentRoutes;
use crate::traces::Traces;
use crate::upstream::Upstreams;
use record::Doing;
use transaction::{Transaction, Unheard};

pub use login::Login;
pub use receipts::Receipts;
pub use site::Site;

/// What all sessions of one listener share, until a reload.
#[derive(Debug)]
pub struct House {
    /// The listener's name.
    pub listener: String,
    /// The gateway's own name, for `Received`.
    pub hostname: String,
    /// SMTP or LMTP.
    pub protocol: Protocol,
    /// Who judges.
    pub chain: Chain,
    /// Who may log in.
    pub login: Option<Arc<Login>>,
    /// Where recipients go.
    pub routes: Arc<CurrentRoutes>,
    /// How they get there.
    pub upstreams: Arc<Upstreams>,
    /// The listener's own upstream, before the default one.
    pub upstream: Option<String>,
    /// Where quarantined mail goes.
    pub quarantine: Option<String>,
    /// Whether upstreams are asked before the client is answered, or afterwards.
    pub delivery: DeliveryMode,
    /// What SMTP tells of recipients that fare differently.
    pub mixed: Mixed,
    /// Where messages wait that are accepted before they are delivered, if they may.
    pub spool: Option<Keeping>,
    /// What clients will send again although it was delivered, of all listeners.
    pub receipts: Arc<Receipts>,
    /// What goes on in all sessions, for those who watch.
    pub live: Arc<Live>,
    /// How much of that.
    pub duplicates: Duplicates,
    /// Room for content.
    pub budget: Arc<Budget>,
    /// Octets of a header section.
    pub header_octets: usize,
    /// Octets of a message.
    pub message_octets: u64,
    /// Where transactions are counted.
    pub metrics: Arc<ListenerMetrics>,
    /// Where transactions become traces, if they do.
    pub traces: Option<Arc<Traces>>,
    /// Says that the configuration of which this was made still runs.
    pub in_use: Arc<ConfigurationInUse>,
}

/// The policy of one session.
#[derive(Debug)]
pub struct Pipeline {
    site: Arc<Site>,
    session: Arc<SessionFacts>,
    /// The session among those in flight.
    visit: Visit,
    memory: Memory,
    /// What plugins said of it before MAIL, for the records of its transactions.
    calls: SessionCalls,
    /// The memory as it was before the client said anything: STARTTLS takes the session back to it.
    greeting_memory: Memory,
    transaction: Option<Box<Transaction>>,
    /// What the client was told last, as long as it may not have heard it.
    unheard: Option<Box<Unheard>>,
    /// Transactions so far; part of their ids.
    count: u64,
    /// Whether the client was greeted and its end is still to be told.
    present: bool,
}

impl Pipeline {
    /// The policy of a session at its beginning.
    #[must_use]
    pub fn new(site: Arc<Site>, session: SessionFacts) -> Self {
        let session = Arc::new(session);
        let visit = site.house().live.enter(session.clone());
        let (memory, greeting_memory) = (Memory::default(), Memory::default());
        Self {
            site,
            session,
            visit,
            memory,
            calls: SessionCalls::default(),
            greeting_memory,
            transaction: None,
            unheard: None,
            count: 0,
            present: false,
        }
    }

    /// What others see of the session.
    #[must_use]
    pub fn presence(&self) -> &Arc<Presence> {
        &self.visit
    }

    /// Asks at a hook before MAIL, where a copy of a plugin lives for that call alone.
    async fn ask_alone(&mut self, hook: Hook) -> Verdict {
        let house = self.site.house();
        let mut case = self.case(&house, None);
        let mut copies = Copies::default();
        let ruling = house.chain.ask(hook, &mut case, &mut self.memory, &mut copies).await;
        self.show_calls(&case.calls);
        self.calls.add(case.calls);
        if let Some(plugin) = &ruling.by
            && ruling.decision != Decision::Pass
        {
            let (id, client) = (&self.session.id, self.session.client);
            tracing::info!(target: "session", id, %client, plugin, hook = hook.label(), decision = ?ruling.decision, "refused");
        }
        let verdict = verdict(ruling.decision, &self.session.id);
        let stage = if hook == Hook::Connect { Stage::Connect } else { Stage::Helo };
        self.tell_verdict(stage, None, ruling.by.as_deref(), &verdict);
        verdict
    }

    async fn connect(&mut self) -> Verdict {
        self.present = true;
        let verdict = self.ask_alone(Hook::Connect).await;
        self.greeting_memory = self.memory.clone();
        // The greeting is held back once, and not again what follows STARTTLS.
        self.greeting_memory.take_delay();
        verdict
    }

    /// A name that is refused leaves the session with the one before, as it leaves its state.
    async fn hello(&mut self, name: String, esmtp: bool) -> Verdict {
        let session = Arc::make_mut(&mut self.session);
        let before = (session.helo.replace(name), std::mem::replace(&mut session.esmtp, esmtp));
        let verdict = self.ask_alone(Hook::Helo).await;
        if verdict != Verdict::Accept {
            let session = Arc::make_mut(&mut self.session);
            (session.helo, session.esmtp) = before;
        }
        verdict
    }

    /// A trusted peer says who the client is. What plugins found out about the one before is void.
    fn replace_client(&mut self, said: Xclient) -> Verdict {
        let session = Arc::make_mut(&mut self.session);
        proxied::replace_client(session, said, self.site.house().login.is_some());
        let (id, client, via) = (&session.id, session.client, session.via);
        let via = via.map(|via| via.to_string());
        tracing::info!(target: "session", id, %client, via, "the peer speaks for a client");
        (self.memory, self.greeting_memory) = (Memory::default(), Memory::default());
        self.calls = SessionCalls::default();
        self.visit.learn(&self.session);
        Verdict::Accept
    }

    /// What was forwarded is true of one transaction.
    fn forget_forwarded(&mut self) {
        if self.session.forwarded.is_some() {
            Arc::make_mut(&mut self.session).forwarded = None;
        }
    }

    async fn mail(&mut self, reverse_path: ReversePath, parameters: Vec<Parameter>) -> Verdict {
        self.count += 1;
        let id = format!("{}.{}", self.session.id, self.count);
        let size = parameter::value_of(&parameters, "SIZE").and_then(|size| size.parse().ok());
        let (recipients, scores) = (Vec::new(), Scores::default());
        let envelope = Envelope { id, reverse_path, parameters, recipients, scores };
        let house = self.site.house();
        let case = self.case(&house, Some(Arc::new(envelope)));
        let presence = self.presence().clone();
        let mut transaction = Box::new(Transaction::new(house, case, presence));
        let (verdict, by) = match transaction.room(size.unwrap_or_default()) {
            Err(reply) => (Verdict::Reply(reply), None),
            Ok(()) => {
                let ruling = transaction.ask(Hook::Mail, &mut self.memory).await;
                (verdict(ruling.decision, transaction.id()), ruling.by)
            }
        };
        self.tell_verdict(Stage::Mail, transaction.envelope(), by.as_deref(), &verdict);
        match &verdict {
            Verdict::Disconnect(reply) | Verdict::Reply(reply) => {
                transaction.end(outcome(reply), Some(reply));
            }
            Verdict::Accept | Verdict::Each(_) => {
                transaction.enter(Doing::Client);
                self.transaction = Some(transaction);
            }
        }
        verdict
    }

    fn case(&self, house: &House, envelope: Option<Arc<Envelope>>) -> Case {
        let calls = Calls::after(self.calls.clone());
        Case { envelope, calls, ..Case::new(self.session.clone(), house.message_octets) }
    }

    async fn rcpt(&mut self, forward_path: Mailbox, parameters: Vec<Parameter>) -> Verdict {
        match &mut self.transaction {
            Some(transaction) => {
                transaction.enter(Doing::Rcpt);
                let verdict = transaction.rcpt(forward_path, parameters, &mut self.memory).await;
                transaction.enter(Doing::Client);
                verdict
            }
            None => out_of_step(),
        }
    }

    async fn message(&mut self) -> Verdict {
        match self.transaction.take() {
            Some(transaction) => {
                let (verdict, unheard) = transaction.message(&mut self.memory).await;
                self.unheard = unheard;
                verdict
            }
            None => out_of_step(),
        }
    }
}

impl Policy for Pipeline {
    fn behaved(&mut self, conduct: &Conduct) {
        if self.session.conduct == *conduct {
            return;
        }
        Arc::make_mut(&mut self.session).conduct = conduct.clone();
        if let Some(transaction) = &mut self.transaction {
            transaction.learn(&self.session);
        }
    }

    fn delay(&mut self) -> Duration {
        self.memory.take_delay()
    }

    async fn held_back(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            Box::pin(transaction.rest()).await;
            transaction.forget_copies();
        }
    }

    // The futures of the long questions are large; on the heap they weigh on no idle connection.
    async fn judge(&mut self, question: Question) -> Verdict {
        self.unheard = None;
        match question {
            Question::Connect => Box::pin(self.connect()).await,
            Question::Hello { name, esmtp } => {
                let verdict = Box::pin(self.hello(name, esmtp)).await;
                self.visit.learn(&self.session);
                verdict
            }
            Question::Auth(credentials) => {
                let verdict = Box::pin(self.auth(&credentials)).await;
                self.visit.learn(&self.session);
                self.tell_verdict(Stage::Auth, None, None, &verdict);
                verdict
            }
            Question::Mail { reverse_path, parameters } => {
                Box::pin(self.mail(reverse_path, parameters)).await
            }
            Question::Rcpt { forward_path, parameters } => {
                Box::pin(self.rcpt(forward_path, parameters)).await
            }
            Question::Data => match &mut self.transaction {
                Some(transaction) => {
                    transaction.enter(Doing::Data);
                    let verdict = Box::pin(transaction.data(&mut self.memory)).await;
                    let accepted = verdict == Verdict::Accept;
                    transaction.enter(if accepted { Doing::Content } else { Doing::Client });
                    verdict
                }
                None => out_of_step(),
            },
            Question::Message => {
                let verdict = Box::pin(self.message()).await;
                self.forget_forwarded();
                verdict
            }
            Question::Xclient(said) => self.replace_client(*said),
            Question::Xforward(said) => {
                proxied::forward(Arc::make_mut(&mut self.session), *said);
                Verdict::Accept
            }
        }
    }

    async fn verifier(
        &mut self,
        mechanism: Mechanism,
        user: String,
    ) -> Result<Option<Verifier>, Reply> {
        Box::pin(self.known(mechanism, &user)).await
    }

    async fn disproved(&mut self, mechanism: Mechanism, user: String) {
        Box::pin(self.unproved(mechanism, &user)).await;
    }

    async fn content(&mut self, chunk: Vec<u8>) {
        if let Some(transaction) = &mut self.transaction {
            Box::pin(transaction.content(chunk, &mut self.memory)).await;
        }
    }

    async fn idle(&mut self) {
        // Who waited in vain for the answer is gone by the time it comes.
        self.unheard = None;
        if let Some(transaction) = &mut self.transaction {
            Box::pin(transaction.rest()).await;
        }
    }

    async fn aborted(&mut self) {
        self.memory.take_delay();
        self.forget_forwarded();
        if let Some(transaction) = self.transaction.take() {
            Box::pin(transaction.abandon(Outcome::Aborted)).await;
        }
    }

    async fn refused(&mut self, reply: Reply) {
        self.memory.take_delay();
        self.forget_forwarded();
        if let Some(mut transaction) = self.transaction.take() {
            transaction.count_answer(&reply);
            transaction.tell_message(&reply);
            transaction.end(outcome(&reply), Some(&reply));
            Box::pin(transaction.abandon(Outcome::Aborted)).await;
        }
    }

    async fn lost(&mut self, why: &'static str) {
        if let Some(transaction) = self.transaction.take() {
            Box::pin(transaction.abandon(Outcome::Lost)).await;
        }
        if let Some(unheard) = self.unheard.take()
            && why != CLOSED
        {
            Box::pin(unheard.keep()).await;
        }
        self.tell_end(why);
    }

    fn tls_established(&mut self, tls: TlsFacts) {
        self.show_tls(&tls);
        let session = Arc::make_mut(&mut self.session);
        session.tls = Some(tls);
        // RFC 3207 section 4.2: what the client said in clear text is void. What plugins found out
        // about its address is not: else STARTTLS would be the way around them.
        session.helo = None;
        session.esmtp = false;
        (session.user, session.mechanism) = (None, None);
        self.visit.learn(&self.session);
        self.memory = self.greeting_memory.clone();
    }
}

/// The session's answer for a ruling. Its own words carry the id, so that who was refused can name
/// the log record.
fn verdict(decision: Decision, id: &str) -> Verdict {
    match decision {
        Decision::Discard(_) | Decision::Pass | Decision::Quarantine(_) => Verdict::Accept,
        // The session hangs up after a 421, whoever says it.
        Decision::Refuse(reply) if reply.code() != 421 => Verdict::Reply(signed(&reply, id)),
        Decision::Disconnect(reply) | Decision::Refuse(reply) => {
            Verdict::Disconnect(signed(&reply, id))
        }
    }
}

/// The outcome that a reply to the client means.
fn outcome(reply: &Reply) -> Outcome {
    match reply {
        _ if reply.is_transient() => Outcome::Deferred,
        _ if reply.is_permanent() => Outcome::Rejected,
        _ => Outcome::Accepted,
    }
}

/// The reply with the id at the end of its text.
fn signed(reply: &Reply, id: &str) -> Reply {
    let text = format!("{} [{id}]", reply.text());
    Reply::new(reply.code(), reply.status(), &text).unwrap_or_else(|_| reply.clone())
}

/// The session asks in order, so this is a defect; the client keeps its mail.
fn out_of_step() -> Verdict {
    Verdict::Reply(Reply::fixed(451, (4, 3, 0), "no transaction"))
}

#[cfg(test)]
mod tests;
