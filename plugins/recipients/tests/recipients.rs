//! The plugin as operators configure it and senders meet it.

use portcullis_plugin::testing::{
    Edit, Grant, answer_upstream, configure, fail_upstream, grant_store, set_unavailable,
    settings_in, subscribed, verified,
};
use portcullis_plugin::upstreams::UpstreamError;
use portcullis_plugin::{Hook, Plugin, Question, Recipient, Session, Transaction, Verdict};
use recipients::Recipients;

fn recipients(yaml: &str) -> Result<Recipients, String> {
    configure(&serde_yaml::from_str(yaml).expect("YAML"))
}

/// What the README shows is what works.
fn example() -> Recipients {
    let example = settings_in(include_str!("../README.md"));
    recipients(example).expect("the README's settings are right")
}

fn rcpt(plugin: &mut Recipients, address: &str) -> (Verdict, Vec<Edit>) {
    let transaction =
        Transaction::fake().with_grant(Grant::Route).with_grant(Grant::RewriteEnvelope);
    let to = Recipient::fake(address);
    let verdict = plugin.ask(Question::Rcpt(&Session::fake(), &transaction, &to));
    (verdict, transaction.edits())
}

fn route(upstream: &str) -> Edit {
    Edit::Route(upstream.to_owned(), Some(0))
}

#[test]
fn who_exists_is_accepted() {
    for address in [
        "anybody@example.com",
        "alice@example.net",
        "ALICE@Example.NET",
        "postmaster@example.net",
        "Postmaster@example.net",
        "Postmaster",
        "guest@elsewhere.example",
    ] {
        assert_eq!(rcpt(&mut example(), address), (Verdict::Next, vec![]), "{address}");
    }
}

#[test]
fn who_does_not_is_refused() {
    let unknown = Verdict::reject(550, "5.1.1", "no such recipient here");
    let relay = Verdict::reject(550, "5.7.1", "relaying denied");
    for (address, verdict) in [
        ("carol@example.net", &unknown),
        ("alice2@example.net", &unknown),
        ("+alice@example.net", &unknown),
        ("\"alice+a\"@example.net", &unknown),
        ("\"bob@example.com\"@example.net", &unknown),
        ("alice@lists.example.org", &relay),
        ("alice@notexample.com", &relay),
        ("alice@example.com@elsewhere.example", &relay),
        ("someone@elsewhere.example", &relay),
        ("postmaster@elsewhere.example", &relay),
        ("someone", &relay),
    ] {
        assert_eq!(rcpt(&mut example(), address), (verdict.clone(), vec![]), "{address}");
    }
}

#[test]
fn an_address_wins_over_its_domain() {
    let gone = Verdict::reject(550, "5.1.1", "no longer with us");
    let moved = Verdict::defer(450, "4.2.1", "mailbox is being moved");
    assert_eq!(rcpt(&mut example(), "Reject@example.com"), (gone.clone(), vec![]));
    assert_eq!(rcpt(&mut example(), "reject+again@example.com"), (gone, vec![]));
    assert_eq!(rcpt(&mut example(), "defer@example.com"), (moved, vec![]));
    assert_eq!(rcpt(&mut example(), "chief@example.com"), (Verdict::Next, vec![route("archive")]));
}

#[test]
fn domains_have_routes() {
    for (address, upstream) in [
        ("carol@example.org", "archive"),
        ("postmaster@example.org", "archive"),
        ("staff@one.lists.example.org", "lists"),
        ("staff@a.b.lists.example.org", "lists"),
    ] {
        assert_eq!(rcpt(&mut example(), address), (Verdict::Next, vec![route(upstream)]));
    }
}

#[test]
fn a_sub_address_is_taken_off() {
    let plain = |address: &str| vec![Edit::SetRecipient(0, address.to_owned())];
    for (address, edits) in [
        ("alice+shop@example.net", plain("alice@example.net")),
        ("Alice+a+b@Example.net", plain("Alice@Example.net")),
        ("carol+x@example.org", [vec![route("archive")], plain("carol@example.org")].concat()),
    ] {
        assert_eq!(rcpt(&mut example(), address), (Verdict::Next, edits), "{address}");
    }
}

#[test]
fn a_sub_address_stays_where_nothing_is_said_of_it() {
    let mut plugin = recipients("domains: { example.net: [alice] }").unwrap();
    assert_ne!(rcpt(&mut plugin, "alice+shop@example.net").0, Verdict::Next);
    let yaml = "{ domains: { example.net: [alice] }, subaddress: { separator: '+' } }";
    let mut plugin = recipients(yaml).unwrap();
    assert_eq!(rcpt(&mut plugin, "alice+shop@example.net"), (Verdict::Next, vec![]));
}

#[test]
fn refusals_can_be_said_otherwise() {
    let yaml =
        "{ domains: { example.net: [] }, unknown: 450 4.1.1 try tomorrow, relay_denied: 554 no }";
    let mut plugin = recipients(yaml).unwrap();
    let tomorrow = Verdict::defer(450, "4.1.1", "try tomorrow");
    assert_eq!(rcpt(&mut plugin, "alice@example.net").0, tomorrow);
    assert_eq!(rcpt(&mut plugin, "alice@example.com").0, Verdict::reject(554, "", "no"));
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (yaml, mistake) in [
        ("{}", "missing field `domains`"),
        (
            "domains: { a.example: all }",
            "domains.a.example: expected `any`, a list of local parts, or a mapping of `recipients`, `route`, `catch_all` and `verify`",
        ),
        (
            "domains: { a.example: { recipients: any, rout: b } }",
            "domains.a.example.rout: unknown field `rout`, expected one of `recipients`, `route`, `catch_all`, `verify`",
        ),
        ("domains: { '*': any }", "domains.*: not a domain or `.example.org`"),
        (
            "domains: { a.example: any, A.example: any }",
            "domains.a.example: this domain is there twice",
        ),
        ("domains: { a.example: [b@c] }", "domains.a.example: `b@c` is not a local part"),
        ("{ domains: {}, addresses: { b: accept } }", "addresses.b: not an address"),
        (
            "{ domains: {}, addresses: { b@c.example: 550 4.1.1 no } }",
            "addresses.b@c.example: the first digits of code and status differ in `550 4.1.1 no`",
        ),
        (
            "{ domains: {}, addresses: { postmaster@c.example: 550 no } }",
            "addresses.postmaster@c.example: mail to postmaster has to be accepted (RFC 5321 4.5.1)",
        ),
    ] {
        assert_eq!(recipients(yaml).unwrap_err(), mistake);
    }
}

/// What becomes of RCPT and then of DATA.
fn both(plugin: &mut Recipients, address: &str) -> (Verdict, Vec<Edit>, Vec<Edit>) {
    let session = Session::fake();
    let granted =
        || Transaction::fake().with_grant(Grant::Route).with_grant(Grant::RewriteEnvelope);
    let at_rcpt = granted();
    let to = Recipient::fake(address);
    let verdict = plugin.ask(Question::Rcpt(&session, &at_rcpt, &to));
    let rewritten = at_rcpt.edits().into_iter().find_map(|edit| match edit {
        Edit::SetRecipient(0, address) => Some(address),
        _ => None,
    });
    let at_data = granted().with_recipient(rewritten.as_deref().unwrap_or(address));
    assert_eq!(plugin.ask(Question::Data(&session, &at_data)), Verdict::Next);
    (verdict, at_rcpt.edits(), at_data.edits())
}

fn set(address: &str) -> Edit {
    Edit::SetRecipient(0, address.to_owned())
}

fn add(address: &str) -> Edit {
    Edit::AddRecipient(address.to_owned())
}

const ALIASES: &str = "
domains: { a.example: [alice, bob], new.example: any, old.example: [], c.example: { recipients: [x], route: c } }
aliases:
  sales: [alice@a.example, bob@a.example, x@c.example]
  team@a.example: sales@a.example, carol@elsewhere.example
  loop@a.example: [loop@a.example, alice@a.example]
  round@a.example: there@a.example
  there@a.example: round@a.example
  '@old.example': '@new.example'
  hostmaster@far.example: alice@a.example
  postmaster: bob@a.example
";

#[test]
fn an_alias_goes_to_others() {
    let mut plugin = recipients(ALIASES).unwrap();
    let mut of = |address| both(&mut plugin, address);
    let c = Edit::Route("c".into(), Some(2));
    let others = vec![add("bob@a.example"), add("x@c.example"), c];
    assert_eq!(of("Sales@A.example"), (Verdict::Next, vec![set("alice@a.example")], others));
    let (verdict, _, added) = of("team@a.example");
    assert_eq!((verdict, added.len()), (Verdict::Next, 4), "three more, and a route: {added:?}");
    let (_, first, added) = of("loop@a.example");
    assert_eq!((first, added), (vec![], vec![add("alice@a.example")]), "it keeps its own");
    assert_eq!(of("hostmaster@far.example").1, [set("alice@a.example")]);
    assert_eq!(of("anybody@old.example").1, [set("anybody@new.example")]);
    for postmaster in ["postmaster@c.example", "Postmaster"] {
        assert_eq!(of(postmaster), (Verdict::Next, vec![set("bob@a.example")], vec![]));
    }
    assert_eq!(of("alice@a.example"), (Verdict::Next, vec![], vec![]));
    assert_eq!(of("nobody@a.example").0, Verdict::reject(550, "5.1.1", "no such recipient here"));
    assert_eq!(of("round@a.example").0, Verdict::Next, "who leads only to itself is left alone");
    assert_eq!(of("sales@far.example").0, Verdict::reject(550, "5.7.1", "relaying denied"));
}

#[test]
fn a_mail_to_more_than_can_be_kept_is_sent_again_for_the_others() {
    let members = |list: usize| -> String {
        (0..100).map(|n| format!("{}{list}-{n}@a.example,", "m".repeat(40))).collect()
    };
    let lists: String =
        (0..20).map(|list| format!("  list{list}: \"{}\"\n", members(list))).collect();
    let yaml = format!("domains: {{ a.example: any }}\naliases:\n{lists}");
    let mut plugin = recipients(&yaml).unwrap();
    let session = Session::fake();
    let transaction =
        Transaction::fake().with_grant(Grant::Route).with_grant(Grant::RewriteEnvelope);
    let mut ask = |list: usize| {
        let to = Recipient::fake(&format!("list{list}@a.example"));
        plugin.ask(Question::Rcpt(&session, &transaction, &to))
    };
    for _ in 0..100 {
        assert_eq!(ask(0), Verdict::Next, "it is kept once");
    }
    let too_many = Verdict::defer(452, "4.5.3", "too many recipients for one message");
    let answers: Vec<_> = (1..20).map(&mut ask).collect();
    assert!(answers[..5].iter().all(|answer| *answer == Verdict::Next), "{answers:?}");
    assert_eq!(answers.last(), Some(&too_many));
}

#[test]
fn nobody_is_asked_at_data_who_makes_no_more_recipients() {
    let plugin =
        recipients("{ domains: { a.example: any }, aliases: { b: c@a.example } }").unwrap();
    assert_eq!(subscribed(&plugin), [Hook::Rcpt]);
    assert_eq!(subscribed(&recipients(ALIASES).unwrap()), [Hook::Rcpt, Hook::Data]);
}

#[test]
fn what_is_for_nobody_is_caught() {
    let yaml = "domains: { a.example: { recipients: [alice], catch_all: info@b.example } }";
    let mut plugin = recipients(yaml).unwrap();
    assert_eq!(rcpt(&mut plugin, "x@a.example"), (Verdict::Next, vec![set("info@b.example")]));
    assert_eq!(rcpt(&mut plugin, "alice@a.example"), (Verdict::Next, vec![]));
    assert_eq!(rcpt(&mut plugin, "postmaster@a.example"), (Verdict::Next, vec![]));
}

#[test]
fn files_say_who_is_there() {
    let yaml = "
domains: { a.example: { recipients: { file: users } } }
domains_from: domains
addresses_from: addresses
aliases_from: aliases
never_send: { from: robots }
files:
  users: |
    # of two domains
    alice
    Bob@a.example
    carol@b.example
  domains: \"b.example\\nc.example store\\n\"
  addresses: |
    gone@a.example 550 5.1.1 gone
    chief@a.example route:store
    guest@d.example
  aliases: |
    info@a.example alice@a.example, bob@a.example
    root: alice@a.example
  robots: |
    no-reply@a.example
";
    let mut plugin = recipients(yaml).unwrap();
    let next = |edits: Vec<Edit>| (Verdict::Next, edits);
    assert_eq!(rcpt(&mut plugin, "bob@a.example"), next(vec![]));
    assert_ne!(rcpt(&mut plugin, "carol@a.example").0, Verdict::Next);
    assert_eq!(rcpt(&mut plugin, "x@b.example"), next(vec![]));
    assert_eq!(rcpt(&mut plugin, "x@c.example"), next(vec![route("store")]));
    assert_eq!(rcpt(&mut plugin, "gone@a.example").0, Verdict::reject(550, "5.1.1", "gone"));
    assert_eq!(rcpt(&mut plugin, "chief@a.example"), next(vec![route("store")]));
    assert_eq!(rcpt(&mut plugin, "guest@d.example"), next(vec![]));
    assert_eq!(both(&mut plugin, "info@a.example").2, [add("bob@a.example")]);
    assert_eq!(rcpt(&mut plugin, "root@c.example"), next(vec![set("alice@a.example")]));
}

#[test]
fn mistakes_in_files_are_told_with_their_line() {
    for (yaml, mistake) in [
        ("domains_from: x", "there is no file `x` among the plugin's `files`"),
        (
            "{ domains_from: x, files: { x: \"a.example\\nb@c\" } }",
            "files.x: line 2: not a domain or `.example.org`",
        ),
        (
            "{ domains: { a.example: { recipients: { file: x } } }, files: { x: \"\" } }",
            "domains.a.example: files.x: nobody is in it",
        ),
        (
            "{ domains: { a.example: any }, aliases_from: x, files: { x: \"a\" } }",
            "files.x: line 1: a: there is no address that gets its mail",
        ),
        (
            "{ domains: { a.example: any }, addresses_from: x, files: { x: \"a@b.example 600 no\" } }",
            "files.x: line 1: a@b.example: a refusal is a code from 400 to 599 and a text, as in `550 5.7.1 not welcome`",
        ),
        ("{ domains: { a.example: any }, aliases: { b: c } }", "aliases.b: `c` is not an address"),
    ] {
        assert_eq!(recipients(yaml).unwrap_err(), mistake);
    }
}

#[test]
fn reports_have_one_recipient_and_do_not_come_to_who_never_sends() {
    let yaml = "{ domains: { a.example: any }, limits: { recipients: 2 }, never_send: { addresses: [no-reply@] } }";
    let mut plugin = recipients(yaml).unwrap();
    let mut ask = |transaction: &Transaction, address| {
        plugin.ask(Question::Rcpt(&Session::fake(), transaction, &Recipient::fake(address)))
    };
    let (mail, report) = (Transaction::fake(), Transaction::fake().with_null_sender());
    assert_eq!(ask(&report, "x@a.example"), Verdict::Next);
    let second = report.clone().with_recipient("x@a.example");
    let one = Verdict::reject(550, "5.5.3", "a report has one recipient");
    assert_eq!(ask(&second, "y@a.example"), one);
    assert_eq!(ask(&second, "Postmaster@a.example"), Verdict::Next);
    let text = "this address sends no mail, and gets no reports of any";
    assert_eq!(ask(&report, "no-reply@a.example"), Verdict::reject(550, "5.7.1", text));
    assert_eq!(ask(&mail, "no-reply@a.example"), Verdict::Next);
    let third = mail.with_recipient("x@a.example").with_recipient("y@a.example");
    let many = Verdict::defer(452, "4.5.3", "too many recipients for one message");
    assert_eq!(ask(&third, "z@a.example"), many);
}

const VERIFY: &str = "
domains: { a.example: any, b.example: [bob], c.example: { recipients: any, verify: false }, d.example: { recipients: any, catch_all: info@a.example } }
verify: { upstream: store, store: known, on_error: ON_ERROR }
";

fn verifying(on_error: &str) -> Recipients {
    recipients(&VERIFY.replace("ON_ERROR", on_error)).expect("settings")
}

#[test]
fn the_upstream_says_who_is_there_and_is_asked_once() {
    let mut plugin = verifying("defer");
    let store = grant_store("known");
    answer_upstream("store", "x@a.example", "550 5.1.1 no such user");
    answer_upstream("store", "full@a.example", "452 4.2.2 full");
    answer_upstream("store", "x@d.example", "550 5.1.1 no such user");
    let no = Verdict::reject(550, "5.1.1", "no such user");
    for _ in 0..2 {
        assert_eq!(rcpt(&mut plugin, "x@a.example"), (no.clone(), vec![]));
        assert_eq!(rcpt(&mut plugin, "y@A.example"), (Verdict::Next, vec![]));
    }
    assert_eq!(verified(), ["x@a.example", "y@A.example"]);
    assert_eq!(store.get_one("store y@a.example").unwrap().unwrap().value, b"+");
    assert_eq!(rcpt(&mut plugin, "full@a.example").0, Verdict::defer(452, "4.2.2", "full"));
    assert_eq!(rcpt(&mut verifying("pass"), "full@a.example").0, Verdict::Next);
    assert_eq!(rcpt(&mut plugin, "x@d.example"), (Verdict::Next, vec![set("info@a.example")]));
    let asked = verified().len();
    for address in ["bob@b.example", "any@c.example", "postmaster@a.example"] {
        assert_eq!(rcpt(&mut plugin, address), (Verdict::Next, vec![]), "{address}");
    }
    assert_eq!(verified().len(), asked, "of whom is known nobody is asked");
}

#[test]
fn an_upstream_that_is_away_keeps_nobody_waiting_twice() {
    grant_store("known");
    fail_upstream("store", Some(UpstreamError::TimedOut));
    assert_eq!(rcpt(&mut verifying("pass"), "x@a.example").0, Verdict::Next);
    let later = Verdict::defer(451, "4.3.0", "recipients cannot be checked now, try again later");
    assert_eq!(rcpt(&mut verifying("defer"), "y@a.example").0, later);
    assert_eq!(verified().len(), 1, "that it is away is known");
}

#[test]
fn without_a_store_or_a_grant_it_is_asked_each_time_or_never() {
    set_unavailable("known", true);
    let mut plugin = verifying("pass");
    assert_eq!(rcpt(&mut plugin, "x@a.example").0, Verdict::Next, "no grant");
    answer_upstream("store", "x@a.example", "550 5.1.1 no");
    assert_eq!(rcpt(&mut plugin, "x@a.example").0, Verdict::reject(550, "5.1.1", "no"));
    assert_eq!(rcpt(&mut plugin, "x@a.example").0, Verdict::reject(550, "5.1.1", "no"));
}
