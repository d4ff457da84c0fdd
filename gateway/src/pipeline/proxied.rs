//! What trusted peers say about the client of a session: XCLIENT and XFORWARD.

use std::net::SocketAddr;

use portcullis_smtp::xclient::{Proto, Said, Xclient, Xforward};

use crate::message::{ClientAddress, Forwarded, SessionFacts};

/// The mechanism of somebody who has authenticated with the peer.
const MECHANISM: &str = "XCLIENT";

/// Makes the session that of another client. What is not said stays, but for what belongs to an
/// address and to what the client before has said.
pub(super) fn replace_client(session: &mut SessionFacts, said: Xclient, may_log_in: bool) {
    session.via.get_or_insert(session.client);
    if said.address.is_said() {
        session.client_name = None;
    }
    let port = match said.port {
        Said::Value(port) => Some(port),
        // The port of another address is not this one's.
        Said::Nothing if !said.address.is_said() => session.client.port(),
        Said::Nothing | Said::Unavailable => None,
    };
    let ip = match said.address {
        Said::Value(ip) => Some(ip),
        Said::Nothing => session.client.ip(),
        Said::Unavailable => None,
    };
    session.client = match ip {
        Some(ip) => SocketAddr::new(ip, port.unwrap_or_default()).into(),
        // Somebody at a Unix socket who says nothing of an address is still there.
        None if !said.address.is_said() => session.client,
        None => ClientAddress::Unknown,
    };
    said.name.apply(&mut session.client_name);
    session.helo = None;
    said.helo.apply(&mut session.helo);
    session.esmtp = said.protocol == Said::Value(Proto::Esmtp);
    (session.user, session.mechanism, session.forwarded) = (None, None, None);
    if let Some(tls) = &mut session.tls {
        // The peer's certificate says nothing of whom it speaks for.
        (tls.client_subject, tls.client_fingerprint) = (None, None);
    }
    if let (Said::Value(user), true) = (said.login, may_log_in) {
        session.user = Some(user);
        session.mechanism = Some(MECHANISM.to_owned());
    }
}

/// Adds to what is known of where the next message comes from.
pub(super) fn forward(session: &mut SessionFacts, said: Xforward) {
    let known = session.forwarded.get_or_insert_default();
    said.name.apply(&mut known.name);
    said.address.apply(&mut known.address);
    said.port.apply(&mut known.port);
    said.protocol.apply(&mut known.protocol);
    said.helo.apply(&mut known.helo);
    said.identity.apply(&mut known.identity);
    match said.source {
        Said::Nothing => {}
        Said::Unavailable => known.source = None,
        Said::Value(source) => known.source = Some(source.word().to_owned()),
    }
    if **known == Forwarded::default() {
        session.forwarded = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::TlsFacts;

    fn session() -> SessionFacts {
        let peer = "127.0.0.1:4025".parse().expect("an address");
        let facts = SessionFacts::new("5d0".into(), "mx", peer);
        SessionFacts {
            helo: Some("proxy.example".into()),
            esmtp: true,
            user: Some("proxy".into()),
            mechanism: Some("PLAIN".into()),
            ..facts
        }
    }

    fn xclient(text: &str) -> Xclient {
        Xclient::parse(text).expect("attributes")
    }

    #[test]
    fn another_client_has_nothing_of_the_one_before() {
        let mut session = session();
        replace_client(&mut session, xclient("NAME=c.example ADDR=192.0.2.7"), true);
        assert_eq!(session.client.to_string(), "192.0.2.7:0");
        assert_eq!(session.via.map(|via| via.to_string()).as_deref(), Some("127.0.0.1:4025"));
        assert_eq!(session.client_name.as_deref(), Some("c.example"));
        assert_eq!((session.helo.as_deref(), session.esmtp), (None, false));
        assert_eq!((session.user.as_deref(), session.mechanism.as_deref()), (None, None));

        replace_client(&mut session, xclient("PORT=25 HELO=c PROTO=ESMTP"), true);
        assert_eq!(session.client.to_string(), "192.0.2.7:25");
        assert_eq!(session.client_name.as_deref(), Some("c.example"));
        assert_eq!((session.helo.as_deref(), session.esmtp), (Some("c"), true));

        replace_client(&mut session, xclient("ADDR=IPV6:2001:db8::7"), true);
        assert_eq!(session.client.to_string(), "[2001:db8::7]:0");
        assert_eq!(session.client_name, None, "it was another's");

        replace_client(&mut session, xclient("ADDR=[UNAVAILABLE]"), true);
        assert_eq!(session.client, ClientAddress::Unknown);
        assert_eq!(session.via.map(|via| via.to_string()).as_deref(), Some("127.0.0.1:4025"));
    }

    #[test]
    fn another_client_does_not_have_the_peer_s_certificate() {
        let tls = TlsFacts {
            version: "TLSv1.3".into(),
            client_subject: Some("CN=proxy".into()),
            client_fingerprint: Some("00".into()),
            ..TlsFacts::default()
        };
        let mut session = SessionFacts { tls: Some(tls), ..session() };
        replace_client(&mut session, xclient("ADDR=192.0.2.7"), true);
        let want = TlsFacts { version: "TLSv1.3".into(), ..TlsFacts::default() };
        assert_eq!(session.tls, Some(want));
    }

    #[test]
    fn a_login_counts_where_clients_may_authenticate() {
        for (may, want) in [(true, Some("bob")), (false, None)] {
            let mut session = session();
            replace_client(&mut session, xclient("LOGIN=bob"), may);
            assert_eq!(session.user.as_deref(), want);
            assert_eq!(session.mechanism.is_some(), want.is_some());
        }
    }

    #[test]
    fn what_is_forwarded_comes_in_pieces() {
        let mut session = session();
        let mut say = |text| forward(&mut session, Xforward::parse(text).expect("attributes"));
        say("NAME=c.example ADDR=192.0.2.7 PORT=[UNAVAILABLE]");
        say("HELO=c SOURCE=LOCAL IDENT=3CF NAME=[UNAVAILABLE]");
        let want = Forwarded {
            address: Some([192, 0, 2, 7].into()),
            helo: Some("c".into()),
            identity: Some("3CF".into()),
            source: Some("LOCAL".into()),
            ..Forwarded::default()
        };
        assert_eq!(session.forwarded.as_deref(), Some(&want));
        assert_eq!(session.client.to_string(), "127.0.0.1:4025", "nothing is decided by it");
        let mut say = |text| forward(&mut session, Xforward::parse(text).expect("attributes"));
        say("ADDR=[UNAVAILABLE] HELO=[UNAVAILABLE] IDENT=[UNAVAILABLE] SOURCE=[UNAVAILABLE]");
        assert_eq!(session.forwarded, None);
    }
}
