//! What must hold whatever a peer and policy say.

#[path = "invariants/oracle.rs"]
mod oracle;

use std::sync::Arc;

use portcullis_smtp::server::{Channel, Event, NONCE_OCTETS, Session, Step, Verdict};
use portcullis_smtp::stuffing::Stuffer;
use proptest::collection::vec;
use proptest::prelude::*;

use self::oracle::Script;

proptest! {
    #[test]
    fn a_session_keeps_its_promises(script in scripts()) {
        oracle::session(&script);
    }

    #[test]
    fn a_session_keeps_its_promises_when_octets_come(octets in vec(any::<u8>(), 17..400)) {
        if let Some(script) = Script::from_octets(&octets) {
            oracle::session(&script);
        }
    }

    #[test]
    fn content_is_what_the_rfc_says(wire in wires()) {
        prop_assert_eq!(oracle::wire::received(&wire), oracle::wire::read_slowly(&wire));
    }

    #[test]
    fn what_is_passed_on_is_what_was_received(wire in wires()) {
        if let Some(content) = oracle::wire::received(&wire) {
            let mut stuffer = Stuffer::new();
            let mut next = Vec::new();
            stuffer.encode(&content, &mut next);
            stuffer.finish(&mut next);
            prop_assert_eq!(oracle::wire::received(&next), Some(content));
        }
    }

    #[test]
    fn content_in_chunks_is_what_the_rfc_says(wire in wires(), cuts in vec(0_usize..40, 0..6)) {
        prop_assert_eq!(oracle::wire::received_in_chunks("", &wire, &cuts), oracle::wire::read_chunks_slowly(&wire));
        prop_assert_eq!(oracle::wire::received_in_chunks(" BODY=BINARYMIME", &wire, &cuts), wire);
    }

    #[test]
    fn framing_is_what_slow_readers_say(octets in vec(any::<u8>(), 0..60), wire in wires()) {
        oracle::wire::body(&octets);
        oracle::wire::body(&[b"\x07", wire.as_slice()].concat());
        oracle::wire::lines(&octets);
        oracle::wire::lines(&[b"\x02", wire.as_slice()].concat());
    }

    #[test]
    fn octets_of_a_chunk_are_never_commands(script in chunks(), flags in any::<u8>()) {
        let commands = script.iter().filter(|piece| piece.is_command).count();
        let wire: Vec<u8> = script.into_iter().flat_map(|piece| piece.octets).collect();
        let choices = vec![0, 0, 0, 190, 0, 0, 240, 0];
        let script = Script { flags: flags | oracle::PATIENT, choices, wire };
        oracle::session(&script);
        prop_assert_eq!(commands_read(&script), commands);
    }

    #[test]
    fn an_exchange_keeps_its_promises(octets in exchanges()) {
        oracle::sasl::exchange(&octets);
    }

    #[test]
    fn a_command_means_one_thing(line in lines()) {
        oracle::syntax::command(&line);
    }

    #[test]
    fn an_address_is_safe_wherever_it_is_written(
        text in "[a-z.\"\\\\ ]{0,6}@?[a-z.\\[\\]:0-9-]{0,9}|\\PC{1,6}@(\\PC|[a-z.]){1,8}|.{0,12}",
    ) {
        oracle::syntax::address(text.as_bytes());
    }

    #[test]
    fn a_proxy_header_is_the_same_however_it_is_cut(octets in headers()) {
        oracle::proxy(&octets);
    }

    #[test]
    fn what_a_trusted_peer_says_of_others_can_be_written_down(text in attributes()) {
        oracle::xclient(&text);
    }

    #[test]
    fn a_reply_is_one_reply(
        code in 190_u16..610,
        status in (0_u8..7, 0_u16..1100, 0_u16..1100),
        text in "[ -~\\n]{0,1500}|\\PC{0,20}",
    ) {
        oracle::reply(code, status, &text);
    }
}

/// How many commands the session reads if it is given all at once.
fn commands_read(script: &Script) -> usize {
    let mut session = Session::new(Arc::new(script.settings()), Channel::default());
    let mut commands = 0;
    for octets in [&b""[..], &script.wire] {
        session.receive(octets);
        loop {
            match session.poll() {
                Step::Ask(_) => session.decide(Verdict::Accept),
                Step::StartTls => session.tls_established(None),
                Step::Nonce => session.nonce([0; NONCE_OCTETS]),
                Step::Verifier { .. } => session.verifier(Ok(None)),
                Step::Disproved { .. } => {}
                Step::Read | Step::Close => break,
                Step::Content(_) | Step::Aborted | Step::Refused(_) => {}
            }
        }
        let events = session.take_events();
        commands += events.iter().filter(|event| matches!(event, Event::Command(_))).count();
    }
    commands
}

/// A command, or the octets of a chunk.
#[derive(Clone, Debug)]
struct Piece {
    is_command: bool,
    octets: Vec<u8>,
}

/// Commands of any kind and order, and chunks that look like commands, too.
fn chunks() -> impl Strategy<Value = Vec<Piece>> {
    let words = || {
        prop_oneof![
            4 => Just("MAIL FROM:<alice@example.org>\r\n"),
            4 => Just("RCPT TO:<bob@example.com>\r\n"),
            1 => Just("MAIL FROM:<> BODY=BINARYMIME\r\n"),
            1 => Just("EHLO client.example\r\n"),
            1 => Just("LHLO client.example\r\n"),
            1 => Just("RSET\r\n"),
            1 => Just("NOOP\r\n"),
            1 => Just("\r\n"),
        ]
    };
    let command =
        words().prop_map(|word| vec![Piece { is_command: true, octets: word.as_bytes().to_vec() }]);
    let keyword = prop_oneof![3 => Just(""), 2 => Just(" LAST"), 1 => Just(" FIRST")];
    let content = vec(prop_oneof![3 => words(), 1 => Just("QUIT\r\n"), 1 => Just("\n.\r")], 0..4);
    let chunk = (content, keyword).prop_map(|(content, keyword)| {
        let octets = content.concat().into_bytes();
        let command = format!("BDAT {}{keyword}\r\n", octets.len()).into_bytes();
        vec![Piece { is_command: true, octets: command }, Piece { is_command: false, octets }]
    });
    vec(prop_oneof![command, chunk], 0..24).prop_map(|pieces| pieces.concat())
}

/// Octets after DATA that hold what matters, and often the end.
fn wires() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        2 => Just("\r\n"),
        3 => Just("."),
        1 => Just("\r"),
        1 => Just("\n"),
        2 => Just("x"),
        2 => Just("\0"),
        1 => Just("\r\n.\r\n"),
    ];
    (vec(piece, 0..24), any::<bool>()).prop_map(|(pieces, ended)| {
        let end = if ended { "\r\n.\r\n" } else { "" };
        [&pieces[..], &[end]].concat().concat().into_bytes()
    })
}

/// Words of the protocol, in an order that often makes sense.
fn scripts() -> impl Strategy<Value = Script> {
    let word = prop_oneof![
        6 => Just("MAIL FROM:<alice@example.org>\r\n"),
        8 => Just("RCPT TO:<bob@example.com>\r\n"),
        6 => Just("DATA\r\n"),
        6 => Just("\r\n.\r\n"),
        2 => Just("EHLO client.example\r\n"),
        2 => Just("LHLO client.example\r\n"),
        1 => Just("MAIL FROM:<> SIZE=60\r\n"),
        2 => Just("MAIL FROM:<> BODY=BINARYMIME\r\n"),
        2 => Just("MAIL FROM:<> PRDR\r\n"),
        3 => Just("BDAT 6\r\n"),
        3 => Just("BDAT 20 LAST\r\n"),
        3 => Just("BDAT 0 LAST\r\n"),
        1 => Just("BDAT 60\r\n"),
        1 => Just("BDAT 6 FIRST\r\n"),
        1 => Just("BDAT x\r\n"),
        2 => Just("MAIL FROM:<j\u{f6}rg@b\u{fc}cher.example> SMTPUTF8 RET=HDRS ENVID=a+2Bb\r\n"),
        2 => Just("RCPT TO:<\u{7528}\u{6237}@b.example> NOTIFY=NEVER ORCPT=utf-8;\u{e9}@b\r\n"),
        1 => Just("RCPT TO:<c@d.example> RRVS=2014-04-03T23:01:00Z;C\r\n"),
        1 => Just("RSET\r\n"),
        1 => Just("STARTTLS\r\n"),
        1 => Just("XCLIENT NAME=c.example ADDR=192.0.2.7\r\n"),
        1 => Just("XCLIENT LOGIN=alice\r\n"),
        1 => Just("XFORWARD NAME=c.example\r\n"),
        1 => Just("NOOP\r\n"),
        1 => Just("QUIT\r\n"),
        1 => Just("GET / HTTP/1.1\r\n"),
        2 => Just("Received: from a by b\r\n"),
        2 => Just("text\r\n"),
        2 => Just("a line that is longer than sixty-four octets with its end, to be sure\r\n"),
        2 => Just("."),
        2 => Just("\r"),
        2 => Just("\n"),
        1 => Just("\0"),
        12 => auth_words(),
    ];
    let choices = vec(prop_oneof![4 => 0_u8..160, 1 => any::<u8>()], 16);
    (any::<u8>(), choices, any::<bool>(), vec(word, 0..40)).prop_map(
        |(flags, choices, begun, words)| {
            let hello = if flags & oracle::LMTP == 0 { "EHLO a\r\n" } else { "LHLO a\r\n" };
            let begin = [hello, "MAIL FROM:<a@b.example>\r\n", "RCPT TO:<c@d.example>\r\n"];
            let begin = if begun { &begin[..] } else { &begin[..1] };
            let wire = [begin, &words].concat().concat().into_bytes();
            Script { flags, choices, wire }
        },
    )
}

/// Words of AUTH: alice and her password `secret`, with the oracle's nonce.
fn auth_words() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        2 => Just("AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n"),
        2 => Just("AUTH PLAIN\r\nAGFsaWNlAHNlY3JldA==\r\n"),
        1 => Just("AUTH LOGIN\r\n"),
        1 => Just("YWxpY2U=\r\n"),
        2 => Just("AUTH CRAM-MD5\r\n"),
        2 => Just("YWxpY2UgMjhjNjYzZjhlNDUzZTNkZTFhYTY2MjA3MzJjYTljNzM=\r\n"),
        1 => Just("bWFsbG9yeSAyOGM2NjNmOGU0NTNlM2RlMWFhNjYyMDczMmNhOWM3Mw==\r\n"),
        2 => Just("AUTH SCRAM-SHA-256 biwsbj1hbGljZSxyPWNsaWVudG5vbmNl\r\n"),
        1 => Just("AUTH SCRAM-SHA-256-PLUS cD10bHMtZXhwb3J0ZXIsLG49YWxpY2Uscj1jbGllbnRub25jZQ==\r\n"),
        2 => Just(concat!("Yz1iaXdzLHI9Y2xpZW50bm9uY2VZU0J1YjI1alpTd2dibTkwSUdaeVpYTm8scD1YUUkxblAxTU1nVTQ3",
            "OFM4bnVIR0ZsdUQvWWZkSXhhK2JuMnVwN3ppVkRVPQ==\r\n")),
        1 => Just(concat!("Yz1jRDEwYkhNdFpYaHdiM0owWlhJc0xBY0hCd2NIQndjSEJ3Y0hCd2NIQndjSEJ3Y0hCd2NIQndjSEJ3",
            "Y0hCd2NILHI9Y2xpZW50bm9uY2VZU0J1YjI1alpTd2dibTkwSUdaeVpYTm8scD1Cb2VTeFBzaWJrYmVHNG4vOXg3bXdNbUJ1OWtDaHduZEE1YVFNd2RkYyt3PQ==\r\n")),
        1 => Just("AUTH XOAUTH2 dXNlcj1hAWF1dGg9QmVhcmVyIHQBAQ==\r\n"),
        1 => Just("AUTH OAUTHBEARER biwsAWF1dGg9QmVhcmVyIHQBAQ==\r\n"),
        1 => Just("AUTH RABBIT\r\n"),
        2 => Just("*\r\n"),
        2 => Just("=\r\n"),
        2 => Just("\r\n"),
        1 => Just("VRFY a\r\n"),
    ]
}

/// A mechanism, and messages that are nearly its own.
fn exchanges() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => proptest::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
        2 => Just(vec![0xff]),
    ];
    (0_u8..7, vec(piece, 0..12))
        .prop_map(|(mechanism, pieces)| [vec![mechanism], pieces.concat()].concat())
}

const PIECES: &[&str] = &[
    "\0",
    "alice",
    "bob",
    "secret",
    "n,,",
    "y,,",
    "p=tls-exporter,,",
    "n,a=bob,",
    "n=alice",
    ",r=nonce",
    ",",
    "m=x,",
    "=2C",
    "=3D",
    "c=biws",
    ",p=",
    ",t=x",
    "\u{1}",
    "auth=Bearer token",
    "user=alice",
    "\u{1}\u{1}",
    " ",
    "host=mx.example",
    "",
];

/// Headers of the PROXY protocol, more or less, and what follows them.
fn headers() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("PROXY "),
        Just("TCP4"),
        Just("TCP6"),
        Just("UNKNOWN"),
        Just(" "),
        Just("192.0.2.1"),
        Just("2001:db8::1"),
        Just("65535"),
        Just("\r"),
        Just("\n"),
        Just("\r\n"),
    ];
    let words = vec(word, 0..12).prop_map(|words| ["PROXY ", &words.concat()].concat());
    let line = "PROXY (TCP4( [0-9.]{1,8}| 192.0.2.1){2}|TCP6( ::1){2})( [0-9]{1,5}){2}\r\n";
    let vector = (prop_oneof![1_u8..6, Just(0x20), any::<u8>()], vec(any::<u8>(), 0..40));
    let vector = vector.prop_map(|(kind, value)| {
        let length = u8::try_from(value.len()).unwrap_or_default();
        [vec![kind, 0, length], value].concat()
    });
    let family = prop_oneof![Just((0x11, 12)), Just((0x21, 36)), Just((0, 0)), Just((0x31, 216))];
    let two = (prop_oneof![Just(0x20), Just(0x21)], family, vec(vector, 0..5), any::<bool>());
    let two = two.prop_map(|(command, (family, octets), vectors, whole)| {
        let rest = [vec![0; octets], vectors.concat()].concat();
        let length = u16::try_from(rest.len()).unwrap_or_default().to_be_bytes();
        let fixed = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length].concat();
        let behind: &[u8] = if whole { b"\x16\x03" } else { b"" };
        [&fixed, &rest, behind].concat()
    });
    prop_oneof![
        words.prop_map(String::into_bytes),
        line.prop_map(String::into_bytes),
        two,
        vec(any::<u8>(), 0..40),
    ]
}

fn attributes() -> impl Strategy<Value = String> {
    let name = "NAME|ADDR|PORT|PROTO|HELO|LOGIN|IDENT|SOURCE|DESTADDR|REVERSE_NAME|[a-zA-Z]{1,5}";
    let value =
        "\\[UNAVAILABLE\\]|192\\.0\\.2\\.1|IPV6:::1|LOCAL|E?SMTP|[0-9]{1,6}|[ -~]{0,8}|\\PC{0,3}";
    let one = (name, value).prop_map(|(name, value)| format!("{name}={value}"));
    let several = vec(prop_oneof![8 => one, 1 => "\\PC{0,8}"], 0..5);
    several.prop_map(|attributes| attributes.join(" "))
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("MAIL FROM:".to_owned()),
        Just("RCPT TO:".to_owned()),
        Just("EHLO ".to_owned()),
        Just("<".to_owned()),
        Just(">".to_owned()),
        Just("@".to_owned()),
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("[IPv6:::1]".to_owned()),
        Just("postmaster".to_owned()),
        Just(" SIZE=10".to_owned()),
        Just(" SMTPUTF8".to_owned()),
        Just(" ORCPT=utf-8;".to_owned()),
        Just(" ENVID=+3D".to_owned()),
        Just("\\x{E9}".to_owned()),
        "[a-z.]{1,5}",
        "[ -~]{1,3}",
        "\\PC",
    ];
    let guided = vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes());
    let path =
        "(MAIL FROM|RCPT TO):<(\"[ -~]{0,4}\"|[a-z+.]{1,5})@[a-z.-]{1,8}>( SIZE=[0-9]{1,3})?";
    let beyond = "(MAIL FROM|RCPT TO):<(\"[ -~\u{f6}]{0,4}\"|[a-z\u{80}-\u{2fff}]{1,5})@[a-z.\u{e0}-\u{5ff}-]{1,8}>( SMTPUTF8)?";
    prop_oneof![
        guided,
        path.prop_map(String::into_bytes),
        beyond.prop_map(String::into_bytes),
        parameters().prop_map(String::into_bytes),
        vec(any::<u8>(), 0..80),
    ]
}

/// Parameters, nearly right.
fn parameters() -> impl Strategy<Value = String> {
    prop_oneof![
        "MAIL FROM:<> (ENVID|AUTH)=([!-~]|\\+[0-9A-F]{2}){1,12}",
        "MAIL FROM:<> (AUTH=<>|AUTH=[a-z]{1,3}(\\+3D)?@[a-z]{1,3})( RET=(FULL|hdrs))?",
        "MAIL FROM:<> BY=[+-]?[0-9]{1,9};[NRnr]T?",
        "MAIL FROM:<> (MT-PRIORITY|HOLDFOR|SIZE)=-?[0-9]{1,2}",
        "RCPT TO:<postmaster> ORCPT=(rfc822|utf-8|x400);([!-~]|\\+[0-9A-F]{2}|\\\\x\\{[0-9A-F]{2,5}\\}|\u{e9}){1,12}",
        "RCPT TO:<postmaster> NOTIFY=(NEVER|SUCCESS|FAILURE|DELAY)(,(NEVER|SUCCESS|FAILURE|DELAY)){0,2}",
        "(RCPT TO:<postmaster> RRVS|MAIL FROM:<> HOLDUNTIL)=[12][0-9]{3}-[01][0-9]-[0-3][0-9]T[012][0-9]:[0-5][0-9]:[0-6][0-9](Z|\\+01:00)(;[CR])?",
    ]
}
