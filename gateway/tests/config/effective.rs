//! What a configuration amounts to, and what would change.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use portcullis::config::{self, Config, EffectiveFrom, changes, effective_entries};

use super::{checkout, root, texts};

fn parse(text: &str) -> Config {
    let path = root().join("gateway/tests/bad_configs/effective.yaml");
    config::parse(&path, text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn told(before: &str, after: &str) -> Vec<String> {
    let entries = |text| parse(text).effective.entries();
    changes(&entries(before), &entries(after)).iter().map(ToString::to_string).collect()
}

const BASE: &str = "\
hostname: mx.example.org
listeners:
  - name: inbound
    address: 127.0.0.1:2525
    limits: {message: 20480 KiB}
upstreams:
  next: {address: \"127.0.0.1:2526\"}
default_upstream: next
plugins:
  - name: filter
    file: files/filter.wasm
    settings: {token: s3cret, \"a b\": [\"5\", 5, {x: y}], nothing: null, \"yes\": \"no\"}
";

#[test]
fn what_is_shown_is_the_same_configuration() {
    let checkout = checkout();
    for file in ["config/portcullis.yaml", "tests/conformance/portcullis.yaml"] {
        let path = checkout.path().join(file);
        let config = config::load(&path).unwrap();
        let text = config.effective.to_string();
        let again = config::parse(&path, text.as_str());
        let again = again.unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}"));
        let (before, after) = (config.effective.entries(), again.effective.entries());
        let mut changes = changes(&before, &after);
        changes.retain(|change| !change.key.ends_with(".password"));
        assert!(changes.is_empty(), "{changes:#?}");
        assert_eq!(again.listeners.len(), config.listeners.len());
    }
}

#[test]
fn every_value_tells_where_it_comes_from() {
    let config = parse(BASE);
    let entries = config.effective.entries();
    let from = |key: &str| {
        let entry = entries.iter().find(|entry| entry.key == key);
        let entry = entry.unwrap_or_else(|| panic!("{key} is not there"));
        (entry.value.to_string(), entry.from.clone())
    };
    let line = |line| EffectiveFrom::File { line, environment: vec![], files: vec![] };
    let of = |key: &str| EffectiveFrom::Other(key.to_owned());
    for (key, value, source) in [
        ("listeners", "[\"inbound\"]", line(2)),
        ("listeners[inbound].address", "\"127.0.0.1:2525\"", line(4)),
        ("listeners[inbound].limits.message", "\"20MiB\"", line(5)),
        ("listeners[inbound].limits.recipients", "1000", of("session.limits.recipients")),
        ("listeners[inbound].plugins", "[\"filter\"]", EffectiveFrom::Default),
        ("session.limits.recipients", "1000", EffectiveFrom::Default),
        ("plugins[filter].settings.token", "\"***\"", line(12)),
        ("plugins[filter].settings.a b", "[\"5\",5,{\"x\":\"y\"}]", line(12)),
        ("plugins[filter].settings.yes", "\"no\"", line(12)),
        ("admin.address", "\"127.0.0.1:9925\"", EffectiveFrom::Default),
    ] {
        assert_eq!(from(key), (value.to_owned(), source), "{key}");
    }
    let again = effective_entries(&config.effective.to_json()).unwrap();
    assert_eq!(again.len(), entries.len());
    assert!(again.iter().zip(&entries).all(|(one, other)| one.value == other.value));
    assert!(!config.effective.to_string().contains("s3cret"));
    assert!(!config.effective.to_json().to_string().contains("s3cret"));
}

#[test]
fn only_what_differs_is_told() {
    assert!(told(BASE, BASE).is_empty());
    // Another way to write the same, and a default that is written down.
    let same = BASE.replace("20480 KiB", "20MiB, recipients: 1000");
    assert!(told(BASE, &same).is_empty());
    for (old, new, expected) in [
        ("20480 KiB", "1MiB", "~ listeners[inbound].limits.message: \"20MiB\" -> \"1MiB\""),
        (
            "s3cret",
            "other",
            "~ plugins[filter].settings.token: \"***\" -> \"***\"    (the secret is another one)",
        ),
        (
            "default_upstream",
            "log: {level: debug}\ndefault_upstream",
            "~ log.level: \"info\" -> \"debug\"",
        ),
        (
            "default_upstream",
            "routes: [{domains: [a.example], upstream: next}]\ndefault_upstream",
            "+ routes: [{\"domains\":[\"a.example\"],\"upstream\":\"next\"}]",
        ),
    ] {
        assert_eq!(told(BASE, &BASE.replace(old, new)), [expected], "{new}");
    }
    let routes = |order: &str| {
        let item = |domain| format!("{{domains: [{domain}.example], upstream: next}}");
        let items: Vec<_> = order.split(' ').map(item).collect();
        format!("{BASE}routes: [{}]\n", items.join(", "))
    };
    let told = told(&routes("a b"), &routes("b c a"));
    assert_eq!(
        told,
        [
            "~ routes:\n    + {\"domains\":[\"c.example\"],\"upstream\":\"next\"}    (number 2 of 3)\n    \
          in another order: [{\"domains\":[\"b.example\"],\"upstream\":\"next\"},{\"domains\":[\"a.example\"],\
          \"upstream\":\"next\"}]"
        ]
    );
}

#[test]
fn a_value_may_stand_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let put = |name: &str, text: &str, mode| {
        fs::write(at(name), text).unwrap();
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    put("filter.wasm", "", 0o644);
    fs::copy(root().join("gateway/tests/bad_configs/files/filter.wasm"), at("filter.wasm"))
        .unwrap();
    put("password", "s\"cret\r\n", 0o600);
    put("open", "99.9\n", 0o644);
    let text = "\
hostname: mx.example.org
listeners: [{name: a, address: \"127.0.0.1:2525\"}]
upstreams:
  next:
    address: 127.0.0.1:2526
    auth: {user: me, password: \"${file:password}\"}
default_upstream: next
stores: {r: {kind: redis, url: \"redis://me:${file:password}@127.0.0.1/0\"}}
plugins:
  - name: filter
    file: filter.wasm
    settings: {key: \"${file:password}\", braces: \"$${file:password}\", number: \"${file:open}\"}
";
    let path = at("portcullis.yaml");
    fs::write(&path, text).unwrap();
    let config = config::load(&path).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let settings = &config.plugins[0].settings;
    assert_eq!(settings["key"], "s\"cret");
    assert_eq!(settings["braces"], "${file:password}");
    assert_eq!(settings["number"], "99.9");
    let warning = format!("every user of this machine can read {}", at("open").display());
    assert!(texts(&config.warnings).contains(&warning.as_str()), "{:?}", config.warnings);
    for told in [config.effective.to_string(), config.effective.to_json().to_string()] {
        assert!(!told.contains("cret\\\"") && !told.contains("s\\\"cret"), "{told}");
        assert!(told.contains("${file:password}") && !told.contains("99.9"), "{told}");
    }
    assert!(config.effective.to_string().contains(&format!(", {}", at("password").display())));
    // The same reference, another secret.
    let before = config.effective.entries();
    put("password", "an0ther", 0o600);
    let after = config::load(&path).unwrap().effective.entries();
    let keys: Vec<_> = changes(&before, &after).into_iter().map(|change| change.key).collect();
    assert_eq!(
        keys,
        ["upstreams.next.auth.password", "stores.r.url", "plugins[filter].settings.key"]
    );
    // Neither do mistakes tell it.
    let text = text.replace("127.0.0.1:2526", "${file:open}");
    let mistakes = config::parse(&path, text).unwrap_err().to_string();
    assert!(mistakes.contains("\"${file:open}\" is no address"), "{mistakes}");
    assert!(!mistakes.contains("99.9"), "{mistakes}");
}
