//! Routes as the configuration says them.

use std::path::Path;

use portcullis_smtp::Mailbox;

use super::*;

/// A configuration with upstreams `one` to `five`, `default` as the default, and these routes.
pub(super) fn config(folder: &Path, routes: &str) -> Config {
    let text = format!(
        "hostname: gw.example
listeners:
  - {{name: mx, address: \"127.0.0.1:25\", auth: {{mechanisms: [plain], users: users}}}}
  - {{name: other, address: \"127.0.0.1:26\"}}
upstreams:
  one: {{protocol: discard}}
  two: {{protocol: discard}}
  three: {{protocol: discard}}
  four: {{protocol: discard}}
  five: {{protocol: discard}}
  default: {{protocol: discard}}
default_upstream: default
routes:
{routes}"
    );
    std::fs::write(folder.join("users"), "").expect("a file");
    let text = text.replace("auth: {", "auth: {allow_insecure: true, ");
    let file = folder.join("test.yaml");
    config::parse(&file, text).unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn routes(routes: &str) -> Routes {
    let folder = tempfile::tempdir().expect("a folder");
    Routes::new(&config(folder.path(), routes))
}

/// What is asked, by whom.
#[derive(Clone, Debug)]
pub(super) struct Question {
    recipient: Recipient,
    sender: ReversePath,
    listener: &'static str,
    listener_upstream: Option<&'static str>,
    client: Option<IpAddr>,
    user: Option<&'static str>,
}

impl Question {
    pub(super) fn to(address: &str) -> Self {
        let recipient = Recipient {
            index: 0,
            address: Mailbox::parse(address).expect("a mailbox"),
            parameters: Vec::new(),
            route: None,
        };
        let sender = ReversePath::Null;
        Self {
            recipient,
            sender,
            listener: "mx",
            listener_upstream: None,
            client: None,
            user: None,
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            recipient: &self.recipient,
            sender: &self.sender,
            listener: self.listener,
            listener_upstream: self.listener_upstream,
            client: self.client,
            user: self.user,
        }
    }

    pub(super) fn upstream(&self, routes: &Routes) -> String {
        routes.way(&self.asked()).expect("there is a default").upstream.to_owned()
    }
}

#[test]
fn the_first_rule_that_fits_counts() {
    let routes = routes(
        "  - {domains: [a.example, gw.example], upstream: one}
  - {domains: [xn--bcher-kva.example, c.example], upstream: five}
  - {recipients: [.example, Boss@c.test], upstream: two}
  - {domains: [c.test], upstream: three}
  - {recipients: [.sub.test, \"@d.test\"], upstream: four}
",
    );
    for (address, want, why) in [
        ("x@a.example", "one", "a domain itself"),
        ("x@A.Example", "one", "in any case"),
        ("x@b.example", "two", "a name below a suffix"),
        ("x@d.b.example", "two", "any name below it"),
        ("x@c.example", "five", "it comes before the suffix"),
        ("boss@c.test", "two", "an address"),
        ("\"BOSS\"@C.test", "two", "however it is written"),
        ("boss+x@c.test", "three", "a detail makes another address"),
        ("x@c.test", "three", "others of that domain"),
        ("x@d.test", "four", "a domain as Postfix writes it"),
        ("x@sub.test", "default", "a suffix does not fit itself"),
        ("x@a.sub.test", "four", "another suffix"),
        ("x@notsub.test", "default", "a suffix begins at a label"),
        ("postmaster", "one", "the gateway's own postmaster"),
        ("x@[192.0.2.1]", "default", "an address literal"),
        ("x@B\u{fc}cher.example", "five", "a domain beyond ASCII, whatever its capitals"),
        ("x@XN--bcher-kva.example", "five", "the same as DNS has it"),
    ] {
        assert_eq!(Question::to(address).upstream(&routes), want, "{why}");
    }
}

#[test]
fn a_plugin_goes_before_routes_before_the_listener_before_the_default() {
    let some = routes("  - {domains: [a.example], upstream: one}\n");
    let all = routes(
        "  - {domains: [a.example], upstream: one}\n  - {domains: [\"*\"], upstream: two}\n",
    );
    let none = routes("  []\n");
    for (routes, address, route, listener, upstream, by) in [
        (&some, "x@a.example", Some("plugin"), Some("three"), "plugin", By::Plugin),
        (&some, "x@a.example", None, Some("three"), "one", By::Route(0, Some("a.example"), None)),
        (&some, "x@b.example", None, Some("three"), "three", By::Listener),
        (&some, "x@b.example", None, None, "default", By::Default),
        (&all, "x@a.example", None, Some("three"), "one", By::Route(0, Some("a.example"), None)),
        (&all, "x@b.example", None, Some("three"), "two", By::Route(1, Some("*"), None)),
        (&none, "x@b.example", None, Some("three"), "three", By::Listener),
        (&none, "x@b.example", None, None, "default", By::Default),
    ] {
        let mut question = Question::to(address);
        question.recipient.route = route.map(str::to_owned);
        question.listener_upstream = listener;
        assert_eq!(routes.way(&question.asked()), Some(Way { upstream, by }));
    }
}

#[test]
fn all_conditions_of_a_route_must_hold() {
    let routes = routes(
        "  - {senders: [\"<>\"], recipients: [a.example], upstream: one}
  - {senders: [boss@b.example, .c.example], upstream: two}
  - {clients: [192.0.2.0/24, \"2001:db8::/32\"], listeners: [mx], upstream: three}
  - {users: [alice], upstream: four}
  - {users: [\"*\"], senders: [\"*\"], upstream: five}
",
    );
    let question = Question { client: "198.51.100.1".parse().ok(), ..Question::to("x@a.example") };
    let from = |sender: &str| ReversePath::Mailbox(Mailbox::parse(sender).expect("a mailbox"));
    let client = |ip: &str| Some(ip.parse().expect("an address"));
    let asked = || question.clone();
    for (question, want, why) in [
        (asked(), "one", "a bounce"),
        (Question::to("x@b.example"), "default", "a bounce to somebody else"),
        (Question { sender: from("Boss@B.example"), ..asked() }, "two", "a sender"),
        (Question { sender: from("x@y.c.example"), ..asked() }, "two", "a sender below a suffix"),
        (Question { sender: from("x@c.example"), ..asked() }, "default", "not below it"),
        (
            Question { sender: from("x@x.test"), client: client("192.0.2.9"), ..asked() },
            "three",
            "a network",
        ),
        (
            Question { sender: from("x@x.test"), client: client("::ffff:192.0.2.9"), ..asked() },
            "three",
            "the same in the clothes of IPv6",
        ),
        (
            Question {
                sender: from("x@x.test"),
                client: client("192.0.2.9"),
                listener: "other",
                ..asked()
            },
            "default",
            "at another listener",
        ),
        (
            Question { sender: from("x@x.test"), client: None, ..asked() },
            "default",
            "no address is in no network",
        ),
        (Question { sender: from("x@x.test"), user: Some("alice"), ..asked() }, "four", "a user"),
        (Question { sender: from("x@x.test"), user: Some("bob"), ..asked() }, "five", "any user"),
        (
            Question { user: Some("bob"), ..Question::to("x@b.example") },
            "default",
            "the null path is no address",
        ),
    ] {
        assert_eq!(question.upstream(&routes), want, "{why}");
    }
}

#[test]
fn a_map_says_nothing_of_those_that_are_not_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("map"), "a.example two\nx@b.example three\n")
        .expect("a file");
    let text = "  - {recipients: [boss@a.example], upstream: one}
  - {map: map, listeners: [mx]}
  - {domains: [.example], upstream: four}
";
    let routes = Routes::new(&config(folder.path(), text));
    for (address, upstream, by) in [
        ("boss@a.example", "one", By::Route(0, Some("boss@a.example"), None)),
        ("x@a.example", "two", By::Route(1, Some("a.example"), Some(1))),
        ("x@b.example", "three", By::Route(1, Some("x@b.example"), Some(2))),
        ("y@b.example", "four", By::Route(2, Some(".example"), None)),
    ] {
        let question = Question::to(address);
        assert_eq!(routes.way(&question.asked()), Some(Way { upstream, by }), "{address}");
    }
    let other = Question { listener: "other", ..Question::to("x@a.example") };
    assert_eq!(other.upstream(&routes), "four");
}

#[test]
fn a_hundred_thousand_domains_are_looked_up_and_not_gone_through() {
    let folder = tempfile::tempdir().expect("a folder");
    let map: String = (0..100_000).map(|n| format!("d{n}.example one\n")).collect();
    std::fs::write(folder.path().join("map"), map).expect("a file");
    let routes = Routes::new(&config(folder.path(), "  - map: map\n"));
    let known: Vec<_> =
        (0..100).map(|n| Question::to(&format!("x@d{}.example", n * 997))).collect();
    let begun = std::time::Instant::now();
    for _ in 0..1000 {
        assert!(known.iter().all(|question| question.upstream(&routes) == "one"));
    }
    // Going through them would take hours.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}
