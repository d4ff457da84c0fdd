//! What a process finds that another one left.

use super::*;

async fn left(scene: &Scene) -> (Entry, String) {
    let (spool, _) = scene.open();
    let mut entry = store(&spool, "text\r\n").await;
    entry.held = true;
    spool.update(&entry).await.expect("kept");
    let file = scene.files().into_iter().find(|file| file.starts_with("messages/"));
    (entry, file.expect("stored"))
}

#[tokio::test]
async fn what_was_never_accepted_is_removed() {
    let scene = Scene::new();
    drop(scene.open());
    fs::write(scene.path("incoming/0123456789abcdef01234"), "half").expect("writable");
    fs::write(scene.path("incoming/x"), "half").expect("writable");
    assert!(scene.open().1.is_empty());
    assert_eq!(scene.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_message_cut_at_any_octet_is_put_aside_and_kept() {
    let scene = Scene::new();
    let (entry, file) = left(&scene).await;
    let whole = fs::read(scene.path(&file)).expect("there");
    for length in 0..whole.len() {
        fs::write(scene.path(&file), &whole[..length]).expect("writable");
        assert!(scene.open().1.is_empty(), "{length}");
        let torn = scene.path(&format!("torn/{}", entry.id));
        assert_eq!(fs::read(&torn).expect("put aside"), whole[..length], "{length}");
        fs::remove_file(torn).expect("removable");
        assert_eq!(scene.files(), Vec::<String>::new(), "{length}");
        let folder = scene.path(&file);
        fs::create_dir_all(folder.parent().expect("one")).expect("writable");
    }
}

#[tokio::test]
async fn a_state_cut_at_any_octet_is_put_aside_and_the_message_waits_as_at_the_beginning() {
    let scene = Scene::new();
    let (entry, _) = left(&scene).await;
    let state = scene.path(&format!("states/{}", entry.id));
    let whole = fs::read(&state).expect("there");
    for length in 0..whole.len() {
        fs::write(&state, &whole[..length]).expect("writable");
        let (_, waiting) = scene.open();
        assert_eq!(waiting, [Entry { held: false, ..entry.clone() }], "{length}");
        let torn = scene.path(&format!("torn/{}.state", entry.id));
        assert_eq!(fs::read(&torn).expect("put aside"), whole[..length], "{length}");
        fs::remove_file(torn).expect("removable");
    }
}

#[tokio::test]
async fn what_is_no_message_is_put_aside_under_a_name_of_its_own() {
    let scene = Scene::new();
    let (entry, file) = left(&scene).await;
    let folder = scene.path(&file).parent().expect("one").to_owned();
    fs::write(folder.join("core"), "x").expect("writable");
    fs::write(scene.path("torn/core"), "earlier").expect("writable");
    fs::write(scene.path("messages/notes"), "y").expect("writable");
    // Under the name of another message it would be delivered twice.
    fs::copy(scene.path(&file), folder.join("0123456789abcdef01234")).expect("writable");
    fs::write(scene.path("states/notes"), "z").expect("writable");
    let (_, waiting) = scene.open();
    assert_eq!(waiting, [entry]);
    let torn: Vec<_> = scene.files().into_iter().filter(|file| file.starts_with("torn/")).collect();
    let expected = [
        "torn/0123456789abcdef01234",
        "torn/core",
        "torn/core.1",
        "torn/notes",
        "torn/notes.state",
    ];
    assert_eq!(torn, expected);
}

#[tokio::test]
async fn a_state_without_its_message_goes() {
    let scene = Scene::new();
    let (_, file) = left(&scene).await;
    fs::remove_file(scene.path(&file)).expect("removable");
    assert!(scene.open().1.is_empty());
    assert_eq!(scene.files(), Vec::<String>::new());
}

#[tokio::test]
async fn a_message_that_rots_is_put_aside_when_it_is_read() {
    let scene = Scene::new();
    let (entry, file) = left(&scene).await;
    let (spool, waiting) = scene.open();
    assert_eq!(waiting.len(), 1);
    let whole = fs::read_to_string(scene.path(&file)).expect("there");
    fs::write(scene.path(&file), whole.replace("text", "test")).expect("writable");
    let torn = spool.read(&entry.id).await.expect_err("it is another one");
    assert!(torn.to_string().ends_with("the digest of its content is another one"), "{torn}");
    assert_eq!(spool.ledger.uses().messages, 0);
    assert!(scene.path(&format!("torn/{}", entry.id)).exists());
}

#[tokio::test]
async fn a_full_disk_is_no_reason_not_to_start() {
    let scene = Scene::new();
    let (entry, file) = left(&scene).await;
    let folder = scene.path(&file).parent().expect("one").to_owned();
    fs::write(folder.join("core"), "x").expect("writable");
    fs::write(scene.path("incoming/core"), "x").expect("writable");
    let metrics = Metrics::new(&Names::default()).spool();
    let disk = Disk::new(metrics.clone());
    for step in [SpoolStep::Rename, SpoolStep::Write, SpoolStep::Sync] {
        disk.faults.set(step, 0, 28);
    }
    let opened = Spool::open_on(disk, &scene.config, metrics);
    let (_spool, waiting) = opened.expect("it can be opened");
    assert_eq!(waiting, [entry]);
    assert!(folder.join("core").exists(), "what cannot be put aside stays");
    assert!(!scene.path("incoming/core").exists(), "what is removed makes room");
}

#[tokio::test]
async fn an_id_that_waits_is_not_given_again() {
    let scene = Scene::new();
    let (entry, file) = left(&scene).await;
    let before = fs::read(scene.path(&file)).expect("there");
    let (spool, _) = scene.open();
    let again = spool.store(entry.clone(), &outbound("another\r\n")).await;
    assert!(matches!(again, Err(SpoolError::Taken(_))));
    assert_eq!(fs::read(scene.path(&file)).expect("there"), before);
}
