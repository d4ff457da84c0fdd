use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::entry::tests::entry;
use super::*;
use crate::message::{Content, HeaderSection, Message};
use crate::metrics::{Metrics, Names};

mod faults;
mod recovering;

/// A directory with a spool, whose process can end.
struct Scene {
    directory: TempDir,
    config: config::Spool,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = config::Spool::in_directory(directory.path().join("spool"));
        config.free_octets = 0;
        Self { directory, config }
    }

    fn open(&self) -> (Arc<Spool>, Vec<Entry>) {
        let metrics = Metrics::new(&Names::default()).spool();
        Spool::open(&self.config, metrics).expect("it can be opened")
    }

    /// All files but the lock, relative to the spool.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.config.directory.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("readable") {
                let path = entry.expect("readable").path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with("lock") {
                    let path = path.strip_prefix(&self.config.directory).expect("within");
                    files.push(path.display().to_string());
                }
            }
        }
        files.sort();
        files
    }

    fn path(&self, file: &str) -> PathBuf {
        self.config.directory.join(file)
    }
}

fn outbound(body: &str) -> Outbound {
    let header = Arc::new(HeaderSection::parse(b"Subject: x\r\n\r\n".to_vec()));
    let message = Message::new(header, Content::from_bytes(body.into()));
    Outbound { prefix: b"Received: y\r\n".to_vec(), message }
}

fn text(message: &Outbound) -> String {
    let body = &message.message.body;
    let mut all = vec![0; usize::try_from(body.octets()).expect("small")];
    assert_eq!(body.read_at(0, &mut all).expect("readable"), all.len());
    String::from_utf8(all).expect("text")
}

async fn store(spool: &Arc<Spool>, body: &str) -> Entry {
    let entry = entry(&["bob@example.com", "eve@example.com"]);
    let stored = spool.store(entry, &outbound(body)).await.expect("stored");
    stored.claim();
    stored.entry().clone()
}

#[tokio::test]
async fn what_was_stored_is_there_until_it_is_removed_also_for_the_next_process() {
    let scene = Scene::new();
    let (spool, waiting) = scene.open();
    assert!(waiting.is_empty() && spool.has_room(1000));
    let (one, two) = (store(&spool, "one\r\n").await, store(&spool, "two\r\n").await);
    let (known, message) = spool.read(&one.id).await.expect("there");
    assert_eq!((known, &*text(&message)), (one.clone(), "one\r\n"));
    assert_eq!(message.octets(), one.octets);
    drop((spool, message));

    let (spool, waiting) = scene.open();
    assert_eq!(waiting, [one.clone(), two.clone()]);
    assert_eq!(spool.ledger.uses().messages, 2);
    spool.remove(&one.id).await.expect("removed");
    spool.remove(&one.id).await.expect("removed twice is removed");
    assert!(matches!(spool.read(&one.id).await, Err(SpoolError::Unknown(_))));
    drop(spool);

    let (spool, waiting) = scene.open();
    assert_eq!(waiting, std::slice::from_ref(&two));
    spool.remove(&two.id).await.expect("removed");
    assert_eq!(scene.files(), Vec::<String>::new());
    assert_eq!((spool.ledger.uses().messages, spool.ledger.uses().octets), (0, 0));
}

#[tokio::test]
async fn a_body_can_be_read_as_long_as_it_is_held() {
    let scene = Scene::new();
    let (spool, _) = scene.open();
    let entry = store(&spool, "text\r\n").await;
    let (_, message) = spool.read(&entry.id).await.expect("there");
    spool.remove(&entry.id).await.expect("removed");
    assert_eq!(text(&message), "text\r\n");
}

#[tokio::test]
async fn what_came_of_recipients_is_known_to_the_next_process() {
    let scene = Scene::new();
    let (spool, _) = scene.open();
    let mut entry = store(&spool, "text\r\n").await;
    for (held, state) in
        [(true, State::Delivered), (false, State::Failed { said: "550 no".into(), reported: true })]
    {
        (entry.held, entry.recipients[1].state) = (held, state);
        spool.update(&entry).await.expect("kept");
        assert_eq!(spool.read(&entry.id).await.expect("there").0, entry);
    }
    drop(spool);
    let (spool, waiting) = scene.open();
    assert_eq!(waiting, std::slice::from_ref(&entry));
    spool.remove(&entry.id).await.expect("removed");
    assert_eq!(scene.files(), Vec::<String>::new());
    assert!(matches!(spool.update(&entry).await, Err(SpoolError::Unknown(_))));
    assert_eq!(scene.files(), Vec::<String>::new());
}

#[tokio::test]
async fn one_process_has_the_directory() {
    let scene = Scene::new();
    let (spool, _) = scene.open();
    let metrics = Metrics::new(&Names::default()).spool();
    let error = Spool::open(&scene.config, metrics).expect_err("it is locked").to_string();
    let here = std::process::id();
    assert!(error.contains(&format!("another gateway, the process {here}")), "{error}");
    assert!(error.contains(&scene.directory.path().display().to_string()), "{error}");
    drop(spool);
    scene.open();
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_a_message_that_is_found() {
    let scene = Scene::new();
    let (spool, _) = scene.open();
    let mut adrift = spool.adrift().expect("the first asks");
    assert!(spool.adrift().is_none());
    let entry = entry(&["bob@example.com"]);
    let message = outbound("text\r\n");
    let storing = spool.store(entry.clone(), &message);
    tokio::select! {
        biased;
        _ = storing => panic!("a disk takes its time"),
        () = std::future::ready(()) => {}
    }
    let found = adrift.recv().await.expect("the spool lives");
    assert_eq!(found.id, entry.id);
    assert_eq!(text(&spool.read(&found.id).await.expect("there").1), "text\r\n");
}

#[tokio::test]
async fn who_comes_beyond_a_bound_is_refused_and_nothing_is_kept_of_it() {
    let mut scene = Scene::new();
    (scene.config.messages, scene.config.octets) = (2, 6000);
    let (spool, _) = scene.open();
    let large = outbound(&"x".repeat(5000));
    let refused = spool.store(entry(&["bob@example.com"]), &large).await.expect_err("too large");
    assert_eq!(refused.reply().code(), 452);
    assert!(!spool.has_room(6001) && spool.has_room(6000));
    let one = store(&spool, "one\r\n").await;
    store(&spool, "two\r\n").await;
    assert!(!spool.has_room(0));
    let refused =
        spool.store(entry(&["bob@example.com"]), &outbound("x")).await.expect_err("too many");
    assert_eq!(refused.to_string(), "the spool is full: \"messages\" is reached");
    assert_eq!(scene.files().len(), 2);
    spool.remove(&one.id).await.expect("removed");
    assert!(spool.has_room(0));
    drop(spool);
    scene.config.free_octets = 1 << 60;
    let (spool, _) = scene.open();
    assert!(!spool.has_room(0));
    let refused =
        spool.store(entry(&["bob@example.com"]), &outbound("x")).await.expect_err("no room");
    assert_eq!(refused.to_string(), "the spool is full: \"free\" is reached");
}

#[tokio::test]
async fn what_waits_is_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let scene = Scene::new();
    let (spool, _) = scene.open();
    let entry = store(&spool, "text\r\n").await;
    spool.update(&entry).await.expect("kept");
    let mut files = scene.files();
    files.push("lock".to_owned());
    for file in files {
        let mode = |path: &std::path::Path| fs::metadata(path).expect("there").permissions().mode();
        let path = scene.path(&file);
        assert_eq!(mode(&path) & 0o777, 0o600, "{file}");
        assert_eq!(mode(path.parent().expect("one")) & 0o777, 0o700, "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_come_at_once_are_all_stored_and_share_the_disk() {
    let scene = Scene::new();
    let (spool, _) = scene.open();
    let mut storing = tokio::task::JoinSet::new();
    for n in 0..200 {
        let spool = spool.clone();
        storing.spawn(async move { store(&spool, &format!("{n}\r\n")).await.id });
    }
    let mut ids = storing.join_all().await;
    ids.sort();
    drop(spool);
    let (_, waiting) = scene.open();
    let mut known: Vec<_> = waiting.into_iter().map(|entry| entry.id).collect();
    known.sort();
    assert_eq!(ids, known);
}
