//! Transactions with plugins that do what the test wants, and upstreams that answer by name.

mod endings;
mod logins;
mod messages;
mod mixed;
mod recipients;
mod reloading;
mod scores;
mod spooled;
mod telling;
mod upstream;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Barrier;

use crate::config;
use crate::message::Edit;
use crate::metrics::{Metrics, Names};
use crate::policy::{
    Answer, BoxFuture, Event, FailureReason, Guard, HookCall, HookFailure, Link, Opinion, Plugin,
    PluginCopy, Scoring,
};
use crate::resolver::{Resolver, Zone};
use crate::routing::Routes;

use super::*;
use upstream::Upstream;

/// What a plugin does when it is called.
type Script = fn(&HookCall) -> (Opinion, Vec<Edit>);

#[derive(Clone, Debug)]
struct Scripted(Script, Arc<Guard>, Arc<Mutex<Vec<Event>>>);

impl Scripted {
    fn new(script: Script) -> Self {
        let plugin = config::Plugin::new("scripted", PathBuf::new());
        let metrics = Metrics::new(&Names::default()).plugin("scripted");
        Self(script, Arc::new(Guard::new(&plugin, metrics)), Arc::default())
    }
}

impl Plugin for Scripted {
    fn name(&self) -> &str {
        "scripted"
    }

    fn answers(&self, _: Hook) -> bool {
        true
    }

    fn guard(&self) -> &Guard {
        &self.1
    }

    fn fresh_each_call(&self) -> bool {
        false
    }

    fn tell(&self, event: &Arc<Event>) {
        self.2.lock().unwrap().push(Event::clone(event));
    }

    fn copy(&self) -> Box<dyn PluginCopy> {
        Box::new(self.clone())
    }
}

impl PluginCopy for Scripted {
    /// Saves the hook's name, so that a test sees what is remembered; traps on `trap@`.
    fn call<'a>(&'a mut self, call: HookCall) -> BoxFuture<'a, Result<Answer, HookFailure>> {
        let (opinion, edits) = (self.0)(&call);
        let notes = vec![(call.hook.label().to_owned(), "seen".to_owned())];
        let trap = call.recipient.is_some_and(|judged| judged.address.local_part() == "trap");
        let failure = HookFailure { reason: FailureReason::Trap, detail: "unreachable".into() };
        let answer = Answer { opinion, edits, saved: None, notes };
        Box::pin(async move { if trap { Err(failure) } else { Ok(answer) } })
    }
}

/// How a listener is set up.
struct Setup {
    protocol: Protocol,
    /// The protocol of the upstreams `one`, `two` and `quarantine`.
    upstreams: Protocol,
    script: Script,
    /// Octets of content in memory and in files.
    room: (u64, u64),
    login: Option<Arc<Login>>,
    scores: Option<config::Scores>,
    mixed: Mixed,
    window: Duration,
    delivery: DeliveryMode,
    spool: bool,
}

impl Setup {
    fn new(script: Script) -> Self {
        let room = (1 << 20, 1 << 20);
        let (protocol, upstreams) = (Protocol::Smtp, Protocol::Smtp);
        let (mixed, window) = (Mixed::DeferOthers, Duplicates::default().window);
        Self {
            protocol,
            upstreams,
            script,
            room,
            login: None,
            scores: None,
            mixed,
            window,
            delivery: DeliveryMode::Relay,
            spool: false,
        }
    }

    fn lmtp(script: Script) -> Self {
        let (protocol, upstreams) = (Protocol::Lmtp, Protocol::Lmtp);
        Self { protocol, upstreams, ..Self::new(script) }
    }

    async fn start(self) -> Listener {
        Listener::start(self).await
    }
}

/// One listener before four upstreams: `b.example` goes to `one`, `c.example` to `two`, `d.example`
/// to one that is not there, and anything else nowhere.
struct Listener {
    one: Upstream,
    two: Upstream,
    quarantine: Upstream,
    metrics: Metrics,
    budget: Arc<Budget>,
    client: Pipeline,
    told: Arc<Mutex<Vec<Event>>>,
    spool: Option<spooled::Folder>,
}

impl Listener {
    async fn start(setup: Setup) -> Self {
        let meeting = Arc::new(Barrier::new(2));
        let one = Upstream::start(setup.upstreams, meeting.clone()).await;
        let two = Upstream::start(setup.upstreams, meeting.clone()).await;
        let quarantine = Upstream::start(setup.upstreams, meeting).await;
        let protocol = if setup.upstreams == Protocol::Lmtp { "lmtp" } else { "smtp" };
        let (a, b, c) = (one.address, two.address, quarantine.address);
        let text = format!(
            "hostname: gw.example
listeners: [{{ name: mx, address: 127.0.0.1:0 }}]
upstreams:
  one: {{ protocol: {protocol}, address: \"{a}\" }}
  two: {{ protocol: {protocol}, address: \"{b}\" }}
  quarantine: {{ protocol: {protocol}, address: \"{c}\" }}
  gone: {{ protocol: {protocol}, address: 127.0.0.1:1 }}
routes:
  - {{ domains: [b.example], upstream: one }}
  - {{ domains: [c.example], upstream: two }}
  - {{ domains: [d.example], upstream: gone }}
"
        );
        let config = config::parse(Path::new("test.yaml"), text).expect("a configuration");
        let metrics = Metrics::new(&Names::default());
        let counted = Arc::new(Metrics::new(&Names::default()));
        let resolver = Resolver::fixed(Zone::default(), counted.dns());
        let upstreams = Upstreams::new(&config, &resolver, counted);
        let upstreams = Arc::new(upstreams.expect("upstreams"));
        let routes = Arc::new(CurrentRoutes::from_pointee(Routes::new(&config)));
        let spool = setup.spool.then(|| spooled::Folder::open(&config, &upstreams, &routes));
        let plugin = Scripted::new(setup.script);
        let told = plugin.2.clone();
        let plugin: Arc<dyn Plugin> = Arc::new(plugin);
        let link = Link { metrics: metrics.plugin("scripted"), plugin };
        let (memory, disk) = setup.room;
        let budget = Budget::new(memory, disk, 1 << 20, std::env::temp_dir());
        let scoring = setup.scores.map(|scores| Scoring::new(&scores, metrics.listener("mx")));
        let house = House {
            listener: "mx".into(),
            hostname: "gw.example".into(),
            protocol: setup.protocol,
            chain: Chain::new(vec![link], true).scored(scoring),
            login: setup.login,
            routes,
            upstreams,
            upstream: None,
            spool: spool.as_ref().map(|spool| Keeping::Spooled(spool.spooling.clone())),
            quarantine: Some("quarantine".into()),
            delivery: setup.delivery,
            mixed: setup.mixed,
            receipts: Arc::default(),
            live: Arc::default(),
            duplicates: Duplicates { window: setup.window, ..Duplicates::default() },
            budget: budget.clone(),
            header_octets: 4000,
            message_octets: 1 << 20,
            metrics: metrics.listener("mx"),
            traces: None,
            in_use: Arc::new(metrics.configuration_in_use()),
        };
        let session = SessionFacts {
            helo: Some("client.example".into()),
            esmtp: true,
            ..SessionFacts::new("s".into(), "mx", "192.0.2.1:2525".parse().expect("an address"))
        };
        let client = Pipeline::new(Arc::new(Site::new(house)), session);
        Self { one, two, quarantine, metrics, budget, client, told, spool }
    }

    async fn ask(&mut self, question: Question) -> String {
        let heard = told(self.client.judge(question).await);
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard.concat()
    }

    async fn mail(&mut self) -> String {
        self.mail_with(Vec::new()).await
    }

    async fn mail_with(&mut self, parameters: Vec<Parameter>) -> String {
        let address = Mailbox::parse("a@a.example").expect("an address");
        let reverse_path = ReversePath::Mailbox(address);
        self.ask(Question::Mail { reverse_path, parameters }).await
    }

    async fn rcpt(&mut self, address: &str) -> String {
        let forward_path = Mailbox::parse(address).expect("an address");
        self.ask(Question::Rcpt { forward_path, parameters: Vec::new() }).await
    }

    async fn data(&mut self) -> String {
        self.ask(Question::Data).await
    }

    /// The content, octet by octet and in one piece, and what is said to it.
    async fn message(&mut self, text: &str) -> Vec<String> {
        let (head, tail) = text.split_at(text.len().min(20));
        for octet in head.bytes() {
            self.client.content(vec![octet]).await;
        }
        if !tail.is_empty() {
            self.client.content(tail.into()).await;
        }
        told(self.client.judge(Question::Message).await)
    }

    /// A whole transaction; all recipients are accepted.
    async fn send(&mut self, recipients: &[&str]) -> Vec<String> {
        assert_eq!(self.mail().await, "yes");
        for recipient in recipients {
            assert_eq!(self.rcpt(recipient).await, "yes", "{recipient}");
        }
        assert_eq!(self.data().await, "yes");
        self.message(MESSAGE).await
    }

    /// Ends the session, and checks that each transaction had its one outcome, in order of name.
    #[track_caller]
    fn outcomes(self, want: &[(&str, u64)]) {
        drop(self.client);
        let rendered = self.metrics.render();
        let number = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok());
        let sum = |name: &str| rendered.lines().filter(|l| l.starts_with(name)).find_map(number);
        let ended: Vec<_> = rendered
            .lines()
            .filter(|line| line.starts_with("portcullis_transactions_total{"))
            .filter_map(|line| Some((line.split("outcome=\"").nth(1)?, number(line)?)))
            .map(|(rest, count)| (rest.split('"').next().unwrap_or_default().to_owned(), count))
            .filter(|(_, count)| *count > 0)
            .collect();
        let want: Vec<_> = want.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        assert_eq!(ended, want);
        let all: u64 = ended.iter().map(|(_, count)| count).sum();
        assert_eq!(sum("portcullis_transactions_started_total{"), Some(all));
        assert_eq!(sum("portcullis_transactions_in_flight{"), Some(0));
        assert_eq!(self.budget.used(), (0, 0), "room that was not given back");
    }
}

/// `yes`, or the replies; `!` before one that ends the connection. The upstreams name recipients
/// over LMTP; that is left out.
fn told(verdict: Verdict) -> Vec<String> {
    match verdict {
        Verdict::Accept => vec!["yes".into()],
        Verdict::Disconnect(reply) => vec![format!("!{reply}")],
        Verdict::Each(replies) => replies.iter().map(|reply| unnamed(&reply.to_string())).collect(),
        Verdict::Reply(reply) => vec![reply.to_string()],
    }
}

fn unnamed(reply: &str) -> String {
    let named = reply.split_once('<').zip(reply.split_once("> "));
    named.map_or_else(|| reply.to_owned(), |((head, _), (_, tail))| format!("{head}{tail}"))
}

fn nothing(_: &HookCall) -> (Opinion, Vec<Edit>) {
    (Opinion::Next, Vec::new())
}

fn spam() -> Reply {
    Reply::fixed(550, (5, 7, 1), "spam")
}

fn later() -> Reply {
    Reply::fixed(451, (4, 7, 1), "later")
}

const MESSAGE: &str = "Subject: x\r\nTo: b\r\n\r\nbody\r\n";
