use super::*;

/// What becomes of octets that come in these pieces: how many were used, and the header.
fn read(pieces: &[&[u8]]) -> Result<Received, HeaderError> {
    let mut parser = Parser::new();
    let mut used = 0;
    for piece in pieces {
        let received = parser.receive(piece)?;
        used += received.used;
        if received.header.is_some() {
            return Ok(Received { used, ..received });
        }
        assert_eq!(received.used, piece.len(), "all of it belongs to a header that is incomplete");
    }
    Ok(Received { used, header: None })
}

/// The same for every split of the octets, with a ClientHello behind the header.
fn header(octets: &[u8]) -> Result<Header, HeaderError> {
    let wire = [octets, b"\x16\x03\x01"].concat();
    let whole = read(&[&wire]);
    for at in 0..=octets.len() {
        assert_eq!(read(&[&wire[..at], &wire[at..]]), whole, "cut at {at}");
    }
    let single: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(read(&single), whole, "octet by octet");
    whole.map(|received| {
        assert_eq!(received.used, octets.len(), "the header and no more");
        received.header.expect("complete")
    })
}

fn client(from: &str, to: &str) -> Source {
    let address = |text: &str| text.parse().expect("an address");
    Source::Client { from: address(from), to: address(to) }
}

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).expect("short");
    let fixed = [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length.to_be_bytes()];
    [&fixed.concat(), rest].concat()
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("short");
    [&[kind], &length.to_be_bytes()[..], value].concat()
}

/// From 192.0.2.1:0x1234 to 198.51.100.2:25.
const TCP4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0, 25];

fn with(vectors: &[Vec<u8>]) -> Vec<u8> {
    v2(0x21, 0x11, &[TCP4, &vectors.concat()].concat())
}

#[test]
fn lines_of_version_1_that_are() {
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {longest} {longest} 65535 65535\r\n");
    assert_eq!(longest.len(), 107);
    for (line, want) in [
        (
            "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
            client("192.168.0.1:56324", "192.168.0.11:443"),
        ),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 0 1\r\n", client("1.1.1.1:0", "2.2.2.2:1")),
        (
            "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            client("255.255.255.255:65535", "255.255.255.255:65535"),
        ),
        ("PROXY TCP6 2001:db8::1 ::1 56324 25\r\n", client("[2001:db8::1]:56324", "[::1]:25")),
        ("PROXY TCP6 :: :: 0 0\r\n", client("[::]:0", "[::]:0")),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 25\r\n", client("[::ffff:192.0.2.1]:1", "[::1]:25")),
        ("PROXY UNKNOWN\r\n", Source::Unknown),
        ("PROXY UNKNOWN whatever stands here\r\n", Source::Unknown),
        (&longest, Source::Unknown),
    ] {
        assert_eq!(header(line.as_bytes()), Ok(Header::new(want)), "{line:?}");
    }
}

#[test]
fn lines_of_version_1_that_are_not() {
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    let endless = "PROXY UNKNOWN ".to_owned() + &"x".repeat(200);
    assert_eq!(long.len(), 108);
    for (line, want) in [
        ("EHLO client.example\r\n", HeaderError::Missing),
        ("proxy TCP4 1.1.1.1 2.2.2.2 1 1\r\n", HeaderError::Missing),
        (" PROXY UNKNOWN\r\n", HeaderError::Missing),
        ("PROXYUNKNOWN\r\n", HeaderError::Missing),
        ("\r\n\r\nQUIT\r\n", HeaderError::Missing),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\x00\x01\x00\x01\x00\x01\x00\x01", HeaderError::Missing),
        ("PROXY \r\n", HeaderError::Malformed),
        ("PROXY TCP4\r\n", HeaderError::Malformed),
        ("PROXY TCP5 1.1.1.1 2.2.2.2 1 1\r\n", HeaderError::Malformed),
        ("PROXY tcp4 1.1.1.1 2.2.2.2 1 1\r\n", HeaderError::Malformed),
        ("PROXY UNKNOWNS\r\n", HeaderError::Malformed),
        ("PROXY UNKNOWN\n", HeaderError::Malformed),
        ("PROXY UNKNOWN \rx\n", HeaderError::Malformed),
        ("PROXY UNKNOWN\r\r\n", HeaderError::Malformed),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", HeaderError::Malformed),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 1 \r\n", HeaderError::Malformed),
        ("PROXY TCP4 1.1.1.1  2.2.2.2 1 1\r\n", HeaderError::Malformed),
        ("PROXY TCP4 1.1.1.01 2.2.2.2 1 1\r\n", HeaderError::Malformed),
        ("PROXY TCP4 ::1 ::1 1 1\r\n        ", HeaderError::Malformed),
        ("PROXY TCP6 1.1.1.1 2.2.2.2 1 1\r\n", HeaderError::Malformed),
        ("PROXY TCP6 fe80::1%1 ::1 1 1\r\n", HeaderError::Malformed),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 01 1\r\n", HeaderError::Malformed),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 +1 1\r\n", HeaderError::Malformed),
        ("PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", HeaderError::Malformed),
        (&long, HeaderError::TooLong),
        (&endless, HeaderError::TooLong),
    ] {
        assert_eq!(header(line.as_bytes()), Err(want), "{line:?}");
    }
}

#[test]
fn a_line_that_cannot_become_one_is_refused_without_more_of_it() {
    for line in ["E", "PROXX", "PROXY \n", "PROXY TCP4\r\n", "\r\n\r\n\0\r\nQUIT\n\x11"] {
        assert!(read(&[line.as_bytes()]).is_err(), "{line:?}");
    }
}

#[test]
fn headers_of_version_2_that_are() {
    let tcp6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 27], &[1, 0x12, 0x34, 0, 25]].concat();
    for (octets, want) in [
        (v2(0x20, 0, b""), Source::Proxy),
        (v2(0x20, 0x11, TCP4), Source::Proxy),
        (v2(0x20, 0x7f, b"anything"), Source::Proxy),
        (v2(0x21, 0, b""), Source::Unknown),
        (v2(0x21, 0x31, &[b'/'; 216]), Source::Unknown),
        (v2(0x21, 0x11, TCP4), client("192.0.2.1:4660", "198.51.100.2:25")),
        (v2(0x21, 0x21, &tcp6), client("[2001:db8::]:4660", "[::1]:25")),
    ] {
        let text = octets.escape_ascii().to_string();
        assert_eq!(header(&octets).map(|header| header.source), Ok(want), "{text}");
    }
}

#[test]
fn vectors_of_version_2() {
    let ssl = [
        &[7, 0, 0, 0, 0][..],
        &tlv(0x21, b"TLSv1.3"),
        &tlv(0x23, b"TLS_AES_256_GCM_SHA384"),
        &tlv(0x22, "J\u{f6}rg".as_bytes()),
        &tlv(0x24, b"RSA-SHA256"),
    ];
    let octets = with(&[
        tlv(0x01, b"smtp"),
        tlv(0x02, b"mx.example"),
        tlv(0x04, b"\0\0\0"),
        tlv(0x04, b""),
        tlv(0x05, b"\0id"),
        tlv(0x20, &ssl.concat()),
        tlv(0x30, b"blue"),
        tlv(0xea, b"vpce"),
    ]);
    let want = Header {
        source: client("192.0.2.1:4660", "198.51.100.2:25"),
        authority: Some("mx.example".into()),
        tls: Some(Tls {
            version: Some("TLSv1.3".into()),
            cipher: Some("TLS_AES_256_GCM_SHA384".into()),
            common_name: Some("J\u{f6}rg".into()),
        }),
        unique_id: Some(b"\0id".to_vec()),
    };
    assert_eq!(header(&octets), Ok(want));
}

#[test]
fn a_name_counts_only_if_the_proxy_has_verified_it() {
    for (client, verify, want) in [
        (3, 0, Some("bob")),
        (5, 0, Some("bob")),
        (1, 0, None),
        (3, 1, None),
        (7, 0x0100_0000, None),
    ] {
        let value = [&[client][..], &u32::to_be_bytes(verify), &tlv(0x22, b"bob")].concat();
        let read = header(&with(&[tlv(0x20, &value)])).expect("a header");
        let tls = read.tls.expect("TLS");
        assert_eq!(tls.common_name.as_deref(), want, "{client} {verify}");
    }
    let without = header(&with(&[tlv(0x20, &[0, 0, 0, 0, 1])])).expect("a header");
    assert_eq!(without.tls, None);
}

#[test]
fn text_that_a_client_made_up_is_left_out() {
    for name in [&b"mx\r\nexample"[..], b"mx\0", b"\xff", "m\u{fc}.example".as_bytes(), b""] {
        assert_eq!(header(&with(&[tlv(0x02, name)])).map(|header| header.authority), Ok(None));
    }
}

#[test]
fn a_checksum_that_is_there_must_be_right() {
    let without = with(&[tlv(0x02, b"mx.example"), tlv(0x03, &[0; 4]), tlv(0x04, b"behind")]);
    let at = without.len() - 3 - b"behind".len() - 4;
    let sum = checksum::crc32c([&without[..]]);
    let mut octets = without.clone();
    octets[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    assert!(header(&octets).is_ok());
    for index in 16..octets.len() {
        let mut broken = octets.clone();
        broken[index] ^= 0x40;
        assert!(header(&broken).is_err() || index == at - 3, "{index}");
    }
    assert_eq!(header(&without), Err(HeaderError::Checksum));
}

#[test]
fn headers_of_version_2_that_are_not() {
    let malformed = [
        v2(0x11, 0x11, TCP4),
        v2(0x22, 0x11, TCP4),
        v2(0x21, 0x12, TCP4),
        v2(0x21, 0x10, TCP4),
        v2(0x21, 0x41, TCP4),
        v2(0x21, 0x32, &[0; 216]),
        v2(0x21, 0x11, &TCP4[..11]),
        v2(0x21, 0x21, TCP4),
        v2(0x21, 0x31, TCP4),
        with(&[vec![0x04]]),
        with(&[vec![0x04, 0, 1]]),
        with(&[tlv(0x02, b"a"), tlv(0x02, b"a")]),
        with(&[tlv(0x03, &[0; 5])]),
        with(&[tlv(0x05, &[0; 129])]),
        with(&[tlv(0x20, &[1, 0, 0, 0])]),
        with(&[tlv(0x20, &[1, 0, 0, 0, 0, 0x21, 0])]),
    ];
    for octets in malformed {
        let text = octets.escape_ascii().to_string();
        assert_eq!(header(&octets), Err(HeaderError::Malformed), "{text}");
    }
}

#[test]
fn long_headers_are_not_waited_for() {
    let of = |length: usize| v2(0x21, 0x11, &[TCP4, &tlv(0x04, &vec![0; length])].concat());
    let longest = of(HEADER_OCTETS - 16 - TCP4.len() - 3);
    assert_eq!(longest.len(), HEADER_OCTETS);
    assert!(read(&[&longest]).is_ok_and(|received| received.header.is_some()));
    let longer = of(HEADER_OCTETS - 16 - TCP4.len() - 2);
    assert_eq!(read(&[&longer[..16]]), Err(HeaderError::TooLong));
}
