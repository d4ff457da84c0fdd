use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn all_that_xclient_may_say() {
    let text = "NAME=spike.porcupine.example addr=168.100.189.2 PORT=2525 PROTO=ESMTP \
        HELO=my+20pc LOGIN=j+C3+B6rg DESTADDR=IPV6:2001:db8::1 DESTPORT=25 \
        REVERSE_NAME=[TEMPUNAVAIL]";
    let want = Xclient {
        name: Said::Value("spike.porcupine.example".into()),
        reverse_name: Said::Unavailable,
        address: Said::Value(ip("168.100.189.2")),
        port: Said::Value(2525),
        protocol: Said::Value(Proto::Esmtp),
        helo: Said::Value("my pc".into()),
        login: Said::Value("j\u{f6}rg".into()),
        destination_address: Said::Value(ip("2001:db8::1")),
        destination_port: Said::Value(25),
    };
    assert_eq!(Xclient::parse(text), Ok(want));
}

#[test]
fn all_that_xforward_may_say() {
    let text = "NAME=c.example ADDR=IPv6:2001:db8::7 PORT=[UNAVAILABLE] PROTO=local \
        HELO=[unavailable] IDENT=3CF6B2AAE8 SOURCE=remote";
    let want = Xforward {
        name: Said::Value("c.example".into()),
        address: Said::Value(ip("2001:db8::7")),
        port: Said::Unavailable,
        protocol: Said::Value("local".into()),
        helo: Said::Unavailable,
        identity: Said::Value("3CF6B2AAE8".into()),
        source: Said::Value(Source::Remote),
    };
    assert_eq!(Xforward::parse(text), Ok(want));
}

#[test]
fn addresses() {
    for (text, want) in [
        ("192.0.2.1", Some(ip("192.0.2.1"))),
        ("::ffff:192.0.2.1", Some(ip("192.0.2.1"))),
        ("IPV6:::ffff:192.0.2.1", Some(ip("192.0.2.1"))),
        ("ipv6:::1", Some(ip("::1"))),
        ("2001:db8::1", Some(ip("2001:db8::1"))),
        ("IPV6:192.0.2.1", None),
        ("[192.0.2.1]", None),
        ("192.0.2.01", None),
        ("192.0.2.1:25", None),
        ("fe80::1%eth0", None),
        ("localhost", None),
    ] {
        let read = Xclient::parse(&format!("ADDR={text}"));
        let said = want.ok_or(AttributeError::Value).map(Said::Value);
        assert_eq!(read.map(|all| all.address), said, "{text:?}");
        let forwarded = Xforward::parse(&format!("ADDR={text}")).expect("any address");
        assert_eq!(forwarded.address, want.map_or(Said::Unavailable, Said::Value), "{text:?}");
    }
}

#[test]
fn attributes_that_neither_takes() {
    let long = format!("NAME={}", "a".repeat(256));
    for (text, want) in [
        ("", AttributeError::Missing),
        ("   ", AttributeError::Missing),
        ("NAME", AttributeError::Missing),
        ("NAME=", AttributeError::Missing),
        ("NAME=a ADDR", AttributeError::Missing),
        ("=a", AttributeError::Unknown),
        ("RABBIT=1", AttributeError::Unknown),
        ("NAME=a NAME=b", AttributeError::Duplicate),
        ("NAME=[UNAVAILABLE] name=b", AttributeError::Duplicate),
        ("NAME=a=b", AttributeError::Value),
        ("NAME=a+", AttributeError::Value),
        ("NAME=a+0D+0AQUIT", AttributeError::Value),
        ("NAME=a+00", AttributeError::Value),
        ("NAME=j+C3+B6rg", AttributeError::Value),
        ("NAME=+FF", AttributeError::Value),
        ("NAME=j\u{f6}rg", AttributeError::Value),
        ("NAME=a\tb", AttributeError::Value),
        ("HELO=+7F", AttributeError::Value),
        ("NAME=a+E2+80+AEb", AttributeError::Value),
        ("PORT=65536", AttributeError::Value),
        ("PORT=+2B25", AttributeError::Value),
        ("PORT=-1", AttributeError::Value),
        (&long, AttributeError::Value),
    ] {
        assert_eq!(Xclient::parse(text), Err(want), "XCLIENT {text:?}");
        assert_eq!(Xforward::parse(text), Err(want), "XFORWARD {text:?}");
    }
}

#[test]
fn attributes_that_one_of_them_does_not_take() {
    for text in ["IDENT=1", "SOURCE=LOCAL"] {
        assert_eq!(Xclient::parse(text), Err(AttributeError::Unknown), "{text:?}");
    }
    for text in ["LOGIN=a", "DESTADDR=192.0.2.1", "DESTPORT=25", "REVERSE_NAME=a"] {
        assert_eq!(Xforward::parse(text), Err(AttributeError::Unknown), "{text:?}");
    }
    for text in ["PROTO=UUCP", "LOGIN=a+0Ab", "LOGIN=+C2+85", "LOGIN=a+E2+80+AE"] {
        assert_eq!(Xclient::parse(text), Err(AttributeError::Value), "{text:?}");
    }
    let long = format!("PROTO={}", "a".repeat(65));
    for text in ["SOURCE=HERE", &long] {
        assert_eq!(Xforward::parse(text), Err(AttributeError::Value), "{text:?}");
    }
}

#[test]
fn what_was_said_changes_what_is_known() {
    let mut known = Some(1);
    Said::Nothing.apply(&mut known);
    assert_eq!(known, Some(1));
    Said::Value(2).apply(&mut known);
    assert_eq!(known, Some(2));
    Said::Unavailable.apply(&mut known);
    assert_eq!(known, None);
}

#[test]
fn what_is_written_is_read_again() {
    let all = Xclient {
        name: Said::Value("c.example".into()),
        reverse_name: Said::Unavailable,
        address: Said::Value(ip("2001:db8::7")),
        port: Said::Value(4711),
        protocol: Said::Value(Proto::Esmtp),
        helo: Said::Value("my pc+=".into()),
        login: Said::Value("j\u{f6}rg".into()),
        destination_address: Said::Value(ip("192.0.2.1")),
        destination_port: Said::Value(25),
    };
    let lines = all.commands(Xclient::ATTRIBUTES);
    assert_eq!(
        lines,
        [
            "XCLIENT NAME=c.example REVERSE_NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::7 PORT=4711 PROTO=ESMTP \
          HELO=my+20pc+2B+3D LOGIN=j+C3+B6rg DESTADDR=192.0.2.1 DESTPORT=25"
        ]
    );
    assert_eq!(Xclient::parse(&lines[0]["XCLIENT ".len()..]), Ok(all));
    let all = Xforward {
        name: Said::Unavailable,
        address: Said::Value(ip("192.0.2.1")),
        port: Said::Value(1),
        protocol: Said::Value("SMTP".into()),
        helo: Said::Value("c.example".into()),
        identity: Said::Value("1.2".into()),
        source: Said::Value(Source::Remote),
    };
    let lines = all.commands(Xforward::ATTRIBUTES);
    assert_eq!(Xforward::parse(&lines[0]["XFORWARD ".len()..]), Ok(all));
}

#[test]
fn only_what_the_server_understands_is_written() {
    let said = Xclient {
        address: Said::Value(ip("::ffff:192.0.2.1")),
        helo: Said::Value("c.example".into()),
        login: Said::Unavailable,
        ..Xclient::default()
    };
    assert_eq!(said.commands("addr NAME LOGIN"), ["XCLIENT ADDR=192.0.2.1 LOGIN=[UNAVAILABLE]"]);
    assert_eq!(said.commands(""), Vec::<String>::new());
    assert_eq!(Xclient::default().commands(Xclient::ATTRIBUTES), Vec::<String>::new());
}

#[test]
fn lines_are_short_and_values_are_whole() {
    let long = |octet: &str| Said::Value(octet.repeat(255));
    let said = Xclient { name: long("n"), helo: long("h"), login: long("l"), ..Xclient::default() };
    let lines = said.commands(Xclient::ATTRIBUTES);
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.len() <= 510), "{lines:?}");
    let longer = Xclient { helo: Said::Value(" ".repeat(86)), ..Xclient::default() };
    assert_eq!(longer.commands("HELO"), ["XCLIENT HELO=[UNAVAILABLE]"]);
}
