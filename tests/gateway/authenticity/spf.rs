//! The test suite of openspf.org for RFC 7208, case by case, through the gateway.

use std::fs;

use portcullis_tests::{Dns, Fault, Sink, Zone, repository};
use serde_json::{Map, Value};

use super::{client, come_from, findings, gateway, inquirer};

/// Cases that do not come out as the suite says, and why.
const MISSES: &[(&str, &str)] = &[
    ("emptylabel", NO_ADDRESS),
    ("nolocalpart", NO_ADDRESS),
    ("toolonglabel", NO_ADDRESS),
    ("dorky-sentinel", NO_ADDRESS),
];

/// MAIL is refused with 501, so that no plugin is asked: empty labels, labels of 64 octets, nothing
/// or a space before the `@`.
const NO_ADDRESS: &str = "the sender is no address of SMTP";

#[test]
fn the_suite_of_rfc_7208_comes_out_as_it_says() {
    let sink = Sink::smtp();
    let dns = Dns::start(Zone::new());
    let gateway = gateway(&sink, &dns, [inquirer(serde_json::json!({ "sender": true }))]);
    let mut client = client(&gateway, "192.0.2.1");
    let (mut cases, mut missed) = (0, Vec::new());
    for scenario in scenarios() {
        dns.know(zone(&scenario["zonedata"]));
        for (name, case) in scenario["tests"].as_object().expect("tests by name") {
            cases += 1;
            let text = |key: &str| case[key].as_str().unwrap_or_default();
            come_from(&mut client, text("host"));
            client.command(&format!("EHLO {}", text("helo"))).expect_code(250);
            let reply = client.command(&format!("MAIL FROM:<{}>", text("mailfrom")));
            let said = match serde_json::from_str::<Value>(&super::lines(&reply)[0]) {
                Ok(_) => findings(&reply)[1].clone(),
                Err(_) => super::Finding::from([("outcome".to_owned(), reply.to_string())]),
            };
            if let Some(wrong) = wrong(case, &said) {
                missed.push((name.clone(), format!("{wrong}: {said:?}")));
            }
        }
    }
    println!("RFC 7208: {} of {cases} cases as the suite says", cases - missed.len());
    MISSES.iter().for_each(|(name, why)| println!("RFC 7208: not {name}: {why}"));
    let names: Vec<_> = missed.iter().map(|(name, _)| &**name).collect();
    let known: Vec<_> = MISSES.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known, "{missed:#?}");
    assert_eq!(cases, 203);
}

/// What differs from what a case expects.
fn wrong(case: &Value, said: &super::Finding) -> Option<String> {
    let outcome = &said["outcome"];
    let right = match &case["result"] {
        Value::Array(any) => any.iter().any(|one| one == outcome),
        one => one == outcome,
    };
    if !right {
        return Some(format!("not {}", case["result"]));
    }
    let expected = match case["explanation"].as_str() {
        // The suite's own text for where a domain says nothing.
        None | Some("DEFAULT") => return None,
        Some(text) => text,
    };
    let explanation = said.get("policy.explanation").map(String::as_str);
    // Hexadecimal digits are the same in both cases.
    let right = explanation.is_some_and(|said| said.eq_ignore_ascii_case(expected));
    (!right).then(|| format!("not explained by {expected:?}"))
}

fn scenarios() -> Vec<Value> {
    let file = repository().join("tests/spf/rfc7208-tests.yml");
    let text = fs::read_to_string(file).expect("the suite is there");
    serde_yaml::from_multiple(&text).expect("the suite is YAML")
}

/// The zones of a scenario. Records of type SPF stand for TXT where a name has no TXT of its own.
fn zone(data: &Value) -> Zone {
    let mut zone = Zone::new();
    for (name, records) in data.as_object().into_iter().flatten() {
        let records: Vec<&Value> = records.as_array().into_iter().flatten().collect();
        zone = zone.empty(name);
        let pairs: Vec<(&String, &Value)> =
            records.iter().filter_map(|one| one.as_object()).flat_map(Map::iter).collect();
        let own_text = pairs.iter().any(|(kind, _)| *kind == "TXT");
        let mut kinds = Vec::new();
        for (kind, data) in pairs {
            let kind = match &**kind {
                "SPF" if own_text => continue,
                "SPF" => "TXT",
                other => other,
            };
            if data == "NONE" {
                continue;
            }
            kinds.push(kind);
            zone = match data.as_str() {
                Some("TIMEOUT") => zone.fails(name, Some(kind), Fault::Silence),
                _ => record(zone, name, kind, data),
            };
        }
        if records.iter().any(|one| **one == "TIMEOUT") {
            let silent = ["A", "AAAA", "MX", "PTR", "TXT"];
            for kind in silent.iter().filter(|kind| !kinds.contains(kind)) {
                zone = zone.fails(name, Some(kind), Fault::Silence);
            }
        }
    }
    zone
}

fn record(zone: Zone, name: &str, kind: &str, data: &Value) -> Zone {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (kind, data) {
        ("TXT", Value::Array(strings)) => {
            // A record without strings is none; one without text has one.
            let strings: Vec<_> = strings.iter().map(word).collect();
            let strings: Vec<_> = strings.iter().map(String::as_bytes).collect();
            let strings = if strings.is_empty() { vec![&b""[..]] } else { strings };
            zone.text(name, &strings)
        }
        ("MX", Value::Array(words)) => {
            let words: Vec<_> = words.iter().map(word).collect();
            // No name is the root.
            zone.record(name, kind, &(words.join(" ") + "."))
        }
        _ => zone.record(name, kind, &word(data)),
    }
}
