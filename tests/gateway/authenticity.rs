//! What plugins hear of who sent a message, with a name server of the test's own.

#[path = "authenticity/policy.rs"]
mod policy;
#[path = "authenticity/signatures.rs"]
mod signatures;
#[path = "authenticity/spf.rs"]
mod spf;

use std::collections::BTreeMap;

use portcullis_tests::gateway::plugin;
use portcullis_tests::{Client, Dns, Gateway, Reply, Running, Sink};
use serde_json::{Value, json};

use super::resolving::lines;

/// A finding: what was found, and its properties.
type Finding = BTreeMap<String, String>;

/// A plugin that tells what was found out.
fn inquirer(settings: Value) -> Value {
    json!({ "name": "inquirer", "file": plugin("test-inquirer"), "grants": ["mail-auth"],
        "time_limit": "20s", "settings": settings })
}

/// A gateway that believes whatever a client says of its address, and remembers nothing of names.
fn gateway(sink: &Sink, dns: &Dns, plugins: impl IntoIterator<Item = Value>) -> Running {
    let mut names = dns.settings();
    names["cache"] = json!(0);
    names["timeout"] = json!("300ms");
    let gateway = Gateway::new()
        .listener("mx", json!({ "trust": { "xclient": ["127.0.0.1"] } }))
        .upstream("store", "smtp", &sink.address().to_string())
        // Larger bodies lie in files.
        .set("limits", json!({ "message_memory": "16KiB" }))
        .set("dns", names);
    plugins.into_iter().fold(gateway, Gateway::plugin).start()
}

/// A client that comes from an address.
fn client(gateway: &Running, address: &str) -> Client {
    let mut client = gateway.client();
    come_from(&mut client, address);
    client.command("EHLO client.example").expect_code(250);
    client
}

fn come_from(client: &mut Client, address: &str) {
    let prefix = if address.contains(':') { "IPV6:" } else { "" };
    client.command(&format!("XCLIENT ADDR={prefix}{address}")).expect_code(220);
}

/// What a refusal tells.
fn findings(reply: &Reply) -> Vec<Finding> {
    let read = |line: &String| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    lines(reply).iter().map(read).collect()
}
