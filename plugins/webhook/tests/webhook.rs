//! The plugin as operators configure it and services answer it.

use portcullis_plugin::http::{HttpError, Response};
use portcullis_plugin::testing::{
    Edit, Grant, answer_http, configure, counted, logged, requested, settings_in, subscribed,
};
use portcullis_plugin::{
    Hook, Message, Plugin, Question, Recipient, Session, Transaction, Verdict,
};
use serde_json::{Value, json};
use webhook::Webhook;

const URL: &str = "http://hooks.example/mail";
const MAIL: &str = "Subject: t\nX-A: 1\nX-A: 2;\n\tmore\n\nx\n";

fn webhook(yaml: &str) -> Result<Webhook, String> {
    let mut settings: Value = serde_yaml::from_str(yaml).expect("YAML");
    if settings.get("url").is_none() {
        settings["url"] = URL.into();
    }
    configure(&settings)
}

fn says(answer: &Value) {
    let body = answer.to_string().into_bytes();
    answer_http(URL, Ok(Response { status: 200, headers: Vec::new(), body }));
}

fn stranger() -> Session {
    Session::fake().with_client("192.0.2.1").with_helo("c.example")
}

fn transaction() -> Transaction {
    Transaction::fake()
        .with_recipient("a@a.example")
        .with_recipient("b@b.example")
        .with_grant(Grant::RewriteEnvelope)
}

fn message() -> Message {
    Message::fake(MAIL).with_grant(Grant::RewriteHeaders).with_grant(Grant::RewriteBody)
}

fn ask(yaml: &str, transaction: &Transaction, message: &Message) -> Verdict {
    let mut plugin = webhook(yaml).expect("settings");
    plugin.ask(Question::Message(&stranger(), transaction, message))
}

fn verdict(answer: &Value) -> Verdict {
    says(answer);
    ask("{}", &transaction(), &message())
}

#[test]
fn the_request_has_the_form_that_services_know() {
    says(&json!({"action": "accept"}));
    let session = stranger().with_user("ann").with_client_name("c.example");
    let transaction = transaction().with_parameter("SIZE", Some("7"));
    let yaml = "{exempt: {authenticated: false}, server_name: mx.example}";
    webhook(yaml).unwrap().ask(Question::Message(&session, &transaction, &message()));
    let mut body: Value = serde_json::from_slice(&requested()[0].body).unwrap();
    for unknown in [
        "/context/client/port",
        "/context/sasl/method",
        "/context/queue/id",
        "/context/server/listener",
    ] {
        *body.pointer_mut(unknown).expect(unknown) = Value::Null;
    }
    assert_eq!(
        body,
        json!({
            "context": {
                "stage": "data",
                "client": {"ip": "192.0.2.1", "port": null, "ptr": "c.example", "helo": "c.example", "activeConnections": 1},
                "sasl": {"login": "ann", "method": null},
                "server": {"name": "mx.example", "port": 0, "listener": null},
                "queue": {"id": null},
                "protocol": {"version": 1},
            },
            "envelope": {
                "from": {"address": "sender@example.org", "parameters": {"size": "7"}},
                "to": [{"address": "a@a.example", "parameters": null}, {"address": "b@b.example", "parameters": null}],
            },
            "message": {
                "headers": [["Subject", "t"], ["X-A", "1"], ["X-A", "2;\tmore"]],
                "serverHeaders": [],
                "contents": "x\r\n",
                "size": MAIL.replace('\n', "\r\n").len(),
                "truncated": false,
            },
        })
    );
}

#[test]
fn only_the_stages_that_are_wanted_are_asked() {
    assert_eq!(subscribed(&webhook("{}").unwrap()), [Hook::Message]);
    let yaml = "stages: [connect, ehlo, mail, rcpt, headers]";
    let mut plugin = webhook(yaml).unwrap();
    let hooks = subscribed(&plugin);
    assert_eq!(hooks, [Hook::Connect, Hook::Helo, Hook::Mail, Hook::Rcpt, Hook::Headers]);
    says(&json!({"action": "reject", "response": {"status": 451, "message": "no"}}));
    let (session, transaction) = (stranger(), Transaction::fake());
    let no = Verdict::defer(451, "4.7.1", "no");
    let recipient = Recipient::fake("r@r.example");
    for question in [
        Question::Connect(&session),
        Question::Helo(&session, "new.example"),
        Question::Mail(&session, &transaction),
        Question::Rcpt(&session, &transaction, &recipient),
        Question::Headers(&session, &transaction, &message()),
    ] {
        assert_eq!(plugin.ask(question), no);
    }
    let bodies: Vec<Value> =
        requested().iter().map(|request| serde_json::from_slice(&request.body).unwrap()).collect();
    assert!(bodies[0].get("envelope").is_none() && bodies[0]["context"].get("queue").is_none());
    assert_eq!(bodies[1]["context"]["client"]["helo"], "new.example");
    assert_eq!(bodies[2]["envelope"]["to"], json!([]));
    assert_eq!(bodies[3]["envelope"]["to"][0]["address"], "r@r.example");
    assert_eq!(bodies[4]["message"]["contents"], "");
    assert_eq!(bodies[4]["message"]["truncated"], true);
}

#[test]
fn contents_are_bounded() {
    says(&json!({"action": "accept"}));
    let sent = |yaml: &str, body: &[u8]| {
        let mail = [b"Subject: t\r\n\r\n", body].concat();
        ask(yaml, &transaction(), &Message::fake(mail));
        let body = requested().pop().unwrap().body;
        assert!(body.len() <= 1 << 20);
        let mut body: Value = serde_json::from_slice(&body).unwrap();
        (body["message"]["contents"].take(), body["message"]["truncated"] == true)
    };
    assert_eq!(sent("contents: 3", b"abcdef\r\n"), ("abc".into(), true));
    assert_eq!(sent("contents: 8", b"abcdef\r\n"), ("abcdef\r\n".into(), false));
    assert_eq!(sent("contents: 0", b"abcdef\r\n"), ("".into(), true));
    assert_eq!(sent("{}", b"\xff\r\n").0, "\u{fffd}\r\n");
    // Each of these is six octets in JSON.
    assert_eq!(sent("contents: 524288", &[1; 500_000]), ("".into(), true));
}

#[test]
fn a_request_is_signed() {
    says(&json!({"action": "accept"}));
    let yaml = "{secret: \"key\\n\", authorization: Bearer x, headers: {X-Tenant: t}}";
    ask(yaml, &transaction(), &message());
    assert!(!format!("{:?}", webhook(yaml).unwrap()).contains("Bearer"));
    let request = requested().pop().unwrap();
    let header = |wanted: &str| {
        let found = request.headers.iter().find(|(name, _)| name == wanted);
        String::from_utf8(found.expect(wanted).1.clone()).unwrap()
    };
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::Mac>::new_from_slice(b"key").unwrap();
    hmac::Mac::update(&mut mac, &request.body);
    let expected: String =
        hmac::Mac::finalize(mac).into_bytes().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(header("X-Signature-256"), format!("sha256={expected}"));
    assert_eq!(header("Authorization"), "Bearer x");
    assert_eq!(header("X-Tenant"), "t");
    assert_eq!(header("Content-Type"), "application/json");
}

#[test]
fn answers_are_verdicts() {
    let reject = |response: Value| verdict(&json!({"action": "reject", "response": response}));
    assert_eq!(verdict(&json!({"action": "accept"})), Verdict::Next);
    assert_eq!(
        verdict(&json!({"action": "accept", "response": null, "modifications": null})),
        Verdict::Next
    );
    assert_eq!(verdict(&json!({"action": "discard"})), Verdict::discard("the service says so"));
    assert_eq!(
        verdict(&json!({"action": "quarantine"})),
        Verdict::quarantine("the service says so")
    );
    assert_eq!(reject(Value::Null), Verdict::reject(550, "5.7.1", "refused by policy"));
    assert_eq!(
        reject(json!({"status": 554, "enhancedStatus": "5.6.0", "message": "no"})),
        Verdict::reject(554, "5.6.0", "no")
    );
    assert_eq!(
        reject(json!({"status": 450, "enhancedStatus": "5.6.0"})),
        Verdict::defer(450, "4.7.1", "refused by policy")
    );
    assert_eq!(
        reject(json!({"status": 250, "message": "ok\r\n250 more\u{e9}"})),
        Verdict::reject(550, "5.7.1", "ok  250 more?")
    );
    assert_eq!(
        reject(json!({"status": 550, "disconnect": true})),
        Verdict::disconnect(550, "5.7.1", "refused by policy")
    );
    assert_eq!(
        reject(json!({"status": 421})),
        Verdict::disconnect(421, "4.7.1", "refused by policy")
    );
}

#[test]
fn what_cannot_be_at_a_stage_is_no_answer() {
    let mut plugin = webhook("{stages: [connect, rcpt], on_error: defer}").unwrap();
    for action in ["discard", "quarantine"] {
        says(&json!({ "action": action }));
        assert!(
            matches!(plugin.ask(Question::Connect(&stranger())), Verdict::Defer(_)),
            "{action}"
        );
    }
    let (transaction, recipient) = (Transaction::fake(), Recipient::fake("r@r.example"));
    let verdict = plugin.ask(Question::Rcpt(&stranger(), &transaction, &recipient));
    assert!(matches!(verdict, Verdict::Defer(_)));
}

#[test]
fn modifications_are_made_under_their_grants() {
    says(&json!({"action": "accept", "scores": {"OURS": 2.5, "bad name": 1}, "modifications": [
        {"type": "changeFrom", "value": "new@example.com", "parameters": {"size": "1"}},
        {"type": "addRecipient", "value": "<tom@example.com>", "parameters": null},
        {"type": "deleteRecipient", "value": "B@b.example"},
        {"type": "deleteRecipient", "value": "nobody@b.example"},
        {"type": "replaceContents", "value": "new\nbody\r\n"},
        {"type": "addHeader", "name": "X-End", "value": "No"},
        {"type": "insertHeader", "index": 1, "name": "X-In", "value": "a\r\nBcc: x"},
        {"type": "changeHeader", "index": 2, "name": "x-a", "value": "3"},
        {"type": "deleteHeader", "index": 1, "name": "X-A"},
        {"type": "insertHeader", "index": 0, "name": "Bad Name", "value": ""},
        {"type": "somethingNew"},
        7,
    ]}));
    let (transaction, message) = (transaction(), message());
    assert_eq!(ask("{}", &transaction, &message), Verdict::Next);
    let edits = transaction.edits();
    assert!(edits.contains(&Edit::SetSender(Some("new@example.com".to_owned()))), "{edits:?}");
    assert!(edits.contains(&Edit::AddRecipient("tom@example.com".to_owned())), "{edits:?}");
    assert!(edits.contains(&Edit::DropRecipient(1)), "{edits:?}");
    assert_eq!(transaction.scores(), [("OURS".to_owned(), 2.5)]);
    assert_eq!(
        message.edited_text().replace("\r\n", "\n"),
        "Subject: t\nX-In: a\n\tBcc: x\nX-A: 3\nX-End: No\n\nnew\nbody\n"
    );
    assert_eq!(
        (counted("modifications", Some("done")), counted("modifications", Some("refused"))),
        (8, 4)
    );
    let bare = Message::fake(MAIL);
    assert_eq!(ask("{}", &Transaction::fake(), &bare), Verdict::Next);
    assert_eq!(bare.edited_text().replace("\r\n", "\n"), MAIL);
}

#[test]
fn without_an_answer_the_settings_decide() {
    let ok = |body: &str| {
        Ok(Response { status: 200, headers: Vec::new(), body: body.as_bytes().to_vec() })
    };
    let status = |status| {
        Ok(Response { status, headers: Vec::new(), body: b"{\"action\": \"reject\"}".to_vec() })
    };
    for answer in [
        Err(HttpError::TimedOut),
        Err(HttpError::Unavailable("refused".to_owned())),
        Err(HttpError::TooLarge),
        status(500),
        status(302),
        ok(""),
        ok("{}"),
        ok("[]"),
        ok(r#"{"action": "explode"}"#),
        ok(r#"{"action": "reject", "response": {"status": "550"}}"#),
        ok(&"[".repeat(100_000)),
    ] {
        answer_http(URL, answer);
        let (transaction, message) = (transaction(), message());
        assert_eq!(ask("{}", &transaction, &message), Verdict::Next);
        assert_eq!(transaction.scores(), []);
        assert!(matches!(ask("on_error: defer", &transaction, &message), Verdict::Defer(_)));
        assert_eq!(ask("on_error: score", &transaction, &message), Verdict::Next);
        assert_eq!(transaction.scores(), [("WEBHOOK_UNAVAILABLE".to_owned(), 1.0)]);
    }
    assert_eq!(counted("failures", Some("not_understood")), 18);
    assert!(!logged().concat().contains("explode"));
}

#[test]
fn some_are_left_alone() {
    let mut plugin = webhook("exempt: {clients: [192.0.2.9], recipients: [postmaster@]}").unwrap();
    let message = message();
    for (session, transaction) in [
        (stranger().with_user("ann"), transaction()),
        (Session::fake().with_client("192.0.2.9"), transaction()),
        (stranger(), Transaction::fake().with_recipient("postmaster@a.example")),
    ] {
        let verdict = plugin.ask(Question::Message(&session, &transaction, &message));
        assert_eq!(verdict, Verdict::Next);
    }
    assert_eq!(requested().len(), 0);
}

#[test]
fn mistakes_of_the_operator_are_told() {
    for (yaml, mistake) in [
        ("url: hooks.example", "url: as in"),
        ("url: \"http://a b\"", "url: as in"),
        ("stages: []", "stages: name at least one"),
        ("stages: [auth]", "stages[0]: unknown variant"),
        ("contents: 600000", "contents: at most 524288"),
        ("timeout: 2m", "timeout: from"),
        ("secret: \"\"", "secret: is empty"),
        ("headers: {\"a b\": c}", "headers and authorization"),
        ("authorization: \"a\\nb\"", "headers and authorization"),
        ("error_score: -1", "error_score: from 0"),
        ("hooks: x", "hooks: unknown field"),
    ] {
        let told = webhook(yaml).expect_err(yaml);
        assert!(told.starts_with(mistake), "{yaml}: {told}");
    }
    assert_eq!(configure::<Webhook>(&json!({})).unwrap_err(), "missing field `url`");
}

#[test]
#[should_panic(expected = "the origin of url is not granted")]
fn a_missing_grant_is_a_failure() {
    ask("{}", &transaction(), &message());
}

#[test]
fn the_readme_shows_what_works() {
    let readme = include_str!("../README.md");
    webhook(settings_in(readme)).unwrap();
}
