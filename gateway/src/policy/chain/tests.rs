//! Chains of plugins that say what the test wants.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_smtp::ReversePath;
use portcullis_smtp::sasl::{Credentials, Mechanism, Secret};

use super::*;
use crate::config;
use crate::message::{Content, HeaderSection, Scores};
use crate::metrics::{Metrics, Names};
use crate::policy::{BoxFuture, Guard};

/// What a copy does when it is called.
type Script = fn(&HookCall) -> Result<Answer, HookFailure>;

#[derive(Debug)]
struct Scripted {
    name: &'static str,
    script: Script,
    /// It has no hook after this one, and DATA only if that is the last.
    last: Hook,
    guard: Guard,
    copies: AtomicUsize,
    heard: Arc<Mutex<Vec<HookCall>>>,
}

impl Plugin for Scripted {
    fn name(&self) -> &str {
        self.name
    }

    fn answers(&self, hook: Hook) -> bool {
        (hook != Hook::Data || self.last == Hook::Data) && hook <= self.last
    }

    fn guard(&self) -> &Guard {
        &self.guard
    }

    fn fresh_each_call(&self) -> bool {
        false
    }

    fn copy(&self) -> Box<dyn PluginCopy> {
        self.copies.fetch_add(1, Ordering::Relaxed);
        Box::new(ScriptedCopy { script: self.script, heard: self.heard.clone() })
    }
}

struct ScriptedCopy {
    script: Script,
    heard: Arc<Mutex<Vec<HookCall>>>,
}

impl PluginCopy for ScriptedCopy {
    fn call<'a>(&'a mut self, call: HookCall) -> BoxFuture<'a, Result<Answer, HookFailure>> {
        self.heard.lock().unwrap().push(call.clone());
        let answer = (self.script)(&call);
        Box::pin(async move { answer })
    }
}

fn plugin(name: &'static str, script: Script) -> Arc<Scripted> {
    failing(name, OnFailure::Tempfail, script)
}

fn failing(name: &'static str, on_failure: OnFailure, script: Script) -> Arc<Scripted> {
    let (copies, heard) = (AtomicUsize::new(0), Arc::default());
    let plugin = config::Plugin { on_failure, ..config::Plugin::new(name, PathBuf::new()) };
    let guard = Guard::new(&plugin, Metrics::new(&Names::default()).plugin(name));
    Arc::new(Scripted { name, script, last: Hook::Message, guard, copies, heard })
}

fn chain(plugins: &[Arc<Scripted>]) -> Chain {
    let metrics = Metrics::new(&Names::default());
    let link = |plugin: &Arc<Scripted>| Link {
        metrics: metrics.plugin(plugin.name),
        plugin: plugin.clone(),
    };
    Chain::new(plugins.iter().map(link).collect(), false)
}

fn answer(opinion: Opinion) -> Result<Answer, HookFailure> {
    Ok(Answer { opinion, edits: Vec::new(), saved: None, notes: Vec::new() })
}

fn trap(_: &HookCall) -> Result<Answer, HookFailure> {
    Err(HookFailure { reason: FailureReason::Trap, detail: "unreachable".into() })
}

fn refusal() -> Reply {
    Reply::fixed(550, (5, 7, 1), "no")
}

fn case() -> Case {
    let session = SessionFacts {
        esmtp: true,
        ..SessionFacts::new("s".into(), "mx", "192.0.2.1:25".parse().unwrap())
    };
    let envelope = Envelope {
        id: "s.1".into(),
        reverse_path: ReversePath::Null,
        parameters: Vec::new(),
        recipients: Vec::new(),
        scores: Scores::default(),
    };
    let header = HeaderSection::parse(b"Subject: old\r\n\r\n".to_vec());
    Case {
        envelope: Some(Arc::new(envelope)),
        message: Some(Message::new(header.into(), Content::from_bytes(Vec::new()))),
        ..Case::new(Arc::new(session), 1000)
    }
}

async fn ask(chain: &Chain, hook: Hook, case: &mut Case) -> Ruling {
    chain.ask(hook, case, &mut Memory::default(), &mut Copies::default()).await
}

#[tokio::test]
async fn the_first_refusal_is_final_and_names_who_gave_it() {
    let third = plugin("third", |_| answer(Opinion::Next));
    let chain = chain(&[
        plugin("first", |_| answer(Opinion::Next)),
        plugin("second", |_| answer(Opinion::Reject(refusal()))),
        third.clone(),
    ]);
    let ruling = ask(&chain, Hook::Mail, &mut case()).await;
    assert_eq!(ruling.decision, Decision::Refuse(refusal()));
    assert_eq!(ruling.by.as_deref(), Some("second"));
    assert_eq!(third.copies.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_acceptance_spares_the_rest_of_this_hook_only() {
    let last = plugin("last", |_| answer(Opinion::Reject(refusal())));
    let accepts_mail = |call: &HookCall| {
        answer(if call.hook == Hook::Mail { Opinion::Accept } else { Opinion::Next })
    };
    let chain = chain(&[plugin("first", accepts_mail), last]);
    assert_eq!(ask(&chain, Hook::Mail, &mut case()).await.decision, Decision::Pass);
    let later = ask(&chain, Hook::Message, &mut case()).await;
    assert_eq!(later.decision, Decision::Refuse(refusal()));
}

#[tokio::test]
async fn a_failure_means_what_the_configuration_says() {
    for (on_failure, code) in [
        (OnFailure::Accept, None),
        (OnFailure::Disconnect, Some(421)),
        (OnFailure::Reject, Some(554)),
        (OnFailure::Tempfail, Some(451)),
    ] {
        let chain = chain(&[failing("bad", on_failure, trap)]);
        let said = match ask(&chain, Hook::Mail, &mut case()).await.decision {
            Decision::Disconnect(reply) | Decision::Refuse(reply) => Some(reply.code()),
            _ => None,
        };
        assert_eq!(said, code, "{on_failure:?}");
    }
}

#[tokio::test]
async fn a_copy_serves_one_transaction_and_none_after_a_failure() {
    let good = plugin("good", |_| answer(Opinion::Next));
    let bad = failing("bad", OnFailure::Accept, trap);
    let chain = chain(&[good.clone(), bad.clone()]);
    let (mut memory, mut copies) = (Memory::default(), Copies::default());
    for hook in [Hook::Mail, Hook::Rcpt, Hook::Message] {
        let _ = chain.ask(hook, &mut case(), &mut memory, &mut copies).await;
    }
    assert_eq!(good.copies.load(Ordering::Relaxed), 1);
    assert_eq!(bad.copies.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_copy_goes_when_no_hook_is_left_for_it() {
    let envelope = Arc::into_inner(plugin("envelope", |_| answer(Opinion::Next))).unwrap();
    let envelope = Arc::new(Scripted { last: Hook::Rcpt, ..envelope });
    let content = plugin("content", |_| answer(Opinion::Next));
    let chain = chain(&[envelope.clone(), content.clone()]);
    let (mut memory, mut copies) = (Memory::default(), Copies::default());
    let mut left = Vec::new();
    for hook in [Hook::Mail, Hook::Rcpt, Hook::Rcpt, Hook::Data, Hook::Headers, Hook::Message] {
        let _ = chain.ask(hook, &mut case(), &mut memory, &mut copies).await;
        left.push(copies.0.len());
    }
    assert_eq!(left, [2, 2, 2, 1, 1, 0]);
    let made = [&envelope, &content].map(|plugin| plugin.copies.load(Ordering::Relaxed));
    assert_eq!(made, [1, 1]);
}

#[tokio::test]
async fn a_copy_stays_where_data_was_refused_and_recipients_may_come_again() {
    let envelope = Arc::into_inner(plugin("envelope", |_| answer(Opinion::Next))).unwrap();
    let envelope = Arc::new(Scripted { last: Hook::Rcpt, ..envelope });
    let data = |call: &HookCall| {
        answer(if call.hook == Hook::Data { Opinion::Defer(refusal()) } else { Opinion::Next })
    };
    let data = Arc::into_inner(plugin("data", data)).unwrap();
    let data = Arc::new(Scripted { last: Hook::Data, ..data });
    let chain = chain(&[envelope.clone(), data.clone()]);
    let (mut memory, mut copies) = (Memory::default(), Copies::default());
    for hook in [Hook::Mail, Hook::Rcpt, Hook::Data, Hook::Rcpt, Hook::Data] {
        let _ = chain.ask(hook, &mut case(), &mut memory, &mut copies).await;
    }
    let made = [&envelope, &data].map(|plugin| plugin.copies.load(Ordering::Relaxed));
    assert_eq!(made, [1, 1]);
}

#[tokio::test]
async fn copies_for_the_hooks_before_mail_do_not_stay() {
    let plugin = plugin("plugin", |_| answer(Opinion::Next));
    let chain = chain(std::slice::from_ref(&plugin));
    let (mut memory, mut copies) = (Memory::default(), Copies::default());
    for hook in [Hook::Connect, Hook::Helo] {
        let _ = chain.ask(hook, &mut case(), &mut memory, &mut copies).await;
    }
    let _ = chain.authenticate(&mut case(), &mut memory, &credentials()).await;
    assert_eq!(plugin.copies.load(Ordering::Relaxed), 3);
    assert!(copies.0.is_empty());
}

fn credentials() -> Credentials {
    Credentials {
        mechanism: Mechanism::Plain,
        user: "ann".into(),
        authorization: None,
        secret: Secret::Password("open sesame".into()),
    }
}

async fn authenticate(plugins: &[Arc<Scripted>]) -> AuthRuling {
    chain(plugins).authenticate(&mut case(), &mut Memory::default(), &credentials()).await
}

fn ann(call: &HookCall) -> Result<Answer, HookFailure> {
    let credentials = call.credentials.as_ref().expect("credentials");
    assert_eq!(credentials.secret, Secret::Password("open sesame".into()));
    answer(Opinion::Authenticated(credentials.user.clone()))
}

#[tokio::test]
async fn who_a_client_is_is_told_by_the_first_plugin_that_knows() {
    let knows_nobody = plugin("first", |_| answer(Opinion::Next));
    let knows_better = plugin("last", |_| answer(Opinion::Reject(refusal())));
    let plugins = [knows_nobody.clone(), plugin("second", ann), knows_better.clone()];
    assert_eq!(authenticate(&plugins).await, AuthRuling::Authenticated("ann".into()));
    assert_eq!(knows_better.copies.load(Ordering::Relaxed), 0);
    assert_eq!(
        authenticate(&[knows_better, plugin("second", ann)]).await,
        AuthRuling::Refused(refusal())
    );
    assert_eq!(authenticate(&[knows_nobody]).await, AuthRuling::Unknown);
    assert_eq!(authenticate(&[]).await, AuthRuling::Unknown);
}

#[tokio::test]
async fn a_failure_authenticates_nobody_whatever_the_configuration_says() {
    for (on_failure, code) in [
        (OnFailure::Accept, None),
        (OnFailure::Disconnect, Some(421)),
        (OnFailure::Reject, Some(535)),
        (OnFailure::Tempfail, Some(454)),
    ] {
        let bad = failing("bad", on_failure, trap);
        let said = match authenticate(&[bad]).await {
            AuthRuling::Refused(reply) | AuthRuling::Unavailable(reply) => Some(reply.code()),
            AuthRuling::Unknown => None,
            AuthRuling::Authenticated(identity) => panic!("{identity}"),
        };
        assert_eq!(said, code, "{on_failure:?}");
    }
    let bad = failing("bad", OnFailure::Accept, trap);
    let ruling = authenticate(&[bad, plugin("good", ann)]).await;
    assert_eq!(ruling, AuthRuling::Authenticated("ann".into()), "the next one is asked");
}

#[tokio::test]
async fn an_answer_to_another_question_authenticates_nobody() {
    for opinion in [
        |_: &HookCall| answer(Opinion::Accept),
        |_: &HookCall| answer(Opinion::Discard(String::new())),
        |_: &HookCall| answer(Opinion::Disconnect(refusal())),
    ] {
        let ruling = authenticate(&[plugin("confused", opinion)]).await;
        assert!(matches!(ruling, AuthRuling::Unavailable(_)), "{ruling:?}");
    }
    let chain = chain(&[plugin("confused", |_| answer(Opinion::Authenticated("ann".into())))]);
    let ruling = ask(&chain, Hook::Mail, &mut case()).await;
    assert_eq!(ruling.decision, consequence(OnFailure::Tempfail));
}

#[tokio::test]
async fn what_is_learned_from_credentials_is_remembered_and_the_credentials_are_not() {
    let saves = |_: &HookCall| {
        let saved = Some(b"strike one".to_vec());
        Ok(Answer { opinion: Opinion::Next, edits: Vec::new(), saved, notes: Vec::new() })
    };
    let plugin = plugin("plugin", saves);
    let chain = chain(std::slice::from_ref(&plugin));
    let mut memory = Memory::default();
    let ruling = chain.authenticate(&mut case(), &mut memory, &credentials()).await;
    assert_eq!(ruling, AuthRuling::Unknown);
    let _ = chain.ask(Hook::Mail, &mut case(), &mut memory, &mut Copies::default()).await;
    let heard = plugin.heard.lock().unwrap();
    assert_eq!(heard[1].saved.as_deref(), Some(&b"strike one".to_vec()));
    assert_eq!(heard[1].credentials, None);
    assert!(!format!("{heard:?}").contains("sesame"));
}

#[tokio::test]
async fn the_next_plugin_sees_what_the_one_before_it_edited() {
    let edits = |_: &HookCall| {
        let edit = HeaderEdit::Set { name: "Subject".into(), nth: 0, value: b"new".into() };
        let edits = vec![Edit::Header(edit), Edit::SetSender(ReversePath::Null)];
        Ok(Answer { opinion: Opinion::Next, edits, saved: None, notes: Vec::new() })
    };
    let second = plugin("second", |_| answer(Opinion::Next));
    let chain = chain(&[plugin("first", edits), second.clone()]);
    let mut case = case();
    let _ = ask(&chain, Hook::Message, &mut case).await;
    let heard = second.heard.lock().unwrap();
    let header = &heard[0].message.as_ref().unwrap().header;
    assert_eq!(header.as_bytes(), b"Subject: new\r\n\r\n");
    let edit = &case.edits[0];
    assert_eq!((edit.plugin.as_str(), edit.what.as_str()), ("first", "header Subject"));
    assert_eq!((edit.old.as_deref(), edit.new.as_deref()), (Some("old"), Some("new")));
}

#[tokio::test]
async fn what_is_saved_comes_back_to_its_owner_and_notes_to_all() {
    let saves = |_: &HookCall| {
        let notes = vec![("key".to_owned(), "value".to_owned())];
        let saved = Some(b"mine".to_vec());
        Ok(Answer { opinion: Opinion::Next, edits: Vec::new(), saved, notes })
    };
    let (first, second) = (plugin("first", saves), plugin("second", |_| answer(Opinion::Next)));
    let chain = chain(&[first.clone(), second.clone()]);
    let mut memory = Memory::default();
    for hook in [Hook::Connect, Hook::Helo] {
        let _ = chain.ask(hook, &mut case(), &mut memory, &mut Copies::default()).await;
    }
    let heard = |plugin: &Scripted| plugin.heard.lock().unwrap().last().unwrap().clone();
    assert_eq!(heard(&first).saved.as_deref(), Some(&b"mine".to_vec()));
    assert_eq!(heard(&second).saved, None);
    assert_eq!(heard(&second).notes.get("first.key").map(String::as_str), Some("value"));
    // As after a reload that changes the order.
    let other = self::chain(&[second.clone(), first.clone()]);
    let _ = other.ask(Hook::Helo, &mut case(), &mut memory, &mut Copies::default()).await;
    assert_eq!(heard(&first).saved.as_deref(), Some(&b"mine".to_vec()));
    assert_eq!(heard(&second).saved, None);
}

#[tokio::test]
async fn quarantine_is_a_failure_where_there_is_none() {
    let links = |plugin: Arc<Scripted>| {
        let metrics = Metrics::new(&Names::default()).plugin(plugin.name);
        vec![Link { metrics, plugin }]
    };
    let suspects = || plugin("suspects", |_| answer(Opinion::Quarantine("odd".into())));
    for (quarantine, want) in
        [(true, Decision::Quarantine("odd".into())), (false, consequence(OnFailure::Tempfail))]
    {
        let chain = Chain::new(links(suspects()), quarantine);
        assert_eq!(ask(&chain, Hook::Message, &mut case()).await.decision, want);
    }
}

#[tokio::test]
async fn only_what_was_let_through_is_cleared() {
    let (mut memory, mut copies) = (Memory::default(), Copies::default());
    let refusing = chain(&[plugin("no", |_| answer(Opinion::Reject(refusal())))]);
    assert!(refusing.clear(case(), &mut memory, &mut copies).await.is_err());
    let empty = chain(&[]);
    assert!(empty.clear(case(), &mut memory, &mut copies).await.is_ok());
}
