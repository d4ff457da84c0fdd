//! Real mails, made by Python's email package and sent by its SMTP client, before the plugins that judge
//! attachments and header fields.

use std::path::Path;
use std::process::Command;

use portcullis_tests::gateway::plugin;
use portcullis_tests::peers::need;
use portcullis_tests::process::run;
use portcullis_tests::{Gateway, Sink, repository};
use serde_json::{Value, json};

/// Sends mails with attachments and prints what was said to each: a code, and the text.
const SENDER: &str = r#"
import io, json, os, pathlib, smtplib, sys, zipfile
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

port, samples = int(sys.argv[1]), pathlib.Path(sys.argv[2])

def mail(name, content=b"", kind="application/octet-stream", **fields):
    message = EmailMessage()
    message["From"], message["To"] = "Ann <a@example.org>", "b@example.com"
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="example.org")
    message["Subject"] = "files"
    for field, value in fields.items():
        del message[field]
        message[field.replace("_", "-")] = value
    message.set_content("see there\n")
    if name:
        main, sub = kind.split("/")
        message.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return message

def zipped(name, content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", "text")
        archive.writestr(name, content)
    return file.getvalue()

sample = lambda name: (samples / name).read_bytes()
program = b"MZ" + bytes(300)
forwarded = EmailMessage()
forwarded["Subject"] = "Fwd"
forwarded.set_content("look\n")
forwarded.add_attachment(mail("inner.exe", program))
mails = {
    "text": mail(None),
    "pdf": mail("report.pdf", b"%PDF-1.7\n", "application/pdf"),
    "zip": mail("files.zip", zipped("minutes.txt", "text"), "application/zip"),
    "docx": mail("letter.docx", sample("clean.docx")),
    "program": mail("setup.exe", program),
    "lying": mail("holiday.jpg", program, "image/jpeg"),
    "umlauts": mail("Rechnung f\u00fcr M\u00fcller.pdf.exe", b"x"),
    "zipped": mail("files.zip", zipped("Setup.EXE", program), "application/zip"),
    "forwarded": forwarded,
    "7z": mail("files.7z", sample("plain.7z")),
    "rar": mail("files.rar", sample("rar5-encrypted.rar")),
    "docm": mail("letter.docm", sample("macros.docm")),
    "large": mail("files.zip", zipped("noise.bin", os.urandom(300_000)), "application/zip"),
    "subject": mail(None, Subject="Billige Uhren f\u00fcr \u00fcbermorgen"),
    "posing": mail(None, From='"boss@example.com" <x@evil.example>'),
}
said = {}
with smtplib.SMTP("127.0.0.1", port) as client:
    for name, message in mails.items():
        try:
            client.send_message(message, "a@example.org", ["b@example.com"])
            said[name] = "250"
        except smtplib.SMTPDataError as error:
            said[name] = f"{error.smtp_code} {error.smtp_error.decode()}"
print(json.dumps(said))
"#;

fn samples() -> std::path::PathBuf {
    repository().join("plugins/content/tests/samples")
}

fn send(python: &Path, port: u16) -> Value {
    let mut command = Command::new(python);
    command.args(["-c", SENDER, &port.to_string()]).arg(samples());
    let said = run(&mut command);
    assert!(said.status.success(), "{}", said.stderr);
    serde_json::from_str(&said.stdout).expect("JSON")
}

#[test]
fn real_mails_are_refused_scored_or_let_be() {
    let Some([python]) = need(["python3"]) else { return };
    let sink = Sink::smtp();
    let rules = json!([
        { "header": "Subject", "contains": "f\u{fc}r \u{fc}bermorgen", "decoded": true, "refuse": "550 5.7.1 no watches" },
        { "header": "From", "poses_as": ["example.com"], "score": 3, "symbol": "POSES_AS_US" },
    ]);
    let gateway = Gateway::new()
        .listener(
            "mx",
            json!({ "scores": { "add_header": 0.4, "reject": 10, "header": "X-Score" } }),
        )
        .upstream("store", "smtp", &sink.address().to_string())
        .plugin(
            json!({ "name": "headers", "file": plugin("headers"), "settings": { "rules": rules } }),
        )
        .plugin(json!({ "name": "content", "file": plugin("content"), "time_limit": "20s" }))
        .start();
    let said = send(&python, gateway.address("mx").port());
    for (mail, text) in [
        ("program", "the attachment \"setup.exe\" is a program"),
        ("lying", "the attachment \"holiday.jpg\" is a program"),
        ("umlauts", "the attachment \"Rechnung f?r M?ller.pdf.exe\" is a program"),
        ("zipped", "the attachment \"files.zip: Setup.EXE\" holds a program"),
        ("forwarded", "the attachment \"inner.exe\" is a program"),
        ("7z", "the attachment \"files.7z: Setup.exe\" holds a program"),
        ("subject", "no watches"),
    ] {
        let reply = said[mail].as_str().expect("a reply");
        assert!(reply.starts_with(&format!("550 5.7.1 {text} [")), "{mail}: {reply}");
    }
    let let_be = ["text", "pdf", "zip", "docx", "rar", "docm", "large", "posing"];
    for mail in let_be {
        assert_eq!(said[mail], "250", "{mail}");
    }
    let letters = sink.wait_for(let_be.len());
    let score = |place: usize| {
        let text = letters[place].text();
        let line = text.lines().find(|line| line.starts_with("X-Score: ")).unwrap_or_default();
        line.trim_start_matches("X-Score: ").to_owned()
    };
    let scores: Vec<_> = (0..letters.len()).map(score).collect();
    assert_eq!(scores[..4], [""; 4]);
    assert_eq!(scores[4], "2 ENCRYPTED_ARCHIVE=2");
    assert_eq!(scores[5], "2 OFFICE_MACROS=2");
    assert_eq!(scores[6], "");
    assert_eq!(scores[7], "3 POSES_AS_US=3");
}

/// What Python's email package makes of a mail: the structure, without defects.
const READER: &str = r#"
import email, email.policy, sys
message = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
for part in message.walk():
    assert not part.defects, part.defects
    if not part.is_multipart():
        print(part.get_content_type(), part.get_filename(), ascii(part.get_content())[:60])
"#;

#[test]
fn what_is_cut_out_leaves_a_mail_that_others_can_read() {
    let Some([python]) = need(["python3"]) else { return };
    let sink = Sink::smtp();
    let gateway = Gateway::before(&sink)
        .plugin(json!({
            "name": "content", "file": plugin("content"), "grants": ["rewrite-body", "rewrite-headers"],
            "time_limit": "20s",
            "settings": { "checks": { "program": "strip", "program_in_archive": "strip", "disguised": "off" } },
        }))
        .start();
    let said = send(&python, gateway.address("mx").port());
    let count = said.as_object().expect("replies").len();
    assert!(said.as_object().expect("replies").values().all(|reply| reply == "250"), "{said}");
    let notices =
        sink.wait_for(count).into_iter().filter(|letter| letter.text().contains("removed by"));
    let mut read = Vec::new();
    for letter in notices {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), letter.without_received()).expect("written");
        let said = run(Command::new(&python).args(["-c", READER]).arg(file.path()));
        assert!(said.status.success(), "{}{}", said.stderr, letter.text());
        assert!(said.stdout.contains("text/plain None '"), "{}", said.stdout);
        assert!(!letter.text().contains("TVoAAAAA"), "{}", letter.text());
        read.push(said.stdout);
    }
    assert_eq!(read.len(), 6, "{read:?}");
}
