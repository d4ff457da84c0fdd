//! Messages that are made to cost whoever reads them. Each of these must take time that is linear in
//! its length; what is not takes minutes.

use std::time::{Duration, Instant};

use super::*;

const SECONDS: Duration = Duration::from_secs(20);

async fn look(name: &str, text: Vec<u8>) -> Vec<Part> {
    let octets = text.len();
    let message = message(&text);
    let started = Instant::now();
    let own = budget();
    let parts = message.parts(&own).await.expect("room");
    for index in 0..parts.iter().len() as u32 {
        parts.content(index, &own).await.expect("room");
    }
    let took = started.elapsed();
    assert!(took < SECONDS, "{name}: {octets} octets took {took:?}");
    println!("{name}: {octets} octets, {} parts, {took:?}", parts.iter().len());
    check(parts, &message);
    parts.iter().cloned().collect()
}

/// What is true of any list of parts.
pub(super) fn check(parts: &Parts, message: &Message) {
    assert!((1..=PARTS).contains(&parts.iter().len()));
    let mut levels = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        let level = part.parent.map_or(1, |parent| {
            assert!((parent as usize) < place, "{parent} {place}");
            levels[parent as usize] + 1
        });
        assert!(level <= LEVELS);
        levels.push(level);
        if let Some((at, length)) = part.encoded {
            assert!(at + length <= message.body.octets());
            if let Some((outer, within)) =
                part.parent.and_then(|parent| parts.list[parent as usize].part.encoded)
            {
                assert!(outer <= at && at + length <= outer + within, "{part:?}");
            }
        }
    }
}

#[tokio::test]
async fn deep_nesting_ends_at_the_last_level() {
    let mut text = String::from("MIME-Version: 1.0\n");
    for n in 0..10_000 {
        text += &format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n");
    }
    assert_eq!(look("multiparts in multiparts", crlf(&text)).await.len(), LEVELS);
    let messages = "Content-Type: message/rfc822\n\n".repeat(100_000);
    assert_eq!(look("messages in messages", crlf(&messages)).await.len(), LEVELS);
    let same = "Content-Type: multipart/mixed; boundary=b\n\n--b\n".repeat(50_000);
    look("one boundary for all", crlf(&same)).await;
}

#[tokio::test]
async fn the_thousandth_part_is_the_last() {
    let head = "Content-Type: multipart/mixed; boundary=x\n\n";
    let text = format!("{head}{}", "--x\n\na\n".repeat(100_000));
    assert_eq!(look("many parts", crlf(&text)).await.len(), PARTS);
    let never = |n: usize| format!("--x\nContent-Type: multipart/mixed; boundary=n{n}\n\na\n");
    let text = format!("{head}{}", (0..50_000).map(never).collect::<String>());
    look("many multiparts without an end", crlf(&text)).await;
    let text = format!("{head}{}", "--y\n".repeat(1_000_000));
    look("many lines that look like boundaries", crlf(&text)).await;
}

#[tokio::test]
async fn fields_of_any_length_take_no_time_to_speak_of() {
    let head = "Content-Type: multipart/mixed; boundary=x\n\n";
    for (name, unit) in [
        ("continuations", "name*0=a; name*1=b; name*0=c; "),
        ("distinct continuations", "a*1=b;"),
        ("encoded words", "=?a?q?=?b?q?"),
        ("quotes and escapes", "name=\"\\\"\\\\"),
        ("comments", "(((("),
        ("half encoded words", " =?utf-8?b?"),
        ("languages", "n*='''''"),
        ("equals", "a=b;=;="),
    ] {
        let value = unit.repeat(60_000 / unit.len());
        let part = format!("--x\nContent-Type: text/plain; {value}\n\na\n");
        look(name, crlf(&format!("{head}{}", part.repeat(100)))).await;
        let part = format!("--x\nContent-Type: text/plain; name=\"{value}\"\n\na\n");
        look(name, crlf(&format!("{head}{}", part.repeat(100)))).await;
    }
    let part = format!("--x\n{}\n\n", "A: b\n".repeat(100_000));
    look("a long header section", crlf(&format!("{head}{part}"))).await;
    look("one long line", format!("{head}--x\n\n{}", "-".repeat(4 << 20)).into_bytes()).await;
}

#[tokio::test]
async fn garbage_in_encodings_is_decoded_to_its_end() {
    for encoding in ["base64", "quoted-printable"] {
        for unit in ["=", "====", "AAA=", "=\n", " ", "\t=", "\r", "=A", "-", "\0\u{ff}"] {
            let head = "Content-Type: text/plain; charset=gb18030\r\nContent-Transfer-Encoding: ";
            let text = format!("{head}{encoding}\r\n\r\n{}", unit.repeat((1 << 20) / unit.len()));
            look(&format!("{encoding} of {unit:?}"), text.into()).await;
        }
    }
}

const PIECES: &[&str] = &[
    "--x\r\n",
    "--x--\r\n",
    "--y\r\n",
    "--y--\r\n",
    "--",
    "x",
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "text\r\n",
    "Content-Type: multipart/mixed; boundary=x\r\n",
    "Content-Type: multipart/digest; boundary=\"y\"\r\n",
    "Content-Type: message/rfc822\r\n",
    "Content-Type: text/html; charset=utf-16\r\n",
    "Content-Type:",
    "Content-Transfer-Encoding: base64\r\n",
    "Content-Transfer-Encoding: quoted-printable\r\n",
    "Content-Disposition: attachment; filename=\"=?utf-8?q?a=",
    "filename*0*=utf-8''%ff; ",
    " ; name=\"",
    "\"",
    "LS14DQpDb250ZW50LVR5cGU6IG1lc3NhZ2UvcmZjODIyDQoNCg==\r\n",
    "=0D=0A--x=\r\n",
    "\0\u{ff}\u{80}",
    "From x\r\n",
    ": \r\n",
];

/// The same numbers each time: a linear congruential generator (Knuth's).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        let Self(state) = self;
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) as usize % bound
    }
}

#[tokio::test]
async fn messages_made_at_random_have_parts_that_fit_into_each_other() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let mut text = String::from("Content-Type: multipart/mixed; boundary=x\r\n\r\n");
        for _ in 0..random.below(60) {
            text.push_str(PIECES[random.below(PIECES.len())]);
        }
        let message = message(text.as_bytes());
        let own = budget();
        let parts = message.parts(&own).await.expect("room");
        check(parts, &message);
        for (index, part) in (0..).zip(parts.iter()) {
            let content = parts.content(index, &own).await.expect("room");
            let size = content.as_ref().map_or(0, Content::octets);
            assert_eq!(size, part.size, "{text:?} {part:?}");
        }
    }
}
