//! Does what no plugin should, where its settings say, for the tests of the gateway.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

use portcullis_plugin::{
    Authentication, Credentials, EditError, Hook, Message, Reply, Transaction, Verdict, log,
    metrics, plugin,
};
use serde::Deserialize;

/// The plugin is its settings.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Misbehave {
    mode: Mode,
    #[serde(default)]
    when: When,
    /// With `rewrite-body`: the new body.
    #[serde(default)]
    body: String,
    /// With `remember`: how often the plugin was asked in this copy of its memory.
    #[serde(skip)]
    asked: u32,
}

/// What to do.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    /// Ends without a word.
    Abort,
    /// Refuses with CR LF and a reply of its own making in the text.
    Crlf,
    /// Puts CR, LF and NUL wherever a text goes, and refuses if one of them is let through.
    Control,
    /// Authenticates clients as somebody with a line feed in the name.
    ControlIdentity,
    /// Allocates until it may not.
    EatMemory,
    /// Tries all edits, and refuses if one of them is let through.
    Edit,
    /// Edits whatever it may, and refuses the mail.
    EditAndReject,
    /// Edits whatever it may, and panics.
    EditAndTrap,
    /// Authenticates clients as nobody.
    EmptyIdentity,
    /// `configure` gives an error.
    FailConfigure,
    /// Writes 10,000 lines of 10 KiB.
    FloodLog,
    /// Adds 100,000 headers, or before there is a message as many recipients.
    FloodEdits,
    /// Counts under 10,000 names, each with 100 values of a label.
    FloodMetrics,
    /// Says the client's secret wherever it can, and then refuses the client.
    LeakSecret,
    /// Authenticates clients as somebody with a name of 256 octets.
    LongIdentity,
    /// Takes for ever.
    Loop,
    /// `configure` takes for ever.
    LoopConfigure,
    /// Refuses with text beyond ASCII.
    NonAscii,
    /// Calls itself until the stack ends.
    Recurse,
    /// Refuses whoever finds traces of an earlier mail in its memory.
    Remember,
    /// Puts another body into the message; well-behaved with the grant.
    RewriteBody,
    /// Sends the mail to an upstream that does not exist, and refuses if that is let through.
    RouteNowhere,
    /// Lets the gateway compute for ever.
    SlowHost,
    /// Panics.
    Trap,
    /// `configure` panics.
    TrapConfigure,
    /// Authenticates whoever comes, as whom they want to be.
    Vouch,
    /// Refuses with 200.
    WrongClass,
}

/// Where to do it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct When {
    hook: Place,
    /// Only for this sender; from the hook `mail` on.
    sender: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Place {
    Connect,
    Helo,
    Auth,
    Mail,
    Rcpt,
    Data,
    Headers,
    Message,
}

#[plugin]
impl Misbehave {
    fn configure(settings: Self) -> Result<Self, String> {
        match settings.mode {
            Mode::FailConfigure => return Err("this plugin is never content".to_owned()),
            Mode::LoopConfigure => turn_for_ever(),
            Mode::TrapConfigure => panic!("configured to panic"),
            _ => {}
        }
        let early = matches!(settings.when.hook, Place::Connect | Place::Helo | Place::Auth);
        if early && settings.when.sender.is_some() {
            return Err("when.sender: there is no sender before the hook `mail`".to_owned());
        }
        Ok(settings)
    }

    fn skip(&self) -> Vec<Hook> {
        PLACES.into_iter().filter(|(at, _)| *at != self.when.hook).map(|(_, hook)| hook).collect()
    }

    fn connect(&mut self) -> Verdict {
        self.act(None, None)
    }

    fn helo(&mut self) -> Verdict {
        self.act(None, None)
    }

    fn auth(&mut self, credentials: &Credentials) -> Authentication {
        match self.mode {
            Mode::ControlIdentity => Authentication::authenticated("ann\nbob"),
            Mode::EmptyIdentity => Authentication::authenticated(""),
            Mode::LeakSecret => leak(credentials.secret.as_deref().unwrap_or_default()),
            Mode::LongIdentity => Authentication::authenticated("x".repeat(256)),
            Mode::Vouch => Authentication::authenticated(&credentials.user),
            _ => match self.act(None, None) {
                Verdict::Reject(reply) => Authentication::Refused(reply),
                _ => Authentication::Next,
            },
        }
    }

    fn mail(&mut self, transaction: &Transaction) -> Verdict {
        self.act(Some(transaction), None)
    }

    fn rcpt(&mut self, transaction: &Transaction) -> Verdict {
        self.act(Some(transaction), None)
    }

    fn data(&mut self, transaction: &Transaction) -> Verdict {
        self.act(Some(transaction), None)
    }

    fn headers(&mut self, transaction: &Transaction, message: &Message) -> Verdict {
        self.act(Some(transaction), Some(message))
    }

    fn message(&mut self, transaction: &Transaction, message: &Message) -> Verdict {
        self.act(Some(transaction), Some(message))
    }
}

const PLACES: [(Place, Hook); 8] = [
    (Place::Connect, Hook::Connect),
    (Place::Helo, Hook::Helo),
    (Place::Auth, Hook::Auth),
    (Place::Mail, Hook::Mail),
    (Place::Rcpt, Hook::Rcpt),
    (Place::Data, Hook::Data),
    (Place::Headers, Hook::Headers),
    (Place::Message, Hook::Message),
];

/// Beside the plugin itself, the other place where a guest can keep something.
static ASKED: AtomicU32 = AtomicU32::new(0);

impl Default for When {
    fn default() -> Self {
        Self { hook: Place::Mail, sender: None }
    }
}

impl Misbehave {
    fn act(&mut self, transaction: Option<&Transaction>, message: Option<&Message>) -> Verdict {
        let sender = transaction.and_then(Transaction::sender);
        if self.when.sender.is_some() && self.when.sender != sender {
            return Verdict::Next;
        }
        match self.mode {
            Mode::Abort => std::process::abort(),
            Mode::Control => control(transaction, message),
            Mode::Crlf => refuse(550, "no\r\n250 2.0.0 yes"),
            Mode::EatMemory => eat_memory(),
            Mode::Edit => edit(transaction, message),
            Mode::EditAndReject => {
                drop(edits(transaction, message));
                refuse(550, "edited and refused")
            }
            Mode::EditAndTrap => {
                drop(edits(transaction, message));
                panic!("edited and trapped")
            }
            Mode::FloodEdits => flood_edits(transaction, message),
            Mode::FloodLog => flood_log(),
            Mode::FloodMetrics => flood_metrics(),
            Mode::Loop => turn_for_ever(),
            Mode::NonAscii => refuse(550, "n\u{f8}"),
            Mode::Recurse => refuse(550, &descend(0).to_string()),
            Mode::Remember => self.remember(),
            Mode::RewriteBody => rewrite(message, &self.body),
            Mode::RouteNowhere => {
                let routed = transaction.map(|to| to.route("nowhere", None));
                assert_eq!(routed, Some(Err(EditError::OutOfRange)), "no such upstream");
                Verdict::Next
            }
            Mode::SlowHost => compute_for_ever(message),
            Mode::Trap => panic!("told to panic"),
            Mode::WrongClass => refuse(200, "no, but the code says yes"),
            Mode::FailConfigure | Mode::LoopConfigure | Mode::TrapConfigure => Verdict::Next,
            Mode::ControlIdentity
            | Mode::EmptyIdentity
            | Mode::LeakSecret
            | Mode::LongIdentity
            | Mode::Vouch => Verdict::Next,
        }
    }

    /// In `rcpt` a transaction asks once for each recipient; in all other hooks a second question
    /// means that memory outlived its mail.
    fn remember(&mut self) -> Verdict {
        self.asked += 1;
        let before = self.asked.max(ASKED.fetch_add(1, Ordering::Relaxed) + 1) - 1;
        if before == 0 {
            Verdict::Next
        } else {
            refuse(550, &format!("asked {before} times before"))
        }
    }
}

fn refuse(code: u16, text: &str) -> Verdict {
    Verdict::reject(code, "5.7.1", text)
}

fn leak(secret: &str) -> Authentication {
    log::error(secret, &[("secret", secret)]);
    log::error("in a field", &[("the secret is", &format!("<{secret}>"))]);
    println!("printed: {secret}");
    Authentication::Refused(Reply::new(535, "5.7.8", format!("it is not {secret}")))
}

fn turn_for_ever() -> ! {
    loop {
        black_box(());
    }
}

fn eat_memory() -> Verdict {
    let mut eaten = Vec::new();
    loop {
        eaten.push(black_box(vec![1_u8; 1024 * 1024]));
    }
}

fn descend(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    if frame[0] == u64::MAX { 0 } else { black_box(descend(frame[0] + 1)) + frame[15] }
}

fn flood_log() -> Verdict {
    let line = "flood ".repeat(1706);
    for _ in 0..10_000 {
        log::error(&line, &[("line", &line)]);
    }
    Verdict::Next
}

fn edit(transaction: Option<&Transaction>, message: Option<&Message>) -> Verdict {
    let results = edits(transaction, message);
    match results.iter().find(|(_, result)| *result != Err(EditError::Denied)) {
        Some((name, result)) => refuse(550, &format!("{name} was not denied: {result:?}")),
        None => Verdict::Next,
    }
}

type Tried = Vec<(&'static str, Result<(), EditError>)>;

fn edits(transaction: Option<&Transaction>, message: Option<&Message>) -> Tried {
    let mut results = Vec::new();
    if let Some(transaction) = transaction {
        results.push(("set-sender", transaction.set_sender(Some("intruder@example.org"))));
        results.push(("add-recipient", transaction.add_recipient("spy@example.org").map(drop)));
        results.push(("set-recipient", transaction.set_recipient(0, "spy@example.org")));
        results.push(("drop-recipient", transaction.drop_recipient(0)));
        results.push(("route", transaction.route("elsewhere", None)));
    }
    if let Some(message) = message {
        results.push(("add-header", message.add_header(None, "X-Intruder", b"was here")));
        results.push(("set-header", message.set_header("Subject", 0, b"was here")));
        results.push(("drop-header", message.drop_header("Subject", 0)));
        results.push(("replace-body", message.replace_body().map(drop)));
    }
    results
}

/// What would be more than one line, or end a text early, must be `malformed` wherever it is an
/// edit; in the log and in metrics it is escaped or dropped.
fn control(transaction: Option<&Transaction>, message: Option<&Message>) -> Verdict {
    for evil in ["a\r\nb", "a\nb", "a\rb", "a\0b"] {
        let mut results = Vec::new();
        if let Some(transaction) = transaction {
            let address = format!("{evil}@example.org");
            results.push(("set-sender", transaction.set_sender(Some(&address))));
            results.push(("add-recipient", transaction.add_recipient(&address).map(drop)));
            results.push(("set-recipient", transaction.set_recipient(0, &address)));
            results.push(("route", transaction.route(evil, None)));
            results.push(("score", transaction.score(evil, 1.0)));
        }
        if let Some(message) = message {
            let injected = format!("{evil}: X-Injected: yes").into_bytes();
            results.push(("name", message.add_header(None, evil, b"x")));
            results.push(("value", message.add_header(None, "X-Evil", &injected)));
            results.push(("set-header", message.set_header("Subject", 0, &injected)));
        }
        log::error(evil, &[(evil, evil)]);
        metrics::add(evil, 1, Some((evil, evil)));
        let let_through = results.iter().find(|(_, result)| result.is_ok());
        if let Some((name, _)) = let_through {
            return refuse(550, &format!("{name} was let through"));
        }
    }
    Verdict::Next
}

/// Goes on after the first refusal, as no sane plugin would.
fn flood_edits(transaction: Option<&Transaction>, message: Option<&Message>) -> Verdict {
    for n in 0..100_000 {
        match (transaction, message) {
            (_, Some(message)) => drop(message.add_header(None, "X-Flood", b"flood")),
            (Some(transaction), None) => {
                let _ = transaction.add_recipient(&format!("flood{n}@example.org"));
            }
            (None, None) => {}
        }
    }
    Verdict::Next
}

fn flood_metrics() -> Verdict {
    for n in 0..10_000 {
        for value in 0..100 {
            metrics::add(&format!("flood_{n}"), 1, Some(("value", &format!("v{value}"))));
        }
    }
    Verdict::Next
}

fn compute_for_ever(message: Option<&Message>) -> ! {
    loop {
        if let Some(message) = message {
            black_box(message.read_all().sha256());
            black_box(message.read_all().find(b"not to be found", u64::MAX));
        }
    }
}

fn rewrite(message: Option<&Message>, body: &str) -> Verdict {
    let Some(message) = message else { return refuse(554, "there is no message yet") };
    let written = message.replace_body().and_then(|writer| {
        writer.write(body.as_bytes())?;
        writer.finish()
    });
    match written {
        Ok(()) => Verdict::Next,
        Err(error) => refuse(554, &format!("cannot rewrite: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_plugin::testing;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_hook_that_is_named_is_called() {
        let settings = json!({ "mode": "loop", "when": { "hook": "rcpt" } });
        let plugin: Misbehave = testing::configure(&settings).unwrap();
        assert_eq!(testing::subscribed(&plugin), [Hook::Rcpt]);
    }

    #[test]
    fn other_senders_are_left_alone() {
        let settings = json!({ "mode": "trap", "when": { "sender": "trap@example.org" } });
        let mut plugin: Misbehave = testing::configure(&settings).unwrap();
        assert_eq!(plugin.mail(&Transaction::fake()), Verdict::Next);
        let trapped = Transaction::fake().with_sender("trap@example.org");
        assert!(std::panic::catch_unwind(move || plugin.mail(&trapped)).is_err());
    }

    #[test]
    fn edits_are_refused_without_grant() {
        let mut plugin: Misbehave = testing::configure(&json!({ "mode": "edit" })).unwrap();
        let message = Message::fake("Subject: a\n\nb\n");
        assert_eq!(plugin.message(&Transaction::fake(), &message), Verdict::Next);
    }
}
