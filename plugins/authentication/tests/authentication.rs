//! The plugin as operators configure it and messages meet it.

use authentication::Authentication;
use portcullis_plugin::dns::{Answer, Kind};
use portcullis_plugin::mail_auth::Finding;
use portcullis_plugin::testing::{
    Grant, answer_dns, configure, counted, find, logged, settings_in, subscribed,
};
use portcullis_plugin::{Hook, Message, Plugin, Question, Session, Transaction, Verdict};

fn plugin(yaml: &str) -> Authentication {
    let yaml = format!("authserv_id: mx.example.org\n{yaml}");
    configure(&serde_yaml::from_str(&yaml).expect("YAML")).expect("settings")
}

fn spf(outcome: &str) -> Finding {
    Finding::new("spf", outcome).with_property("smtp.mailfrom", "bounces@mailer.example")
}

fn dkim(outcome: &str, domain: &str) -> Finding {
    Finding::new("dkim", outcome).with_property("header.d", domain)
}

fn dmarc(outcome: &str, published: &str) -> Finding {
    let finding = Finding::new("dmarc", outcome).with_property("header.from", "example.com");
    if published.is_empty() {
        finding
    } else {
        finding.with_property("policy.published", published)
    }
}

fn arc(outcome: &str) -> Finding {
    let finding = Finding::new("arc", outcome).with_property("header.d", "list.example");
    finding.with_property("header.i", "1")
}

/// What comes of a message: the verdict, its symbols, and itself.
struct Came {
    verdict: Verdict,
    symbols: Vec<String>,
    text: String,
    session: Session,
}

impl Came {
    fn code(&self) -> u16 {
        match &self.verdict {
            Verdict::Reject(reply) | Verdict::Defer(reply) => reply.code,
            _ => 250,
        }
    }

    fn symbols(&self) -> String {
        self.symbols.join(" ")
    }
}

fn ask(plugin: &mut Authentication, session: Session, message: &str, findings: &[Finding]) -> Came {
    find(findings);
    let transaction = Transaction::fake().with_sender("bounces@mailer.example");
    let message = Message::fake(message).with_grant(Grant::RewriteHeaders);
    let verdict = plugin.ask(Question::Message(&session, &transaction, &message));
    let symbols = transaction.scores().into_iter().map(|(symbol, _)| symbol).collect();
    Came { verdict, symbols, text: message.edited_text().replace("\r\n", "\n"), session }
}

fn came(yaml: &str, findings: &[Finding]) -> Came {
    ask(&mut plugin(yaml), Session::fake(), MESSAGE, findings)
}

const MESSAGE: &str = "From: ann@example.com\nMessage-ID: <1@example.com>\n\ntext\n";

#[test]
fn the_field_tells_all_findings_and_stands_at_the_top() {
    let iprev = Finding::new("iprev", "pass").with_property("policy.iprev", "192.0.2.1");
    let came =
        came("", &[iprev, spf("pass"), dkim("pass", "example.com"), dmarc("pass", "reject")]);
    assert_eq!(
        came.text,
        "Authentication-Results: mx.example.org;
    iprev=pass policy.iprev=192.0.2.1;
    spf=pass smtp.mailfrom=bounces@mailer.example;
    dkim=pass header.d=example.com;
    dmarc=pass header.from=example.com
From: ann@example.com
Message-ID: <1@example.com>

text
"
    );
    assert_eq!(came.symbols(), "AUTH_PASS");
    assert_eq!(came.session.note("test.dmarc").as_deref(), Some("pass"));
}

#[test]
fn fields_in_our_name_are_removed_and_others_stay() {
    let section = "Authentication-Results: other.example; dkim=pass
authentication-results: (x) \"MX\".example.org 1; dmarc=pass
Authentication-Results: dkim=pass header.d=bank.example
Authentication-Results: in.old.example; dkim=pass
ARC-Authentication-Results: i=1; mx.example.org; dkim=pass
";
    let message = format!("{section}{MESSAGE}");
    let mut plugin = plugin("remove: [.old.example]");
    let came = ask(&mut plugin, Session::fake(), &message, &[spf("none"), dmarc("none", "")]);
    let kept: Vec<_> =
        came.text.lines().filter(|line| line.to_lowercase().starts_with("a")).collect();
    assert_eq!(
        kept,
        [
            "Authentication-Results: mx.example.org;",
            "Authentication-Results: other.example; dkim=pass",
            "ARC-Authentication-Results: i=1; mx.example.org; dkim=pass",
        ]
    );
    assert_eq!(counted("fields_removed", None), 3);
}

#[test]
fn a_policy_is_obeyed() {
    let findings = |outcome, published| [spf("none"), dkim("none", ""), dmarc(outcome, published)];
    for (yaml, outcome, published, code, symbols) in [
        ("", "fail", "reject", 550, ""),
        ("", "fail", "quarantine", 250, "DMARC_QUARANTINE"),
        ("", "fail", "none", 250, "DMARC_NONE"),
        ("", "none", "", 250, ""),
        ("", "permerror", "", 250, ""),
        ("", "temperror", "", 250, "AUTH_TEMPERROR"),
        ("dmarc: {reject: score}", "fail", "reject", 250, "DMARC_REJECT"),
        ("dmarc: {reject: ignore, none: ignore}", "fail", "reject", 250, ""),
        ("dmarc: {quarantine: refuse}", "fail", "quarantine", 550, ""),
        ("dmarc: {on_error: defer}", "temperror", "", 451, ""),
        ("dmarc: {on_error: pass}", "temperror", "", 250, ""),
        ("", "temperror", "reject", 451, ""),
        ("", "temperror", "quarantine", 250, "AUTH_TEMPERROR"),
        ("dmarc: {in_doubt: score}", "temperror", "reject", 250, "AUTH_TEMPERROR"),
        ("dmarc: {domains: {example.com: ignore}}", "fail", "reject", 250, ""),
        ("dmarc: {domains: {example.com: reject}}", "fail", "none", 550, ""),
        ("dmarc: {domains: {example.com: reject}}", "none", "", 550, ""),
        ("dmarc: {domains: {.com: quarantine}}", "fail", "reject", 250, "DMARC_QUARANTINE"),
        ("dmarc: {domains: {example.com: reject}, reject: score}", "fail", "none", 550, ""),
        ("exempt: {clients: [192.0.2.0/24]}", "fail", "reject", 250, ""),
        ("exempt: {listeners: [mx]}", "fail", "reject", 250, ""),
        ("scores: {DMARC_NONE: 0}", "fail", "none", 250, ""),
    ] {
        let came = came(yaml, &findings(outcome, published));
        assert_eq!(
            (came.code(), &*came.symbols()),
            (code, symbols),
            "{yaml} {outcome} {published}"
        );
    }
    let came = came("dmarc: {quarantine: quarantine}", &findings("fail", "quarantine"));
    assert_eq!(came.verdict, Verdict::quarantine("DMARC policy of example.com"));
    assert!(came.text.starts_with("Authentication-Results: mx.example.org;"));
}

#[test]
fn a_refusal_says_why_and_where_help_is() {
    let refused = came("help: https://example.org/mail", &[spf("none"), dmarc("fail", "reject")]);
    assert_eq!(
        refused.verdict,
        Verdict::reject(
            550,
            "5.7.1",
            "example.com wants mail refused that neither SPF nor DKIM shows to be its own (DMARC); see https://example.org/mail"
        )
    );
    assert_eq!(refused.text, MESSAGE, "what is refused is not edited");
    assert_eq!(counted("refused", Some("dmarc")), 1);
    assert_eq!(logged().len(), 1);
    let own = "dmarc: {reply: '450 4.7.1 {domain}?'}";
    let odd = Finding::new("dmarc", "fail")
        .with_property("header.from", "b\u{fc}\r\ncher.example")
        .with_property("policy.published", "reject");
    assert_eq!(came(own, &[odd]).verdict, Verdict::defer(450, "4.7.1", "b???cher.example?"));
}

#[test]
fn a_domain_that_is_enforced_here_still_passes_by_its_own_signature() {
    let yaml = "dmarc: {domains: {example.com: reject}}";
    let came = came(yaml, &[spf("none"), dkim("pass", "example.com"), dmarc("none", "")]);
    assert_eq!(came.code(), 250);
}

#[test]
fn what_name_servers_owe_us_is_waited_for() {
    let findings = |domain| [spf("none"), dkim("temperror", domain), dmarc("fail", "reject")];
    for (yaml, domain, code, symbols) in [
        ("", "example.com", 451, ""),
        ("", "mail.example.com", 451, ""),
        ("", "other.example", 550, ""),
        ("dmarc: {in_doubt: score}", "example.com", 250, "AUTH_TEMPERROR"),
        ("dmarc: {in_doubt: pass}", "example.com", 250, ""),
    ] {
        let came = came(yaml, &findings(domain));
        assert_eq!((came.code(), &*came.symbols()), (code, symbols), "{yaml} {domain}");
    }
}

#[test]
fn a_share_of_the_mail_is_what_the_domain_says_and_always_the_same() {
    let record = |share| Answer::Records(vec![format!("v=DMARC1; p=reject; pct={share}")]);
    let refused = |number: u32| {
        let message = MESSAGE.replace("<1@", &format!("<{number}@"));
        let findings = [spf("none"), dmarc("fail", "reject")];
        let came =
            ask(&mut plugin("dmarc: {quarantine: score}"), Session::fake(), &message, &findings);
        if came.code() != 550 {
            assert_eq!(came.symbols(), "DMARC_QUARANTINE");
            assert!(came.text.contains("(p=reject dis=quarantine pct="), "{}", came.text);
        }
        came.code() == 550
    };
    for (share, least, most) in [(0, 0, 0), (30, 45, 75), (100, 200, 200)] {
        answer_dns("_dmarc.example.com", Kind::Txt, record(share));
        let first: Vec<_> = (0..200).map(refused).collect();
        let count = first.iter().filter(|refused| **refused).count();
        assert!((least..=most).contains(&count), "{share}: {count}");
        assert_eq!(first, (0..200).map(refused).collect::<Vec<_>>());
    }
    answer_dns("_dmarc.example.com", Kind::Txt, record(0));
    let came = came("dmarc: {pct: false}", &[spf("none"), dmarc("fail", "reject")]);
    assert_eq!(came.code(), 550);
}

#[test]
fn a_trusted_chain_overrides_the_policy_and_the_field_says_so() {
    let sealed = format!(
        "ARC-Seal: i=1; d=list.example; cv=none; b=x
ARC-Authentication-Results: i=1; mx.list.example; dmarc=pass header.from=example.com
{MESSAGE}"
    );
    let findings =
        [spf("softfail"), dkim("fail", "example.com"), arc("pass"), dmarc("fail", "reject")];
    let trusting = "arc: {trusted: [list.example]}";
    let came = ask(&mut plugin(trusting), Session::fake(), &sealed, &findings);
    assert_eq!((came.code(), &*came.symbols()), (250, ""));
    let told = "dmarc=fail (p=reject dis=none arc=pass as.d=list.example)\n    header.from=example.com policy.dmarc=none\n";
    assert!(came.text.contains(told), "{}", came.text);
    assert_eq!(ask(&mut plugin(""), Session::fake(), &sealed, &findings).code(), 550);
    let broken = [arc("fail"), dmarc("fail", "reject")];
    assert_eq!(ask(&mut plugin(trusting), Session::fake(), &sealed, &broken).code(), 550);
}

#[test]
fn a_mailing_list_is_known_by_its_own_authentication() {
    let list = format!("List-Id: <a.lists.example>\n{MESSAGE}");
    let yaml = "dmarc: {lists: [lists.example]}";
    let by = |signer| [spf("none"), dkim("pass", signer), dmarc("fail", "reject")];
    let code = |message: &str, signer| {
        ask(&mut plugin(yaml), Session::fake(), message, &by(signer)).code()
    };
    assert_eq!(code(&list, "lists.example"), 250);
    assert_eq!(code(MESSAGE, "lists.example"), 550);
    assert_eq!(code(&list, "evil.example"), 550);
}

#[test]
fn methods_are_scored_where_the_author_is_not_shown() {
    for (findings, symbols) in [
        (vec![spf("fail"), dkim("fail", "a.example"), dmarc("none", "")], "SPF_FAIL DKIM_FAIL"),
        (vec![spf("softfail"), dmarc("none", "")], "SPF_SOFTFAIL"),
        (vec![spf("permerror"), dmarc("none", "")], "SPF_PERMERROR"),
        (vec![spf("temperror"), dmarc("none", "")], ""),
        (vec![spf("fail"), dkim("fail", "a"), dkim("pass", "b"), dmarc("none", "")], "SPF_FAIL"),
        (vec![spf("fail"), dkim("pass", "example.com"), dmarc("pass", "reject")], "AUTH_PASS"),
    ] {
        assert_eq!(came("", &findings).symbols(), symbols);
    }
}

#[test]
fn a_message_has_one_author() {
    let nobody = [spf("none"), Finding::new("dmarc", "none")];
    for (yaml, section, code, symbols) in [
        ("", "Subject: a", 250, "FROM_MISSING"),
        ("", "From: nobody", 250, "FROM_MISSING"),
        ("", "From: a@b.example\nFrom: c@d.example", 550, ""),
        ("from: {several: score}", "From: a@b.example\nFrom: c@d.example", 250, "FROM_SEVERAL"),
        ("", "From: a@b.example, c@d.example", 250, "FROM_SEVERAL"),
        ("from: {several: ignore}", "From: a@b.example, c@d.example", 250, ""),
        ("from: {missing: refuse}", "Subject: a", 550, ""),
    ] {
        let came = ask(&mut plugin(yaml), Session::fake(), &format!("{section}\n\n"), &nobody);
        assert_eq!((came.code(), &*came.symbols()), (code, symbols), "{yaml} {section}");
    }
    // One of the two is what the gateway looked at, the other is what the reader sees.
    let two = format!("From: ceo@bank.example\n{MESSAGE}");
    let passes = [spf("none"), dmarc("pass", "reject")];
    assert_eq!(ask(&mut plugin(""), Session::fake(), &two, &passes).code(), 550);
    let twice = format!("From: ann@example.com\n{MESSAGE}");
    assert_eq!(ask(&mut plugin(""), Session::fake(), &twice, &passes).code(), 250);
}

#[test]
fn our_users_are_not_judged() {
    let message = format!("Authentication-Results: mx.example.org; dmarc=pass\n{MESSAGE}");
    let session = Session::fake().with_user("ann");
    let came = ask(&mut plugin(""), session, &message, &[dmarc("fail", "reject")]);
    assert_eq!((came.code(), &*came.symbols()), (250, ""));
    assert_eq!(
        came.text,
        format!("Authentication-Results: mx.example.org;\n    auth=pass\n{MESSAGE}")
    );
}

#[test]
fn spf_refuses_at_mail_where_the_operator_wants_it() {
    let asked = |yaml: &str, finding: Finding, client: &str| {
        find(&[finding]);
        let session = Session::fake().with_client(client);
        plugin(yaml).ask(Question::Mail(&session, &Transaction::fake()))
    };
    let yaml = "help: 'https://h.example'
spf: {refuse: [fail, permerror]}
exempt: {clients: [198.51.100.0/24]}";
    let refusal = asked(yaml, spf("fail"), "192.0.2.1");
    let text = "192.0.2.1 may not send mail for mailer.example (SPF); see https://h.example";
    assert_eq!(refusal, Verdict::reject(550, "5.7.23", text));
    let text = "the SPF record of mailer.example cannot be understood; see https://h.example";
    let broken = Verdict::reject(550, "5.7.24", text);
    assert_eq!(asked(yaml, spf("permerror"), "192.0.2.1"), broken);
    let explained = spf("fail").with_property("policy.explanation", "go\u{7} away");
    let Verdict::Reject(reply) = asked(yaml, explained, "192.0.2.1") else { panic!("not refused") };
    assert!(reply.text.contains("; mailer.example explained: go? away; see "), "{}", reply.text);
    assert_eq!(asked(yaml, spf("softfail"), "192.0.2.1"), Verdict::Next);
    assert_eq!(asked(yaml, spf("fail"), "198.51.100.7"), Verdict::Next);
    assert_eq!(asked(yaml, spf("temperror"), "192.0.2.1"), Verdict::Next);
    let deferring = "spf: {refuse: [fail], on_error: defer}";
    let deferred = Verdict::defer(451, "4.7.24", "SPF cannot be checked now");
    assert_eq!(asked(deferring, spf("temperror"), "192.0.2.1"), deferred);
}

#[test]
fn hooks_that_are_not_needed_are_not_called() {
    assert_eq!(subscribed(&plugin("")), [Hook::Message]);
    assert_eq!(subscribed(&plugin("spf: {early: true}")), [Hook::Mail, Hook::Message]);
    assert_eq!(subscribed(&plugin("spf: {refuse: [fail]}")), [Hook::Mail, Hook::Message]);
}

#[test]
fn what_the_readme_shows_works() {
    let yaml = settings_in(include_str!("../README.md"));
    configure::<Authentication>(&serde_yaml::from_str(yaml).expect("YAML")).unwrap();
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (yaml, mistake) in [
        ("{}", "authserv_id: required: the name of this gateway, as in `hostname:`"),
        (
            "authserv_id: 'a b'",
            "authserv_id: `a b` is not a host name; beyond ASCII it is written as `xn--`",
        ),
        ("exempt: {clients: [a]}", "exempt.clients: `a` is not an address or a network"),
        (
            "exempt: {senders: [a.example]}",
            "exempt.senders: unknown field `senders`, expected one of `authenticated`, `clients`, `listeners`",
        ),
        ("arc: {trusted: [a@b]}", "arc.trusted[0]: `a@b` is not a domain, `.example.org` or `*`"),
        (
            "dmarc: {reject: deny}",
            "dmarc.reject: unknown variant `deny`, expected one of `ignore`, `score`, `quarantine`, `refuse`",
        ),
        (
            "dmarc: {reply: '200 ok'}",
            "dmarc.reply: a refusal is a code from 400 to 599 and a text, as in `550 5.7.1 not welcome`",
        ),
        ("scores: {SPF_FAIL: 1e6}", "scores.SPF_FAIL: points are from -10000 to 10000"),
        (
            "help: 'ftp://a'",
            "help: a link begins with https:// and has at most 200 letters of ASCII",
        ),
        (
            "spf: {refuse: [none]}",
            "spf.refuse[0]: unknown variant `none`, expected one of `fail`, `softfail`, `permerror`",
        ),
    ] {
        let read = configure::<Authentication>(&serde_yaml::from_str(yaml).expect("YAML"));
        assert_eq!(read.unwrap_err(), mistake);
    }
}

#[test]
fn who_forges_more_fields_than_can_be_removed_is_refused() {
    for (count, code) in [(900, 250), (2_000, 554)] {
        let forged = "Authentication-Results: mx.example.org; dmarc=pass\n".repeat(count);
        let found = [dmarc("pass", "")];
        let came = ask(&mut plugin(""), Session::fake(), &(forged + MESSAGE), &found);
        assert_eq!(came.code(), code, "{count}");
    }
}
