use super::*;
use crate::Offers;

const UNKNOWN: CommandError = CommandError::UnknownParameter;
const BAD: CommandError = CommandError::Parameter;
const MAIL: Verb = Verb::Mail;
const RCPT: Verb = Verb::Rcpt;

/// Everything is offered.
fn all() -> Dialect {
    Dialect { offers: Offers::from_iter(Extension::ALL), auth: true, ..Dialect::default() }
}

fn read_all(verb: Verb, text: &str) -> Result<Vec<String>, CommandError> {
    let show = |parameter: Parameter| match parameter.value {
        Some(value) => format!("{}={value}", parameter.keyword),
        None => parameter.keyword,
    };
    Ok(read(verb, text, all())?.into_iter().map(show).collect())
}

#[test]
fn parameters_are_decoded_and_encoded_again() {
    for (verb, text, decoded, encoded) in [
        (MAIL, "size=0010", "SIZE=10", "SIZE=10"),
        (MAIL, "SIZE=00", "SIZE=0", "SIZE=0"),
        (MAIL, "Body=8bitMIME", "BODY=8BITMIME", "BODY=8BITMIME"),
        (MAIL, "BODY=binarymime", "BODY=BINARYMIME", "BODY=BINARYMIME"),
        (MAIL, "smtputf8", "SMTPUTF8", "SMTPUTF8"),
        (MAIL, "RequireTLS", "REQUIRETLS", "REQUIRETLS"),
        (MAIL, "Ret=hdrs", "RET=HDRS", "RET=HDRS"),
        (MAIL, "envID=e+3Dmc2", "ENVID=e=mc2", "ENVID=e+3Dmc2"),
        (MAIL, "ENVID=+41+20b", "ENVID=A b", "ENVID=A+20b"),
        (MAIL, "AUTH=<>", "AUTH=<>", "AUTH=<>"),
        (MAIL, "AUTH=hey+3Da@b.example", "AUTH=hey=a@b.example", "AUTH=hey+3Da@b.example"),
        (MAIL, "BY=1000;nt", "BY=1000;NT", "BY=1000;NT"),
        (MAIL, "BY=+0120;R", "BY=120;R", "BY=120;R"),
        (MAIL, "BY=-5;N", "BY=-5;N", "BY=-5;N"),
        (MAIL, "BY=-0;N", "BY=0;N", "BY=0;N"),
        (MAIL, "mt-priority=-9", "MT-PRIORITY=-9", "MT-PRIORITY=-9"),
        (MAIL, "MT-PRIORITY=0", "MT-PRIORITY=0", "MT-PRIORITY=0"),
        (MAIL, "HOLDFOR=60", "HOLDFOR=60", "HOLDFOR=60"),
        (
            MAIL,
            "HOLDUNTIL=2030-01-01t00:00:00z",
            "HOLDUNTIL=2030-01-01T00:00:00Z",
            "HOLDUNTIL=2030-01-01T00:00:00Z",
        ),
        (RCPT, "notify=failure,delay", "NOTIFY=FAILURE,DELAY", "NOTIFY=FAILURE,DELAY"),
        (RCPT, "Notify=Never", "NOTIFY=NEVER", "NOTIFY=NEVER"),
        (
            RCPT,
            "ORcpt=Rfc822;e+3Dmc2@b.example",
            "ORCPT=rfc822;e=mc2@b.example",
            "ORCPT=rfc822;e+3Dmc2@b.example",
        ),
        (
            RCPT,
            "ORCPT=rfc822;+C3+BCnal@b.example",
            "ORCPT=rfc822;\u{fc}nal@b.example",
            "ORCPT=rfc822;+C3+BCnal@b.example",
        ),
        (
            RCPT,
            "ORCPT=utf-8;e\\x{3D}mc2@\\x{30C9}.jp",
            "ORCPT=utf-8;e=mc2@\u{30c9}.jp",
            "ORCPT=utf-8;e\\x{3D}mc2@\\x{30C9}.jp",
        ),
        (
            RCPT,
            "RRVS=2014-04-03T23:01:00z;c",
            "RRVS=2014-04-03T23:01:00Z;C",
            "RRVS=2014-04-03T23:01:00Z;C",
        ),
    ] {
        let read = read(verb, text, all()).expect(text);
        assert_eq!(read_all(verb, text), Ok(vec![decoded.to_owned()]), "{text:?}");
        assert_eq!(read[0].word().as_deref(), Some(encoded), "{text:?}");
    }
}

#[test]
fn several_of_them() {
    let read = read_all(MAIL, " size=10  Body=7bit ");
    assert_eq!(read, Ok(vec!["SIZE=10".to_owned(), "BODY=7BIT".to_owned()]));
    assert_eq!(read_all(MAIL, ""), Ok(vec![]));
}

#[test]
fn parameters_that_are_not() {
    for (verb, text, want) in [
        (MAIL, "RABBIT", UNKNOWN),
        (MAIL, "RABBIT=1", UNKNOWN),
        (MAIL, "XSMTPUTF8", UNKNOWN),
        (MAIL, "NOTIFY=NEVER", UNKNOWN),
        (RCPT, "SIZE=1", UNKNOWN),
        (RCPT, "BY=1000;R", UNKNOWN),
        (MAIL, "SIZE", BAD),
        (MAIL, "SIZE=", BAD),
        (MAIL, "SIZE=-1", BAD),
        (MAIL, "SIZE=rabbit", BAD),
        (MAIL, "SIZE=123456789012345678901", BAD),
        (MAIL, "BODY=RABBIT", BAD),
        (MAIL, "BODY=7BIT BODY=8BITMIME", BAD),
        (MAIL, "SMTPUTF8 smtputf8", BAD),
        (MAIL, "SMTPUTF8=YES", BAD),
        (MAIL, "REQUIRETLS=1", BAD),
        (MAIL, "=1", BAD),
        (MAIL, "-A=1", BAD),
        (MAIL, "SIZE=1=2", BAD),
        (MAIL, "SIZE=\u{1}", BAD),
        (MAIL, "SIZE=\u{661}", BAD),
        (MAIL, "RET=HALF", BAD),
        (MAIL, "ENVID=a+ZZb", BAD),
        (MAIL, "ENVID=a+0D+0Ab", BAD),
        (MAIL, "ENVID=\u{e9}", BAD),
        (MAIL, "AUTH=+3C+3E+3C", BAD),
        (MAIL, "AUTH=nobody", BAD),
        (MAIL, "BY=", BAD),
        (MAIL, "BY=0;R", BAD),
        (MAIL, "BY=-1;R", BAD),
        (MAIL, "BY=123;RT;", BAD),
        (MAIL, "BY=1000", BAD),
        (MAIL, "BY=1000;T", BAD),
        (MAIL, "BY=1234567890;N", BAD),
        (MAIL, "BY=+-1;N", BAD),
        (MAIL, "MT-PRIORITY=+1", BAD),
        (MAIL, "MT-PRIORITY=-0", BAD),
        (MAIL, "MT-PRIORITY=10", BAD),
        (MAIL, "MT-PRIORITY=-", BAD),
        (MAIL, "HOLDFOR=1234567890", BAD),
        (MAIL, "HOLDFOR=-1", BAD),
        (MAIL, "HOLDUNTIL=tomorrow", BAD),
        (MAIL, "HOLDFOR=1 HOLDUNTIL=2030-01-01T00:00:00Z", BAD),
        (RCPT, "NOTIFY=NEVER,SUCCESS", BAD),
        (RCPT, "NOTIFY=DELAY,DELAY", BAD),
        (RCPT, "NOTIFY=SOMETIMES", BAD),
        (RCPT, "NOTIFY=SUCCESS,", BAD),
        (RCPT, "NOTIFY=", BAD),
        (RCPT, "ORCPT=b@c.example", BAD),
        (RCPT, "ORCPT=;b@c.example", BAD),
        (RCPT, "ORCPT=rfc822;", BAD),
        (RCPT, "ORCPT=rfc822;a+0Db", BAD),
        (RCPT, "ORCPT=utf-8;\u{e9}@c.example", BAD),
        (RCPT, "RRVS=2014-04-03", BAD),
        (RCPT, "RRVS=2014-04-03T23:01:00Z;X", BAD),
        (RCPT, "RRVS=2014-04-03T23:01:00Z;", BAD),
    ] {
        assert_eq!(read_all(verb, text), Err(want), "{text:?}");
    }
}

#[test]
fn what_is_not_offered_is_unknown() {
    for row in KNOWN {
        let value = match row.keyword {
            "AUTH" => "=<>",
            "BODY" => "=7BIT",
            "BY" => "=1;N",
            "ENVID" => "=x",
            "HOLDFOR" | "MT-PRIORITY" | "SIZE" => "=1",
            "HOLDUNTIL" | "RRVS" => "=2030-01-01T00:00:00Z",
            "NOTIFY" => "=NEVER",
            "ORCPT" => "=rfc822;x",
            "RET" => "=FULL",
            _ => "",
        };
        let text = format!("{}{value}", row.keyword);
        let offered = !matches!(row.keyword, "BODY" | "SIZE");
        let want = if offered { Some(UNKNOWN) } else { None };
        assert_eq!(read(row.verb, &text, Dialect::default()).err(), want, "{text}");
        assert!(read(row.verb, &text, all()).is_ok(), "{text}");
    }
    let binary = read(MAIL, "BODY=BINARYMIME", Dialect::default());
    assert_eq!(binary, Err(BAD), "BODY is known, this value is not");
}

#[test]
fn lengths() {
    let token = |n: usize| format!("ENVID={}", "x".repeat(n));
    assert!(read(MAIL, &token(100), all()).is_ok());
    assert_eq!(read(MAIL, &token(101), all()), Err(BAD));
    let address = |n: usize| format!("ORCPT=rfc822;{}", "x".repeat(n - "rfc822;".len()));
    assert!(read(RCPT, &address(500), all()).is_ok());
    assert_eq!(read(RCPT, &address(501), all()), Err(BAD));
    // As long as it may be here, and too long for a server that does not know SMTPUTF8.
    let utf8 = Dialect { utf8: true, ..all() };
    let address = |n: usize| format!("ORCPT=utf-8;{}", "\u{e9}".repeat(n));
    assert!(read(RCPT, &address(82), utf8).is_ok());
    assert_eq!(read(RCPT, &address(83), utf8), Err(BAD));
}

#[test]
fn no_value_can_become_a_second_word() {
    for (keyword, value, want) in [
        ("ENVID", "a\r\nRCPT TO:<b>", Some("ENVID=a+0D+0ARCPT+20TO:<b>")),
        ("ORCPT", "rfc822;a b", Some("ORCPT=rfc822;a+20b")),
        ("ORCPT", "rfc822", Some("ORCPT=unknown;rfc822")),
        ("ORCPT", "a b;c", None),
        ("BODY", "7BIT X=1", None),
        ("BODY", "7BIT\r\nDATA", None),
        ("X", "\u{e9}", None),
        ("X", "", None),
        ("X Y", "1", None),
        ("X-Y", "1", Some("X-Y=1")),
    ] {
        let parameter = Parameter { keyword: keyword.to_owned(), value: Some(value.to_owned()) };
        assert_eq!(parameter.word().as_deref(), want, "{keyword} {value:?}");
    }
    let alone = Parameter { keyword: "A B".to_owned(), value: None };
    assert_eq!(alone.word(), None);
}
