//! The chain of plugins behind a listener: configured order, a refusal is final.

mod authentication;
mod calls;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portcullis_smtp::Reply;
use tracing::{debug, warn};

use super::{
    Answer, Asked, Destinations, Event, FailureReason, Findings, Hook, HookCall, HookFailure,
    Opinion, Plugin, PluginCopy, Scored, Scoring, Witness,
};
use crate::config::OnFailure;
use crate::message::{Edit, Envelope, HeaderEdit, Message, Recipient, Scores, SessionFacts};
use crate::metrics::PluginMetrics;
use crate::telemetry::{EditRecord, ThresholdsRecord};

pub use authentication::AuthRuling;
pub use calls::{Calls, SessionCalls};

/// One plugin in a chain, with its numbers.
#[derive(Clone, Debug)]
pub struct Link {
    /// The plugin.
    pub plugin: Arc<dyn Plugin>,
    /// Where its calls are counted.
    pub metrics: Arc<PluginMetrics>,
}

/// The plugins of one listener, in the order in which they are asked.
#[derive(Debug)]
pub struct Chain {
    links: Vec<Link>,
    /// For each hook, the links that answer it: a hook that nobody answers costs one branch.
    order: [Vec<usize>; Hook::ALL.len()],
    /// For each link, the last hook of a transaction at which it is asked.
    last: Vec<Option<Hook>>,
    /// Whether there is anywhere that quarantined mail could go.
    quarantine: bool,
    /// What follows from the points that they give.
    scoring: Option<Scoring>,
    /// Where mail goes, for plugins that ask.
    upstreams: Option<Arc<dyn Destinations>>,
    /// Who looks on, in a rehearsal.
    witness: Option<Arc<dyn Witness>>,
}

/// What is judged: one session, and one transaction of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The connection.
    pub session: Arc<SessionFacts>,
    /// The envelope, from MAIL on.
    pub envelope: Option<Arc<Envelope>>,
    /// The recipient that is judged, during RCPT.
    pub recipient: Option<Recipient>,
    /// Whether a plugin dropped it.
    pub recipient_dropped: bool,
    /// The index that the next recipient gets.
    pub next_index: u32,
    /// The message, once its header section has come.
    pub message: Option<Message>,
    /// Recipients that a plugin refused after it saw the message.
    pub refused: Vec<(u32, Reply)>,
    /// What plugins changed, for the transaction's record.
    pub edits: Vec<EditRecord>,
    /// What plugins said, for the transaction's record.
    pub calls: Calls,
    /// When it began.
    pub began: Instant,
    /// Time that plugins took.
    pub plugins_time: Duration,
    /// Upper bound for a body that a plugin writes, in octets.
    pub message_octets: u64,
    /// What is found out about who sent it.
    pub findings: Arc<Findings>,
}

/// What plugins keep from one hook to the next in one session, on the gateway's side.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// By the plugin's name: its place in the chain is not the same after a reload.
    saved: BTreeMap<String, Arc<Vec<u8>>>,
    notes: Arc<BTreeMap<String, String>>,
    /// How long the next reply is held back; the longest that any plugin wants.
    delay: Duration,
}

/// The copies of plugins that one transaction uses, by their place in the chain.
#[derive(Default)]
pub struct Copies(BTreeMap<usize, Box<dyn PluginCopy>>);

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// What a chain decided at one hook, and who.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ruling {
    /// The decision.
    pub decision: Decision,
    /// The plugin that decided; none where all had no opinion.
    pub by: Option<String>,
    /// The hook at which it did.
    pub hook: Hook,
}

/// What a chain decided.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Decision {
    /// Say yes, deliver nothing; the text is for the log.
    Discard(String),
    /// Say this and hang up.
    Disconnect(Reply),
    /// Nobody objects.
    Pass,
    /// Say yes, deliver to quarantine; the text is for the log.
    Quarantine(String),
    /// Say this.
    Refuse(Reply),
}

/// Something that every plugin let through.
///
/// Only [`Chain::clear`] makes one, and delivery takes nothing else, so that forgetting to ask the
/// plugins does not compile.
#[derive(Clone, Debug)]
#[must_use]
pub struct Cleared<T>(T);

impl<T> Cleared<T> {
    /// What was let through, made into something else.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Cleared<U> {
        Cleared(change(self.0))
    }

    /// What was let through.
    pub fn get(&self) -> &T {
        &self.0
    }
}

impl Chain {
    /// A chain of these plugins. Without `quarantine`, an opinion that asks for it is a failure.
    #[must_use]
    pub fn new(links: Vec<Link>, quarantine: bool) -> Self {
        let order = Hook::ALL.map(|hook| {
            let answers = |link: &Link| link.plugin.answers(hook);
            (0..links.len()).filter(|&n| answers(&links[n])).collect()
        });
        let last = links.iter().map(|link| {
            let mut hooks = Hook::ALL.into_iter().rev().filter(|hook| hook.in_transaction());
            hooks.find(|&hook| link.plugin.answers(hook))
        });
        let last = last.collect();
        Self { links, order, last, quarantine, scoring: None, upstreams: None, witness: None }
    }

    /// The same, and where no plugin objects to a message, its score decides.
    #[must_use]
    pub fn scored(self, scoring: Option<Scoring>) -> Self {
        Self { scoring, ..self }
    }

    /// The same, whose plugins may ask these upstreams, each with its grant.
    #[must_use]
    pub fn reaching(self, upstreams: Arc<dyn Destinations>) -> Self {
        Self { upstreams: Some(upstreams), ..self }
    }

    /// What follows from how many points, for records.
    #[must_use]
    pub fn thresholds(&self) -> Option<ThresholdsRecord> {
        self.scoring.as_ref().map(Scoring::thresholds)
    }

    /// The same, and somebody looks on.
    #[must_use]
    pub fn witnessed(self, witness: Arc<dyn Witness>) -> Self {
        Self { witness: Some(witness), ..self }
    }

    /// Who looks on, if anybody does.
    #[must_use]
    pub fn witness(&self) -> Option<&dyn Witness> {
        self.witness.as_deref()
    }

    /// Tells the plugins that want to know what has happened. Where there is none, it is not even
    /// written down.
    pub fn tell(&self, event: impl FnOnce() -> Event) {
        let listeners = &self.order[Hook::Outcome as usize];
        if !listeners.is_empty() {
            let event = Arc::new(event());
            listeners.iter().for_each(|&n| self.links[n].plugin.tell(&event));
        }
    }

    /// Waits until they have heard everything.
    pub async fn told(&self) {
        for &n in &self.order[Hook::Outcome as usize] {
            self.links[n].plugin.told().await;
        }
    }

    /// Asks the plugins at a hook, and applies what they edit to the case.
    pub async fn ask(
        &self,
        hook: Hook,
        case: &mut Case,
        memory: &mut Memory,
        copies: &mut Copies,
    ) -> Ruling {
        // RCPT comes again and again, and both may come again where DATA was refused.
        let next = if hook == Hook::Data { Hook::Rcpt } else { hook };
        copies.0.retain(|&n, _| self.last[n] >= Some(next));
        let (mut decision, mut by) = (Decision::Pass, None);
        for &n in &self.order[hook as usize] {
            let link = &self.links[n];
            let call = case.hook_call(hook, link.plugin.name(), memory);
            let before = self.witness.is_some().then(|| case.clone());
            let answer = self.call(n, call, case, copies).await;
            if let Ok(answer) = &answer {
                memory.take(link.plugin.name(), answer);
                case.apply((link.plugin.name(), hook), &answer.edits);
            }
            self.show_asked(link, hook, before.as_ref(), case, &answer);
            decision = match answer {
                Ok(answer) => match answer.opinion {
                    // `possible` keeps identities to the hook that establishes them.
                    Opinion::Authenticated(_) | Opinion::Next => continue,
                    Opinion::Accept => Decision::Pass,
                    Opinion::Defer(reply) | Opinion::Reject(reply) => Decision::Refuse(reply),
                    Opinion::Disconnect(reply) => Decision::Disconnect(reply),
                    Opinion::Discard(why) => Decision::Discard(why),
                    Opinion::Quarantine(why) => Decision::Quarantine(why),
                },
                Err(failure) => {
                    report(link, hook, case, &failure);
                    match consequence(link.plugin.guard().on_failure(failure.reason)) {
                        Decision::Pass => continue,
                        decision => decision,
                    }
                }
            };
            by = Some(link.plugin.name().to_owned());
            break;
        }
        if hook == Hook::Data && !matches!(decision, Decision::Disconnect(_) | Decision::Refuse(_))
        {
            copies.0.retain(|&n, _| self.last[n] > Some(hook));
        }
        Ruling { decision, by, hook }
    }

    /// Asks the plugins about the complete message, and looks at its score. What they let through,
    /// and only that, can be delivered.
    ///
    /// # Errors
    ///
    /// The ruling, if it is a refusal or a disconnection.
    pub async fn clear(
        &self,
        mut case: Case,
        memory: &mut Memory,
        copies: &mut Copies,
    ) -> Result<(Cleared<Case>, Ruling), (Case, Ruling)> {
        let mut ruling = self.ask(Hook::Message, &mut case, memory, copies).await;
        if let Some(scoring) = &self.scoring {
            let before = self.witness.is_some().then(|| case.clone());
            ruling = scoring.judge(&mut case, ruling);
            if let (Some(witness), Some(before)) = (&self.witness, &before) {
                let scores = case.envelope.as_ref().map(|envelope| &envelope.scores);
                let sum = scores.map(Scores::sum).unwrap_or_default();
                witness.scored(Scored { sum, before, after: &case, ruling: &ruling });
            }
        }
        match ruling.decision {
            Decision::Disconnect(_) | Decision::Refuse(_) => Err((case, ruling)),
            Decision::Discard(_) | Decision::Pass | Decision::Quarantine(_) => {
                Ok((Cleared(case), ruling))
            }
        }
    }

    async fn call(
        &self,
        n: usize,
        mut call: HookCall,
        case: &mut Case,
        copies: &mut Copies,
    ) -> Result<Answer, HookFailure> {
        let (link, hook) = (&self.links[n], call.hook);
        call.upstreams = self.upstreams.clone();
        let credentials = call.credentials.clone();
        let started = Instant::now();
        let pass = match link.plugin.guard().admit(hook, case, credentials.as_deref()) {
            Ok(pass) => pass,
            Err(failure) => {
                let answer = Err(failure);
                case.record_call((hook, link.plugin.name()), (started, Duration::ZERO), &answer);
                return answer;
            }
        };
        // What is not asked again gives up its copy now: whoever is next finds its memory in the caches.
        let asked_again = matches!(hook, Hook::Rcpt | Hook::Data) || self.last[n] > Some(hook);
        let kept = hook.in_transaction() && asked_again && !link.plugin.fresh_each_call();
        let mut copy = copies.0.remove(&n).unwrap_or_else(|| link.plugin.copy());
        let begun = link.metrics.call(hook.label());
        let answer = copy.call(call).await;
        let answer = answer.and_then(|answer| self.possible(hook, answer));
        let result = answer.as_ref().map_or("failure", |answer| answer.opinion.label());
        let took = begun.ended(result);
        pass.settle(answer.as_ref().map(drop), case, credentials.as_deref());
        case.plugins_time += took;
        case.record_call((hook, link.plugin.name()), (started, took), &answer);
        // A copy that failed may hold anything; it is never asked again.
        if kept && answer.is_ok() {
            copies.0.insert(n, copy);
        }
        answer
    }
}

impl Chain {
    /// Shows who looks on what a plugin said; `before` is there only if somebody does.
    fn show_asked(
        &self,
        link: &Link,
        hook: Hook,
        before: Option<&Case>,
        after: &Case,
        answer: &Result<Answer, HookFailure>,
    ) {
        let (Some(witness), Some(before)) = (&self.witness, before) else { return };
        let result = answer.as_ref();
        witness.asked(Asked {
            plugin: link.plugin.name(),
            hook,
            before,
            after,
            result,
            on_failure: result.err().map(|it| link.plugin.guard().on_failure(it.reason)),
            took: after.plugins_time.saturating_sub(before.plugins_time),
        });
    }

    /// What is no answer here is a failure.
    fn possible(&self, hook: Hook, answer: Answer) -> Result<Answer, HookFailure> {
        let detail = match &answer.opinion {
            Opinion::Quarantine(_) if !self.quarantine => {
                "quarantine, but this listener has no `quarantine:` upstream".to_owned()
            }
            Opinion::Next | Opinion::Defer(_) | Opinion::Reject(_) => return Ok(answer),
            Opinion::Authenticated(_) if hook == Hook::Auth => return Ok(answer),
            opinion if hook == Hook::Auth => format!("{} is no answer to auth", opinion.label()),
            Opinion::Authenticated(_) => format!("an identity is no answer to {hook}"),
            _ => return Ok(answer),
        };
        Err(HookFailure { reason: FailureReason::BadAnswer, detail })
    }
}

impl Case {
    /// A session, of which no transaction is known yet.
    #[must_use]
    pub fn new(session: Arc<SessionFacts>, message_octets: u64) -> Self {
        Self {
            session,
            envelope: None,
            recipient: None,
            recipient_dropped: false,
            next_index: 0,
            message: None,
            refused: Vec::new(),
            edits: Vec::new(),
            calls: Calls::default(),
            began: Instant::now(),
            plugins_time: Duration::ZERO,
            message_octets,
            findings: Arc::default(),
        }
    }

    fn hook_call(&self, hook: Hook, plugin: &str, memory: &Memory) -> HookCall {
        HookCall {
            hook,
            session: self.session.clone(),
            credentials: None,
            envelope: self.envelope.clone(),
            recipient: self.recipient.clone(),
            next_index: self.next_index,
            message: self.message.clone(),
            saved: memory.saved.get(plugin).cloned(),
            notes: memory.notes.clone(),
            message_octets: self.message_octets,
            findings: self.findings.clone(),
            upstreams: None,
        }
    }

    /// Applies edits that are validated and granted, and writes down what changed.
    pub(super) fn apply(&mut self, by: (&str, Hook), edits: &[Edit]) {
        if edits.is_empty() {
            return;
        }
        self.findings.keep(self.envelope.as_deref(), self.message.as_ref(), edits);
        for edit in edits {
            // Scores have a place of their own in the record.
            if !matches!(edit, Edit::Score(_)) {
                self.note((by.0, by.1.label()), edit);
            }
            match edit {
                Edit::AddRecipient(recipient) => {
                    self.next_index = self.next_index.max(recipient.index.saturating_add(1));
                }
                Edit::RefuseRecipient(index, reply) => self.refused.push((*index, reply.clone())),
                Edit::Route { upstream, index } => {
                    if let Some(judged) = self.judged(*index) {
                        judged.route = Some(upstream.clone());
                    }
                }
                Edit::SetRecipient(index, address) => {
                    if let Some(judged) = self.judged(Some(*index)) {
                        judged.address = address.clone();
                    }
                }
                Edit::DropRecipient(index) => {
                    self.recipient_dropped |= self.judged(Some(*index)).is_some();
                }
                Edit::Delay(_)
                | Edit::Header(_)
                | Edit::ReplaceBody(_)
                | Edit::Score(_)
                | Edit::SetSender(_)
                | Edit::SpliceBody(_) => {}
            }
        }
        if let Some(envelope) = &mut self.envelope {
            Arc::make_mut(envelope).apply(edits);
        }
        if let Some(message) = &mut self.message {
            message.apply(edits);
        }
    }

    /// The recipient that is judged now, if the index means it.
    fn judged(&mut self, index: Option<u32>) -> Option<&mut Recipient> {
        self.recipient.as_mut().filter(|judged| index.is_none_or(|index| index == judged.index))
    }

    /// For the record. A client decides how often plugins are asked, so that there is an end to it.
    fn note(&mut self, by: (&str, &'static str), edit: &Edit) {
        match self.edits.len() {
            ..EDITS => self.edits.push(self.describe(by, edit)),
            EDITS => self.edits.push(EditRecord::new(by, "more than is recorded", None, None)),
            _ => {}
        }
    }

    fn describe(&self, by: (&str, &'static str), edit: &Edit) -> EditRecord {
        let record =
            |what: &str, old: Option<&str>, new: Option<&str>| EditRecord::new(by, what, old, new);
        match edit {
            Edit::AddRecipient(added) => record("recipient", None, Some(added.address.as_str())),
            Edit::Delay(delay) => record("delay", None, Some(&format!("{delay:?}"))),
            Edit::DropRecipient(index) => record("recipient", Some(&self.address(*index)), None),
            Edit::Header(edit) => self.describe_header(by, edit),
            Edit::RefuseRecipient(index, reply) => {
                record("refusal", Some(&self.address(*index)), Some(&reply.to_string()))
            }
            Edit::ReplaceBody(body) => {
                let old = self.message.as_ref().map_or(0, |message| message.body.octets());
                let (old, new) = (format!("{old} octets"), format!("{} octets", body.octets()));
                record("body", Some(&old), Some(&new))
            }
            Edit::Route { upstream, index } => {
                let whose = index.map_or_else(|| "all".to_owned(), |index| self.address(index));
                record(&format!("route of {whose}"), None, Some(upstream))
            }
            Edit::Score(score) => {
                record(&format!("score {}", score.symbol), None, Some(&score.points.to_string()))
            }
            Edit::SetRecipient(index, new) => {
                record("recipient", Some(&self.address(*index)), Some(new.as_str()))
            }
            Edit::SetSender(new) => {
                let old = self.envelope.as_ref().map(|envelope| envelope.reverse_path.to_string());
                record("sender", old.as_deref(), Some(&new.to_string()))
            }
            Edit::SpliceBody(splice) => {
                let (old, new) = (splice.length, splice.replacement.octets());
                let (old, new) = (format!("{old} octets"), format!("{new} octets"));
                record(&format!("body at {}", splice.at), Some(&old), Some(&new))
            }
        }
    }

    fn describe_header(&self, by: (&str, &'static str), edit: &HeaderEdit) -> EditRecord {
        let old = |name: &str, nth: u32| {
            let header = self.message.as_ref().map(|message| &message.header);
            let value = header.and_then(|header| header.value(name, nth as usize));
            value.map(|value| String::from_utf8_lossy(&value).into_owned())
        };
        let (name, old, new) = match edit {
            HeaderEdit::Add { name, value, .. } => (name, None, Some(value)),
            HeaderEdit::Drop { name, nth } => (name, old(name, *nth), None),
            HeaderEdit::Set { name, nth, value } => (name, old(name, *nth), Some(value)),
        };
        let new = new.map(|value| String::from_utf8_lossy(value));
        EditRecord::new(by, format!("header {name}"), old.as_deref(), new.as_deref())
    }

    /// A recipient's address, for the record.
    fn address(&self, index: u32) -> String {
        let known = self.envelope.iter().flat_map(|envelope| &envelope.recipients);
        known
            .chain(&self.recipient)
            .find(|recipient| recipient.index == index)
            .map_or_else(|| format!("recipient {index}"), |found| found.address.to_string())
    }
}

impl Memory {
    /// How long the next reply is held back. It is forgotten then.
    pub fn take_delay(&mut self) -> Duration {
        std::mem::take(&mut self.delay)
    }

    fn take(&mut self, plugin: &str, answer: &Answer) {
        for edit in &answer.edits {
            if let Edit::Delay(delay) = edit {
                self.delay = self.delay.max(*delay);
            }
        }
        if let Some(saved) = &answer.saved {
            self.saved.insert(plugin.to_owned(), Arc::new(saved.clone()));
        }
        if !answer.notes.is_empty() {
            let notes = Arc::make_mut(&mut self.notes);
            for (key, value) in &answer.notes {
                notes.insert(format!("{plugin}.{key}"), value.clone());
            }
        }
    }
}

fn report(link: &Link, hook: Hook, case: &Case, failure: &HookFailure) {
    link.metrics.hook_failed(hook.label(), failure.reason.label());
    let id = case.envelope.as_ref().map_or(&case.session.id, |envelope| &envelope.id);
    let (plugin, hook, reason) = (link.plugin.name(), hook.label(), failure.reason.label());
    let on_failure = link.plugin.guard().on_failure(failure.reason);
    link.metrics.failure_meant(on_failure.label());
    if failure.reason == FailureReason::Open {
        // That it is open was told when it opened, and it may be everybody whom it concerns.
        debug!(plugin, hook, reason, id, ?on_failure, "plugin not called");
        return;
    }
    let detail = failure.detail.escape_debug();
    warn!(plugin, hook, reason, id, ?on_failure, "plugin failed: {detail}");
}

fn consequence(on_failure: OnFailure) -> Decision {
    match on_failure {
        OnFailure::Accept => Decision::Pass,
        OnFailure::Disconnect => {
            Decision::Disconnect(Reply::fixed(421, (4, 3, 0), "filter failed, try again later"))
        }
        OnFailure::Reject => {
            Decision::Refuse(Reply::fixed(554, (5, 3, 0), "filter failed, message not accepted"))
        }
        OnFailure::Tempfail => {
            Decision::Refuse(Reply::fixed(451, (4, 3, 0), "filter failed, try again later"))
        }
    }
}

/// Edits in one record: more than a person reads, and what a transaction may pile up has an end.
const EDITS: usize = 200;

#[cfg(test)]
mod tests;
