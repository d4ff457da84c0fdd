//! Who may log in at a listener, and how.

use std::path::PathBuf;
use std::time::Duration;

use portcullis_smtp::sasl::Mechanism;

use super::SWITCH;
use super::mistake::Place;
use super::section::Section;

/// How clients of a listener log in (RFC 4954).
#[derive(Clone, Debug)]
pub struct Auth {
    /// What is offered. Without it, what everybody in `users` can use.
    pub mechanisms: Option<Vec<Mechanism>>,
    /// The users and their secrets.
    pub users: Option<PathBuf>,
    /// Whether it is offered in clear text, too.
    pub allow_insecure: bool,
    /// Whether nobody else may send.
    pub required: bool,
    /// How long a failed attempt takes at least.
    pub failure_delay: Duration,
    /// How often a session may fail.
    pub failures_per_session: u32,
    /// How often clients at one address may fail within the window.
    pub failures_per_address: u32,
    /// For how long a failure counts.
    pub failure_window: Duration,
    /// Where `auth` stands in the configuration, for errors that come up later.
    pub place: Place,
    /// Where `mechanisms` stands, or `auth`.
    pub mechanisms_place: Place,
    /// Where `users` stands, or `auth`.
    pub users_place: Place,
}

impl Auth {
    pub(super) const KEYS: &'static [&'static str] = &[
        "allow_insecure",
        "failure_delay",
        "failure_window",
        "failures_per_address",
        "failures_per_session",
        "mechanisms",
        "required",
        "users",
    ];

    /// What stands under `auth`, if it is there.
    pub(super) fn read(listener: &Section<'_>) -> Option<Self> {
        listener.entry("auth")?;
        let section = listener.section("auth", Self::KEYS);
        let switch = |key| section.choice_or(key, SWITCH, false);
        let place = |key| section.reader.place(section.mark_of(key));
        let users = section.entry("users").and_then(|_| section.file("users", USERS_HELP));
        let count = |key, default| section.count(key, 1..=1_000_000, default) as u32;
        let time = |key, range, default| section.duration(key, range, default);
        section.by_default("allow_insecure", "false");
        let auth = Self {
            mechanisms: mechanisms(&section),
            // What cannot be read is a mistake of its own, and not another about TLS.
            allow_insecure: section
                .choice("allow_insecure", SWITCH)
                .unwrap_or_else(|| section.entry("allow_insecure").is_some()),
            required: switch("required"),
            failure_delay: time("failure_delay", Duration::ZERO..=MINUTE, FAILURE_DELAY),
            failures_per_session: count("failures_per_session", FAILURES_PER_SESSION),
            failures_per_address: count("failures_per_address", FAILURES_PER_ADDRESS),
            failure_window: time("failure_window", MINUTE..=24 * 60 * MINUTE, FAILURE_WINDOW),
            place: section.reader.place(listener.mark_of("auth")),
            mechanisms_place: place("mechanisms"),
            users_place: place("users"),
            users,
        };
        auth.check(listener, &section);
        Some(auth)
    }

    fn check(&self, listener: &Section<'_>, section: &Section<'_>) {
        let reader = section.reader;
        if listener.entry("tls").is_none() && !self.allow_insecure {
            let help = "give the listener a certificate in \"tls\"; where passwords may cross the \
                        network in clear text, write allow_insecure: true";
            let text = "nobody can log in here: without TLS it is never offered";
            reader.error(listener.mark_of("auth"), text, Some(help));
        }
        for mechanism in self.mechanisms.iter().flatten() {
            let by_file = matches!(
                mechanism,
                Mechanism::CramMd5 | Mechanism::ScramSha256 | Mechanism::ScramSha256Plus
            );
            if by_file && section.entry("users").is_none() {
                let text = format!("{mechanism} needs a users file");
                let help = "plugins see passwords and tokens, and with this neither is sent";
                reader.error(section.mark_of("mechanisms"), text, Some(help));
            }
        }
    }
}

fn mechanisms(section: &Section<'_>) -> Option<Vec<Mechanism>> {
    let words = section.words("mechanisms")?;
    if words.is_empty() {
        let help = "name some, or leave \"mechanisms\" out; without \"auth\" nobody logs in";
        let text = "there are no mechanisms, so nobody can log in";
        section.reader.error(section.mark_of("mechanisms"), text, Some(help));
    }
    let chosen = |word| section.chosen("mechanisms", word, MECHANISMS);
    Some(words.into_iter().filter_map(chosen).collect())
}

const MECHANISMS: &[(&str, Mechanism)] = &[
    ("scram-sha-256-plus", Mechanism::ScramSha256Plus),
    ("scram-sha-256", Mechanism::ScramSha256),
    ("cram-md5", Mechanism::CramMd5),
    ("oauthbearer", Mechanism::OauthBearer),
    ("xoauth2", Mechanism::Xoauth2),
    ("plain", Mechanism::Plain),
    ("login", Mechanism::Login),
];

const USERS_HELP: &str = "\"portcullis user add\" makes one";
const MINUTE: Duration = Duration::from_mins(1);
// The reasons stand in `config/portcullis.yaml`.
const FAILURE_DELAY: Duration = Duration::from_secs(2);
const FAILURES_PER_SESSION: u64 = 4;
const FAILURES_PER_ADDRESS: u64 = 20;
const FAILURE_WINDOW: Duration = Duration::from_mins(10);
