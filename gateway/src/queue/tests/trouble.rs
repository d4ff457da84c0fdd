//! When the disk, an upstream or the gateway itself fails in the wrong moment.

use std::fs;

use super::*;

/// A scene whose messages are not tried again by their own schedule.
fn patient(post: &Post) -> Scene {
    let folder = tempfile::tempdir().expect("a folder");
    Scene::with(folder, &store_at(post.address), |config| {
        let redelivery = &mut config.spool.as_mut().expect("a spool").redelivery;
        redelivery.first = Duration::from_secs(600);
        redelivery.longest = Duration::from_secs(600);
    })
}

#[tokio::test]
async fn what_an_upstream_may_have_is_not_sent_again_before_its_time() {
    let post = Post::open().await;
    post.vanish();
    let scene = patient(&post);
    for _ in 0..3 {
        scene.accept(entry("ann@example.org", &["bob@example.com"])).await;
    }
    let store = || scene.queue.summary().upstreams.swap_remove(0);
    scene.until("all were tried", || (store().waiting, store().in_flight) == (3, 0)).await;
    assert!(store().reachable, "it was there: nobody looks whether it is back");
    assert_eq!(post.letters().len(), 3);
}

#[tokio::test]
async fn what_the_disk_does_not_keep_is_known_until_it_does() {
    let post = Post::open().await;
    post.refuse("<bob@example.com>", "450 4.2.0 later");
    let scene = patient(&post);
    let id = scene.accept(entry("ann@example.org", &["bob@example.com"])).await;
    scene.until("it was tried", || scene.queue.summary().upstreams[0].waiting == 1).await;
    let incoming = scene.folder.path().join("spool/incoming");
    fs::rename(&incoming, scene.folder.path().join("away")).expect("renamed");
    post.refuse("<bob@example.com>", "550 5.1.1 no such user");
    scene.queue.obey(Order { action: Action::Retry, ids: vec![id.clone()], all: false }).await;
    let office = scene.queue.office.clone();
    scene.until("it is not kept", || office.unkept(|unkept| !unkept.is_empty())).await;
    fs::rename(scene.folder.path().join("away"), &incoming).expect("renamed");
    office.ring(&Arc::new(id)).await;
    scene.empty().await;
    let letters = post.letters();
    assert_eq!(letters.len(), 1, "the report");
    assert!(letters[0].text.contains("Status: 5.1.1\r\n"), "{}", letters[0].text);
    assert!(office.unkept(|unkept| unkept.is_empty()));
}

#[tokio::test]
async fn what_is_held_does_not_expire() {
    let post = Post::open().await;
    let folder = tempfile::tempdir().expect("a folder");
    let scene = Scene::with(folder, &store_at(post.address), |config| {
        config.spool.as_mut().expect("a spool").redelivery.lifetime = Duration::ZERO;
    });
    let held = Entry { held: true, ..entry("ann@example.org", &["bob@example.com"]) };
    let id = scene.accept(held).await;
    // As if it had been about to expire when it was held.
    scene.queue.office.ring(&Arc::new(id.clone())).await;
    assert!(matches!(scene.state(&id).await, State::Waiting { .. }));
}

#[tokio::test]
async fn a_defect_costs_no_message_its_turn() {
    let post = Post::open().await;
    let scene = patient(&post);
    let office = scene.queue.office.clone();
    let waiting = office.waiting(&entry("ann@example.org", &["bob@example.com"]), Timestamp::now());
    let now = Timestamp::now().as_millisecond();
    let mut turns = office.agenda(|agenda| agenda.admit(waiting, now));
    let running = Running { office: office.clone(), turn: turns.remove(0) };
    let ended = tokio::spawn(async move {
        let _running = running;
        panic!("a defect");
    });
    assert!(ended.await.is_err());
    let store = scene.queue.summary().upstreams.swap_remove(0);
    assert_eq!((store.waiting, store.in_flight), (1, 0));
}
