//! Peers at a Unix socket, who have no address that a list could name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use portcullis_tests::peers::{HaProxy, Postfix, need};
use portcullis_tests::process::run;
use tempfile::TempDir;

use super::*;

/// A gateway at a Unix socket that everybody may connect to.
fn local(sink: &Sink, protocol: &str, trust: Value) -> (Running, PathBuf, TempDir) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), mode).expect("the folder is ours");
    let socket = folder.path().join("gateway.sock");
    let listener = json!({
        "address": format!("unix:{}", socket.display()),
        "protocol": protocol,
        "socket_mode": "0666",
        "trust": trust,
    });
    (with_porter(Gateway::new().listener("local", listener), sink).start(), socket, folder)
}

#[test]
fn haproxy_says_who_the_client_is_at_a_unix_socket() {
    for server in ["send-proxy", "send-proxy-v2"] {
        let sink = Sink::smtp();
        let trust = json!({ "proxy_protocol": ["unix", ELSEWHERE] });
        let (gateway, socket, _folder) = local(&sink, "smtp", trust);
        let Some(haproxy) = HaProxy::before_socket(&socket, server) else { return };
        let client = deliver(Client::connect(haproxy.address));
        expect_client(&gateway, &sink, client, "unix");
        gateway.wait_for_metric(HEADERS, &[("listener", "local"), ("result", "ok")], 1.0);
    }
}

#[test]
fn swaks_names_the_client_at_a_unix_socket_where_that_is_trusted() {
    let Some([swaks]) = need(["swaks"]) else { return };
    for (trusted, client) in [("unix", "192.0.2.7:0"), ("127.0.0.1", "unix")] {
        let sink = Sink::smtp();
        let (gateway, socket, _folder) = local(&sink, "smtp", json!({ "xclient": [trusted] }));
        let mut command = Command::new(&swaks);
        command
            .arg("--socket")
            .arg(&socket)
            .args(["--from", "a@example.org", "--to", "b@example.com"])
            .args(["--xclient-addr=192.0.2.7", "--xclient-optional-strict"]);
        run(&mut command).expect_success();
        let record = transaction(&gateway);
        assert_eq!(record.peer("/client"), client, "{record:?}");
        assert_eq!(record.peer("/client/via"), if trusted == "unix" { "unix" } else { "" });
    }
}

#[test]
fn postfix_says_where_its_mail_came_from_over_lmtp() {
    let sink = Sink::smtp();
    let (gateway, socket, _folder) = local(&sink, "lmtp", json!({ "xforward": ["unix"] }));
    let Some(postfix) = Postfix::lmtp_sender_with(&socket, postfix::SETTINGS) else { return };
    postfix::give(&postfix);
    let letter = sink.only_letter();
    assert!(letter.received().contains("(local socket)"), "{}", letter.received());
    assert_eq!(seen(&letter.text())["client-address"], "unix");
    assert_eq!(seen(&letter.text())["forwarded-address"], "198.51.100.7");
    let record = transaction(&gateway);
    assert_eq!(record.peer("/client"), "unix");
    assert!(record.field("forwarded").contains("198.51.100.7"), "{record:?}");
}
