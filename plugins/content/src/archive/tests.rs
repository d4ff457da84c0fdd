use portcullis_plugin::Message;

use super::Listing;
use crate::kind::Kind;
use crate::source::{Budget, Source};

macro_rules! sample {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/samples/", $name)).as_slice()
    };
}

fn list(name: &str, octets: &[u8]) -> Listing {
    list_within(name, octets, 1 << 22)
}

fn list_within(name: &str, octets: &[u8], budget: u64) -> Listing {
    let message = Message::fake("").with_part("a/b", None, octets);
    let budget = Budget::new(budget);
    let mut source = Source::new(&message, 0, octets.len() as u64, &budget);
    Listing::of(Kind::of(octets), name, &mut source, 1_000)
}

/// Names, and the letters of the facts: encrypted, bomb, ambiguous, partial.
fn told(name: &str, octets: &[u8]) -> (Vec<String>, String) {
    let Listing { names, encrypted, bomb, ambiguous, partial } = list(name, octets);
    let facts = [(encrypted, 'e'), (bomb, 'b'), (ambiguous, 'a'), (partial, 'p')];
    (names, facts.iter().filter(|(holds, _)| *holds).map(|(_, letter)| *letter).collect())
}

#[test]
fn archives_of_real_programs_are_listed() {
    const PLAIN: &[&str] = &["minutes.txt", "folder/picture.png"];
    const PROGRAM: &[&str] = &["readme.txt", "folder/Setup.EXE"];
    for (name, octets, names, facts) in [
        ("a.zip", sample!("plain.zip"), PLAIN, ""),
        ("a.zip", sample!("program.zip"), PROGRAM, ""),
        ("a.zip", sample!("encrypted.zip"), PLAIN, "e"),
        ("a.zip", sample!("bomb.zip"), &["zeros"], "b"),
        (
            "a.zip",
            sample!("overlap.zip"),
            &["minutes.txt", "folder/picture.png", "minutes.txt"],
            "ba",
        ),
        (
            "a.zip",
            sample!("lying.zip"),
            &["readme.txt", "folder/Setup.TXT", "folder/Setup.EXE"],
            "a",
        ),
        ("a.zip", sample!("two.zip"), &[PLAIN, PROGRAM].concat(), "a"),
        ("a.zip", sample!("cut.zip"), PROGRAM, "a"),
        ("a.tar", sample!("gnu.tar"), &["text.txt", LONG], ""),
        ("a.tar", sample!("pax.tar"), &["text.txt", LONG], ""),
        ("a.txt.gz", sample!("named.gz"), &["setup.exe", "a.txt"], ""),
        ("invoice.exe.xz", b"\xfd7zXZ\0", &["invoice.exe"], ""),
        ("a.7z", sample!("plain.7z"), &["folder/readme.txt", "Setup.exe"], ""),
        ("a.7z", sample!("encrypted.7z"), &["folder/readme.txt", "Setup.exe"], "e"),
        ("a.7z", sample!("hidden.7z"), &[], "ep"),
        ("a.rar", sample!("rar4-hidden.rar"), &[], "ep"),
        ("a.rar", sample!("rar5-hidden.rar"), &[], "ep"),
    ] {
        let want = (names.iter().map(ToString::to_string).collect(), facts.to_owned());
        assert_eq!(told(name, octets), want, "{name} {facts}");
    }
    assert_eq!(list("a.zip", sample!("many.zip")).names.len(), 300);
}

const LONG: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/setup.exe";

#[test]
fn rar_archives_are_listed() {
    for (octets, encrypted, name) in [
        (sample!("rar4.rar"), false, "sub/with space/long fn.txt"),
        (sample!("rar5.rar"), false, "sub/with space/long fn.txt"),
        (sample!("rar4-encrypted.rar"), true, "file1.txt"),
        (sample!("rar5-encrypted.rar"), true, "stest1.txt"),
    ] {
        let listing = list("a.rar", octets);
        let names: Vec<_> = listing.names.iter().map(|name| name.replace('\\', "/")).collect();
        assert!(names.iter().any(|one| one == name), "{names:?}");
        assert_eq!((listing.encrypted, listing.partial), (encrypted, false), "{names:?}");
    }
}

const ALL: &[&[u8]] = &[
    sample!("plain.zip"),
    sample!("many.zip"),
    sample!("two.zip"),
    sample!("gnu.tar"),
    sample!("pax.tar"),
    sample!("named.gz"),
    sample!("plain.7z"),
    sample!("hidden.7z"),
    sample!("rar4.rar"),
    sample!("rar5.rar"),
    sample!("rar5-encrypted.rar"),
];

#[test]
fn archives_that_are_cut_off_anywhere_do_no_harm() {
    for octets in ALL {
        for end in (0..octets.len()).step_by(octets.len() / 200 + 1) {
            list("a.b", &octets[..end]);
        }
    }
}

/// Each octet of the places that matter becomes each of some values.
#[test]
fn archives_with_wrong_numbers_do_no_harm() {
    for octets in ALL {
        let mut octets = octets.to_vec();
        for at in (6..octets.len().min(300))
            .chain(octets.len().saturating_sub(200).max(300)..octets.len())
        {
            let kept = octets[at];
            for wrong in [0, 0x7f, 0xff] {
                octets[at] = wrong;
                let listing = list("a.b", &octets);
                assert!(listing.names.len() <= 1_100);
            }
            octets[at] = kept;
        }
    }
}

#[test]
fn the_budget_bounds_what_is_read() {
    let listing = list_within("a.zip", sample!("many.zip"), 8_000);
    assert!(listing.partial && listing.names.len() < 200);
    let endless: Vec<u8> = sample!("gnu.tar")[..512].repeat(3_000);
    assert!(list("a.tar", &endless).names.len() <= 1_000);
}
