//! Who may ask at the admin interface, and what becomes of those who may not.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use portcullis_tests::metrics::get;
use portcullis_tests::peers::{Prometheus, need};
use portcullis_tests::process::{self, Finished};
use portcullis_tests::{
    Certificate, Gateway, PATIENCE, Running, Seed, Sink, free_address, wait_for,
};
use serde_json::{Value, json};

const READER: &str = "reader-6f1d0c9b5a";
const WRITER: &str = "writer-0e8d7c6b5a";

/// What curl says: the status, and the body.
fn curl(arguments: &[&str]) -> (String, String) {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "60", "-w", "\n%{http_code}"]).args(arguments);
    let Finished { stdout, stderr, .. } = process::run(&mut command);
    let (body, status) = stdout.rsplit_once('\n').unwrap_or_default();
    assert!(!status.is_empty(), "{stderr}");
    (status.to_owned(), body.to_owned())
}

fn status(arguments: &[&str]) -> String {
    curl(arguments).0
}

/// `portcullis` with these arguments.
fn portcullis(arguments: &[&str]) -> Finished {
    process::run(Command::new(portcullis_tests::gateway::program()).args(arguments))
}

fn token(folder: &Path, name: &str, secret: &str) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, format!("{secret}\n")).expect("a folder takes a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("it is ours");
    file
}

fn bearer(secret: &str) -> String {
    format!("Authorization: Bearer {secret}")
}

#[test]
fn health_is_for_everyone_and_tells_people_and_programs() {
    let Some(_) = need(["curl"]) else { return };
    let gateway = Gateway::before(&Sink::smtp()).start();
    let url = |path: &str| format!("http://{}{path}", gateway.admin);
    for (path, word) in [("/livez", "live"), ("/readyz", "ready"), ("/startupz", "started")] {
        let (status, text) = curl(&[&url(path)]);
        assert_eq!((&*status, text.lines().next()), ("200", Some(word)), "{path}");
        for arguments in [
            [&*url(path), "-HAccept: application/json"],
            [&url(&format!("{path}?format=json")), "-g"],
        ] {
            let (_, json) = curl(&arguments);
            let json: Value = serde_json::from_str(&json).unwrap();
            assert_eq!((&json["status"], &json["reasons"]), (&json!(word), &json!([])));
        }
    }
    assert!(gateway.is_healthy());
    let admin = gateway.admin.to_string();
    assert!(portcullis(&["healthcheck", "--live", "--admin", &admin]).status.success());
    let nobody = free_address().to_string();
    let silent = portcullis(&["healthcheck", "--admin", &nobody]);
    assert_eq!(silent.status.code(), Some(1));
    assert!(
        silent.stderr.contains(&format!("no gateway answers at {nobody}")),
        "{}",
        silent.stderr
    );
}

#[test]
fn names_that_were_made_to_mean_this_machine_and_pages_of_other_sites_see_nothing() {
    let Some(_) = need(["curl"]) else { return };
    let gateway = Gateway::before(&Sink::smtp())
        .set("admin", json!({"address": free_address().to_string(), "hosts": ["mx1.example"]}))
        .start();
    let (url, port) = (format!("http://{}/metrics", gateway.admin), gateway.admin.port());
    let with = |fields: &[&str]| {
        let mut arguments = vec![url.as_str()];
        fields.iter().for_each(|field| arguments.extend(["-H", field]));
        status(&arguments)
    };
    assert_eq!(with(&[]), "200");
    assert_eq!(with(&[&format!("Host: mx1.example:{port}")]), "200");
    assert_eq!(with(&["Host: gateway.example"]), "200");
    // DNS rebinding: the browser believes that it asks its own site.
    assert_eq!(with(&["Host: evil.example"]), "403");
    assert_eq!(with(&["Host:"]), "403");
    assert_eq!(with(&["Origin: https://evil.example"]), "403");
    assert_eq!(with(&["Sec-Fetch-Site: cross-site"]), "403");
    let url = format!("http://{}/api/reload", gateway.admin);
    let own = format!("Origin: http://{}", gateway.admin);
    for (field, meant, expected) in [
        ("Origin: https://evil.example", "Portcullis-Request: 1", "403"),
        ("Origin: null", "Portcullis-Request: 1", "403"),
        (&*own, "X-Other: 1", "403"),
        (&*own, "Portcullis-Request: 1", "200"),
    ] {
        assert_eq!(
            status(&["-XPOST", &url, "-H", field, "-H", meant]),
            expected,
            "{field} {meant}"
        );
    }
    gateway.wait_for_metric("portcullis_admin_refused_total", &[("reason", "host")], 2.0);
    gateway.wait_for_metric("portcullis_admin_refused_total", &[("reason", "unmeant")], 1.0);
    let (_, answer) = curl(&["-i", &format!("http://{}/livez", gateway.admin)]);
    for field in [
        "content-security-policy: default-src 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
    ] {
        assert!(answer.contains(field), "{field}: {answer}");
    }
    assert!(!answer.contains("access-control"), "{answer}");
}

fn guarded(folder: &Path) -> Running {
    let (reader, writer) = (token(folder, "reader", READER), token(folder, "writer", WRITER));
    Gateway::before(&Sink::smtp())
        .set(
            "admin",
            json!({
                "address": [free_address().to_string(), format!("unix:{}/admin.sock", folder.display())],
                "metrics": free_address().to_string(),
                "tokens": [
                    {"file": reader, "role": "reader"},
                    {"file": writer, "role": "writer"},
                ],
            }),
        )
        .start()
}

#[test]
fn who_has_a_token_may_ask_and_who_may_open_the_socket_too() {
    let Some(_) = need(["curl"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let gateway = guarded(folder.path());
    let (metrics, reload) = (
        format!("http://{}/metrics", gateway.admin),
        format!("http://{}/api/reload", gateway.admin),
    );
    assert_eq!(status(&[&metrics]), "401");
    assert_eq!(status(&["-H", &bearer(READER), &metrics]), "200");
    assert_eq!(status(&["-u", &format!("me:{READER}"), &metrics]), "200");
    assert_eq!(status(&["-H", &bearer("reader-6f1d0c9b5b"), &metrics]), "401");
    let meant = "Portcullis-Request: 1";
    assert_eq!(status(&["-XPOST", "-H", meant, "-H", &bearer(READER), &reload]), "403");
    assert_eq!(status(&["-XPOST", "-H", meant, "-H", &bearer(WRITER), &reload]), "200");

    let socket = folder.path().join("admin.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let socket = socket.display().to_string();
    assert_eq!(status(&["--unix-socket", &socket, "http://localhost/metrics"]), "200");
    let asked = portcullis(&["reload", "--admin", &format!("unix:{socket}")]);
    assert!(asked.status.success(), "{}", asked.stderr);

    let admin = gateway.admin.to_string();
    let nobody = portcullis(&["reload", "--admin", &admin]);
    assert!(nobody.stderr.contains("answers 401: this takes a token"), "{}", nobody.stderr);
    let file = folder.path().join("writer").display().to_string();
    let asked = portcullis(&["reload", "--admin", &admin, "--token-file", &file]);
    assert!(asked.status.success(), "{}", asked.stderr);
    assert!(gateway.is_healthy());
    let log = gateway.log.lines().join("\n");
    assert!(!log.contains(READER) && !log.contains(WRITER), "{log}");
}

#[test]
fn a_prometheus_scrapes_with_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = guarded(folder.path());
    let file = folder.path().join("reader");
    let settings = format!("authorization: {{credentials_file: {}}}, ", file.display());
    let Some(prometheus) = Prometheus::scraping_with(gateway.admin, &settings, &[]) else { return };
    wait_for("a scrape", || prometheus.query("portcullis_build_info").filter(|one| *one > 0.5));
    assert_eq!(prometheus.complaint().as_deref(), Some(""));
}

#[test]
fn at_the_addresses_for_metrics_there_is_nothing_else() {
    let Some(_) = need(["curl"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let gateway = guarded(folder.path());
    let config: Value =
        serde_json::from_slice(&fs::read(gateway.configuration()).unwrap()).unwrap();
    let address = config["admin"]["metrics"].as_str().unwrap();
    for (path, expected) in [
        ("/metrics", "200"),
        ("/readyz", "200"),
        ("/startupz", "200"),
        ("/", "404"),
        ("/api/spool", "404"),
        ("/api/reload", "404"),
    ] {
        assert_eq!(status(&[&format!("http://{address}{path}")]), expected, "{path}");
    }
    assert_eq!(status(&["-HHost: evil.example", &format!("http://{address}/metrics")]), "403");
}

/// Files of an authority, and of a client that it knows by this name.
fn authority(folder: &Path, name: &str) {
    let script = format!(
        "set -e; cd '{}'
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=authority \
             -days 2 -keyout ca.key -out ca.pem
         openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/O=Test/CN={name}' \
             -keyout {name}.key -out {name}.csr
         printf 'subjectAltName=DNS:{name}.example\\n' > extensions
         openssl x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
             -extfile extensions -out {name}.pem",
        folder.display()
    );
    let said = process::run(Command::new("sh").arg("-c").arg(script));
    assert!(said.status.success(), "{}", said.stderr);
}

#[test]
fn who_shows_a_certificate_may_ask() {
    let Some(_) = need(["curl", "openssl"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    authority(folder.path(), "ann");
    let own = Certificate::new();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let gateway = Gateway::before(&Sink::smtp())
        .set(
            "admin",
            json!({
                "address": free_address().to_string(),
                "tls": {
                    "certificate": own.certificate(),
                    "key": own.key(),
                    "clients": at("ca.pem"),
                    "writers": ["ann"],
                },
            }),
        )
        .start();
    let own = own.certificate().display().to_string();
    let url = |path: &str| format!("https://{}{path}", gateway.admin);
    let with = |arguments: &[&str]| status(&[&["--cacert", &own], arguments].concat());
    assert_eq!(with(&[&url("/readyz")]), "200");
    assert_eq!(with(&[&url("/metrics")]), "403");
    let (certificate, key) = (at("ann.pem"), at("ann.key"));
    let shown = ["--cert", &certificate, "--key", &key];
    assert_eq!(with(&[&shown[..], &[&url("/metrics")]].concat()), "200");
    let order = ["-XPOST", "-HPortcullis-Request: 1", &url("/api/reload")];
    assert_eq!(with(&[&shown[..], &order].concat()), "200");
    assert!(gateway.is_healthy(), "the certificate of the configuration is believed");
    // Clear text is no TLS.
    let mut stream = TcpStream::connect(gateway.admin).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
}

#[test]
fn what_is_no_http_does_no_harm() {
    let gateway = Gateway::before(&Sink::smtp()).start();
    let mut seed = Seed::new();
    let memory = || gateway.metrics().sum("process_resident_memory_bytes", &[]);
    let ask = |octets: &[u8]| {
        let mut stream = TcpStream::connect(gateway.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // It may have been refused before it was all sent.
        let _ = stream.write_all(octets);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    };
    for _ in 0..500 {
        ask(&malformed(&mut seed));
    }
    let before = memory();
    for _ in 0..9500 {
        ask(&malformed(&mut seed));
    }
    let grown = memory() - before;
    assert!(grown < 16.0 * 1024.0 * 1024.0, "{grown} octets more");
    let log = gateway.log.lines().join("\n");
    assert!(!log.contains("panicked"), "{log}");
    assert!(gateway.is_healthy());
}

/// A request with something wrong in it; or noise.
fn malformed(seed: &mut Seed) -> Vec<u8> {
    let mut below = |bound: usize| seed.below(bound as u64) as usize;
    let mut request = [
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /api/spool HTTP/1.1\r\nHost: localhost\r\nPortcullis-Request: 1\r\nContent-Length: 99\r\n\r\n{\"action\"",
        "POST /api/spool HTTP/1.1\r\nHost: localhost\r\nPortcullis-Request: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
        "GET /livez?format=%ff%&a=%4 HTTP/1.0\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic ====\r\n\r\n",
        "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ][below(7)]
    .as_bytes()
    .to_vec();
    for _ in 0..below(8) {
        let at = below(request.len());
        match below(4) {
            0 => request[at] = u8::try_from(below(256)).expect("it is below"),
            1 => request.truncate(at.max(1)),
            2 => request.insert(at, u8::try_from(below(256)).expect("it is below")),
            _ => {
                let piece = request[at..].to_vec();
                request.extend(piece);
                request.truncate(40_000);
            }
        }
    }
    request
}

#[test]
fn who_is_slow_is_shown_out() {
    let gateway = Gateway::before(&Sink::smtp()).start();
    let begun = Instant::now();
    let stream = |text: &str| {
        let mut stream = TcpStream::connect(gateway.admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let head = stream("GET /metrics HTTP/1.1\r\nHost: local");
    let body = stream(
        "POST /api/spool HTTP/1.1\r\nHost: localhost\r\nPortcullis-Request: 1\r\nContent-Length: 9\r\n\r\n{",
    );
    for mut slow in [head, body] {
        let _ = slow.read_to_end(&mut Vec::new());
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn a_reload_changes_who_may_ask_and_a_refused_one_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = guarded(folder.path());
    let Some(_) = need(["curl"]) else { return };
    let file = gateway.configuration();
    let config = fs::read_to_string(&file).unwrap();
    let metrics = format!("http://{}/metrics", gateway.admin);
    token(folder.path(), "reader", "another-reader-000");
    let reload = || portcullis(&["reload", "--config", &file.display().to_string()]);
    assert!(reload().status.success());
    assert_eq!(status(&["-H", &bearer(READER), &metrics]), "401");
    assert_eq!(status(&["-H", &bearer("another-reader-000"), &metrics]), "200");
    fs::write(&file, config.replace("\"hostname\"", "\"hostnam\"")).unwrap();
    assert_eq!(reload().status.code(), Some(2), "it is asked although the file has a mistake");
    let (_, ready) = curl(&[&format!("http://{}/readyz", gateway.admin)]);
    assert!(ready.starts_with("ready\nwarning: the last reload was refused"), "{ready}");
    fs::write(&file, config).unwrap();
    assert!(reload().status.success());
    let (_, ready) = curl(&[&format!("http://{}/readyz", gateway.admin)]);
    assert_eq!(ready, "ready\n");
}

#[test]
fn systemd_hears_that_all_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut gateway = Gateway::before(&Sink::smtp())
        .environment("NOTIFY_SOCKET", path)
        .environment("WATCHDOG_USEC", "600000".into())
        .start();
    let mut heard = Vec::new();
    let mut hear = || {
        let mut octets = [0; 1024];
        let length = socket.recv(&mut octets).expect("systemd would wait for it");
        heard.push(String::from_utf8_lossy(&octets[..length]).into_owned());
        heard.clone()
    };
    while hear().iter().filter(|said| said.contains("WATCHDOG=1")).count() < 5 {}
    assert!(hear().iter().any(|said| said.contains("READY=1") && said.contains("STATUS=serving")));
    gateway.process.signal("TERM");
    while !hear().iter().any(|said| said.contains("STOPPING=1")) {}
    gateway.process.wait();
}

#[test]
fn a_gateway_that_leaves_says_so_before_its_listeners_close() {
    let delay = Duration::from_secs(3);
    let mut gateway =
        Gateway::before(&Sink::smtp()).set("shutdown", json!({"drain_delay": "3s"})).start();
    gateway.process.signal("TERM");
    let ready = || get(gateway.admin, "/readyz").expect("it still answers");
    wait_for("readiness to be withdrawn", || (ready().0 == 503).then_some(()));
    let begun = Instant::now();
    assert!(ready().1.contains("draining"));
    drop(gateway.client());
    let address = gateway.address("mx");
    wait_for("the listener to close", || TcpStream::connect(address).err());
    let after = begun.elapsed();
    assert!(after > delay - Duration::from_millis(500), "{after:?}");
    gateway.process.wait();
}
