//! The fault matrix: every stage of a conversation with a next hop, every way to fail there. What the
//! client hears, what the next hop gets, and whether the mail after it goes through.
//!
//! What is expected of each cell stands in `matrix/expected.rs`. The test writes what it saw to
//! `target/fault-matrix.md`.

mod cell;
mod expected;
mod play;
mod report;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use portcullis_tests::faulty::Stage;
use portcullis_tests::gateway::Running;
use portcullis_tests::{Certificate, Faulty, Gateway, Sink};
use serde_json::{Value, json};

use cell::{Cell, Place, Security};
use play::Seen;

#[test]
fn whatever_fails_at_a_next_hop_the_client_hears_the_truth() {
    let certificate = Certificate::new();
    let hops: Vec<_> = Place::all()
        .into_iter()
        .map(|place| {
            let tls = (place.security != Security::None).then_some(&certificate);
            let hop = Faulty::new(place.character(), tls);
            (place, hop)
        })
        .collect();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let reports = Sink::smtp();
    let gateway = before(&hops, &certificate, folder.path(), &reports);
    let seen = play_all(&gateway, &hops, &reports);
    report::write(&seen);
    let wrong: Vec<_> = seen.iter().filter_map(|(cell, seen)| seen.complaint(cell)).collect();
    assert!(wrong.is_empty(), "{} of {} cells:\n{}", wrong.len(), seen.len(), wrong.join("\n"));
    settles(&gateway);
}

/// A gateway that has each of these next hops as an upstream, and sends it the domain of its name.
fn before(
    hops: &[(Place, Faulty)],
    certificate: &Certificate,
    folder: &Path,
    reports: &Sink,
) -> Running {
    let mut upstreams = serde_json::Map::new();
    let address = reports.address().to_string();
    upstreams.insert("reports".to_owned(), json!({ "protocol": "smtp", "address": address }));
    let mut routes = Vec::new();
    for (place, hop) in hops {
        let name = place.name();
        routes.push(json!({ "domains": [place.domain()], "upstream": name }));
        upstreams.insert(name, settings(place, hop, certificate));
    }
    Gateway::new()
        .listener("mx", json!({}))
        .listener("lmtp", json!({ "protocol": "lmtp" }))
        .listener("mx-spool", json!({ "delivery": "spool" }))
        .listener("lmtp-spool", json!({ "protocol": "lmtp", "delivery": "spool" }))
        .set("spool", spool(folder))
        .set("upstreams", upstreams.into())
        .set("routes", routes.into())
        .set("limits", json!({ "connections_per_address": 900, "connections_per_network": 900 }))
        .set("log", json!({ "format": "json", "level": "error" }))
        .start()
}

fn spool(folder: &Path) -> Value {
    json!({
        "directory": folder.join("spool"),
        "free": "1MiB",
        "retry": { "first": "1s", "longest": "1s" },
        "reports": "reports",
    })
}

fn settings(place: &Place, hop: &Faulty, certificate: &Certificate) -> Value {
    let tls = match place.security {
        Security::None => json!({ "mode": "none" }),
        Security::Opportunistic => json!({ "mode": "opportunistic" }),
        Security::Verified => {
            json!({ "mode": "starttls", "authority": certificate.certificate() })
        }
    };
    // By name, so that the certificate fits.
    let address = format!("localhost:{}", hop.address().port());
    let mut settings = json!({
        "protocol": if place.lmtp { "lmtp" } else { "smtp" },
        "address": address,
        "tls": tls,
        "idle_connections": if place.keeps_connections() { 10 } else { 0 },
        "timeouts": { "connect": PATIENCE, "command": PATIENCE, "final": PATIENCE },
        // Each cell finds out for itself.
        "health": { "failures": "never" },
    });
    match place.stage {
        Stage::Auth => settings["auth"] = json!({ "user": "gateway", "password": "s3cret" }),
        Stage::Xclient => settings["client"] = "xclient".into(),
        Stage::Xforward => settings["client"] = "xforward".into(),
        _ => {}
    }
    settings
}

fn play_all(gateway: &Running, hops: &[(Place, Faulty)], reports: &Sink) -> Vec<(Cell, Seen)> {
    let places = Mutex::new(VecDeque::from_iter(hops));
    let seen = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..PLAYERS {
            scope.spawn(|| {
                loop {
                    let next = places.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((place, hop)) = next else { return };
                    for (client, delivery) in cell::WAYS {
                        let cell = Cell { place: *place, client, delivery };
                        if cell.expected().is_none() {
                            continue;
                        }
                        let result = play::play(gateway, hop, reports, &cell);
                        seen.lock().unwrap_or_else(PoisonError::into_inner).push((cell, result));
                    }
                }
            });
        }
    });
    let mut seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    seen.sort_by_key(|(cell, _)| cell.order());
    seen
}

/// Nothing is left of all this, and every transaction has its outcome.
fn settles(gateway: &Running) {
    gateway.wait_for_metric("portcullis_transactions_in_flight", &[], 0.0);
    let metrics = gateway.metrics();
    let started = metrics.sum("portcullis_transactions_started_total", &[]);
    gateway.wait_for_metric("portcullis_transactions_total", &[], started);
}

/// How long the gateway waits for a next hop at each step.
const PATIENCE: &str = "3s";

/// Places that are tried at once: most of the time they wait.
const PLAYERS: usize = 64;
