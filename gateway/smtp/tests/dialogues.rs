//! Plays `dialogues/*.smtp` against a bare session, cut into pieces in several ways.
//!
//! How the files are written is told in `dialogues/README.md`.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use portcullis_smtp::sasl::{ChannelBindings, Credentials, Mechanism, Secret, Verifier};
use portcullis_smtp::server::{
    Awaiting, BareNewlines, Channel, Event, FutureRelease, Lapse, Limits, Pipelining, Protocol,
    Question, Session, Settings, Step, Verdict,
};
use portcullis_smtp::{DateTime, EnhancedStatus, Extension, Grammar, Reply};

#[test]
fn dialogues_go_as_written() {
    play_all(Cut::Whole);
}

#[test]
fn dialogues_do_not_depend_on_segments_even_of_one_octet() {
    play_all(Cut::Octets);
}

#[test]
fn dialogues_do_not_depend_on_segments_of_seven_octets() {
    play_all(Cut::Sevens);
}

/// How a peer's octets arrive.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Octets,
    Sevens,
    Whole,
}

fn play_all(cut: Cut) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut played = 0;
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "smtp") {
            let text = fs::read_to_string(&path).expect("readable");
            played += play_file(&path, &text, cut);
        }
    }
    assert!(played > 50, "only {played} dialogues");
}

fn play_file(path: &Path, text: &str, cut: Cut) -> usize {
    let mut player: Option<Player> = None;
    let mut played = 0;
    for (number, line) in text.lines().enumerate() {
        let place = format!("{}:{} ({cut:?})", path.display(), number + 1);
        if line.starts_with("== ") {
            if let Some(player) = player.take() {
                player.finish(&place);
            }
            player = Some(Player::new(cut));
            played += 1;
        } else if !line.trim().is_empty() && !line.starts_with('#') {
            let player = player.as_mut().unwrap_or_else(|| panic!("{place}: no dialogue yet"));
            player.step(line, &place);
        }
    }
    if let Some(player) = player {
        player.finish(&path.display().to_string());
    }
    played
}

struct Player {
    cut: Cut,
    settings: Settings,
    channel: Channel,
    session: Option<Session>,
    /// What the client says, until something is expected.
    unsent: Vec<u8>,
    /// What comes with TLS.
    bindings: Option<Box<ChannelBindings>>,
    verdicts: VecDeque<Verdict>,
    replies: VecDeque<Vec<String>>,
    last: Vec<String>,
    questions: VecDeque<String>,
    content: Vec<u8>,
    limits: VecDeque<&'static str>,
    /// Depends on segments, so that it is played in one cut only.
    skipped: bool,
    aborted: bool,
    handshake: bool,
    closed: bool,
}

impl Player {
    fn new(cut: Cut) -> Self {
        Self {
            cut,
            settings: settings(),
            channel: Channel::default(),
            session: None,
            unsent: Vec::new(),
            bindings: None,
            verdicts: VecDeque::new(),
            replies: VecDeque::new(),
            last: Vec::new(),
            questions: VecDeque::new(),
            content: Vec::new(),
            limits: VecDeque::new(),
            skipped: false,
            aborted: false,
            handshake: false,
            closed: false,
        }
    }

    fn step(&mut self, line: &str, place: &str) {
        let (key, value) = line.split_once(':').unwrap_or_else(|| panic!("{place}: no colon"));
        let value = value.strip_prefix(' ').unwrap_or(value);
        let (key, times) = match key.split_once('*') {
            Some((key, times)) => (key, times.parse().expect("a number")),
            None => (key, 1),
        };
        if self.skipped {
            return;
        }
        match key {
            "with" => value.split(", ").for_each(|word| self.set(word, place)),
            "do" => macro_lines(value).for_each(|line| self.step(line, place)),
            "!" => self.verdicts.push_back(verdict(value)),
            "C" => self.unsent.extend([unescape(value), b"\r\n".to_vec()].concat().repeat(times)),
            "c" => self.unsent.extend(unescape(value).repeat(times)),
            _ => {
                self.send(place);
                (0..times).for_each(|_| self.expect(key, value, place));
            }
        }
    }

    fn expect(&mut self, key: &str, value: &str, place: &str) {
        match key {
            "S" => {
                self.last = self.replies.pop_front().unwrap_or_else(|| {
                    panic!("{place}: no reply; closed: {}", self.closed);
                });
                let first = self.last[0].replacen('-', " ", 1);
                assert!(first.starts_with(value), "{place}: {:?}", self.last);
            }
            "has" => assert!(self.last_has(value), "{place}: {:?}", self.last),
            "lacks" => assert!(!self.last_has(value), "{place}: {:?}", self.last),
            "?" => {
                let question = self.questions.pop_front();
                assert_eq!(question.as_deref(), Some(value), "{place}");
            }
            "D" => {
                let content = std::mem::take(&mut self.content);
                let want = unescape(value);
                let (content, want) = (content.escape_ascii(), want.escape_ascii());
                assert_eq!(content.to_string(), want.to_string(), "{place}");
            }
            "L" => assert_eq!(self.limits.pop_front(), Some(value), "{place}"),
            "A" => assert!(std::mem::take(&mut self.aborted), "{place}: not aborted"),
            "T" => {
                assert!(std::mem::take(&mut self.handshake), "{place}: no handshake");
                let bindings = self.bindings.clone();
                self.session().tls_established(bindings);
                self.pump(place);
            }
            "M" => assert_eq!(self.manners(), value, "{place}"),
            "X" => assert!(self.closed, "{place}: not closed"),
            "waits" => {
                let awaiting = self.session().awaiting();
                let want = if value == "content" { Awaiting::Content } else { Awaiting::Command };
                assert_eq!(awaiting, want, "{place}");
            }
            _ => panic!("{place}: unknown key {key:?}"),
        }
    }

    /// What the client did against them. Who sent on out of turn is seen in one piece only.
    fn manners(&mut self) -> String {
        let seen = matches!(self.cut, Cut::Whole);
        let conduct = self.session().conduct();
        let told = conduct.iter().filter(|(lapse, _)| *lapse != Lapse::Pipelined || seen);
        let told: Vec<_> = told.map(|(it, count)| format!("{} {count}", it.label())).collect();
        if told.is_empty() { "none".to_owned() } else { told.join(", ") }
    }

    fn last_has(&self, text: &str) -> bool {
        self.last.iter().any(|line| &line[4..] == text)
    }

    fn session(&mut self) -> &mut Session {
        let Self { settings, channel, bindings, session, .. } = self;
        session.get_or_insert_with(|| {
            let bindings = bindings.clone().filter(|_| channel.tls);
            let channel = Channel { bindings, ..channel.clone() };
            Session::new(Arc::new(settings.clone()), channel)
        })
    }

    /// Lets the client say what it has to say; nothing may be left over from before.
    fn send(&mut self, place: &str) {
        if self.session.is_none() {
            self.pump(place);
        }
        let unsent = std::mem::take(&mut self.unsent);
        if unsent.is_empty() {
            return;
        }
        self.settled(place);
        self.questions.clear();
        let size = match self.cut {
            Cut::Octets => 1,
            Cut::Sevens => 7,
            Cut::Whole => unsent.len(),
        };
        for piece in unsent.chunks(size) {
            self.session().receive(piece);
            self.pump(place);
        }
    }

    fn settled(&self, place: &str) {
        assert!(self.replies.is_empty(), "{place}: unexpected {:?}", self.replies);
        assert!(!self.aborted, "{place}: unexpectedly aborted");
    }

    fn finish(mut self, place: &str) {
        if self.skipped {
            return;
        }
        self.send(place);
        self.settled(place);
        assert!(self.verdicts.is_empty(), "{place}: a verdict that nobody asked for");
    }

    fn pump(&mut self, place: &str) {
        loop {
            match self.session().poll() {
                Step::Ask(question) => {
                    assert!(!self.closed, "{place}: a question after the end");
                    self.questions.push_back(describe(&question));
                    let verdict = self.verdicts.pop_front().unwrap_or(Verdict::Accept);
                    self.session().decide(verdict);
                }
                Step::Content(octets) => {
                    assert!(!octets.is_empty(), "{place}: empty content");
                    self.content.extend(octets);
                }
                Step::Aborted | Step::Refused(_) => self.aborted = true,
                Step::Disproved { user, .. } => {
                    self.questions.push_back(format!("DISPROVED {user}"))
                }
                Step::Nonce => self.session().nonce(*b"a nonce, not fresh"),
                Step::Verifier { mechanism, user } => {
                    self.questions.push_back(format!("VERIFIER {mechanism} {user}"));
                    self.session().verifier(known(mechanism, &user));
                }
                Step::Read => break,
                Step::StartTls => {
                    self.handshake = true;
                    break;
                }
                Step::Close => {
                    self.closed = true;
                    break;
                }
            }
        }
        self.collect(place);
    }

    fn collect(&mut self, place: &str) {
        let output = String::from_utf8(self.session().take_output()).expect("replies are ASCII");
        let mut codes = Vec::new();
        let mut reply = Vec::new();
        for line in output.split_terminator("\r\n") {
            assert!(line.bytes().all(|b| matches!(b, b' '..=b'~')), "{place}: {line:?}");
            reply.push(line.to_owned());
            if line.as_bytes()[3] == b' ' {
                codes.push(line[..3].parse::<u16>().expect("three digits"));
                self.replies.push_back(std::mem::take(&mut reply));
            }
        }
        let events = self.session().take_events();
        self.limits.extend(events.iter().filter_map(|event| match event {
            Event::Limited(limit) => Some(limit.label()),
            Event::Command(_) | Event::Reply(_) => None,
        }));
        let said: Vec<u16> = events
            .iter()
            .filter_map(|event| match event {
                Event::Reply(code) => Some(*code),
                Event::Command(_) | Event::Limited(_) => None,
            })
            .collect();
        assert_eq!(said, codes, "{place}: events and output differ");
    }

    fn set(&mut self, word: &str, place: &str) {
        let (name, number) = word.split_once('=').unwrap_or((word, ""));
        let word = number;
        let number = || word.parse::<usize>().expect("a number");
        let small = || word.parse::<u32>().expect("a small number");
        let settings = &mut self.settings;
        match name {
            "lmtp" => settings.protocol = Protocol::Lmtp,
            "strict" => settings.grammar = Grammar::Strict,
            "starttls" => settings.starttls = true,
            "hold" => settings.future_release = Some(bounds()),
            "refuse" => settings.bare_newlines = BareNewlines::Refuse,
            "command_octets" => settings.limits.command_octets = number(),
            "message_octets" => settings.limits.message_octets = number() as u64,
            "parameter_octets" => settings.limits.parameter_octets = number(),
            "header_octets" => settings.limits.header_octets = number() as u64,
            "header_fields" => settings.limits.header_fields = small(),
            "received_hops" => settings.limits.received_hops = number(),
            "recipients" => settings.limits.recipients = number(),
            "auth" => settings.auth.mechanisms = mechanisms(word),
            "auth_failures" => settings.limits.auth_failures = small(),
            "in_clear" => settings.auth.in_clear = true,
            "required" => settings.auth.required = true,
            "bound" => self.bindings = Some(bindings()),
            "refused_recipients" => settings.limits.refused_recipients = small(),
            "transactions" => settings.limits.transactions = small(),
            "errors" => settings.limits.errors = small(),
            "unknown_commands" => settings.limits.unknown_commands = small(),
            "idle_commands" => settings.limits.idle_commands = small(),
            "pipelining" => {
                self.skipped = !matches!(self.cut, Cut::Whole);
                settings.pipelining = match word {
                    "refuse" => Pipelining::Refuse,
                    "disconnect" => Pipelining::Disconnect,
                    _ => panic!("{place}: {word:?}"),
                };
            }
            "tls" => self.channel.tls = true,
            "xclient" => self.channel.may_xclient = true,
            "xforward" => self.channel.may_xforward = true,
            _ => {
                let known = Extension::ALL.into_iter().find(|known| known.keyword() == name);
                let more = known.unwrap_or_else(|| panic!("{place}: unknown setting {name:?}"));
                let offered = Extension::ALL.into_iter().filter(|one| settings.offers.has(*one));
                settings.offers = offered.chain([more]).collect();
            }
        }
    }
}

fn settings() -> Settings {
    let limits = Limits {
        command_octets: 2048,
        message_octets: 1_000_000,
        errors: 10,
        received_hops: 50,
        ..Limits::default()
    };
    Settings { limits, ..Settings::new("mx.example") }
}

fn bounds() -> FutureRelease {
    let until = DateTime::parse("2040-01-01T00:00:00Z").expect("a date");
    FutureRelease { seconds: 3600, until }
}

fn bindings() -> Box<ChannelBindings> {
    Box::new(ChannelBindings { exporter: Some([7; 32]), end_point: None })
}

fn mechanisms(names: &str) -> Vec<Mechanism> {
    let named = |name| Mechanism::from_name(name).expect("a mechanism");
    names.split('/').map(named).collect()
}

fn macro_lines(name: &str) -> impl Iterator<Item = &'static str> {
    const LINES: [&str; 9] = [
        "S: 220 mx.example",
        "C: EHLO client.example",
        "S: 250 mx.example",
        "C: MAIL FROM:<alice@example.org>",
        "S: 250 2.1.0",
        "C: RCPT TO:<bob@example.com>",
        "S: 250 2.1.5",
        "C: DATA",
        "S: 354",
    ];
    let (skip, take) = match name {
        "banner" => (0, 1),
        "ehlo" => (0, 3),
        "mail" => (0, 5),
        "rcpt" => (0, 7),
        "data" => (0, 9),
        // After another hello.
        "then mail" => (3, 2),
        "then rcpt" => (3, 4),
        "then data" => (3, 6),
        _ => panic!("unknown macro {name:?}"),
    };
    LINES.into_iter().skip(skip).take(take)
}

fn verdict(text: &str) -> Verdict {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    match word {
        "accept" => Verdict::Accept,
        "each" => Verdict::Each(rest.split(" | ").map(reply).collect()),
        "disconnect" => Verdict::Disconnect(reply(rest)),
        _ => Verdict::Reply(reply(text)),
    }
}

fn reply(text: &str) -> Reply {
    let code = text[..3].parse().expect("a code");
    match EnhancedStatus::strip(&text[4..]) {
        Some((status, text)) => Reply::new(code, Some(status), text),
        None => Reply::new(code, None, &text[4..]),
    }
    .expect("a reply")
}

fn describe(question: &Question) -> String {
    let parameters = |list: &[portcullis_smtp::Parameter]| -> String {
        list.iter()
            .map(|p| match &p.value {
                Some(value) => format!(" {}={value}", p.keyword),
                None => format!(" {}", p.keyword),
            })
            .collect()
    };
    match question {
        Question::Connect => "CONNECT".to_owned(),
        Question::Hello { name, esmtp: true } => format!("EHLO {name}"),
        Question::Hello { name, esmtp: false } => format!("HELO {name}"),
        Question::Mail { reverse_path, parameters: list } => {
            format!("MAIL <{reverse_path}>{}", parameters(list))
        }
        Question::Rcpt { forward_path, parameters: list } => {
            format!("RCPT <{forward_path}>{}", parameters(list))
        }
        Question::Auth(credentials) => describe_claim(credentials),
        Question::Data => "DATA".to_owned(),
        Question::Message => "MESSAGE".to_owned(),
        Question::Xclient(said) => format!("XCLIENT {:?} {:?}", said.name, said.address),
        Question::Xforward(said) => format!("XFORWARD {:?} {:?}", said.name, said.source),
    }
}

fn describe_claim(credentials: &Credentials) -> String {
    let Credentials { mechanism, user, authorization, secret } = credentials;
    let other = authorization.iter().map(|name| format!(" as {name}")).collect::<String>();
    let secret = match secret {
        Secret::Password(password) => format!("password {password}"),
        Secret::Proved => "proved".to_owned(),
        Secret::Token(token) => format!("token {token}"),
    };
    format!("AUTH {mechanism} {user}{other}, {secret}")
}

/// Policy knows alice, and that her password is `secret`; at `later` it is busy.
fn known(mechanism: Mechanism, user: &str) -> Result<Option<Verifier>, Reply> {
    match (mechanism, user) {
        (_, "later") => Err(Reply::fixed(454, (4, 7, 0), "ask later")),
        (Mechanism::CramMd5, "alice") => Ok(Some(Verifier::Password("secret".to_owned()))),
        (_, "alice") => Ok(Some(Verifier::scram("secret", b"salt of alice".to_vec(), 4096))),
        _ => Ok(None),
    }
}

/// `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN`.
fn unescape(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        octets.push(match rest.next().expect("an escape") {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'x' => {
                let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                let digits = std::str::from_utf8(&digits).expect("digits");
                u8::from_str_radix(digits, 16).expect("digits")
            }
            other => other,
        });
    }
    octets
}
