use super::*;

fn machine(mechanism: Mechanism, nonce: &str) -> Scram {
    Scram::new("user", "pencil", mechanism, Flag::No, nonce)
}

fn heard(machine: &mut Scram, challenge: &str) -> Option<String> {
    let response = machine.answer(challenge.as_bytes())?;
    Some(String::from_utf8(response.to_vec()).expect("ASCII"))
}

/// RFC 5802 section 5, RFC 7677 section 3.
const EXAMPLES: [(Mechanism, &str, &str, &str, &str); 2] = [
    (
        Mechanism::ScramSha1,
        "fyko+d2lbbFgONRv9qkxdawL",
        "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    (
        Mechanism::ScramSha256,
        "rOprNGfwEbeRWgbNEkqO",
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
];

#[test]
fn the_examples_of_the_rfcs() {
    for (mechanism, nonce, first, last, signature) in EXAMPLES {
        let mut scram = machine(mechanism, nonce);
        let begin = scram.begin().expect("the client begins");
        assert_eq!(&**begin, format!("n,,n=user,r={nonce}").as_bytes());
        assert_eq!(heard(&mut scram, first).as_deref(), Some(last), "{mechanism}");
        assert!(!scram.is_complete());
        assert_eq!(heard(&mut scram, signature).as_deref(), Some(""), "{mechanism}");
        assert!(scram.is_complete());
        assert_eq!(heard(&mut scram, signature), None, "nothing more");
    }
}

#[test]
fn a_server_that_does_not_know_the_password_is_not_believed() {
    let (mechanism, nonce, first, _, signature) = EXAMPLES[1];
    for said in ["", "v=", "v=!", "v=AAAA", "e=other-error", &signature.replace("6rr", "7rr")] {
        let mut scram = machine(mechanism, nonce);
        scram.begin();
        assert!(heard(&mut scram, first).is_some());
        assert_eq!(heard(&mut scram, said), None, "{said:?}");
        assert!(!scram.is_complete());
    }
}

#[test]
fn first_messages_that_are_no_good() {
    let (mechanism, nonce, first, ..) = EXAMPLES[1];
    for (said, why) in [
        ("", "nothing"),
        ("\u{ff}", "not ASCII"),
        ("m=x,r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4096", "something that must be understood"),
        ("r=other,s=W22Z,i=4096", "another nonce"),
        ("r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096", "only our nonce"),
        ("r=rOprNGfwEbeRWgbNEkqO x,s=W22Z,i=4096", "a nonce that is none"),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096", "no salt"),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096", "a salt that is none"),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z", "no count"),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=+4096", "a count that is none"),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=4095", "too few"),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=600001", "too many"),
        ("r=rOprNGfwEbeRWgbNEkqOx,s=W22Z,i=99999999999", "far too many"),
        ("e=unknown-user", "an error"),
    ] {
        let mut scram = machine(mechanism, nonce);
        scram.begin();
        assert_eq!(heard(&mut scram, said), None, "{why}");
        assert!(heard(&mut scram, first).is_some(), "the state is the same: {why}");
    }
}

#[test]
fn names_are_written_as_they_can_be_read() {
    assert_eq!(sasl_name("a=b,c"), "a=3Db=2Cc");
}

#[test]
fn what_it_binds_to_is_in_the_last_message() {
    let (mechanism, nonce, first, ..) = EXAMPLES[1];
    for (flag, header, binding) in [
        (
            Flag::Bound("tls-exporter", vec![1, 2, 3]),
            "p=tls-exporter,,",
            "cD10bHMtZXhwb3J0ZXIsLAECAw==",
        ),
        (Flag::NotOffered, "y,,", "eSws"),
        (Flag::No, "n,,", "biws"),
    ] {
        let mut scram = Scram::new("user", "pencil", mechanism, flag, nonce);
        let begin = scram.begin().expect("the client begins");
        assert_eq!(&**begin, format!("{header}n=user,r={nonce}").as_bytes());
        let last = heard(&mut scram, first).expect("a proof");
        assert!(last.starts_with(&format!("c={binding},")), "{last}");
    }
}
