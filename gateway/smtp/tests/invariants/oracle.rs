//! What must hold whatever a peer and policy say. Driven by proptest here and by the fuzzer in
//! `fuzz/`.

#[path = "oracle/sasl.rs"]
pub(crate) mod sasl;
#[path = "oracle/syntax.rs"]
pub(crate) mod syntax;
#[path = "oracle/wire.rs"]
pub(crate) mod wire;

use std::fmt;
use std::sync::Arc;

use portcullis_smtp::command::Verb;
use portcullis_smtp::proxy::{HEADER_OCTETS, Parser, Received};
use portcullis_smtp::sasl::Mechanism;
use portcullis_smtp::server::{
    Auth, Awaiting, BareNewlines, Channel, Event, Lapse, Limits, Protocol, Question, Session,
    Settings, Step, Verdict,
};
use portcullis_smtp::xclient::{Said, Xclient, Xforward};
use portcullis_smtp::{EnhancedStatus, Extension, Grammar, Offers, Reply, xtext};

/// A conversation to be played.
#[derive(Clone)]
pub(crate) struct Script {
    /// One bit for each setting.
    pub(crate) flags: u8,
    /// Verdicts and sizes of pieces, used in turn.
    pub(crate) choices: Vec<u8>,
    /// What the client sends.
    pub(crate) wire: Vec<u8>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flags, choices, wire } = self;
        write!(f, "flags {flags:#b}, choices {choices:?}, wire \"{}\"", wire.escape_ascii())
    }
}

impl Script {
    /// Flags, sixteen choices, wire.
    pub(crate) fn from_octets(octets: &[u8]) -> Option<Self> {
        let (&flags, rest) = octets.split_first()?;
        let (choices, wire) = rest.split_at_checked(16)?;
        Some(Self { flags, choices: choices.to_vec(), wire: wire.to_vec() })
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            protocol: if self.has(LMTP) { Protocol::Lmtp } else { Protocol::Smtp },
            starttls: self.has(STARTTLS),
            grammar: if self.has(STRICT) { Grammar::Strict } else { Grammar::Lenient },
            bare_newlines: if self.has(REFUSE) {
                BareNewlines::Refuse
            } else {
                BareNewlines::Normalize
            },
            limits: Limits {
                command_octets: if self.has(SHORT) { 64 } else { 1024 },
                message_octets: if self.has(SMALL) { 50 } else { 100_000 },
                recipients: 3,
                errors: if self.has(PATIENT) { u32::MAX } else { 5 },
                unknown_commands: if self.has(PATIENT) { u32::MAX } else { 3 },
                idle_commands: if self.has(PATIENT) { u32::MAX } else { 6 },
                transactions: if self.has(PATIENT) { u32::MAX } else { 4 },
                refused_recipients: if self.has(PATIENT) { u32::MAX } else { 2 },
                parameter_octets: 15,
                header_octets: if self.has(SMALL) { 30 } else { 100_000 },
                header_fields: if self.has(SMALL) { 2 } else { 1000 },
                received_hops: 2,
                ..Limits::default()
            },
            offers: offers(self.has(EXTENDED)),
            auth: if self.has(EXTENDED) { sasl::offered(self.required()) } else { Auth::default() },
            ..Settings::new("mx.example")
        }
    }

    /// Whether only who has authenticated may send.
    fn required(&self) -> bool {
        self.has(EXTENDED) && self.choice(15) >= 200
    }

    fn choice(&self, n: usize) -> u8 {
        let count = self.choices.len().max(1);
        self.choices.get(n % count).copied().unwrap_or(0)
    }
}

pub(crate) const LMTP: u8 = 1;
pub(crate) const STARTTLS: u8 = 2;
pub(crate) const STRICT: u8 = 4;
pub(crate) const REFUSE: u8 = 8;
pub(crate) const SHORT: u8 = 16;
pub(crate) const SMALL: u8 = 32;
pub(crate) const PATIENT: u8 = 64;
/// Everything is offered, and the peer is trusted.
pub(crate) const EXTENDED: u8 = 128;

/// Plays a script twice, in pieces and as a whole, and checks every step.
pub(crate) fn session(script: &Script) {
    let mut pieces = Vec::new();
    let mut rest = &script.wire[..];
    while !rest.is_empty() {
        let size = usize::from(script.choice(pieces.len()) % 32) + 1;
        let (piece, tail) = rest.split_at(size.min(rest.len()));
        pieces.push(piece);
        rest = tail;
    }
    let in_pieces = Play::new(script).run(&pieces);
    let whole = Play::new(script).run(&[&script.wire]);
    // Behind STARTTLS it does matter where the pieces end.
    if !script.has(STARTTLS) {
        assert_eq!(in_pieces, whole, "segments mean nothing in a stream");
    }
}

/// Where the conversation is, as far as one can tell from outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Start,
    Greeted,
    Ready,
    Envelope,
    /// After DATA, or from the first chunk on.
    Content,
    /// Content that the session refuses, until its end.
    Refused,
}

struct Play<'a> {
    script: &'a Script,
    settings: Arc<Settings>,
    session: Session,
    place: Place,
    recipients: usize,
    binary: bool,
    /// MAIL said PRDR.
    prdr: bool,
    /// The command that was read last.
    verb: Verb,
    /// Whether MAIL said SMTPUTF8.
    utf8: bool,
    authenticated: bool,
    /// XFORWARD was said for a transaction that is to come or open.
    forwarded: bool,
    asked: usize,
    content: Vec<u8>,
    /// What policy saw.
    asked_of: Vec<String>,
    /// What the client saw.
    heard: Vec<u8>,
    /// Replies that one can foresee: banner, one for each command, those after a message.
    due: usize,
    /// Replies that may come, after content that was refused.
    may_come: usize,
    /// Replies that may be missing: those to a last chunk in LMTP, where there are no recipients.
    may_lack: usize,
    said: usize,
}

impl<'a> Play<'a> {
    fn new(script: &'a Script) -> Self {
        let settings = Arc::new(script.settings());
        let trusted = script.has(EXTENDED);
        let channel = Channel { may_xclient: trusted, may_xforward: trusted, ..Channel::default() };
        let session = Session::new(Arc::clone(&settings), channel);
        Self {
            script,
            settings,
            session,
            place: Place::Start,
            recipients: 0,
            binary: false,
            prdr: false,
            verb: Verb::Unknown,
            utf8: false,
            authenticated: false,
            forwarded: false,
            asked: 0,
            content: Vec::new(),
            asked_of: Vec::new(),
            heard: Vec::new(),
            due: 1,
            may_come: 0,
            may_lack: 0,
            said: 0,
        }
    }

    fn run(mut self, pieces: &[&[u8]]) -> (Vec<String>, String) {
        let mut open = self.pump();
        for piece in pieces {
            self.session.receive(piece);
            let goes_on = self.pump();
            assert!(open || !goes_on, "the end is the end");
            open = goes_on;
        }
        assert!(self.said >= self.due.min(1), "a banner, or a refusal");
        assert!(self.said <= self.due + self.may_come, "a reply too many");
        if open {
            // A chunk has its reply at its end.
            let incomplete =
                self.verb == Verb::Bdat && self.session.awaiting() == Awaiting::Content;
            let missing = usize::from(incomplete) + self.may_lack;
            assert!(self.said + missing >= self.due, "a reply too few");
        }
        // What came already when a command was obeyed is another thing in other pieces.
        let manners = self.session.conduct().iter();
        let manners = manners.filter(|(lapse, _)| *lapse != Lapse::Pipelined);
        self.asked_of.extend(manners.map(|it| format!("{it:?}")));
        (self.asked_of, self.heard.escape_ascii().to_string())
    }

    /// Polls until the session wants to read; false if it wants no more.
    fn pump(&mut self) -> bool {
        let open = loop {
            match self.session.poll() {
                Step::Ask(question) => self.ask(&question),
                Step::Content(octets) => {
                    assert_eq!(self.place, Place::Content);
                    assert!(!octets.is_empty());
                    self.content.extend(octets);
                    // The CRLF that a last chunk lacked is the session's own.
                    let most = self.settings.limits.message_octets + 2;
                    assert!(self.content.len() as u64 <= most);
                }
                Step::Aborted => self.abort(),
                Step::Refused(_) => self.refuse(),
                Step::Disproved { user, .. } => {
                    sasl::check_name(&user);
                    self.asked_of.push(format!("disproved {user}"));
                }
                Step::Nonce => {
                    self.check_exchange();
                    assert_eq!(self.session.poll(), Step::Nonce, "until it is drawn");
                    self.session.nonce(sasl::NONCE);
                }
                Step::Verifier { mechanism, user } => self.look_up(mechanism, &user),
                Step::Read => break true,
                Step::StartTls => {
                    self.collect();
                    self.session.tls_established(sasl::channel().bindings);
                    self.place = Place::Greeted;
                    self.authenticated = false;
                }
                Step::Close => break false,
            }
        };
        self.collect();
        open
    }

    fn ask(&mut self, question: &Question) {
        self.collect();
        assert_eq!(self.session.poll(), Step::Ask(question.clone()), "until it is answered");
        self.asked_of.push(format!("{question:?}"));
        match question {
            Question::Connect => assert_eq!(self.place, Place::Start),
            Question::Auth(credentials) => {
                self.check_exchange();
                sasl::check(credentials);
            }
            Question::Hello { name, .. } => {
                assert!(matches!(self.place, Place::Greeted | Place::Ready));
                assert!(!name.is_empty() && is_printable(name));
            }
            Question::Mail { reverse_path, parameters } => {
                assert_eq!(self.place, Place::Ready);
                assert!(self.authenticated || !self.script.required(), "nobody else may send");
                self.prdr = parameters.iter().any(|p| p.keyword == "PRDR");
                let binary = |value: &String| value == "BINARYMIME";
                self.binary = parameters.iter().any(|p| p.value.as_ref().is_some_and(binary));
                self.utf8 = parameters.iter().any(|parameter| parameter.keyword == "SMTPUTF8");
                assert!(self.is_sayable(&reverse_path.to_string()));
                parameters
                    .iter()
                    .for_each(|parameter| syntax::check_parameter("MAIL FROM:<>", parameter));
            }
            Question::Rcpt { forward_path, parameters } => {
                parameters.iter().for_each(|parameter| {
                    syntax::check_parameter("RCPT TO:<postmaster>", parameter)
                });
                assert_eq!(self.place, Place::Envelope);
                assert!(self.recipients < self.settings.limits.recipients);
                assert!(self.is_sayable(forward_path.as_str()));
            }
            Question::Data => assert_eq!(self.place, Place::Envelope),
            Question::Message => self.message(),
            Question::Xclient(said) => {
                assert!(self.script.has(EXTENDED));
                assert!(matches!(self.place, Place::Greeted | Place::Ready));
                check_said(&said.name);
                check_said(&said.reverse_name);
                check_said(&said.helo);
            }
            Question::Xforward(said) => {
                assert!(self.script.has(EXTENDED));
                assert_eq!(self.place, Place::Ready);
                for text in [&said.name, &said.protocol, &said.helo, &said.identity] {
                    check_said(text);
                }
            }
        }
        let verdict = verdict(self.script.choice(self.asked));
        self.asked += 1;
        let yes = match &verdict {
            Verdict::Accept => true,
            Verdict::Reply(reply) => reply.is_positive(),
            Verdict::Each(replies) => !replies.is_empty() && replies.iter().all(Reply::is_positive),
            Verdict::Disconnect(_) => false,
        };
        self.session.decide(verdict);
        self.proceed(question, yes);
    }

    /// Policy has a part in an exchange.
    fn check_exchange(&mut self) {
        self.collect();
        assert!(self.script.has(EXTENDED), "AUTH is not offered");
        assert_eq!(self.place, Place::Ready);
        assert_eq!(self.verb, Verb::Auth);
        assert!(!self.authenticated, "once in a session");
    }

    fn look_up(&mut self, mechanism: Mechanism, user: &str) {
        self.check_exchange();
        sasl::check_name(user);
        let step = Step::Verifier { mechanism, user: user.to_owned() };
        assert_eq!(self.session.poll(), step, "until it is answered");
        self.asked_of.push(format!("{step:?}"));
        self.session.verifier(sasl::known(mechanism, user, self.script.choice(self.asked)));
        self.asked += 1;
    }

    /// Beyond ASCII only where SMTPUTF8 was offered and said; and never what spoils a line.
    fn is_sayable(&self, text: &str) -> bool {
        assert!(!self.utf8 || self.script.has(EXTENDED));
        text.is_ascii() && is_printable(text) || self.utf8 && syntax::is_plain(text)
    }

    fn proceed(&mut self, question: &Question, yes: bool) {
        self.authenticated |= yes && matches!(question, Question::Auth(_));
        if let (Question::Xclient(said), true) = (question, yes) {
            let may = !self.settings.auth.mechanisms.is_empty();
            self.authenticated = may && matches!(said.login, Said::Value(_));
        }
        self.place = match question {
            Question::Connect if yes => Place::Greeted,
            Question::Hello { .. } if yes => Place::Ready,
            Question::Mail { .. } if yes => {
                self.recipients = 0;
                Place::Envelope
            }
            Question::Data if yes => Place::Content,
            Question::Message => {
                self.forwarded = false;
                Place::Ready
            }
            // The banner that follows is the answer.
            Question::Xclient(_) if yes => Place::Start,
            Question::Xforward(_) => {
                self.forwarded |= yes;
                self.place
            }
            Question::Rcpt { .. } => {
                self.recipients += usize::from(yes);
                self.place
            }
            Question::Auth(_)
            | Question::Connect
            | Question::Data
            | Question::Hello { .. }
            | Question::Mail { .. }
            | Question::Xclient(_) => self.place,
        };
    }

    /// Content is complete: CRLF lines and nothing else.
    fn message(&mut self) {
        assert_eq!(self.place, Place::Content);
        assert!(self.recipients > 0);
        let content = std::mem::take(&mut self.content);
        assert!(self.binary || is_lines(&content));
        self.asked_of.push(content.escape_ascii().to_string());
        self.due += self.replies();
        if self.prdr {
            // 353, and one for each before the one for all.
            self.may_come += self.recipients + 1;
        }
        if self.verb == Verb::Bdat {
            // That one is for the command itself.
            self.due -= 1;
        } else {
            assert!(!self.binary, "binary content comes in chunks");
        }
    }

    /// How many there are to a message.
    fn replies(&self) -> usize {
        if self.script.has(LMTP) { self.recipients } else { 1 }
    }

    fn abort(&mut self) {
        let open = matches!(self.place, Place::Envelope | Place::Content);
        // Or it was forwarded for a transaction that never began.
        assert!(open || self.forwarded, "{:?}", self.place);
        self.content.clear();
        if open {
            self.place = Place::Ready;
        }
        self.forwarded = false;
        self.asked_of.push("aborted".to_owned());
    }

    fn refuse(&mut self) {
        // A chunk that is too large is refused before anybody is asked.
        let open = matches!(self.place, Place::Envelope | Place::Content);
        // Or it was forwarded for a transaction that never began.
        assert!(open || self.forwarded, "{:?}", self.place);
        self.content.clear();
        self.may_come += self.replies();
        self.place = Place::Refused;
        self.asked_of.push("refused".to_owned());
    }

    /// Checks what was said, and that the events tell the same.
    fn collect(&mut self) {
        let output = self.session.take_output();
        let events = self.session.take_events();
        let replies = read_replies(&output);
        let codes: Vec<u16> = events
            .iter()
            .filter_map(|event| match event {
                Event::Reply(code) => Some(*code),
                Event::Command(_) | Event::Limited(_) => None,
            })
            .collect();
        assert_eq!(replies, codes);
        // Each challenge has a response, and each response a reply.
        self.may_come += codes.iter().filter(|&&code| code == 334).count();
        for event in &events {
            if let Event::Command(verb) = event {
                self.verb = *verb;
            }
            // A last chunk has a reply for each recipient of its transaction, even if it is refused.
            if let (Event::Command(Verb::Bdat), true) = (event, self.script.has(LMTP)) {
                self.may_come += self.recipients;
                self.may_lack += 1;
            }
        }
        let commands = events.iter().filter(|event| matches!(event, Event::Command(_))).count();
        if commands > 0 && self.place == Place::Refused {
            self.place = Place::Ready;
        }
        self.said += codes.len();
        self.due += commands;
        self.heard.extend(output);
    }
}

/// CRLF lines and nothing else.
pub(crate) fn is_lines(content: &[u8]) -> bool {
    let is_line =
        |line: &[u8]| line.strip_suffix(b"\r\n").is_some_and(|text| !text.contains(&b'\r'));
    content.split_inclusive(|&octet| octet == b'\n').all(is_line)
}

/// What was said of somebody can be written into a log or a header.
fn check_said(said: &Said<String>) {
    if let Said::Value(text) = said {
        assert!((1..=255).contains(&text.len()) && is_printable(text), "{text:?}");
    }
}

/// The codes of the replies in `output`, each of which must be well-formed.
fn read_replies(output: &[u8]) -> Vec<u16> {
    let mut codes = Vec::new();
    for line in output.split_inclusive(|&octet| octet == b'\n') {
        assert!(line.len() <= 512);
        let text = std::str::from_utf8(line.strip_suffix(b"\r\n").expect("CRLF")).expect("ASCII");
        assert!(is_printable(text), "{text:?}");
        let code: u16 = text[..3].parse().expect("three digits");
        assert!((200..600).contains(&code));
        match text.as_bytes()[3] {
            b'-' => {}
            b' ' => codes.push(code),
            _ => panic!("no reply: {text:?}"),
        }
    }
    codes
}

fn verdict(choice: u8) -> Verdict {
    let no = |code, class| Reply::fixed(code, (class, 7, 1), "no");
    let yes = Reply::fixed(250, (2, 0, 0), "yes");
    match choice {
        0..160 => Verdict::Accept,
        160..180 => Verdict::Reply(yes),
        180..200 => Verdict::Reply(no(550, 5)),
        200..220 => Verdict::Reply(no(450, 4)),
        220..230 => Verdict::Each(vec![yes, no(550, 5)]),
        230..235 => Verdict::Each(vec![]),
        235..245 => Verdict::Reply(Reply::bare(354, "go on")),
        245..250 => Verdict::Reply(no(421, 4)),
        250.. => Verdict::Disconnect(no(554, 5)),
    }
}

/// Chunks and PRDR always; what brings parameters only where the script wants it.
fn offers(all: bool) -> Offers {
    let always = [Extension::BinaryMime, Extension::Chunking, Extension::Prdr];
    let offered = |extension: &Extension| all || always.contains(extension);
    Extension::ALL.into_iter().filter(offered).collect()
}

/// Reads a header of the PROXY protocol as a whole and octet by octet.
pub(crate) fn proxy(octets: &[u8]) {
    let mut parser = Parser::new();
    let whole = parser.receive(octets);
    let mut parser = Parser::new();
    let mut used = 0;
    let slowly = loop {
        let Some(octet) = octets.get(used) else { break Ok(Received { used, header: None }) };
        assert!((1..=HEADER_OCTETS).contains(&parser.wants()), "it does not wait for nothing");
        match parser.receive(&[*octet]) {
            Ok(received) => {
                used += received.used;
                assert_eq!(received.used, 1);
                if received.header.is_some() {
                    assert_eq!(parser.wants(), 0);
                    break Ok(Received { used, ..received });
                }
            }
            Err(error) => break Err(error),
        }
    };
    assert_eq!(whole, slowly, "segments mean nothing in a stream");
    let Ok(Received { used, header }) = whole else { return };
    assert!(used <= octets.len().min(HEADER_OCTETS));
    let Some(header) = header else { return assert_eq!(used, octets.len()) };
    let tls = header.tls.unwrap_or_default();
    for text in [&header.authority, &tls.version, &tls.cipher].into_iter().flatten() {
        assert!(is_printable(text), "{text:?}");
    }
    assert!(tls.common_name.is_none_or(|name| syntax::is_plain(&name)));
}

/// Reads attributes of XCLIENT and XFORWARD.
pub(crate) fn xclient(text: &str) {
    if let Ok(said) = Xclient::parse(text) {
        [&said.name, &said.reverse_name, &said.helo].into_iter().for_each(check_said);
        if let Said::Value(login) = said.login {
            assert!(!login.is_empty() && syntax::is_plain(&login));
        }
    }
    if let Ok(said) = Xforward::parse(text) {
        [&said.name, &said.protocol, &said.helo, &said.identity].into_iter().for_each(check_said);
        assert_ne!(said, Xforward::default(), "something was said");
    }
    if let Some(octets) = xtext::decode(text) {
        let again = xtext::encode(&octets);
        assert_eq!(xtext::decode(&again), Some(octets), "{again:?}");
    }
}

/// Makes a reply from parts, and reads it from the wire.
pub(crate) fn reply(code: u16, status: (u8, u16, u16), text: &str) {
    let status = EnhancedStatus::new(status.0, status.1, status.2).ok();
    if let Some(status) = status {
        assert_eq!(EnhancedStatus::strip(&format!("{status} {text}")), Some((status, text)));
    }
    let Ok(reply) = Reply::new(code, status, text) else { return };
    assert_eq!((reply.code(), reply.status()), (code, status));
    assert_eq!(reply.text(), text);
    let mut out = Vec::new();
    reply.encode(&mut out);
    assert_eq!(read_replies(&out), [code], "one reply");
}

fn is_printable(text: &str) -> bool {
    text.bytes().all(|octet| matches!(octet, b' '..=b'~'))
}
