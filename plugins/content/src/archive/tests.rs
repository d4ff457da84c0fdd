use std::time::Instant;

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

/// A 7z whose header is encoded by LZMA2: packed octets, and how many they say to be.
fn encoded(packed: &[u8], unpacked: u64) -> Vec<u8> {
    let number = |value: u64| [&[0xff], value.to_le_bytes().as_slice()].concat();
    let header = [
        &[0x17, 6][..],
        &number(0),
        &[1, 9],
        &number(packed.len() as u64),
        &[0, 7, 0x0b, 1, 0, 1, 0x21, 0x21, 1, 0x10, 0x0c],
        &number(unpacked),
        &[0, 0],
    ]
    .concat();
    let (at, size) = (packed.len() as u64, header.len() as u64);
    let start = [b"7z\xbc\xaf\x27\x1c\0\x04".as_slice(), &[0; 4], &at.to_le_bytes()].concat();
    [&start, &size.to_le_bytes()[..], &[0; 4], packed, &header].concat()
}

#[test]
fn a_list_in_chunks_is_read_as_far_as_it_is_bounded() {
    let name: Vec<u8> = "a.exe\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = u8::try_from(name.len() + 1).unwrap();
    let header = [&[1, 5, 1, 0x11, length, 0][..], &name, &[0, 0]].concat();
    let last = u8::try_from(header.len() - 1).unwrap();
    let stored = [&[1, 0, last][..], &header, &[0]].concat();
    let archive = encoded(&stored, header.len() as u64);
    assert_eq!(told("a.7z", &archive), (vec!["a.exe".to_owned()], String::new()));
    let mut chunk = Vec::new();
    lzma_rs::lzma2_compress(&mut header.as_slice(), &mut chunk).unwrap();
    assert_eq!(told("a.7z", &encoded(&chunk, header.len() as u64)).0, ["a.exe"]);
    // What comes out of one chunk is in the dictionary of the next: here 6 GiB.
    let start = Instant::now();
    let mut next = sample!("zeros.lzma2").to_vec();
    next[0] = 0xdf;
    let chunks = [sample!("zeros.lzma2"), &next.repeat((1 << 20) / next.len() - 1)].concat();
    assert_eq!(told("a.7z", &encoded(&chunks, 1 << 20)), (Vec::new(), "p".to_owned()));
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn no_header_of_a_7z_is_gone_through_again_and_again() {
    let folders = [&[7, 0x0b][..], &[0xff, 0, 0, 2, 0, 0, 0, 0, 0, 0]].concat();
    let start = Instant::now();
    for repeated in [&[8, 0][..], &[9], &[0x0d]] {
        let again = repeated.repeat(200_000);
        let one = [&folders[..], &[1, 0].repeat(0x2_0000), &[0], &[8], &again].concat();
        let other = [&folders[..], &[1, 0].repeat(0x2_0000), &[0], &again].concat();
        for streams in [one, other] {
            let header = [&[1, 4][..], &streams].concat();
            let at = 0_u64.to_le_bytes();
            let size = (header.len() as u64).to_le_bytes();
            let start = [b"7z\xbc\xaf\x27\x1c\0\x04".as_slice(), &[0; 4], &at, &size].concat();
            assert!(list("a.7z", &[&start[..], &[0; 4], &header].concat()).partial);
        }
    }
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
