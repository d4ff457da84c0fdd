//! A service over HTTP, asked by the plugin `webhook`: a real server, in Python, that checks what it is sent.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::need;
use portcullis_tests::{Gateway, Process, Reply, Running, Sink, Web};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Answers by the local part of the last recipient; a wrong signature or token is a 401.
const SERVICE: &str = r#"
import hashlib, hmac, http.server, json, sys

class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        signed = "sha256=" + hmac.new(b"key", body, hashlib.sha256).hexdigest()
        if self.headers["X-Signature-256"] != signed or self.headers["Authorization"] != "Bearer token":
            return self.say(401, {})
        asked = json.loads(body)
        self.say(200, ANSWERS[asked["envelope"]["to"][-1]["address"].split("@")[0]](asked))

    def say(self, status, answer):
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass

def seen(asked):
    context, message = asked["context"], asked.get("message", {})
    facts = [context["stage"], context["client"]["ip"], context["client"]["helo"], asked["envelope"]["from"]["address"],
             dict(message.get("headers", [])).get("Subject"), message.get("contents", "").strip()]
    return {"action": "accept", "modifications": [{"type": "addHeader", "name": "X-Seen", "value": " ".join(map(str, facts))}]}

def change(asked):
    return {"action": "accept", "modifications": [
        {"type": "changeFrom", "value": "new@example.org"}, {"type": "addRecipient", "value": "more@example.com"},
        {"type": "deleteRecipient", "value": "change@example.com"}, {"type": "replaceContents", "value": "new\n"},
        {"type": "insertHeader", "index": 0, "name": "X-Top", "value": "1"},
        {"type": "changeHeader", "index": 1, "name": "Subject", "value": "changed"}, {"type": "unknown"}]}

ANSWERS = {
    "seen": seen, "change": change,
    "no": lambda _: {"action": "reject", "response": {"status": 554, "enhancedStatus": "5.6.0", "message": "not\r\n250 this"}},
    "later": lambda _: {"action": "reject", "response": {"status": 451}},
    "end": lambda _: {"action": "reject", "response": {"disconnect": True}},
    "gone": lambda _: {"action": "discard"},
    "odd": lambda _: {"action": "explode"},
}

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Service)
server.serve_forever()
"#;

struct Service {
    address: SocketAddr,
    _folder: TempDir,
    _process: Process,
}

impl Service {
    fn start() -> Option<Self> {
        let [python] = need(["python3"])?;
        let address = portcullis_tests::free_address();
        let folder = tempfile::tempdir().expect("a folder can be made");
        let file = folder.path().join("service.py");
        fs::write(&file, SERVICE).expect("a new folder takes a file");
        let mut command = Command::new(python);
        command.arg(file).arg(address.port().to_string());
        let process = Process::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        portcullis_tests::wait_for("the service", || std::net::TcpStream::connect(address).ok());
        Some(Self { address, _folder: folder, _process: process })
    }

    fn url(&self) -> String {
        format!("http://{}/mail", self.address)
    }
}

fn hooking(sink: &Sink, url: &str, more: Value) -> Gateway {
    let origin = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
    let mut settings =
        json!({ "url": url, "secret": "key", "authorization": "Bearer token", "timeout": "10s" });
    for (name, value) in more.as_object().expect("settings") {
        settings[name] = value.clone();
    }
    Gateway::before(sink).plugin(json!({
        "name": "webhook",
        "file": plugin("webhook"),
        "settings": settings,
        "grants": ["rewrite-headers", "rewrite-envelope", "rewrite-body", { "http": [origin] }],
        "time_limit": "20s",
    }))
}

fn send(gateway: &Running, to: &str) -> Reply {
    let to = format!("{to}@example.com");
    gateway
        .client()
        .deliver("a@example.org", &[&to], b"Subject: t\r\n\r\nhello\r\n")
        .expect("an answer")
}

#[test]
fn a_real_service_sees_the_mail_and_decides() {
    let Some(service) = Service::start() else { return };
    let sink = Sink::smtp();
    let gateway = hooking(&sink, &service.url(), json!({})).start();
    let reply = send(&gateway, "no").expect_code(554);
    assert!(reply.text().starts_with("5.6.0 not  250 this ["), "{reply}");
    send(&gateway, "later").expect_code(451);
    send(&gateway, "end").expect_code(550);
    send(&gateway, "gone").expect_code(250);
    assert!(sink.letters().is_empty());
    send(&gateway, "seen").expect_code(250);
    let text = sink.only_letter().text();
    let seen = "X-Seen: data 127.0.0.1 client.example a@example.org t hello\r\n";
    assert!(text.contains(seen), "{text}");
}

#[test]
fn a_real_service_changes_the_mail() {
    let Some(service) = Service::start() else { return };
    let sink = Sink::smtp();
    let gateway = hooking(&sink, &service.url(), json!({})).start();
    send(&gateway, "change").expect_code(250);
    let letter = sink.only_letter();
    assert_eq!(
        (&*letter.sender, &letter.recipients[..]),
        ("new@example.org", &["more@example.com".to_owned()][..])
    );
    assert_eq!(letter.without_received(), b"X-Top: 1\r\nSubject: changed\r\n\r\nnew\r\n");
    let refused = [("result", "refused")];
    gateway.wait_for_metric("portcullis_plugin_webhook_modifications_total", &refused, 1.0);
}

#[test]
fn recipients_are_asked_about_one_by_one() {
    let Some(service) = Service::start() else { return };
    let sink = Sink::smtp();
    let gateway = hooking(&sink, &service.url(), json!({ "stages": ["rcpt"] })).start();
    let mut client = gateway.client();
    client.command("MAIL FROM:<a@example.org>").expect_code(250);
    client.command("RCPT TO:<no@example.com>").expect_code(554);
    client.command("RCPT TO:<seen@example.com>").expect_code(250);
    client.command("RCPT TO:<later@example.com>").expect_code(451);
}

#[test]
fn a_service_that_is_slow_dead_or_lies_is_done_without() {
    let Some(service) = Service::start() else { return };
    let (web, sink) = (Web::start(), Sink::smtp());
    let dead = format!("http://{}/", portcullis_tests::free_address());
    let wrong_key = json!({ "secret": "other" });
    let soon = json!({ "timeout": "1s" });
    let bad = ["/hang", "/trickle", "/garbage", "/huge", "/redirect", "/hello"];
    let bad = bad.map(|path| (web.url(path), soon.clone()));
    let cases = [(dead, soon.clone()), (service.url(), wrong_key)].into_iter().chain(bad);
    for (count, (url, mut settings)) in cases.enumerate() {
        let passing = hooking(&sink, &url, settings.clone()).start();
        send(&passing, "no").expect_code(250);
        assert_eq!(sink.letters().len(), count + 1, "{url}");
        settings["on_error"] = "defer".into();
        send(&hooking(&sink, &url, settings).start(), "no").expect_code(451);
    }
    let deferring = hooking(&sink, &service.url(), json!({ "on_error": "defer" })).start();
    send(&deferring, "odd").expect_code(451);
}
