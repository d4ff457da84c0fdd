use std::fs;

use super::*;

/// Makes the next look come now.
fn look_again(users: &Users) {
    let long_ago = Instant::now().checked_sub(LOOK_AGAIN).expect("the machine runs for a second");
    users.held().looked = long_ago;
}

#[tokio::test]
async fn a_changed_file_counts_and_a_broken_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    fs::write(&file, "alice:{cleartext}a\n").unwrap();
    let users = Users::open(&file, Hashing::new()).unwrap();
    assert_eq!(users.authenticate("alice", "a").await, Ok(true));
    assert_eq!(users.authenticate("alice", "b").await, Ok(false));
    assert_eq!(users.authenticate("bob", "a").await, Ok(false));

    let put = Change::Put { scheme: Scheme::Cleartext, password: "b", replace: true };
    edit(&file, "alice", put).unwrap();
    look_again(&users);
    assert_eq!(users.authenticate("alice", "b").await, Ok(true));
    assert_eq!(users.authenticate("alice", "a").await, Ok(false));

    for broken in ["alice:b\n", "alice:{cleartext}c\nbob:x\n"] {
        fs::write(&file, broken).unwrap();
        look_again(&users);
        assert_eq!(users.authenticate("alice", "b").await, Ok(true));
    }
    fs::remove_file(&file).unwrap();
    look_again(&users);
    assert_eq!(users.authenticate("alice", "b").await, Ok(true));

    fs::write(&file, "").unwrap();
    look_again(&users);
    assert_eq!(users.authenticate("alice", "b").await, Ok(false));
}

#[tokio::test]
async fn the_file_is_not_looked_at_for_every_login() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    fs::write(&file, "alice:{cleartext}a\n").unwrap();
    let users = Users::open(&file, Hashing::new()).unwrap();
    users.held().looked = Instant::now() + Duration::from_hours(1);
    fs::write(&file, "alice:{cleartext}b\n").unwrap();
    assert_eq!(users.authenticate("alice", "a").await, Ok(true));
}

#[tokio::test]
async fn who_waits_too_long_for_a_processor_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    fs::write(&file, "alice:{cleartext}a\n").unwrap();
    let hashing = Hashing { patience: Duration::from_millis(1), ..Hashing::new() };
    let users = Users::open(&file, hashing.clone()).unwrap();
    let count = hashing.room.available_permits() as u32;
    let storm = hashing.room.clone().acquire_many_owned(count).await.unwrap();
    assert_eq!(users.authenticate("alice", "a").await, Err(Unavailable::Busy));
    drop(storm);
    let users = Users::open(&file, Hashing::new()).unwrap();
    assert_eq!(users.authenticate("alice", "a").await, Ok(true));
}

#[test]
fn what_is_dangerous_is_told() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users");
    let texts = |mode: u32| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let warnings = warnings(&file, &read(&file).unwrap());
        warnings.iter().map(|warning| warning.text.clone()).collect::<Vec<_>>()
    };
    fs::write(&file, "alice:{cleartext}a\nbob:{cleartext}b\n").unwrap();
    let readable = "every user of this machine can read the users file";
    assert_eq!(texts(0o644), [readable, "passwords in clear text: 2"]);
    fs::write(&file, "").unwrap();
    assert!(texts(0o640).is_empty());
}

#[test]
fn a_file_that_is_not_there_is_told() {
    let mistakes = read(Path::new("/nonexistent/users")).unwrap_err();
    let text = "cannot read the users file: No such file or directory (os error 2)";
    assert_eq!(mistakes.iter().next().unwrap().text, text);
}
