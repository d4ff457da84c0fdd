//! The plugin as operators configure it and messages meet it.

use portcullis_plugin::dns::{Answer, Kind};
use portcullis_plugin::testing::{answer_dns, configure, settings_in, subscribed};
use portcullis_plugin::{Hook, Message, Plugin, Question, Session, Transaction, Verdict};
use uribl::Uribl;

fn uribl(yaml: &str) -> Result<Uribl, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

fn listed(name: &str, answer: &str) {
    answer_dns(name, Kind::A, Answer::Records(vec![answer.to_owned()]));
}

fn ask(plugin: &mut Uribl, message: &Message) -> (Verdict, Vec<(String, f64)>) {
    let transaction = Transaction::fake();
    let verdict = plugin.ask(Question::Message(&Session::fake(), &transaction, message));
    (verdict, transaction.scores())
}

fn scored(symbol: &str, points: f64) -> (String, f64) {
    (symbol.to_owned(), points)
}

#[test]
fn what_the_readme_shows_is_right() {
    let plugin = uribl(settings_in(include_str!("../README.md"))).unwrap();
    assert_eq!(subscribed(&plugin), [Hook::Message]);
}

#[test]
fn links_of_texts_and_html_are_asked_about() {
    listed("spam.com.dbl.spamhaus.org", "127.0.1.2");
    listed("phish.net.dbl.spamhaus.org", "127.0.1.4");
    listed("1.2.0.192.bl.example", "127.0.0.2");
    let mut plugin = uribl("lists: [dbl.spamhaus.org, {zone: bl.example, of: [address]}]").unwrap();
    for (kind, content, edits) in [
        ("text/plain", "buy at http://www.spam.com/x", vec![scored("URIBL_DBL", 5.0)]),
        ("text/html", "<a href=https://phish.net>x", vec![scored("URIBL_DBL", 6.0)]),
        (
            "text/html",
            "<a href=http://spam.com><form action=//phish.net><a href=http://0xc0000201/>",
            vec![scored("URIBL_DBL", 6.0), scored("URIBL_BL_EXAMPLE", 3.0)],
        ),
        ("text/plain", "http://good.com and spam.com", vec![]),
        ("application/octet-stream", "http://spam.com", vec![]),
    ] {
        let message = Message::fake("\n").with_part(kind, None, content.as_bytes());
        assert_eq!(ask(&mut plugin, &message), (Verdict::Next, edits), "{content}");
    }
}

#[test]
fn only_so_much_is_looked_at() {
    listed("spam.com.dbl.spamhaus.org", "127.0.1.2");
    let mut plugin = uribl("{lists: [dbl.spamhaus.org], bytes: 100}").unwrap();
    let text = format!("{}http://spam.com", " ".repeat(100));
    let message = Message::fake("\n").with_part("text/plain", None, text.as_bytes());
    assert_eq!(ask(&mut plugin, &message), (Verdict::Next, vec![]));
}

#[test]
fn a_refusal_names_domain_list_and_reason() {
    listed("spam.com.dbl.spamhaus.org", "127.0.1.2");
    let mut plugin = uribl("{lists: [dbl.spamhaus.org], refuse: {score: 5}}").unwrap();
    let message = Message::fake("\n").with_part("text/plain", None, b"http://spam.com");
    let text =
        "this message leads to spam.com, which is listed by dbl.spamhaus.org: a domain of spam";
    assert_eq!(ask(&mut plugin, &message).0, Verdict::reject(550, "5.7.1", text));
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (yaml, mistake) in [
        ("{}", "missing field `lists`"),
        ("lists: []", "lists: name the lists to ask"),
        ("lists: [{zone: a.b, of: [client]}]", "lists[0].of[0]: unknown variant `client`"),
        ("{lists: [a.b, c.d], domains: 51}", "domains: from 1 to 50 with 2 lists"),
        ("{lists: [a.b], bytes: 0}", "bytes: from 1 to"),
        ("{lists: [a.b], on_error: defer}", "on_error: `defer` is a refusal; say `refuse`, too"),
        (
            "{lists: [a.b], refuse: {score: 1, reply: '550 {client}'}}",
            "refuse.reply: in braces stands one of subject, list, reason",
        ),
    ] {
        let said = uribl(yaml).unwrap_err();
        assert!(said.starts_with(mistake), "{yaml}: {said}");
    }
}
