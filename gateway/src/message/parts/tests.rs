//! Messages of all kinds, in memory and in files, and what is found in them.

mod corpus;
mod hostile;

use std::sync::Arc;

use super::*;
use crate::message::{Edit, HeaderEdit, Message, Splice};

fn budget() -> Arc<Budget> {
    Budget::new(1 << 30, 1 << 30, 1 << 20, std::env::temp_dir())
}

/// A message of which the body counts against no budget.
fn message(text: &[u8]) -> Message {
    let end = HeaderSection::find_end(text, 0).unwrap_or(text.len());
    let (header, body) = text.split_at(end);
    Message::new(
        Arc::new(HeaderSection::parse(header.to_vec())),
        Content::from_bytes(body.to_vec()),
    )
}

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// Each part as one line: parent, type, what else is known, size.
fn outline(parts: &Parts) -> Vec<String> {
    let line = |part: &Part| {
        let parent = part.parent.map_or_else(|| "-".to_owned(), |parent| parent.to_string());
        let told = [&part.charset, &part.disposition, &part.file_name];
        let told: Vec<_> = told.into_iter().flatten().map(String::as_str).collect();
        format!("{parent} {} {told:?} {}", part.content_type, part.size)
    };
    parts.iter().map(line).collect()
}

async fn text(parts: &Parts, index: u32) -> Option<String> {
    let content = parts.content(index, &budget()).await.expect("room")?;
    Some(String::from_utf8(octets(&content)).expect("text is UTF-8"))
}

fn octets(content: &Content) -> Vec<u8> {
    let mut all = vec![0; content.octets() as usize];
    let mut filled = 0;
    while filled < all.len() {
        filled += content.read_at(filled as u64, &mut all[filled..]).expect("readable");
    }
    all
}

const NESTED: &str = "Content-Type: multipart/mixed; boundary=\"outer\"
MIME-Version: 1.0

preamble
--outer
Content-Type: multipart/alternative; boundary=outer2

--outer2

plain
--outer2
Content-Type: text/HTML; charset=ISO-8859-1
Content-Transfer-Encoding: quoted-printable

<p>caf=E9 =
au lait</p>
--outer2--
epilogue
--outer2
not a part
--outer
Content-Type: message/rfc822

Subject: within
Content-Type: multipart/mixed; boundary=inner

--inner
Content-Type: application/octet-stream; name=\"a b.bin\"
Content-Disposition: ATTACHMENT
Content-Transfer-Encoding: BASE64

AAEC
/w==
--outer  \t
Content-Disposition: attachment; filename*0*=utf-8''%e2%82%ac; filename*1*=%20rates; filename*2=.txt

last
--outer--
";

#[tokio::test]
async fn parts_are_listed_depth_first_with_what_they_say() {
    let message = message(&crlf(NESTED));
    let parts = message.parts(&budget()).await.expect("room");
    assert_eq!(
        outline(parts),
        [
            "- multipart/mixed [] 0",
            "0 multipart/alternative [] 0",
            "1 text/plain [] 5",
            "1 text/html [\"iso-8859-1\"] 20",
            "0 message/rfc822 [] 211",
            "4 multipart/mixed [] 0",
            "5 application/octet-stream [\"attachment\", \"a b.bin\"] 4",
            "0 text/plain [\"attachment\", \"\u{20ac} rates.txt\"] 4",
        ]
    );
    assert_eq!(text(parts, 2).await.as_deref(), Some("plain"));
    assert_eq!(text(parts, 3).await.as_deref(), Some("<p>caf\u{e9} au lait</p>"));
    let within = text(parts, 4).await.expect("a message");
    assert!(within.starts_with("Subject: within\r\n") && within.ends_with("/w=="), "{within:?}");
    let binary = parts.content(6, &budget()).await.expect("room").expect("a part");
    assert_eq!(octets(&binary), [0, 1, 2, 255]);
    for multipart in [0, 1, 5, 8, u32::MAX] {
        assert!(parts.content(multipart, &budget()).await.expect("room").is_none());
    }
}

#[tokio::test]
async fn parts_lie_where_they_say_in_the_body() {
    let message = message(&crlf(NESTED));
    let parts = message.parts(&budget()).await.expect("room");
    let body = octets(&message.body);
    let encoded: Vec<_> = parts
        .iter()
        .map(|part| {
            let (at, length) = part.encoded.expect("nothing is within something encoded");
            std::str::from_utf8(&body[at as usize..][..length as usize]).expect("ASCII")
        })
        .collect();
    assert_eq!(encoded[0].len(), body.len());
    assert!(encoded[1].starts_with("--outer2\r\n") && encoded[1].ends_with("not a part"));
    assert_eq!(encoded[2], "plain");
    assert_eq!(encoded[3], "<p>caf=E9 =\r\nau lait</p>");
    assert!(encoded[4].starts_with("Subject: within") && encoded[4].ends_with("/w=="));
    assert_eq!((encoded[6], encoded[7]), ("AAEC\r\n/w==", "last"));
}

#[tokio::test]
async fn what_has_no_parts_is_one() {
    for (head, body, want) in [
        ("", "text\n", "- text/plain [] 6"),
        ("Content-Type: nonsense\n", "text\n", "- text/plain [] 6"),
        ("Content-Type: image/png\n", "text\n", "- image/png [] 6"),
        ("Content-Type: multipart/mixed\n", "--\ntext\n", "- multipart/mixed [] 10"),
        ("Content-Type: multipart/mixed; boundary=x\n", "-- x\n", "- multipart/mixed [] 6"),
        ("Content-Type: multipart/mixed; boundary=x\n", "", "- multipart/mixed [] 0"),
    ] {
        let message = message(&crlf(&format!("{head}\n{body}")));
        let parts = message.parts(&budget()).await.expect("room");
        assert_eq!(outline(parts), [want], "{head}");
    }
}

#[tokio::test]
async fn a_part_without_an_end_or_a_header_is_one_still() {
    let head = "Content-Type: multipart/digest; boundary=x\n\n";
    for (body, want) in [
        ("--x\n\nSubject: a\n\none\n", &["0 message/rfc822 [] 19", "1 text/plain [] 5"][..]),
        ("--x\nContent-Type: text/plain\n\none", &["0 text/plain [] 3"]),
        ("--x\nContent-Type: text/plain\n--x--", &["0 text/plain [] 0"]),
        ("--x\nContent-Type: image/gif\nno field\n--x--", &["0 image/gif [] 8"]),
        ("--x\nContent-Type: image/gif", &["0 image/gif [] 0"]),
        ("--x--\n--x\n\nafter the end\n", &[]),
        ("--x\nContent-Type: image/gif\n\na\n--x --\nb\n--x-- \n", &["0 image/gif [] 12"]),
    ] {
        let message = message(&crlf(&format!("{head}{body}")));
        let parts = message.parts(&budget()).await.expect("room");
        assert_eq!(outline(parts)[1..], *want, "{body}");
    }
}

#[tokio::test]
async fn encoded_messages_are_looked_into_and_have_no_place_in_the_body() {
    let inner =
        crlf("Subject: a\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\none\n--x--\n");
    let mut text = inner.clone();
    for encodings in 1..=5 {
        let head = "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(&text);
        text = format!("{head}{encoded}\r\n").into_bytes();
        let message = message(&text);
        let parts = message.parts(&budget()).await.expect("room");
        // Three are looked into; within the third is what stands there.
        let messages = parts.iter().filter(|part| part.content_type == "message/rfc822").count();
        let multiparts = parts.iter().filter(|part| part.content_type == "multipart/mixed").count();
        let want = if encodings <= 3 { (encodings, 1) } else { (4, 0) };
        assert_eq!((messages, multiparts), want, "{:?}", outline(parts));
        assert_eq!(parts.iter().filter(|part| part.encoded.is_some()).count(), 1);
    }
}

#[tokio::test]
async fn texts_are_utf_8_whatever_they_were() {
    for (charset, body, want) in [
        (
            "; charset=\"windows-1251\"",
            &b"\xcf\xf0\xe8\xe2\xe5\xf2"[..],
            "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}",
        ),
        ("; charset=iso-2022-jp", b"\x1b$B$3$s\x1b(B!", "\u{3053}\u{3093}!"),
        ("; charset=shift_jis", b"\x82\xb1\x82\xf1", "\u{3053}\u{3093}"),
        ("; charset=utf-16", b"\xff\xfea\0b\0", "ab"),
        ("; charset=UTF-8", b"\xef\xbb\xbfa\xff", "a\u{fffd}"),
        ("; charset=us-ascii", "\u{e9}".as_bytes(), "\u{e9}"),
        ("; charset=x-unknown", "\u{e9}".as_bytes(), "\u{e9}"),
        ("; charset=iso-2022-kr", b"plain", "plain"),
        ("", "\u{e9}".as_bytes(), "\u{e9}"),
    ] {
        let head = format!("Content-Type: text/plain{charset}\r\n\r\n");
        let message = message(&[head.as_bytes(), body].concat());
        let parts = message.parts(&budget()).await.expect("room");
        assert_eq!(text(parts, 0).await.as_deref(), Some(want), "{charset}");
        assert_eq!(parts.iter().next().expect("one").size, want.len() as u64);
    }
}

#[tokio::test]
async fn encodings_are_undone_as_well_as_they_can_be() {
    for (encoding, body, want) in [
        ("base64", "b25l\r\n", "one"),
        ("Base64 (the usual)", "b 2 5 l *** dHdv", "onetwo"),
        ("base64", "b25lIQ==dHdvIQ==", "one!two!"),
        ("base64", "b25lI", "one"),
        ("quoted-printable", "a=\r\nb =20 \t\r\nc=3D=3d=\n=", "ab  \r\nc=="),
        ("quoted-printable", "=E2=82=AC =XY =4 = 41 ==41", "\u{20ac} =XY =4 = 41 =A"),
        ("quoted-printable", "a \t  ", "a \t  "),
        ("8bit", "=41", "=41"),
        ("x-uuencode", "=41", "=41"),
    ] {
        let head = "Content-Type: text/plain\r\nContent-Transfer-Encoding";
        let message = message(format!("{head}: {encoding}\r\n\r\n{body}").as_bytes());
        let parts = message.parts(&budget()).await.expect("room");
        assert_eq!(text(parts, 0).await.as_deref(), Some(want), "{encoding} {body:?}");
    }
}

fn form(content_type: &str, encoding: &str) -> Form {
    let header =
        format!("Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
    Fields::of(&HeaderSection::parse(header.into()), None).form()
}

/// Feeds a decoder and the search for parts with pieces of every size.
#[tokio::test]
async fn nothing_depends_on_where_chunks_are_cut() {
    let whole = crlf(NESTED);
    let (header, body) = whole.split_at(HeaderSection::find_end(&whole, 0).expect("an end"));
    let found = |size: usize| {
        let root = Fields::of(&HeaderSection::parse(header.to_vec()), None);
        structure::Scan::types(body.chunks(size), root)
    };
    for size in (1..80).chain([200, 500]) {
        assert_eq!(found(size), found(body.len()), "{size}");
    }
    for (form, text) in [
        (form("text/plain; charset=iso-2022-jp", "7bit"), &b"\x1b$B$3$s\x1b(B!"[..]),
        (form("text/plain", "quoted-printable"), b"=E2=82=AC \r\n=\r\n = \t\r\n="),
        (form("image/png", "base64"), b"AA EC\r\n/w==AAEC/w"),
    ] {
        let decode = |size: usize| {
            let mut decoder = Decoder::new(form).expect("something to undo");
            let mut all: Vec<u8> =
                text.chunks(size).flat_map(|piece| decoder.decode(piece)).collect();
            all.extend(decoder.finish());
            all
        };
        for size in 1..text.len() {
            assert_eq!(decode(size), decode(text.len()), "{size}");
        }
    }
}

#[tokio::test]
async fn a_message_in_a_file_has_the_parts_of_one_in_memory() {
    let long = "0123456789abcdef".repeat(40_000);
    let text = crlf(&NESTED.replace("plain\n", &format!("{long}\n")));
    let in_memory = message(&text);
    let budget = Budget::new(0, 1 << 30, 0, std::env::temp_dir());
    let mut writer = ContentWriter::new(budget.clone());
    writer.write(octets(&in_memory.body)).await.expect("room");
    let in_file = Message::new(in_memory.header.clone(), writer.finish().await.expect("room"));
    assert!(in_file.body.as_bytes().is_none());
    let own = Budget::new(1 << 20, 1 << 30, 1 << 16, std::env::temp_dir());
    let parts = in_file.parts(&own).await.expect("room");
    assert_eq!(outline(parts), outline(in_memory.parts(&own).await.expect("room")));
    let size = parts.iter().nth(2).expect("the long one").size;
    assert_eq!(size, long.len() as u64);
    let decoded = parts.content(2, &own).await.expect("room").expect("a part");
    assert_eq!(octets(&decoded), long.as_bytes());
    assert!(own.used().1 >= size, "what is decoded lies in a file: {:?}", own.used());
    drop((decoded, in_file, in_memory));
    assert_eq!((own.used(), budget.used()), ((0, 0), (0, 0)));
}

#[tokio::test]
async fn without_room_nothing_is_decoded() {
    let message = message(b"Content-Type: text/plain; charset=latin1\r\n\r\nabc");
    let none = Budget::new(1 << 10, 0, 0, std::env::temp_dir());
    let parts = message.parts(&none).await.expect("room for the list");
    let refused = parts.content(0, &none).await;
    assert!(matches!(refused, Err(ContentError::BudgetSpent)));
    // Somebody gave room back.
    assert_eq!(text(parts, 0).await.as_deref(), Some("abc"));
    let nothing = Budget::new(0, 0, 0, std::env::temp_dir());
    let again = Message::new(message.header.clone(), message.body.clone());
    assert!(matches!(again.parts(&nothing).await, Err(ContentError::BudgetSpent)));
}

#[tokio::test]
async fn parts_are_looked_for_once_until_the_body_changes() {
    let mut message = message(&crlf(NESTED));
    let copy = message.clone();
    let first: *const Parts = message.parts(&budget()).await.expect("room");
    assert!(std::ptr::eq(copy.parts(&budget()).await.expect("room"), first));
    let add = |name: &str| {
        let (name, value) = (name.to_owned(), b"text/plain".to_vec());
        Edit::Header(HeaderEdit::Add { at: Some(0), name, value })
    };
    message.apply(&[add("X-Seen")]);
    assert!(std::ptr::eq(message.parts(&budget()).await.expect("room"), first));
    let mut retyped = message.clone();
    retyped.apply(&[add("content-type")]);
    assert_eq!(retyped.parts(&budget()).await.expect("room").iter().len(), 1);
    let (at, length) =
        copy.parts(&budget()).await.expect("room").list[4].part.encoded.expect("plain");
    let replacement = Content::from_bytes(b"\r\n".to_vec());
    message.apply(&[Edit::SpliceBody(Splice { at, length, replacement, lines: true })]);
    let parts = message.parts(&budget()).await.expect("room");
    assert_eq!(outline(parts).len(), 7, "{:?}", outline(parts));
}
