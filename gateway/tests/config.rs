//! The configuration file: what is in it, and what is said about what is wrong with it.
#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

#[path = "config/effective.rs"]
mod effective;
#[path = "config/pins.rs"]
mod pins;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use portcullis::config::{
    self, Config, KEYS, ListenerAddress, Mistake, Mistakes, OnFailure, Pattern, Severity,
};
use portcullis_smtp::sasl::Mechanism;

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A copy of the directories that hold configurations, with stand-ins for the plugins, which
/// need not be built for these tests.
fn checkout() -> tempfile::TempDir {
    let checkout = tempfile::tempdir().unwrap();
    let at = |path: &str| checkout.path().join(path);
    for directory in ["config/examples", "config/tls", "target/plugins", "tests/conformance/tls"] {
        fs::create_dir_all(at(directory)).unwrap();
    }
    for plugin in fs::read_dir(root().join("plugins")).unwrap().map(Result::unwrap) {
        let file = at(&format!("target/plugins/{}.wasm", plugin.file_name().display()));
        fs::write(file, b"\0asm\x0d\0\x01\0").unwrap();
    }
    for file in [
        "config/portcullis.yaml",
        "config/examples/before-postfix.yaml",
        "config/examples/inbound-mx-lmtp.yaml",
        "config/examples/inbound-mx.yaml",
        "config/examples/small-server.yaml",
        "config/examples/submission.yaml",
        "tests/conformance/portcullis.yaml",
        "tests/conformance/tls/certificate.pem",
        "tests/conformance/tls/key.pem",
        "tests/conformance/tls/upstream.pem",
    ] {
        fs::copy(root().join(file), at(file)).unwrap();
    }
    fs::write(at("config/routes.map"), "customer.example next\n").unwrap();
    fs::write(at("config/aliases.txt"), "info@example.org ann@example.org\n").unwrap();
    for file in ["config/users", "config/examples/users", "tests/conformance/users"] {
        fs::write(at(file), "").unwrap();
    }
    fs::write(at("config/upstream-password"), "s3cret\n").unwrap();
    fs::write(at("config/log.key"), "a long line of random octets\n").unwrap();
    fs::write(at("config/admin-token"), "0123456789abcdef\n").unwrap();
    for secret in ["config/upstream-password", "config/log.key", "config/admin-token"] {
        fs::set_permissions(at(secret), fs::Permissions::from_mode(0o600)).unwrap();
    }
    for file in ["certificate.pem", "key.pem"] {
        fs::copy(root().join("tests/conformance/tls").join(file), at("config/tls").join(file))
            .unwrap();
    }
    checkout
}

/// A configuration without the places of its parts.
fn shown(config: &Config) -> String {
    let mut config = config.clone();
    config.warnings = Mistakes::default();
    for address in &mut config.admin.addresses {
        address.place = config::Place::default();
    }
    for listener in &mut config.listeners {
        listener.place = config::Place::default();
    }
    for plugin in &mut config.plugins {
        plugin.place = config::Place::default();
        plugin.settings_place = config::Place::default();
    }
    format!("{config:#?}")
}

fn texts(mistakes: &Mistakes) -> Vec<&str> {
    mistakes.iter().map(|mistake| mistake.text.as_str()).collect()
}

fn summary(mistake: &Mistake) -> String {
    format!("{}:{}: {}", mistake.place.line, mistake.place.column, mistake.text)
}

#[test]
fn each_bad_configuration_says_what_is_wrong_with_it() {
    let mut directory: Vec<_> = fs::read_dir(root().join("gateway/tests/bad_configs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    directory.sort();
    assert!(directory.len() >= 240, "only {}", directory.len());
    let (mut failures, mut with_help) = (String::new(), 0);
    for path in directory {
        let octets = fs::read(&path).unwrap();
        let text = String::from_utf8_lossy(&octets);
        let mut head = text.lines().map_while(|line| line.strip_prefix("# "));
        let expected = head.next().unwrap_or_default();
        let help = head.next().and_then(|line| line.strip_prefix("help: "));
        let mistakes = match config::load(&path) {
            Err(mistakes) => mistakes,
            Ok(_) => Mistakes::default(),
        };
        let found: Vec<_> = mistakes.iter().map(summary).collect();
        let folder = path.parent().unwrap().to_string_lossy();
        let told =
            |mistake: &Mistake| mistake.help.as_ref().map(|help| help.replace(&*folder, "DIR"));
        let helped = mistakes.iter().all(|mistake| told(mistake).as_deref() == help);
        let helped = help.is_none() || helped;
        with_help += usize::from(help.is_some());
        if found != [expected] || !helped {
            let name = path.file_name().unwrap().display();
            failures += &format!("{name} should say\n{expected}\nand says\n{mistakes}\n");
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(with_help >= 240, "only {with_help} tell the help in their second line");
}

#[test]
fn a_file_with_many_mistakes_tells_them_all_in_its_order() {
    let text = "\
hostname: mx example
listeners:
  - name: inbound
    address: localhost
    plugins: [acess]
    recipents: 5
    limits: {message: 50M, errors: none}
  - address: 127.0.0.1:2525
upstreams:
  next:
    address: 127.0.0.1
    timeouts: {final: 10}
routes:
  - domains: [a_b@c]
    upstream: nxt
default_upstream: nex
plugins:
  - name: access
    file: /nonexistent.wasm
    on_failure: pass
log: {level: loud}
log: {}
";
    let mistakes = config::parse(Path::new("many.yaml"), text).unwrap_err();
    let found: Vec<_> = mistakes.iter().map(summary).collect();
    assert_eq!(
        found,
        [
            "1:11: \"mx example\" is no host name",
            "4:14: \"localhost\" is no address to listen at",
            "5:15: there is no plugin \"acess\"",
            "6:5: unknown key \"recipents\"",
            "7:23: \"message\" cannot be \"50M\"",
            "7:36: \"errors\" cannot be \"none\"",
            "8:5: missing key \"name\"",
            "11:14: \"127.0.0.1\" is no address",
            "12:23: \"final\" cannot be \"10\"",
            "14:15: \"a_b@c\" is no domain",
            "15:15: there is no upstream \"nxt\"",
            "16:19: there is no upstream \"nex\"",
            "19:11: cannot read \"/nonexistent.wasm\": No such file or directory (os error 2)",
            "20:17: \"on_failure\" cannot be \"pass\"",
            "21:14: \"loud\" is no log level",
            "22:1: duplicate key \"log\"",
        ]
    );
    assert!(mistakes.to_string().matches("--> many.yaml:").count() == found.len());
}

#[test]
fn the_default_file_loads_without_a_warning() {
    let checkout = checkout();
    let config = config::load(&checkout.path().join("config/portcullis.yaml")).unwrap();
    let warnings: Vec<_> = texts(&config.warnings);
    // Whether the machine has a fully qualified name is not the file's business.
    assert!(warnings.iter().all(|text| text.contains("this machine is called")), "{warnings:?}");
    assert_eq!(config.plugins.len(), 3);
    assert_eq!(config.plugins[1].settings["domains"]["example.com"], "any");
}

/// The default file with everything in it that is off by default.
fn everything_on(text: &str) -> String {
    let on = |line: &str| {
        let bare = line.trim_start();
        match bare.strip_prefix('#') {
            Some(rest) if !rest.is_empty() && !rest.starts_with(' ') => {
                format!("{}{rest}", &line[..line.len() - bare.len()])
            }
            _ => line.to_owned(),
        }
    };
    let text: Vec<_> = text.lines().map(on).collect();
    text.join("\n").replace("routes: []", "routes:")
}

#[test]
fn the_default_file_names_every_key() {
    let checkout = checkout();
    let path = checkout.path().join("config/portcullis.yaml");
    let text = everything_on(&fs::read_to_string(&path).unwrap());
    let text = text
        .replace("mode: none", "mode: starttls")
        .replace("/etc/ssl/certs/ca-certificates.crt", "tls/certificate.pem")
        .replace("#quarantine", "quarantine")
        .replace("quarantine: quarantine", "quarantine: next");
    let config =
        config::parse(&path, text.as_str()).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(config.listeners[0].tls.is_some() && config.listeners[0].auth.is_some());
    let tree: serde_json::Value = serde_yaml::from_str(&text).unwrap();
    for (section, keys) in KEYS {
        let mut places = vec![&tree];
        for part in section.split(['.']).filter(|part| !part.is_empty()) {
            let name = part.trim_end_matches("[]");
            places = places
                .into_iter()
                .flat_map(|place| match name {
                    "*" => place.as_object().unwrap().values().collect(),
                    _ => place.get(name).into_iter().collect::<Vec<_>>(),
                })
                .flat_map(|place| match place.as_array() {
                    Some(items) if part.ends_with("[]") => items.iter().collect(),
                    _ => vec![place],
                })
                .collect();
        }
        for key in *keys {
            let named = places.iter().any(|place| place.get(key).is_some());
            assert!(named, "config/portcullis.yaml does not name {key:?} of {section:?}");
        }
    }
}

#[test]
fn the_default_file_gives_every_key_its_default() {
    let checkout = checkout();
    let path = checkout.path().join("config/portcullis.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let complete = shown(&config::load(&path).unwrap());
    // What has no default, and what makes the file a starting point rather than an empty one.
    let ours = [
        "name",
        "file",
        "address",
        "default_upstream",
        "grants",
        "domains",
        "example.com",
        "helo",
        "drop",
    ];
    let (mut tried, mut kept) = (0, Vec::new());
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some((key, value)) = line.trim_start().trim_start_matches("- ").split_once(": ") else {
            continue;
        };
        if key.starts_with('#') || value.is_empty() {
            continue;
        }
        let mut without = lines.clone();
        without.remove(index);
        tried += 1;
        match config::parse(&path, without.join("\n")) {
            Ok(config) if shown(&config) == complete => {}
            _ => kept.push((key, index + 1)),
        }
    }
    assert!(tried > 50, "only {tried} keys tried");
    // The admin's address has a default, and it is this one.
    kept.retain(|(key, _)| !ours.contains(key));
    assert!(kept.is_empty(), "not at their defaults, by key and line: {kept:?}");
    let without_admin = text.replace("  address: 127.0.0.1:9925\n", "");
    assert_ne!(without_admin, text);
    assert_eq!(shown(&config::parse(&path, without_admin).unwrap()), complete);
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let checkout = checkout();
    let config = config::load(&checkout.path().join("config/portcullis.yaml")).unwrap();
    let expected = checkout.path().join("config/../target/plugins/access.wasm");
    assert_eq!(config.plugins[0].file, expected);
}

#[test]
fn the_examples_load_where_their_files_are() {
    let checkout = checkout();
    for example in ["inbound-mx", "inbound-mx-lmtp", "before-postfix", "small-server", "submission"]
    {
        let path = checkout.path().join(format!("config/examples/{example}.yaml"));
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("/usr/lib/portcullis/plugins", "../../target/plugins")
            .replace("/etc/portcullis/users", "users")
            .replace("/etc/portcullis/provider-password", "../upstream-password")
            .replace("/etc/portcullis/tls/fullchain.pem", "../tls/certificate.pem")
            .replace("/etc/portcullis/tls/privkey.pem", "../tls/key.pem");
        let config = config::parse(&path, text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        let warnings: Vec<_> = texts(&config.warnings);
        let expected = [
            "every user of this machine can read the private key",
            // Its routes are for its own domains.
            "recipients at \"mx\" that no route takes get 550 5.7.1",
        ];
        assert!(warnings.iter().all(|text| expected.contains(text)), "{warnings:?}");
    }
}

#[test]
fn the_conformance_configuration_serves_every_profile() {
    let checkout = checkout();
    let config = config::load(&checkout.path().join("tests/conformance/portcullis.yaml")).unwrap();
    let listeners: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| (listener.name.as_str(), listener.address.port().unwrap()))
        .collect();
    let expected = [
        ("plain", 12025),
        ("tls", 12026),
        ("auth", 12027),
        ("limits", 12028),
        ("smtps", 12029),
        ("lmtp", 12030),
        ("xclient", 12031),
        ("strict", 12032),
        ("submission", 12033),
        ("idle", 12034),
    ];
    // Behind them come those of the relay profiles.
    assert_eq!(listeners[..expected.len()], expected);
    let judged = &config.listeners[..expected.len()];
    assert!(judged.iter().all(|listener| listener.plugins.len() == 3));
}

#[test]
fn what_is_dangerous_is_warned_of() {
    let text = "\
hostname: gateway
listeners:
  - name: inbound
    address: 0.0.0.0:2525
    plugins: []
    limits: {recipients: 5, message: 2000}
upstreams:
  next: {address: \"127.0.0.1:2525\"}
  other: {address: \"192.0.2.1:25\"}
default_upstream: next
plugins:
  - name: filter
    file: files/filter.wasm
    on_failure: accept
admin: {address: \"0.0.0.0:9925\", tokens: [{token: 0123456789abcdef, role: reader}]}
";
    let path = root().join("gateway/tests/bad_configs/warnings");
    let config = config::parse(&path, text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(
        config.warnings.iter().map(summary).collect::<Vec<_>>(),
        [
            "1:11: \"gateway\" is not fully qualified; some servers refuse it in EHLO",
            "5:5: nobody filters what comes in here",
            "6:14: few recipients will be taken at a time",
            "6:29: small messages will be refused",
            "8:3: the upstream \"next\" is the listener \"inbound\"",
            "9:3: nothing goes to the upstream \"other\"",
            "13:11: no listener asks the plugin \"filter\"",
            "14:5: mail passes unfiltered when this plugin fails",
            "15:18: tokens come to 0.0.0.0:9925 in clear text",
        ]
    );
    assert!(config.warnings.iter().all(|warning| warning.severity == Severity::Warning));
    assert_eq!(config.plugins[0].on_failure, OnFailure::Accept);
}

#[test]
fn who_may_connect_to_a_socket_is_looked_at() {
    let text = "\
hostname: mx.example.org
listeners:
  - {name: net, address: \"127.0.0.1:2525\", socket_mode: 0600}
  - {name: local, address: \"unix:lmtp.sock\", socket_mode: 0666, socket_group: 0}
  - {name: passed, address: \"systemd:smtp\", socket_group: 0}
upstreams:
  next: {address: \"unix:lmtp.sock\"}
default_upstream: next
plugins: [{name: filter, file: files/filter.wasm}]
";
    let path = root().join("gateway/tests/bad_configs/sockets.yaml");
    let config = config::parse(&path, text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let warnings: Vec<_> = config.warnings.iter().map(summary).collect();
    assert_eq!(
        warnings,
        [
            "3:44: \"socket_mode\" does nothing here: it is for Unix sockets",
            "4:59: every user of this machine can send mail through this socket",
            "5:45: \"socket_group\" does nothing here: it is for Unix sockets",
            "7:3: the upstream \"next\" is the listener \"local\"",
        ]
    );
    let ListenerAddress::Unix(socket) = &config.listeners[1].address else { panic!("a socket") };
    assert_eq!(socket.path, root().join("gateway/tests/bad_configs/lmtp.sock"));
    assert_eq!((socket.mode, socket.group), (0o666, Some(0)));
}

#[test]
fn who_may_log_in_has_its_defaults_and_warnings() {
    let text = "\
hostname: mx.example.org
listeners:
  - name: here
    address: 127.0.0.1:2525
    auth: {allow_insecure: true}
  - name: there
    address: 0.0.0.0:2587
    auth:
      mechanisms: [plain, xoauth2]
      allow_insecure: true
      required: true
      failure_delay: 0s
  - {name: nobody, address: \"127.0.0.1:2526\"}
upstreams:
  next: {address: \"127.0.0.1:26\"}
default_upstream: next
plugins: [{name: filter, file: files/filter.wasm}]
";
    let path = root().join("gateway/tests/bad_configs/auth.yaml");
    let config = config::parse(&path, text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let warnings: Vec<_> = config.warnings.iter().map(summary).collect();
    let expected = "8:5: passwords for \"there\" may cross the network in clear text";
    assert_eq!(warnings, [expected]);
    let auth = config.listeners[0].auth.as_ref().unwrap();
    assert_eq!((&auth.mechanisms, &auth.users, auth.required), (&None, &None, false));
    assert_eq!((auth.failure_delay.as_secs(), auth.failure_window.as_secs()), (2, 600));
    assert_eq!((auth.failures_per_session, auth.failures_per_address), (4, 20));
    let auth = config.listeners[1].auth.as_ref().unwrap();
    assert_eq!(auth.mechanisms.as_deref(), Some(&[Mechanism::Plain, Mechanism::Xoauth2][..]));
    assert!(auth.required && auth.failure_delay.is_zero());
    assert!(config.listeners[2].auth.is_none());
}

#[test]
fn domains_beyond_ascii_are_routed_as_dns_has_them() {
    let text = "\
listeners: [{name: inbound, address: 127.0.0.1:2525, plugins: []}]
upstreams: {next: {address: 127.0.0.1:2526}}
default_upstream: next
routes:
  - {domains: [B\u{fc}cher.example, .m\u{fc}nchen.example, Example.ORG], upstream: next}
  - {domains: [xn--bcher-kva.example], upstream: next}
";
    let mistakes = config::parse(Path::new("routes.yaml"), text).unwrap_err();
    let found: Vec<_> = mistakes.iter().map(summary).collect();
    assert_eq!(found, ["6:16: \"xn--bcher-kva.example\" never comes to this route"]);
    let text = text.replace("xn--bcher-kva.example", "a.example");
    let config = config::parse(Path::new("routes.yaml"), text).unwrap();
    let recipients = config.routes[0].recipients.as_deref().unwrap();
    assert_eq!(
        recipients.iter().map(Pattern::as_str).collect::<Vec<_>>(),
        ["xn--bcher-kva.example", ".xn--mnchen-3ya.example", "example.org"]
    );
}

#[test]
fn a_later_stage_points_at_the_plugin_s_settings() {
    let text = "\
hostname: mx.example.org
listeners: [{name: inbound, address: \"127.0.0.1:2525\"}]
upstreams: {next: {address: \"127.0.0.1:2526\"}}
default_upstream: next
plugins:
  - name: filter
    file: files/filter.wasm
    settings:
      a: 1
";
    let path = root().join("gateway/tests/bad_configs/later.yaml");
    let config = config::parse(&path, text).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let mut mistakes = Mistakes::default();
    mistakes.at(
        &config.plugins[0].settings_place,
        "plugin \"filter\": unknown setting \"a\"",
        None,
    );
    let shown = mistakes.to_string();
    assert!(shown.contains("later.yaml:8:5\n"), "{shown}");
    assert!(shown.contains("8 |     settings:\n  |     ^^^^^^^^\n"), "{shown}");
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let mistakes = config::load(Path::new("/nonexistent/portcullis.yaml")).unwrap_err();
    let expected = "error: cannot read the configuration: No such file or directory (os error 2)\n \
                    --> /nonexistent/portcullis.yaml\n";
    assert_eq!(mistakes.to_string(), expected);
    assert_eq!(config::load(Path::new("/")).unwrap_err().len(), 1);
    assert_eq!(config::load(Path::new("/dev/zero")).unwrap_err().len(), 1);
}

#[test]
fn an_empty_file_says_what_it_needs() {
    for text in ["", "# nothing\n", "---\n", "{}", "null"] {
        let mistakes = config::parse(Path::new("empty.yaml"), text).unwrap_err();
        let found = texts(&mistakes);
        assert!(found.contains(&"missing key \"listeners\""), "{text:?}: {mistakes}");
        assert!(found.contains(&"missing key \"upstreams\""), "{text:?}: {mistakes}");
    }
}

/// A generator of numbers that is the same everywhere, so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

#[test]
fn no_mutation_of_the_default_file_panics() {
    let checkout = checkout();
    let path = checkout.path().join("config/portcullis.yaml");
    let original = fs::read(&path).unwrap();
    let without_comments: Vec<u8> = String::from_utf8(original)
        .unwrap()
        .lines()
        .filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty())
        .flat_map(|line| format!("{line}\n").into_bytes())
        .collect();
    let pieces: [&[u8]; 24] = [
        b"\n",
        b"  ",
        b"\t",
        b": ",
        b"- ",
        b"[",
        b"]",
        b"{",
        b"}",
        b"\"",
        b"'",
        b"&a ",
        b"*a",
        b"!t ",
        b"? ",
        b"|",
        b">",
        b"#",
        b"---\n",
        b"\xff",
        b"\r",
        b"\0",
        b"\xe2\x80\xa8",
        b"9999999999999999999",
    ];
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let mut fine = 0;
    for _ in 0..2000 {
        let mut octets = without_comments.clone();
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(octets.len());
            let to = (at + numbers.below(12)).min(octets.len());
            match numbers.below(4) {
                0 => drop(octets.drain(at..to)),
                1 => drop(octets.splice(at..at, pieces[numbers.below(pieces.len())].to_vec())),
                2 => {
                    let copy = octets[at..to].to_vec();
                    let target = numbers.below(octets.len());
                    drop(octets.splice(target..target, copy));
                }
                _ => octets[at] = numbers.below(256) as u8,
            }
        }
        match config::parse(&path, octets) {
            Ok(config) => fine += usize::from(!config.listeners.is_empty()),
            Err(mistakes) => {
                assert!(!mistakes.is_empty());
                let shown = mistakes.to_string();
                assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
            }
        }
    }
    assert!(fine > 0, "no mutation was harmless: they are too wild to find anything");
}
