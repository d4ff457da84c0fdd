//! The queue with a spool on a disk and an upstream on a socket.

mod post;
mod trouble;

use std::path::Path;

use portcullis_smtp::{Mailbox, Parameter, ReversePath};
use tempfile::TempDir;

use super::*;
use crate::config::{self, Config};
use crate::message::{Content, HeaderSection, Message, Provenance};
use crate::metrics::Names;
use crate::resolver::{Resolver, Zone};
use crate::routing::{CurrentRoutes, Routes};
use crate::spool::{Action, Addressee, Id, Order};
use post::Post;

/// A spool, its queue, and what runs it.
struct Scene {
    folder: TempDir,
    spool: Arc<Spool>,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<()>,
}

fn config(folder: &Path, upstreams: &str) -> Config {
    let text = format!(
        "
hostname: mx.example.org
listeners: [{{name: in, address: \"127.0.0.1:2525\"}}]
upstreams: {{{upstreams}}}
default_upstream: store
spool: {{directory: {}, free: 0}}
",
        folder.join("spool").display()
    );
    let mut config = config::parse(Path::new("portcullis.yaml"), text).expect("a configuration");
    let redelivery = &mut config.spool.as_mut().expect("a spool").redelivery;
    redelivery.first = Duration::from_millis(50);
    redelivery.longest = Duration::from_millis(200);
    config
}

fn upstreams(config: &Config, metrics: &Arc<Metrics>) -> Upstreams {
    let resolver = Resolver::fixed(Zone::default(), metrics.dns());
    Upstreams::new(config, &resolver, metrics.clone()).expect("upstreams")
}

fn store_at(address: std::net::SocketAddr) -> String {
    format!("store: {{address: \"{address}\"}}")
}

impl Scene {
    fn before(post: &Post) -> Self {
        Self::with(tempfile::tempdir().expect("a folder"), &store_at(post.address), |_| {})
    }

    fn with(folder: TempDir, stores: &str, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(folder.path(), stores);
        change(&mut config);
        let metrics = Arc::new(Metrics::new(&Names::default()));
        let spool = config.spool.as_ref().expect("a spool");
        let (spool, waiting) = Spool::open(spool, metrics.spool()).expect("a spool");
        let upstreams = Arc::new(upstreams(&config, &metrics));
        let shutdown = Shutdown::new();
        let queue = Queue::open(
            spool.clone(),
            waiting,
            Conditions::new(&config, Arc::new(CurrentRoutes::from_pointee(Routes::new(&config)))),
            vec![(Handle::current(), upstreams)],
            metrics.clone(),
            shutdown.clone(),
        );
        let queue = queue[0].clone();
        let running = tokio::spawn(queue.clone().run());
        Self { folder, spool, queue, metrics, shutdown, running }
    }

    /// Ends it as a restart does.
    async fn end(self) -> TempDir {
        self.shutdown.begin();
        assert_eq!(self.shutdown.drained(Duration::from_secs(10)).await, 0);
        self.running.await.expect("it ends");
        self.folder
    }

    async fn accept(&self, entry: Entry) -> Id {
        let stored = self.spool.store(entry, &outbound()).await.expect("room");
        self.queue.enqueue(&stored, outbound());
        stored.id().clone()
    }

    /// Waits until nothing is left in the spool.
    async fn empty(&self) {
        self.until("the spool is empty", || self.queue.office.agenda(|it| it.ids().is_empty()))
            .await;
    }

    async fn until(&self, what: &str, is: impl Fn() -> bool) {
        for _ in 0..1000 {
            if is() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("not in time: {what}; {:?}", self.queue.summary());
    }

    async fn state(&self, id: &Id) -> State {
        self.spool.read(id).await.expect("it waits").0.recipients[0].state.clone()
    }

    fn metric(&self, line: &str) -> bool {
        self.metrics.render().lines().any(|other| other == line)
    }
}

fn outbound() -> Outbound {
    let header = b"From: ann@example.org\r\nSubject: hello\r\n\r\n".to_vec();
    let body = Content::from_bytes(b"text\r\n".to_vec());
    let message = Message::new(Arc::new(HeaderSection::parse(header)), body);
    Outbound { prefix: b"Received: from here\r\n".to_vec(), message }
}

fn entry(sender: &str, recipients: &[&str]) -> Entry {
    let now = Timestamp::now();
    let addressee = |address: &&str| Addressee {
        address: Mailbox::parse(address).expect("an address"),
        parameters: Vec::new(),
        upstream: "store".to_owned(),
        state: State::new(now),
    };
    Entry {
        id: Id::fresh(),
        accepted: now,
        provenance: Provenance { listener: "in".into(), id: "1.1".into(), ..Default::default() },
        reverse_path: Mailbox::parse(sender).map_or(ReversePath::Null, ReversePath::Mailbox),
        parameters: Vec::new(),
        octets: 0,
        held: false,
        pinned: false,
        recipients: recipients.iter().map(addressee).collect(),
    }
}

fn notify(mut entry: Entry, value: &str) -> Entry {
    let value = Some(value.to_owned());
    entry.recipients[0].parameters.push(Parameter { keyword: "NOTIFY".to_owned(), value });
    entry
}

#[tokio::test]
async fn what_is_delivered_is_removed() {
    let post = Post::open().await;
    let scene = Scene::before(&post);
    let id = scene.accept(entry("ann@example.org", &["bob@example.com", "eve@example.com"])).await;
    scene.empty().await;
    let letters = post.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].sender, "<ann@example.org>");
    assert_eq!(letters[0].recipients, ["<bob@example.com>", "<eve@example.com>"]);
    assert_eq!(
        letters[0].text,
        "Received: from here\r\nFrom: ann@example.org\r\nSubject: hello\r\n\r\ntext\r\n"
    );
    assert!(scene.spool.read(&id).await.is_err());
    assert!(
        scene.metric("portcullis_queue_attempts_total{attempt=\"first\",upstream=\"store\"} 1")
    );
}

#[tokio::test]
async fn what_is_refused_for_now_is_tried_again_for_those_who_were() {
    let post = Post::open().await;
    post.refuse("<eve@example.com>", "450 4.2.0 later");
    let scene = Scene::before(&post);
    let id = scene.accept(entry("ann@example.org", &["bob@example.com", "eve@example.com"])).await;
    scene.until("bob has it", || post.letters().len() == 1).await;
    scene
        .until("it was tried", || {
            scene.metric(
                "portcullis_queue_recipients_total{result=\"deferred\",upstream=\"store\"} 2",
            )
        })
        .await;
    assert_eq!(scene.state(&id).await, State::Delivered);
    post.refuse("<eve@example.com>", "");
    scene.empty().await;
    let letters = post.letters();
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[1].recipients, ["<eve@example.com>"]);
}

#[tokio::test]
async fn what_waits_for_an_upstream_goes_when_it_is_back_and_once() {
    let (listener, address) = post::reserve().await;
    drop(listener);
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::with(folder, &store_at(address), |config| {
        let redelivery = &mut config.spool.as_mut().expect("a spool").redelivery;
        redelivery.first = Duration::from_secs(600);
        redelivery.longest = Duration::from_secs(600);
    });
    for _ in 0..20 {
        scene.accept(entry("ann@example.org", &["bob@example.com"])).await;
    }
    scene.until("it is missed", || scene.queue.warnings().len() == 1).await;
    let post = Post::open_at(address).await;
    let since = Instant::now();
    scene.empty().await;
    assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
    assert_eq!(post.letters().len(), 20);
    assert_eq!(scene.queue.warnings(), [""; 0]);
}

#[tokio::test]
async fn a_sender_is_told_of_what_failed() {
    let post = Post::open().await;
    post.refuse("<bob@example.com>", "550 5.1.1 no such user");
    let scene = Scene::before(&post);
    scene.accept(entry("ann@example.org", &["bob@example.com", "eve@example.com"])).await;
    scene.until("the report is there", || post.letters().len() == 2).await;
    scene.empty().await;
    let letters = post.letters();
    let report = letters.iter().find(|letter| letter.sender == "<>").expect("a report");
    assert_eq!(report.recipients, ["<ann@example.org>"]);
    for part in
        ["Final-Recipient: rfc822; bob@example.com\r\n", "Status: 5.1.1\r\n", "Action: failed\r\n"]
    {
        assert!(report.text.contains(part), "{}", report.text);
    }
    assert!(!report.text.contains("eve@example.com"), "{}", report.text);
    assert!(scene.metric("portcullis_queue_reports_total{kind=\"failed\"} 1"));
}

#[tokio::test]
async fn nobody_is_told_who_wants_to_hear_nothing_or_is_nobody() {
    let post = Post::open().await;
    post.refuse("<bob@example.com>", "550 5.1.1 no such user");
    let scene = Scene::before(&post);
    scene.accept(entry("", &["bob@example.com"])).await;
    scene.accept(notify(entry("ann@example.org", &["bob@example.com"]), "NEVER")).await;
    scene.accept(notify(entry("ann@example.org", &["bob@example.com"]), "SUCCESS")).await;
    scene.empty().await;
    assert_eq!(post.letters().len(), 0);
    assert!(scene.metric("portcullis_queue_unreported_total 1"));
}

#[tokio::test]
async fn who_asks_for_it_is_told_of_success() {
    let post = Post::open().await;
    let scene = Scene::before(&post);
    scene.accept(notify(entry("ann@example.org", &["bob@example.com"]), "SUCCESS")).await;
    scene.until("the report is there", || post.letters().len() == 2).await;
    scene.empty().await;
    let report = post.letters().into_iter().find(|letter| letter.sender == "<>");
    let report = report.expect("a report");
    assert!(report.text.contains("Action: relayed\r\nStatus: 2.0.0\r\n"), "{}", report.text);
}

#[tokio::test]
async fn what_is_too_old_is_given_up_with_the_last_answer() {
    let post = Post::open().await;
    post.refuse("<bob@example.com>", "450 4.2.0 greylisted");
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::with(folder, &store_at(post.address), |config| {
        let redelivery = &mut config.spool.as_mut().expect("a spool").redelivery;
        redelivery.lifetime = Duration::from_secs(4);
        redelivery.delay_notice = Some(Duration::from_secs(1));
    });
    scene.accept(entry("ann@example.org", &["bob@example.com"])).await;
    scene.until("both reports are there", || post.letters().len() == 2).await;
    scene.empty().await;
    let letters = post.letters();
    for part in ["Action: delayed\r\n", "Will-Retry-Until: "] {
        assert!(letters[0].text.contains(part), "{}", letters[0].text);
    }
    for part in
        ["Action: failed\r\nStatus: 5.4.7\r\n", "Diagnostic-Code: smtp; 450 4.2.0 greylisted\r\n"]
    {
        assert!(letters[1].text.contains(part), "{}", letters[1].text);
    }
}

#[tokio::test]
async fn what_waits_is_delivered_after_a_restart() {
    let post = Post::open().await;
    post.refuse("<bob@example.com>", "450 4.2.0 later");
    let scene = Scene::before(&post);
    let id = scene.accept(entry("ann@example.org", &["bob@example.com"])).await;
    scene.until("it was tried", || post.refused() > 0).await;
    let folder = scene.end().await;
    post.refuse("<bob@example.com>", "");
    let scene = Scene::with(folder, &store_at(post.address), |_| {});
    scene.empty().await;
    assert_eq!(post.letters().len(), 1);
    assert!(scene.spool.read(&id).await.is_err());
}

#[tokio::test]
async fn what_an_operator_wants_is_done() {
    let post = Post::open().await;
    post.refuse("<bob@example.com>", "450 4.2.0 later");
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::with(folder, &store_at(post.address), |config| {
        let redelivery = &mut config.spool.as_mut().expect("a spool").redelivery;
        redelivery.first = Duration::from_secs(600);
        redelivery.longest = Duration::from_secs(600);
    });
    let order = |action, ids: &[&Id]| {
        scene.queue.obey(Order { action, ids: ids.iter().copied().cloned().collect(), all: false })
    };
    let id = scene.accept(entry("ann@example.org", &["bob@example.com"])).await;
    scene.until("it was tried", || scene.queue.summary().upstreams[0].waiting == 1).await;
    let unknown = Id::fresh();
    let obeyed = order(Action::Hold, &[&id, &unknown]).await;
    assert_eq!((obeyed.done, obeyed.unknown), (1, vec![unknown]));
    assert_eq!(scene.queue.summary().held, 1);
    post.refuse("<bob@example.com>", "");
    order(Action::Retry, &[&id]).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(post.letters().len(), 0, "held is held");
    order(Action::Release, &[&id]).await;
    scene.empty().await;
    assert_eq!(post.letters().len(), 1);
    post.refuse("<bob@example.com>", "450 4.2.0 later");
    let id = scene.accept(entry("ann@example.org", &["bob@example.com"])).await;
    scene.until("it was tried", || scene.queue.summary().upstreams[0].waiting == 1).await;
    assert_eq!(order(Action::Drop, &[&id]).await.done, 1);
    scene.empty().await;
    assert!(scene.spool.read(&id).await.is_err());
    assert_eq!(post.letters().len(), 1, "and nobody is told");
}

#[tokio::test]
async fn what_waits_for_an_upstream_that_is_configured_no_more_is_routed_anew() {
    let (old, new) = (Post::open().await, Post::open().await);
    old.refuse("<bob@example.com>", "450 4.2.0 later");
    let both = format!("{}, new: {{address: \"{}\"}}", store_at(old.address), new.address);
    let scene = Scene::with(tempfile::tempdir().expect("a folder"), &both, |_| {});
    scene.accept(entry("ann@example.org", &["bob@example.com"])).await;
    scene.until("it was tried", || old.refused() > 0).await;
    let mut config = config(scene.folder.path(), &both);
    config.upstreams.remove("store");
    config.default_upstream = Some("new".to_owned());
    let upstreams = upstreams(&config, &scene.metrics);
    let conditions =
        Conditions::new(&config, Arc::new(CurrentRoutes::from_pointee(Routes::new(&config))));
    scene.queue.replace(conditions, &[Arc::new(upstreams)]);
    scene.empty().await;
    assert_eq!((old.letters().len(), new.letters().len()), (0, 1));
}

#[tokio::test]
async fn what_a_plugin_sent_its_way_is_not_handed_out_by_routes() {
    let (old, new) = (Post::open().await, Post::open().await);
    old.refuse("<bob@example.com>", "450 4.2.0 later");
    let both = format!("{}, new: {{address: \"{}\"}}", store_at(old.address), new.address);
    let scene = Scene::with(tempfile::tempdir().expect("a folder"), &both, |_| {});
    let quarantined = Entry { pinned: true, ..entry("ann@example.org", &["bob@example.com"]) };
    let id = quarantined.id.clone();
    scene.accept(quarantined).await;
    scene.until("it was tried", || old.refused() > 0).await;
    let mut config = config(scene.folder.path(), &both);
    config.upstreams.remove("store");
    config.default_upstream = Some("new".to_owned());
    let upstreams = upstreams(&config, &scene.metrics);
    let conditions =
        Conditions::new(&config, Arc::new(CurrentRoutes::from_pointee(Routes::new(&config))));
    scene.queue.replace(conditions, &[Arc::new(upstreams)]);
    scene.queue.obey(Order { action: Action::Retry, ids: Vec::new(), all: true }).await;
    scene.accept(entry("ann@example.org", &["carol@example.com"])).await;
    scene.until("the other one came", || !new.letters().is_empty()).await;
    let (waiting, _) = scene.spool.read(&id).await.expect("it is still there");
    assert!(!waiting.is_done());
    assert_eq!(new.letters().len(), 1, "the other one alone");
}

#[tokio::test]
async fn a_report_that_no_route_takes_is_held_and_told() {
    let post = Post::open().await;
    post.refuse("<bob@example.com>", "550 5.1.1 no such user");
    let folder = tempfile::tempdir().expect("a folder");
    let scene =
        Scene::with(folder, &store_at(post.address), |config| config.default_upstream = None);
    scene.accept(entry("ann@example.org", &["bob@example.com"])).await;
    scene.until("it is held", || scene.queue.summary().held == 1).await;
    let config = config(scene.folder.path(), &store_at(post.address));
    let upstreams = upstreams(&config, &scene.metrics);
    let conditions =
        Conditions::new(&config, Arc::new(CurrentRoutes::from_pointee(Routes::new(&config))));
    scene.queue.replace(conditions, &[Arc::new(upstreams)]);
    scene.queue.obey(Order { action: Action::Release, ids: Vec::new(), all: true }).await;
    scene.empty().await;
    assert_eq!(post.letters().len(), 1);
}

#[tokio::test]
async fn one_upstream_that_hangs_leaves_the_others_alone() {
    let (listener, address) = post::reserve().await;
    let post = Post::open().await;
    let both = format!("{}, hangs: {{address: \"{address}\"}}", store_at(post.address));
    let scene = Scene::with(tempfile::tempdir().expect("a folder"), &both, |config| {
        config.spool.as_mut().expect("a spool").redelivery.concurrency = 2;
    });
    for _ in 0..10 {
        let mut entry = entry("ann@example.org", &["bob@example.com", "eve@example.com"]);
        entry.recipients[1].upstream = "hangs".to_owned();
        scene.accept(entry).await;
    }
    scene.until("bob has all", || post.letters().len() == 10).await;
    drop(listener);
}
