//! Unix sockets, and sockets that systemd passes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use portcullis_tests::gateway::program;
use portcullis_tests::peers::{Postfix, need};
use portcullis_tests::process::{Process, run};
use portcullis_tests::{Gateway, Running, Sink, free_address, repository, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Sends a letter over LMTP to a Unix socket, with Python's own client.
const LMTPLIB: &str = r#"
import smtplib, sys
with smtplib.LMTP(sys.argv[1]) as client:
    assert client.sendmail("a@example.org", ["b@example.com"], "Subject: t\r\n\r\nx\r\n") == {}
"#;

/// A folder that everybody may look into, as the peers run as other users.
fn open_folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), mode).expect("the folder is ours");
    folder
}

fn local(sink: &Sink, socket: &Path, protocol: &str, mode: &str) -> Running {
    let address = format!("unix:{}", socket.display());
    let settings = json!({ "address": address, "protocol": protocol, "socket_mode": mode });
    Gateway::new()
        .listener("local", settings)
        .upstream("store", "smtp", &sink.address().to_string())
        .start()
}

#[test]
fn smtplib_and_swaks_send_over_a_unix_socket() {
    let Some([python, swaks]) = need(["python3", "swaks"]) else { return };
    let (sink, folder) = (Sink::smtp(), open_folder());
    let socket = folder.path().join("lmtp.sock");
    let gateway = local(&sink, &socket, "lmtp", "0600");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    run(Command::new(python).args(["-c", LMTPLIB]).arg(&socket)).expect_success();
    run(Command::new(swaks).args(["--protocol", "LMTP", "--socket"]).arg(&socket).args([
        "--from",
        "a@example.org",
        "--to",
        "b@example.com",
    ]))
    .expect_success();
    for letter in sink.wait_for(2) {
        let received = letter.received();
        assert!(received.contains("(local socket)"), "{received}");
        assert!(received.contains("with LMTP id "), "{received}");
    }
    let record =
        gateway.log.wait_for("a transaction", |record| record.field("target") == "transaction");
    assert_eq!(record.peer("/client"), "unix");
}

#[test]
fn postfix_delivers_over_a_unix_socket() {
    let (sink, folder) = (Sink::smtp(), open_folder());
    let socket = folder.path().join("lmtp.sock");
    let _gateway = local(&sink, &socket, "lmtp", "0666");
    let Some(postfix) = Postfix::lmtp_sender(&socket) else { return };
    let mut client = portcullis_tests::Client::ehlo(postfix.address);
    let message = b"Subject: via Postfix\r\n\r\n.dot\r\nend\r\n";
    client.deliver("a@example.org", &["b@example.com"], message).unwrap().expect_code(250);
    let letter = sink.only_letter();
    assert!(letter.text().ends_with("\r\n\r\n.dot\r\nend\r\n"), "{}", letter.text());
    assert!(letter.received().contains("(local socket)"), "{}", letter.received());
}

#[test]
fn the_file_of_a_socket_goes_with_the_gateway_and_is_replaced_after_a_crash() {
    let (sink, folder) = (Sink::smtp(), open_folder());
    let socket = folder.path().join("smtp.sock");
    let mut first = local(&sink, &socket, "smtp", "0660");
    let second = run(Command::new(program())
        .arg("run")
        .arg("--config")
        .arg(write(folder.path(), &format!("unix:{}", socket.display()))));
    assert!(!second.status.success());
    assert!(second.stderr.contains("somebody listens there already"), "{}", second.stderr);
    first.process.kill();
    assert!(socket.exists(), "a process that is killed cannot clean up");
    let mut third = local(&sink, &socket, "smtp", "0660");
    let mut banner = String::new();
    BufReader::new(UnixStream::connect(&socket).unwrap()).read_line(&mut banner).unwrap();
    assert!(banner.starts_with("220 "), "{banner}");
    assert!(third.terminate().success());
    assert!(!socket.exists());
}

#[test]
fn sockets_that_systemd_passes_are_served() {
    let Some([activate]) = need(["systemd-socket-activate"]) else { return };
    let folder = open_folder();
    for (listen, fdname, address) in
        [("tcp", "smtp", "systemd:smtp"), ("unix", "lmtp", "systemd:lmtp")]
    {
        let (ip, path) = (free_address(), folder.path().join("passed.sock"));
        let place = if listen == "tcp" { ip.to_string() } else { path.display().to_string() };
        let config = write(folder.path(), address);
        let _process = Process::start(
            Command::new(&activate)
                .args(["--listen", &place, &format!("--fdname={fdname}")])
                .arg(program())
                .args(["run", "--config"])
                .arg(config)
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        // The first connection starts the gateway and is answered by it.
        let mut banner = String::new();
        if listen == "tcp" {
            let stream = wait_for("a socket", || TcpStream::connect(ip).ok());
            BufReader::new(stream).read_line(&mut banner).unwrap();
        } else {
            let stream = wait_for("a socket", || UnixStream::connect(&path).ok());
            BufReader::new(stream).read_line(&mut banner).unwrap();
        }
        assert!(banner.starts_with("220 gateway.example "), "{banner}");
    }
}

#[test]
fn a_socket_that_was_not_passed_is_told() {
    let folder = open_folder();
    let config = write(folder.path(), "systemd:smtp");
    let said = run(Command::new(program()).args(["run", "--config"]).arg(config));
    assert_eq!(said.status.code(), Some(1));
    let expected =
        "cannot listen on systemd:smtp (mx): no sockets were passed: LISTEN_FDS is not set";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
}

#[test]
fn a_name_that_was_not_passed_is_told_with_those_that_were() {
    let Some([activate, python]) = need(["systemd-socket-activate", "python3"]) else { return };
    let folder = open_folder();
    let (config, ip) = (write(folder.path(), "systemd:smtp"), free_address());
    // It starts the gateway at the first connection, and ends with it.
    let knock = "import socket, sys, time\nfor _ in range(600):\n  try:\n    \
        socket.create_connection((sys.argv[1], int(sys.argv[2])))\n    break\n  \
        except OSError:\n    time.sleep(0.05)";
    let _knocking = Process::start(Command::new(python).args([
        "-c",
        knock,
        "127.0.0.1",
        &ip.port().to_string(),
    ]));
    let said = run(Command::new(activate)
        .args(["--listen", &ip.to_string(), "--fdname=lmtp"])
        .arg(program())
        .args(["run", "--config"])
        .arg(config));
    assert!(said.stderr.contains("no such socket was passed, but \"lmtp\""), "{}", said.stderr);
}

#[test]
fn systemd_is_told_when_it_is_ready_reloads_and_stops() {
    let folder = open_folder();
    let path = folder.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(portcullis_tests::PATIENCE)).unwrap();
    let config = write(folder.path(), &free_address().to_string());
    let mut command = Command::new(program());
    command.args(["run", "--config"]).arg(config).env("NOTIFY_SOCKET", &path);
    let process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
    let hear = || {
        let mut text = [0; 100];
        let count = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..count]).into_owned()
    };
    assert_eq!(hear().trim(), "READY=1\nSTATUS=serving");
    process.signal("HUP");
    let reloading = hear();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(hear().trim(), "READY=1\nSTATUS=serving");
    process.signal("TERM");
    assert!(hear().starts_with("STOPPING=1\nSTATUS=draining"));
}

#[test]
fn the_units_of_systemd_are_well_formed() {
    let Some([analyze]) = need(["systemd-analyze"]) else { return };
    let folder = open_folder();
    for unit in ["portcullis.service", "portcullis.socket"] {
        let text = fs::read_to_string(repository().join("config/systemd").join(unit)).unwrap();
        let text = text.replace("/usr/bin/portcullis", &program().display().to_string());
        fs::write(folder.path().join(unit), text).unwrap();
    }
    let mut verify = Command::new(analyze);
    verify.arg("verify").args(["--man=no"]).arg(folder.path().join("portcullis.service"));
    let said = run(verify.arg(folder.path().join("portcullis.socket"))).expect_success();
    // What it does not know it only warns of.
    let ours: Vec<_> = said.stderr.lines().filter(|line| line.contains("portcullis")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}

/// A configuration with one listener.
fn write(folder: &Path, address: &str) -> std::path::PathBuf {
    let config: Value = json!({
        "hostname": "gateway.example",
        "listeners": [{ "name": "mx", "address": address }],
        "upstreams": { "store": { "address": "127.0.0.1:9" } },
        "default_upstream": "store",
        "admin": { "address": "none" },
    });
    let file = folder.join("portcullis.yaml");
    fs::write(&file, config.to_string()).expect("a folder takes a file");
    file
}
