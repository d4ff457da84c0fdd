//! Disks that fail.

use super::*;

const EIO: i32 = 5;
const EDQUOT: i32 = 122;
const EFBIG: i32 = 27;
const ENOSPC: i32 = 28;

/// What a store does, in its order, and how often before the last time.
const STEPS: [(SpoolStep, usize); 7] = [
    (SpoolStep::Create, 0),
    (SpoolStep::SyncDirectory, 0),
    (SpoolStep::Create, 1),
    (SpoolStep::Write, 0),
    (SpoolStep::Sync, 0),
    (SpoolStep::Rename, 0),
    (SpoolStep::SyncDirectory, 1),
];

#[tokio::test]
async fn whatever_fails_nothing_is_stored_and_nothing_is_left() {
    for (step, after) in STEPS {
        for (error, code) in [(ENOSPC, 452), (EDQUOT, 452), (EFBIG, 452), (EIO, 451)] {
            let scene = Scene::new();
            let (spool, _) = scene.open();
            spool.disk.faults.set(step, after, error);
            let entry = entry(&["bob@example.com"]);
            let refused = spool.store(entry.clone(), &outbound("x\r\n")).await.expect_err("failed");
            assert_eq!(refused.reply().code(), code, "{step:?} {error}");
            assert_eq!(scene.files(), Vec::<String>::new(), "{step:?} {error}");
            let uses = spool.ledger.uses();
            assert_eq!((uses.messages, uses.octets), (0, 0), "{step:?} {error}");
            spool.disk.faults.clear();
            let stored = spool.store(entry, &outbound("x\r\n")).await.expect("it is well again");
            stored.claim();
        }
    }
}

#[tokio::test]
async fn where_not_even_removing_works_the_client_still_hears_no() {
    for (step, after) in STEPS {
        let scene = Scene::new();
        let (spool, _) = scene.open();
        spool.disk.faults.set(step, after, EIO);
        spool.disk.faults.set(SpoolStep::Unlink, 0, EIO);
        let refused = spool.store(entry(&["bob@example.com"]), &outbound("x\r\n")).await;
        assert!(refused.is_err(), "{step:?}");
        drop(spool);
        // What had its name already is delivered: the client hears no and comes again.
        let named = (step, after) == (SpoolStep::SyncDirectory, 1);
        assert_eq!(scene.open().1.len(), usize::from(named), "{step:?}");
    }
}

#[tokio::test]
async fn a_state_that_cannot_be_kept_leaves_the_one_before() {
    for step in [SpoolStep::Create, SpoolStep::Write, SpoolStep::Sync, SpoolStep::Rename] {
        let scene = Scene::new();
        let (spool, _) = scene.open();
        let mut entry = store(&spool, "x\r\n").await;
        entry.held = true;
        spool.update(&entry).await.expect("kept");
        spool.disk.faults.set(step, 0, ENOSPC);
        entry.held = false;
        assert!(spool.update(&entry).await.is_err(), "{step:?}");
        drop(spool);
        let (_, waiting) = scene.open();
        assert!(waiting[0].held, "{step:?}");
        assert_eq!(scene.files().len(), 2, "{step:?}");
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_removed_is_still_known() {
    let scene = Scene::new();
    let (spool, _) = scene.open();
    let entry = store(&spool, "x\r\n").await;
    spool.disk.faults.set(SpoolStep::Unlink, 0, EIO);
    assert!(spool.remove(&entry.id).await.is_err());
    assert_eq!(spool.ledger.uses().messages, 1);
    spool.disk.faults.clear();
    spool.remove(&entry.id).await.expect("removed");
    assert_eq!(scene.files(), Vec::<String>::new());
}

#[tokio::test]
async fn want_of_descriptors_is_nothing_that_a_message_has_done() {
    const EMFILE: i32 = 24;
    let scene = Scene::new();
    let (spool, _) = scene.open();
    let entry = store(&spool, "x\r\n").await;
    spool.disk.faults.set(SpoolStep::Read, 0, EMFILE);
    assert!(matches!(spool.read(&entry.id).await, Err(SpoolError::Disk(_))));
    spool.disk.faults.clear();
    spool.read(&entry.id).await.expect("it is well again");
    drop(spool);
    let metrics = Metrics::new(&Names::default()).spool();
    let disk = Disk::new(metrics.clone());
    disk.faults.set(SpoolStep::Read, 0, EMFILE);
    let opened = Spool::open_on(disk, &scene.config, metrics);
    assert!(matches!(opened, Err(SpoolError::Directory { .. })));
    assert_eq!(scene.open().1.len(), 1);
}
