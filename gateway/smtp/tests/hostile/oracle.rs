//! What must hold of a client's session, whatever the server says. The fuzz target shares it.

use portcullis_smtp::client::{Login, Mechanism, Session, Settings, Stage, StartTls, Step};
use portcullis_smtp::sasl::ChannelBindings;
use portcullis_smtp::server::Protocol;
use portcullis_smtp::xclient::{Xclient, Xforward};
use portcullis_smtp::{Mailbox, ReversePath};

/// How a session is begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beginning {
    pub(crate) lmtp: bool,
    pub(crate) starttls: StartTls,
    pub(crate) login: bool,
    pub(crate) private: bool,
}

impl Beginning {
    /// From a number.
    pub(crate) fn of(bits: u8) -> Self {
        let starttls = [StartTls::IfOffered, StartTls::Never, StartTls::Required];
        Self {
            lmtp: bits & 1 > 0,
            login: bits & 2 > 0,
            private: bits & 4 > 0,
            starttls: starttls[usize::from(bits >> 3) % 3],
        }
    }
}

/// What a driver may do when it is its turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    Chunk,
    Data,
    Mail,
    Noop,
    Quit,
    Rcpt,
    Rset,
    Xclient,
    Xforward,
}

impl Turn {
    pub(crate) const ALL: [Self; 9] = [
        Self::Chunk,
        Self::Data,
        Self::Mail,
        Self::Noop,
        Self::Quit,
        Self::Rcpt,
        Self::Rset,
        Self::Xclient,
        Self::Xforward,
    ];
}

/// Plays a conversation to the end of what is said.
pub(crate) fn play(
    beginning: Beginning,
    said: impl IntoIterator<Item = Vec<u8>>,
    turns: impl IntoIterator<Item = Turn>,
) {
    let Beginning { lmtp, starttls, login, private } = beginning;
    let protocol = if lmtp { Protocol::Lmtp } else { Protocol::Smtp };
    let login = login.then(|| Login::new("ann", PASSWORD, &Mechanism::ALL, [7; 18]));
    let settings = Settings {
        starttls,
        private,
        login: login.flatten(),
        ..Settings::new(protocol, "gw.example")
    };
    let mut watch = Watch {
        logs_in: settings.login.is_some(),
        private,
        session: Session::new(settings),
        accepted: false,
        asked: 0,
        answered: 0,
    };
    let (mut said, mut turns) = (said.into_iter(), turns.into_iter());
    for _ in 0..2000 {
        let step = watch.session.poll();
        watch.output();
        match step {
            Step::Answer(stage, reply) => watch.answered(stage, reply.code()),
            Step::Closed | Step::Failed(_) => {
                assert!(watch.answered <= watch.asked, "more answers than commands");
                assert_eq!(watch.session.poll(), Step::Closed);
                return;
            }
            Step::Content => watch.session.content_sent(),
            Step::StartTls => {
                watch.private = true;
                watch.session.tls_established(ChannelBindings::default());
            }
            Step::Read => match said.next() {
                Some(octets) => watch.session.receive(&octets),
                None => return,
            },
            Step::Ready => match turns.next() {
                Some(turn) => watch.act(turn),
                None => return,
            },
        }
    }
    panic!("the session never waits");
}

struct Watch {
    session: Session,
    logs_in: bool,
    /// Whether a password may be said.
    private: bool,
    /// Whether the login was accepted.
    accepted: bool,
    asked: usize,
    answered: usize,
}

impl Watch {
    fn act(&mut self, turn: Turn) {
        let mailbox = Mailbox::parse("a@a.example").expect("a mailbox");
        let session = &mut self.session;
        self.asked += 1;
        match turn {
            Turn::Chunk => session.chunk(5),
            Turn::Data => session.data(),
            Turn::Mail => session.mail(&ReversePath::Mailbox(mailbox), &[]),
            Turn::Noop => session.noop(),
            Turn::Quit => session.quit(),
            Turn::Rcpt => session.rcpt(&mailbox, &[]),
            Turn::Rset => session.rset(),
            Turn::Xclient => {
                let said = Xclient::parse("NAME=c.example ADDR=192.0.2.1").expect("attributes");
                let _ = session.xclient(&said);
            }
            Turn::Xforward => {
                let said = Xforward::parse("NAME=c.example IDENT=1.2").expect("attributes");
                self.asked += session.xforward(&said);
            }
        }
    }

    fn answered(&mut self, stage: Stage, code: u16) {
        match stage {
            Stage::Auth => self.accepted |= code / 100 == 2,
            Stage::Banner | Stage::Content | Stage::Hello | Stage::StartTls | Stage::Xclient => {}
            _ => self.answered += 1,
        }
    }

    /// What is written are whole commands and nothing of the server's, or a line of an exchange; no
    /// mail before the login, and no password where others listen.
    fn output(&mut self) {
        let output = self.session.take_output();
        let text = std::str::from_utf8(&output).expect("ASCII");
        assert!(text.is_empty() || text.ends_with("\r\n"), "{text:?}");
        for line in text.split_terminator("\r\n") {
            assert!(!line.contains(['\r', '\n']) && line.len() <= 2046, "{line:?}");
            let command = VERBS.iter().any(|verb| line.starts_with(verb));
            let exchange = line.bytes().all(|o| o.is_ascii_alphanumeric() || b"+/=*".contains(&o));
            assert!(command || self.logs_in && exchange, "{line:?}");
            assert!(!line.starts_with("MAIL") || !self.logs_in || self.accepted, "{line:?}");
            assert!(self.private || !SAID.iter().any(|said| line.contains(said)), "{line:?}");
        }
    }
}

const PASSWORD: &str = "s3cret";
/// The password as LOGIN says it, and as PLAIN does.
const SAID: [&str; 2] = ["czNjcmV0", "AGFubgBzM2NyZXQ="];

const VERBS: [&str; 14] = [
    "AUTH ",
    "BDAT ",
    "DATA",
    "EHLO ",
    "HELO ",
    "LHLO ",
    "MAIL ",
    "NOOP",
    "QUIT",
    "RCPT ",
    "RSET",
    "STARTTLS",
    "XCLIENT ",
    "XFORWARD ",
];
