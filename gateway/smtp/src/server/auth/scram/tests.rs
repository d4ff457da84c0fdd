use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::*;

const FIRST: &[u8] = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const OURS: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

fn scene(bindings: Option<&ChannelBindings>) -> Scene<'_> {
    Scene { hostname: "mx.example", bindings, plus: bindings.is_some() }
}

fn pencil() -> Verifier {
    let salt = BASE64_STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("base64");
    Verifier::scram("pencil", salt, 4096)
}

/// What was said, as text.
fn challenge(next: Next) -> String {
    match next {
        Next::Challenge(octets) => String::from_utf8(octets).expect("text"),
        Next::Disproved(user) => format!("disproved {user}"),
        Next::Fail(words) => words.to_owned(),
        Next::Malformed => "malformed".to_owned(),
        Next::Decide(_) | Next::Nonce | Next::Verifier(_) => panic!("no words"),
    }
}

/// An exchange up to our first message.
fn challenged(first: &[u8]) -> Scram {
    let mut scram = Scram::new(false);
    let next = scram.hear(Heard::Response(first), &scene(None));
    assert!(matches!(next, Next::Verifier(user) if user == "user"));
    let State::First(first) = std::mem::take(&mut scram.state) else { panic!("no first") };
    let said = challenge(scram.challenge(first, pencil(), OURS));
    assert_eq!(
        said,
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );
    scram
}

#[test]
fn the_example_of_rfc_7677() {
    let mut scram = challenged(FIRST);
    let said = challenge(scram.hear(Heard::Response(LAST.as_bytes()), &scene(None)));
    assert_eq!(said, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    let Next::Decide(claim) = scram.hear(Heard::Response(b""), &scene(None)) else {
        panic!("no claim");
    };
    assert!(claim.user == "user" && claim.secret == Secret::Proved);
}

#[test]
fn what_does_not_prove_it() {
    let last = |change: fn(&str) -> String| {
        let mut scram = challenged(FIRST);
        challenge(scram.hear(Heard::Response(change(LAST).as_bytes()), &scene(None)))
    };
    assert_eq!(last(|last| last.replace("p=d", "p=e")), "disproved user");
    assert_eq!(last(|last| last.replace(",p=", ",x=y,p=")), "disproved user");
    assert_eq!(last(|last| last.replace("c=biws", "c=eSws")), "e=channel-bindings-dont-match");
    assert_eq!(last(|last| last.replace("k0,p", "k1,p")), "malformed");
    assert_eq!(last(|last| last.replace("VQ=", "VQ=,x=y")), "malformed");
    assert_eq!(last(|last| last.replace("c=", "C=")), "malformed");
    assert_eq!(last(|last| last.replace(",p=", ",xy,p=")), "malformed");
    assert_eq!(last(|_| String::new()), "malformed");
}

#[test]
fn first_messages_that_are_not() {
    let long = format!("n,,n=user,r={}", "x".repeat(201));
    for message in [
        &b""[..],
        b"n,,",
        b"n,,n=user",
        b"n,,n=,r=x",
        b"n,,n=user,r=",
        b"n,,n=user,r=a b",
        b"n,,n=user,r=\xc3\xa9",
        b"n,,n=us=er,r=x",
        b"n,,n=user,r=x,",
        b"n,,n=user,r=x,=",
        b"n,,r=x,n=user",
        b"n=user,r=x",
        b"n,,n=us\x00er,r=x",
        b"\xff",
        long.as_bytes(),
    ] {
        let next = Scram::new(false).hear(Heard::Response(message), &scene(None));
        assert!(matches!(next, Next::Malformed), "{}", message.escape_ascii());
    }
}

#[test]
fn bindings_by_flag_and_mechanism() {
    let exporter = ChannelBindings { exporter: Some([7; 32]), end_point: Some(vec![9]) };
    let end = |message: &str, plus: bool, bindings| {
        let next = Scram::new(plus).hear(Heard::Response(message.as_bytes()), &scene(bindings));
        if let Next::Verifier(_) = next { "goes on".to_owned() } else { challenge(next) }
    };
    let bound = Some(&exporter);
    for (flag, plus, bindings, want) in [
        ("n", false, None, "goes on"),
        ("n", false, bound, "goes on"),
        ("y", false, None, "goes on"),
        ("y", false, bound, "e=server-does-support-channel-binding"),
        ("p=tls-exporter", true, bound, "goes on"),
        ("p=tls-server-end-point", true, bound, "goes on"),
        ("p=tls-unique", true, bound, "e=unsupported-channel-binding-type"),
        ("p=tls-exporter", true, None, "e=unsupported-channel-binding-type"),
        ("p=tls-exporter", false, bound, "e=channel-binding-not-supported"),
        ("n", true, bound, "e=channel-bindings-dont-match"),
        ("y", true, bound, "e=channel-bindings-dont-match"),
    ] {
        assert_eq!(end(&format!("{flag},,n=user,r=x"), plus, bindings), want, "{flag} {plus}");
    }
}
