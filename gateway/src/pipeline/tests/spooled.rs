//! Messages that wait in the spool: all of them, or what is left of those that fare differently.

use tokio::runtime::Handle;

use crate::message::Edit;
use crate::queue::Spooling;
use crate::queue::{Conditions, Queue};
use crate::shutdown::Shutdown;
use crate::spool::{Entry, Id, Spool, State};

use super::*;

/// A spool with a queue that tries what is new and comes back to nothing.
pub(super) struct Folder {
    pub(super) spooling: Spooling,
    folder: tempfile::TempDir,
}

impl Folder {
    pub(super) fn open(
        config: &config::Config,
        upstreams: &Arc<Upstreams>,
        routes: &Arc<CurrentRoutes>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Arc::new(Metrics::new(&Names::default()));
        let settings = config::Spool::in_directory(folder.path().to_owned());
        let settings = config::Spool { free_octets: 0, ..settings };
        let (spool, waiting) = Spool::open(&settings, metrics.spool()).expect("a spool");
        let conditions = Conditions::new(config, routes.clone());
        let workers = vec![(Handle::current(), upstreams.clone())];
        let shutdown = Shutdown::new();
        let queues = Queue::open(spool.clone(), waiting, conditions, workers, metrics, shutdown);
        let queue = queues.into_iter().next().expect("one for each worker");
        Self { spooling: Spooling { spool, queue }, folder }
    }

    /// What waits, with its content.
    pub(super) async fn waiting(&self) -> Vec<(Entry, String)> {
        let messages = self.folder.path().join("messages");
        let shards = std::fs::read_dir(messages).expect("a folder").flatten();
        let files = shards.flat_map(|shard| std::fs::read_dir(shard.path()).expect("a folder"));
        let ids: Vec<Id> =
            files.flatten().filter_map(|file| file.file_name().to_str()?.parse().ok()).collect();
        let mut entries = Vec::new();
        for id in ids {
            // One that is delivered meanwhile does not wait any more.
            let Ok((entry, message)) = self.spooling.spool.read(&id).await else { continue };
            let mut body = vec![0; message.message.body.octets() as usize];
            let _ = message.message.body.read_at(0, &mut body);
            entries.push((entry, String::from_utf8_lossy(&body).into_owned()));
        }
        entries
    }
}

fn spooling(setup: Setup) -> Setup {
    Setup { delivery: DeliveryMode::Spool, mixed: Mixed::Spool, spool: true, ..setup }
}

fn mixing(setup: Setup) -> Setup {
    Setup { mixed: Mixed::Spool, spool: true, ..setup }
}

/// The transaction's id, and not that of the message in the spool.
fn anonymous(reply: &str) -> String {
    let Some((head, tail)) = reply.split_once("queued as ") else { return reply.to_owned() };
    let rest = tail.split_once(' ').map(|(_, rest)| rest).unwrap_or_default();
    format!("{head}queued {rest}")
}

#[tokio::test]
async fn what_is_to_be_delivered_later_is_taken_for_all_routes_and_needs_no_upstream() {
    for setup in [spooling(Setup::new(nothing)), spooling(Setup::lmtp(nothing))] {
        let each = setup.protocol == Protocol::Lmtp;
        let mut house = setup.start().await;
        house.mail().await;
        let unrouted = house.rcpt("x@nowhere.example").await;
        assert_eq!(unrouted, "550 5.7.1 no route to this recipient [s.1]");
        for recipient in ["no@b.example", "a@c.example", "gone@d.example"] {
            assert_eq!(house.rcpt(recipient).await, "yes");
        }
        house.data().await;
        let heard = house.message(MESSAGE).await;
        assert_eq!(heard.len(), if each { 3 } else { 1 });
        assert!(
            heard.iter().all(|reply| anonymous(reply) == "250 2.0.0 queued [s.1]"),
            "{heard:?}"
        );
        let waiting = house.spool.as_ref().expect("a spool").waiting().await;
        let waits = waiting.iter().any(|(entry, _)| {
            entry.recipients.iter().any(|to| to.address.as_str() == "gone@d.example")
        });
        assert!(waits, "{waiting:?}");
        drop(house.client);
        let text = house.metrics.render();
        assert!(text.contains("outcome=\"spooled\"} 1"), "{text}");
    }
}

#[tokio::test]
async fn one_yes_is_enough_where_the_spool_answers_for_the_others() {
    let setup = Setup { upstreams: Protocol::Lmtp, ..mixing(Setup::new(nothing)) };
    let mut house = setup.start().await;
    let heard = house.send(&["a@b.example", "full@b.example", "late@c.example"]).await;
    assert_eq!(anonymous(&heard.concat()), "250 2.0.0 queued [s.1]");
    assert_eq!(house.one.recipients(), [["a@b.example"]]);
    let waiting = house.spool.as_ref().expect("a spool").waiting().await;
    let all = waiting.iter().flat_map(|(entry, _)| &entry.recipients);
    let full = all.filter(|to| to.address.as_str() == "full@b.example");
    for to in full {
        let State::Waiting { attempts, said, .. } = &to.state else { panic!("{to:?}") };
        assert_eq!((*attempts, to.upstream.as_str()), (1, "one"));
        assert!(said.as_ref().is_some_and(|said| said.contains("full")), "{said:?}");
    }
    assert!(mentions(&waiting, "full@b.example") && mentions(&waiting, "late@c.example"));
}

#[tokio::test]
async fn where_nobody_took_it_the_client_keeps_it() {
    for (recipients, want) in [
        (&["full@b.example", "late@c.example"][..], "452 4.2.2 full"),
        (&["full@b.example"], "452 4.2.2 full"),
        (&["late@b.example", "late@c.example"], "550 5.2.1 disabled"),
    ] {
        let setup = Setup { upstreams: Protocol::Lmtp, ..mixing(Setup::new(nothing)) };
        let mut house = setup.start().await;
        assert_eq!(unnamed(&house.send(recipients).await.concat()), want);
        assert!(house.spool.as_ref().expect("a spool").waiting().await.is_empty());
    }
}

fn defers_x(call: &HookCall) -> (Opinion, Vec<Edit>) {
    let envelope = call.envelope.as_ref().expect("an envelope");
    let x = envelope.recipients.iter().find(|to| to.address.local_part() == "x");
    let edits = match (call.hook, x) {
        (Hook::Message, Some(x)) => vec![Edit::RefuseRecipient(x.index, later())],
        _ => Vec::new(),
    };
    (Opinion::Next, edits)
}

#[tokio::test]
async fn whom_a_plugin_wants_to_see_again_does_not_wait_in_the_spool() {
    for setup in [mixing(Setup::new(defers_x)), spooling(Setup::new(defers_x))] {
        let mut house = setup.start().await;
        let heard = house.send(&["x@b.example", "y@c.example"]).await;
        assert_eq!(heard, ["451 4.7.1 later [s.1]"]);
        assert!(house.two.recipients().is_empty());
        assert!(house.spool.as_ref().expect("a spool").waiting().await.is_empty());
    }
}

#[tokio::test]
async fn what_was_stored_for_a_client_that_had_gone_is_not_stored_again() {
    let mut house = spooling(Setup::new(nothing)).start().await;
    let text = "Message-ID: <1@a.example>\r\n\r\nbody\r\n";
    for want in ["250 2.0.0 queued [s.1]", "250 2.0.0 delivered at an earlier attempt [s.2]"] {
        house.mail().await;
        house.rcpt("gone@d.example").await;
        house.data().await;
        assert_eq!(anonymous(&house.message(text).await.concat()), want);
        house.client.lost("the client left").await;
    }
    assert_eq!(house.spool.as_ref().expect("a spool").waiting().await.len(), 1);
}

/// Whether somebody waits, or is reported of.
fn mentions(waiting: &[(Entry, String)], address: &str) -> bool {
    waiting.iter().any(|(entry, body)| {
        let waits = entry.recipients.iter().any(|to| to.address.as_str() == address);
        waits || entry.reverse_path == ReversePath::Null && body.contains(address)
    })
}

/// Random recipients, random enough and the same each time.
struct Dice(u64);

impl Dice {
    fn throw<T: Copy>(&mut self, all: &[T]) -> T {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        all[(self.0 >> 33) as usize % all.len()]
    }
}

/// The one promise: who is told yes is known to an upstream or to the spool, whatever the rule.
#[tokio::test]
async fn nobody_is_told_yes_whom_nobody_has() {
    let mut dice = Dice(5);
    let mut yes = 0;
    for round in 0..120 {
        let mixed = dice.throw(&[Mixed::DeferOthers, Mixed::Spool, Mixed::Worst]);
        let setup = Setup {
            protocol: dice.throw(&[Protocol::Smtp, Protocol::Smtp, Protocol::Lmtp]),
            upstreams: dice.throw(&[Protocol::Lmtp, Protocol::Smtp]),
            delivery: dice.throw(&[DeliveryMode::Relay, DeliveryMode::Relay, DeliveryMode::Spool]),
            mixed,
            spool: true,
            ..Setup::new(if dice.throw(&[true, false]) { refuses_spam } else { nothing })
        };
        let prdr = dice.throw(&[true, false]) && setup.protocol == Protocol::Smtp;
        let each = prdr || setup.protocol == Protocol::Lmtp;
        let worst = mixed == Mixed::Worst && setup.delivery == DeliveryMode::Relay && !each;
        let mut house = setup.start().await;
        let keyword = Parameter { keyword: "PRDR".into(), value: None };
        house.mail_with(prdr.then_some(keyword).into_iter().collect()).await;
        let mut named = Vec::new();
        for n in 0..dice.throw(&[1, 2, 3, 5]) {
            let manner = dice.throw(&["a", "a", "late", "full", "no", "spam"]);
            let domain = dice.throw(&["b", "c", "c", "d"]);
            let address = format!("{manner}-{n}@{domain}.example");
            if house.rcpt(&address).await == "yes" {
                named.push(address);
            }
        }
        if named.is_empty() {
            continue;
        }
        house.data().await;
        let lose = dice.throw(&["lose me", "body", "body", "body"]);
        let heard = house.message(&format!("Message-ID: <1@x>\r\n\r\n{lose}\r\n")).await;
        let waiting = house.spool.as_ref().expect("a spool").waiting().await;
        let kept = [&house.one, &house.two].map(|upstream| upstream.recipients().concat()).concat();
        let case = format!("round {round}, {mixed:?}: {named:?} heard {heard:?}, at {kept:?}");
        // Those of whom all fare alike may have one answer with PRDR, too.
        assert!(heard.len() == named.len() || !each && heard.len() == 1, "{case}");
        for (n, address) in named.iter().enumerate() {
            let told = heard.get(n).unwrap_or(&heard[0]);
            let has = kept.contains(address) || mentions(&waiting, address);
            assert!(!told.starts_with('2') || has, "{address}: {case}");
            assert!(kept.iter().filter(|one| *one == address).count() <= 1, "{address}: {case}");
            let good =
                address.starts_with("a-") && lose == "body" && !address.ends_with("d.example");
            // Upstreams over SMTP refuse for all what they refuse for one.
            let alone = named.iter().all(|other| other.starts_with("a-"));
            assert!(!(worst && good && alone) || has, "{address} is left out: {case}");
            yes += usize::from(told.starts_with('2'));
        }
    }
    assert!(yes > 50, "{yes}");
}

fn refuses_spam(call: &HookCall) -> (Opinion, Vec<Edit>) {
    let recipients = call.envelope.iter().flat_map(|envelope| &envelope.recipients);
    let spammed = recipients.filter(|to| to.address.local_part().starts_with("spam"));
    let edits = spammed.map(|to| Edit::RefuseRecipient(to.index, spam()));
    (Opinion::Next, if call.hook == Hook::Message { edits.collect() } else { Vec::new() })
}
