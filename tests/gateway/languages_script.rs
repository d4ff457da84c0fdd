//! Plugins in JavaScript and Python, built by their languages' own tools.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use portcullis_tests::process::run;
use portcullis_tests::{Client, Dns, Gateway, Letter, Sink, Zone, peers, repository};
use serde_json::{Value, json};

/// How plugins of a language are built, and what their mistakes look like.
struct Language {
    name: &'static str,
    program: &'static str,
    /// Builds the plugin in the folder `plugin-sdk/NAME/{}` into the file after it.
    build: &'static [&'static str],
    /// The end of what is told of `wrong`: where it was.
    thrown: &'static str,
    undecided: &'static str,
    /// What drawing numbers while it is configured comes to.
    drawn: &'static str,
}

const LANGUAGES: [Language; 2] = [
    Language {
        name: "js",
        program: "node",
        build: &["sdk/build.mjs"],
        thrown: " of undefined at wrong wrong.js:2",
        undecided: "TypeError: rcpt returned undefined, not a Verdict such as Verdict.next",
        drawn: "Math.random() in the constructor: every mail would see the same numbers",
    },
    Language {
        name: "python",
        program: "python3",
        build: &["-m", "portcullis.build"],
        thrown: " at wrong wrong.py:2",
        undecided: "TypeError: rcpt returned None, not a Verdict such as Verdict.NEXT",
        drawn: "random",
    },
];

impl Language {
    /// The example, built and compiled, if the language is here.
    fn example(&self) -> Option<Value> {
        let plugin = json!({
            "name": "gatekeeper",
            "file": self.build("example")?,
            "time_limit": "5s",
            "grants": ["dns", "rewrite-headers", { "kv": ["store"] }],
            "settings": { "refuse": ["Closed.example"], "list": "list.example", "store": "store" },
        });
        self.compile("example", &plugin);
        Some(plugin)
    }

    /// The plugin that reaches for everything, in the same way.
    fn trial(&self) -> Option<Value> {
        let plugin = json!({
            "name": "trial",
            "file": self.build("tests/trial")?,
            "time_limit": "5s",
            "grants": ["rewrite-headers", "rewrite-body", { "kv": ["store"] }],
            "settings": {},
        });
        self.compile("trial", &plugin);
        Some(plugin)
    }

    fn build(&self, folder: &str) -> Option<PathBuf> {
        peers::need([self.program])?;
        let project = repository().join("plugin-sdk").join(self.name).join(folder);
        let name = project.file_name()?.to_str()?;
        let file = repository().join(format!("target/plugins/test-{name}-{}.wasm", self.name));
        let mut command = Command::new(self.program);
        command.current_dir(&project).args(self.build).arg("--output").arg(&file);
        command.env("PORTCULLIS_TOOLS", repository().join("target/sdk-tools"));
        once(&format!("build {}", file.display()), || drop(run(&mut command).expect_success()));
        Some(file)
    }

    // One gateway does it for all that come after.
    fn compile(&self, name: &str, plugin: &Value) {
        let sink = Sink::smtp();
        once(&format!("compile {name} {}", self.name), || {
            gateway(&sink, plugin).check().expect_success();
        });
    }
}

/// Does it, unless it was done before; nothing else is done at the same time.
fn once(what: &str, act: impl FnOnce()) {
    static DONE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    if done.insert(what.to_owned()) {
        act();
    }
}

fn gateway(sink: &Sink, plugin: &Value) -> Gateway {
    let stores = json!({ "store": { "kind": "memory" } });
    Gateway::before(sink).set("stores", stores).plugin(plugin.clone())
}

const MESSAGE: &[u8] = b"Subject: t\r\n\r\nx\r\n";

#[test]
fn the_example_refuses_looks_up_counts_and_stamps() {
    for language in LANGUAGES {
        let Some(plugin) = language.example() else { continue };
        let sink = Sink::smtp();
        let zone = Zone::new().record("1.0.0.127.list.example", "A", "127.0.0.2");
        let dns = Dns::start(zone);
        let gateway = gateway(&sink, &plugin).set("dns", dns.settings()).start();
        let mut listed = Client::connect(gateway.address("mx"));
        let refused = listed.expect(554);
        assert!(refused.text().contains("127.0.0.1 is listed by list.example"), "{refused}");
    }
    for language in LANGUAGES {
        let Some(plugin) = language.example() else { continue };
        let sink = Sink::smtp();
        let gateway =
            gateway(&sink, &plugin).set("dns", Dns::start(Zone::new()).settings()).start();
        let mut client = gateway.client();
        client.command("MAIL FROM:<a@example.org>").expect_code(250);
        let refused = client.command("RCPT TO:<b@CLOSED.example>").expect_code(550);
        assert!(refused.text().contains("5.7.1 no mail for closed.example here"), "{refused}");
        client.command("RSET").expect_code(250);
        for _ in 0..2 {
            client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
        }
        let stamps: Vec<_> =
            sink.wait_for(2).iter().map(|letter| header(letter, "X-Gatekeeper")).collect();
        assert_eq!(stamps, ["message 1", "message 2"], "{}", language.name);
        gateway.wait_for_metric("portcullis_plugin_gatekeeper_messages_total", &[], 2.0);
    }
}

#[test]
fn everything_in_reach_is_reached() {
    for language in LANGUAGES {
        let Some(plugin) = language.trial() else { continue };
        let sink = Sink::smtp();
        let gateway = gateway(&sink, &plugin).start();
        let mut client = gateway.client();
        for _ in 0..2 {
            let message = "Subject: gr\u{fc}\u{df}e\r\n\r\nab needle\r\n".as_bytes();
            client.command("MAIL FROM:<a@example.org> SIZE=1000").expect_code(250);
            client.command("RCPT TO:<b@example.com>").expect_code(250);
            client.command("RCPT TO:<c@example.com>").expect_code(250);
            client.command("DATA").expect_code(354);
            client.send(&[message, b".\r\n"].concat()).unwrap();
            client.expect(250);
        }
        let letters = sink.wait_for(2);
        let mut drawn = Vec::new();
        for letter in &letters {
            let mut told: Value = serde_json::from_str(&header(letter, "X-Trial")).expect("JSON");
            drawn.push(told.as_object_mut().expect("an object").remove("drawn"));
            assert_eq!(told, in_reach(drawn.len()), "{}", language.name);
            assert_eq!(header(letter, "Subject"), "changed");
            assert!(letter.text().ends_with("\r\n\r\nII needle\r\n"), "{}", letter.text());
        }
        assert_ne!(drawn[0], drawn[1], "{}: copies draw the same numbers", language.name);
        let labels = [("kind", "full")];
        gateway.wait_for_metric("portcullis_plugin_trial_trials_total", &labels, 4.0);
    }
}

/// What the trial plugin has to tell of its `nth` message.
fn in_reach(nth: usize) -> Value {
    json!({
        "address": "127.0.0.1",
        "inside": true,
        "helo": "client.example",
        "sender": "a@example.org",
        "size": "1000",
        "recipients": ["0 b@example.com", "1 c@example.com"],
        // Each mail has a copy of its own.
        "counted": 2,
        "scores": [["TRIAL", 1.5]],
        "subject": "gr\u{fc}\u{df}e",
        "nothing": 0,
        "octets": 31,
        "found": 3,
        "digest": "010e6221",
        "skipped": 2,
        "body": " needle\r\n",
        "parts": [["text/plain", 11, [0, 11], "ab needle\r\n"]],
        "clock": true,
        "random": 3,
        "dns": "denied",
        "http": "denied",
        "mailAuth": "denied",
        "edit": "denied",
        "kv": "v\u{e4}rde",
        "conflict": "conflict",
        "sum": [7 - 2 * nth, -2 * i64::try_from(nth).expect("few")],
    })
}

#[test]
fn what_is_thrown_is_told_with_its_place_and_its_mail() {
    for language in LANGUAGES {
        let Some(plugin) = language.trial() else { continue };
        let sink = Sink::smtp();
        let gateway = gateway(&sink, &plugin).start();
        for (recipient, said, reason) in [
            ("throws", language.thrown, "trap"),
            ("undecided", language.undecided, "trap"),
            ("ungranted", "GatewayError: kv.open: denied at ", "trap"),
            ("endless", "no answer within 5s", "timeout"),
        ] {
            let mut client = gateway.client();
            client.command("MAIL FROM:<a@example.org>").expect_code(250);
            let reply = client.command(&format!("RCPT TO:<{recipient}@example.com>"));
            assert_eq!(reply.code, 451, "{}: {reply}", language.name);
            let failure = gateway.log.wait_for(said, |record| {
                record.field("target").ends_with("policy::chain") && record.mentions(said)
            });
            assert_eq!(failure.field("reason"), reason, "{}", language.name);
            if reason == "trap" {
                let line = gateway.log.wait_for(said, |record| {
                    record.field("level") == "error" && record.mentions(said)
                });
                assert_eq!(line.field("transaction"), failure.field("id"), "{}", language.name);
                assert_eq!(line.field("hook"), "rcpt");
            }
        }
    }
}

#[test]
fn settings_that_a_plugin_refuses_are_told_in_its_own_words() {
    for language in LANGUAGES {
        let Some(plugin) = language.trial() else { continue };
        let sink = Sink::smtp();
        for (mode, said) in [
            ("refuse", "it refuses its settings: mode: no such mode"),
            ("throw", language.thrown),
            ("draw", language.drawn),
        ] {
            let mut plugin = plugin.clone();
            plugin["settings"] = json!({ "mode": mode });
            let finished = gateway(&sink, &plugin).check();
            assert!(!finished.status.success(), "{}: {mode}", language.name);
            let all = format!("{}{}", finished.stdout, finished.stderr);
            assert!(all.contains(said), "{}: {mode}: {all}", language.name);
        }
    }
}

fn header(letter: &Letter, name: &str) -> String {
    let text = letter.text();
    let start = format!("{name}: ");
    let found = text.lines().find_map(|line| line.strip_prefix(&start));
    found.unwrap_or_else(|| panic!("no {name} in:\n{text}")).to_owned()
}
