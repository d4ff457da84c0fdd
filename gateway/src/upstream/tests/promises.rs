use portcullis_smtp::server::Protocol;

use super::*;
use crate::upstream::parameters::Promises;
use crate::upstream::tests::certificate::Certificate;

/// What a client has said: parameters of MAIL and of RCPT, `KEYWORD` or `KEYWORD=value`, decoded.
struct Said<'a> {
    sender: &'a str,
    mail: &'a [&'a str],
    recipient: &'a str,
    rcpt: &'a [&'a str],
    header: &'a str,
}

const PLAIN: Said<'_> = Said {
    sender: "a@a.example",
    mail: &[],
    recipient: "b@b.example",
    rcpt: &[],
    header: "Subject: t",
};

fn parsed(words: &[&str]) -> Vec<Parameter> {
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((keyword, value)) => parameter(keyword, value),
            None => Parameter { keyword: (*word).to_owned(), value: None },
        })
        .collect()
}

fn offering(keywords: &[&str]) -> String {
    let lines: Vec<_> = keywords.iter().map(|keyword| format!("\\r\\n250-{keyword}")).collect();
    format!(
        "S: 220 up.example
         C: EHLO gw.example
         S: 250-up.example{}\\r\\n250 PIPELINING\n",
        lines.concat()
    )
}

/// Offers the recipient, and delivers if it was taken.
async fn hear(gateway: &Gateway, said: &Said<'_>) -> String {
    let sender = ReversePath::Mailbox(Mailbox::parse(said.sender).expect("a mailbox"));
    let mail = parsed(said.mail);
    let recipient = Recipient { parameters: parsed(said.rcpt), ..to(0, said.recipient) };
    let mut delivery = gateway.begin();
    if let Err(reply) = delivery.offer(&sender, &mail, &recipient).await {
        delivery.abandon().await;
        return reply.to_string();
    }
    let mut message = message("hello\r\n");
    let header = format!("{}\r\n\r\n", said.header).into_bytes();
    message.message.header = HeaderSection::parse(header).into();
    texts(&delivery.deliver(&sender, &mail, &[recipient], &message).await).concat()
}

#[tokio::test]
async fn what_an_upstream_offers_goes_on_encoded_anew() {
    for (offers, said, mail, rcpt) in [
        (&["SMTPUTF8"][..], Said { mail: &["SMTPUTF8"], ..PLAIN }, " SMTPUTF8", ""),
        (&["smtputf8"], Said { mail: &["SMTPUTF8"], ..PLAIN }, " SMTPUTF8", ""),
        (
            &["DSN"],
            Said {
                mail: &["RET=HDRS", "ENVID=a b+c=d"],
                rcpt: &["NOTIFY=SUCCESS,DELAY", "ORCPT=utf-8;j\u{f6}rg+x@\u{30c9}.jp"],
                ..PLAIN
            },
            " RET=HDRS ENVID=a+20b+2Bc+3Dd",
            " NOTIFY=SUCCESS,DELAY ORCPT=utf-8;j\\\\x{F6}rg\\\\x{2B}x@\\\\x{30C9}.jp",
        ),
        (
            &["RRVS"],
            Said { rcpt: &["RRVS=2014-04-03T23:01:00Z;R"], ..PLAIN },
            "",
            " RRVS=2014-04-03T23:01:00Z;R",
        ),
        (
            &["MT-PRIORITY MIXER"],
            Said { mail: &["MT-PRIORITY=-3"], ..PLAIN },
            " MT-PRIORITY=-3",
            "",
        ),
        // The one promise that is the gateway's own.
        (&["PRDR"], Said { mail: &["PRDR"], ..PLAIN }, "", ""),
        (&["DELIVERBY 60"], Said { mail: &["BY=-5;NT"], ..PLAIN }, " BY=-5;NT", ""),
        (
            &["FUTURERELEASE 60 2040-01-01T00:00:00Z"],
            Said { mail: &["HOLDFOR=60"], ..PLAIN },
            " HOLDFOR=60",
            "",
        ),
        // Nobody would believe us.
        (&["AUTH PLAIN"], Said { mail: &["AUTH=eve@a.example"], ..PLAIN }, " AUTH=<>", ""),
        // What hides in a value stays in it.
        (&["DSN"], Said { mail: &["ENVID=x RET=FULL"], ..PLAIN }, " ENVID=x+20RET+3DFULL", ""),
        // Left behind without a word.
        (&[], Said { mail: &["SMTPUTF8"], ..PLAIN }, "", ""),
        (&[], Said { mail: &["RET=FULL", "ENVID=x"], rcpt: &["NOTIFY=NEVER"], ..PLAIN }, "", ""),
        (&[], Said { rcpt: &["ORCPT=rfc822;x"], ..PLAIN }, "", ""),
        (&[], Said { mail: &["MT-PRIORITY=3"], ..PLAIN }, "", ""),
        (&[], Said { mail: &["BY=1000;N"], ..PLAIN }, "", ""),
        (&[], Said { mail: &["AUTH=a@a.example"], ..PLAIN }, "", ""),
        (&[], Said { rcpt: &["RRVS=2014-04-03T23:01:00Z;C"], ..PLAIN }, "", ""),
    ] {
        let envelope = format!(
            "C: MAIL FROM:<a@a.example>{mail}
             C: RCPT TO:<b@b.example>{rcpt}
             S: 250 2.1.0 ok\\r\\n250 2.1.5 ok\n",
        )
        .replace("\\\\", "\\");
        let script = script(&[&offering(offers), &envelope, DATA, "S: 250 2.0.0 queued"]);
        let (gateway, up) = Gateway::with(&[&script]).await;
        let heard = hear(&gateway, &said).await;
        assert_eq!(heard, "250 2.0.0 queued", "{offers:?} {mail:?} {rcpt:?}");
        up.contents().await;
    }
}

#[tokio::test]
async fn what_an_upstream_cannot_keep_is_refused_before_it_hears_of_it() {
    for (offers, said, want) in [
        (
            &[][..],
            Said { sender: "j\u{f6}rg@a.example", mail: &["SMTPUTF8"], ..PLAIN },
            "553 5.6.7 upstream up takes ASCII only, and the sender address is not",
        ),
        (
            &[],
            Said { recipient: "j\u{f6}rg@b.example", mail: &["SMTPUTF8"], ..PLAIN },
            "553 5.6.7 upstream up takes ASCII only, and the recipient address is not",
        ),
        (
            &[],
            Said { mail: &["REQUIRETLS"], ..PLAIN },
            "550 5.7.30 upstream up does not keep REQUIRETLS",
        ),
        // In clear text it is no promise.
        (
            &["REQUIRETLS"],
            Said { mail: &["REQUIRETLS"], ..PLAIN },
            "550 5.7.30 upstream up does not keep REQUIRETLS",
        ),
        (
            &[],
            Said { mail: &["BY=1000;R"], ..PLAIN },
            "554 5.3.3 upstream up does not deliver by a time",
        ),
        (&[], Said { mail: &["HOLDFOR=1"], ..PLAIN }, "554 5.3.3 upstream up cannot hold messages"),
        (
            &[],
            Said { mail: &["HOLDUNTIL=2030-01-01T00:00:00Z"], ..PLAIN },
            "554 5.3.3 upstream up cannot hold messages",
        ),
        (
            &[],
            Said { rcpt: &["RRVS=2014-04-03T23:01:00Z"], ..PLAIN },
            "550 5.7.19 upstream up cannot tell since when a mailbox is whose",
        ),
        (
            &[],
            Said { rcpt: &["RRVS=2014-04-03T23:01:00Z;R"], ..PLAIN },
            "550 5.7.19 upstream up cannot tell since when a mailbox is whose",
        ),
    ] {
        let script = script(&[&offering(offers), "C: QUIT"]);
        let (gateway, up) = Gateway::with(&[&script]).await;
        assert_eq!(hear(&gateway, &said).await, want);
        gateway.pool.close();
        up.contents().await;
    }
}

#[tokio::test]
async fn a_header_beyond_ascii_is_refused_where_smtputf8_is_not_offered() {
    let said = Said { mail: &["SMTPUTF8"], header: "Subject: gr\u{fc}n", ..PLAIN };
    let script = script(&[&offering(&[]), ENVELOPE, "C: RSET", "S: 250 ok", "gone"]);
    let (gateway, up) = Gateway::with(&[&script]).await;
    let heard = hear(&gateway, &said).await;
    assert_eq!(heard, "554 5.6.9 upstream up takes no header fields beyond ASCII");
    gateway.pool.close();
    up.contents().await;
}

#[tokio::test]
async fn a_path_beyond_ascii_that_a_plugin_has_set_is_announced() {
    let envelope = "C: MAIL FROM:<a@a.example> SMTPUTF8
        C: RCPT TO:<j\u{f6}rg@b.example>
        S: 250 ok\\r\\n250 ok\n";
    let script = script(&[&offering(&["SMTPUTF8"]), envelope, DATA, "S: 250 2.0.0 queued"]);
    let (gateway, up) = Gateway::with(&[&script]).await;
    let said = Said { recipient: "j\u{f6}rg@b.example", ..PLAIN };
    assert_eq!(hear(&gateway, &said).await, "250 2.0.0 queued");
    up.contents().await;
}

#[tokio::test]
async fn one_that_comes_late_begins_the_transaction_anew() {
    let script = script(&[
        &offering(&["SMTPUTF8"]),
        ENVELOPE,
        "C: RSET
         S: 250 ok
         C: MAIL FROM:<a@a.example> SMTPUTF8
         C: RCPT TO:<j\u{f6}rg@b.example>
         S: 250 ok\\r\\n250 ok
         C: RSET
         C: MAIL FROM:<a@a.example> SMTPUTF8
         C: RCPT TO:<b@b.example>
         C: RCPT TO:<j\u{f6}rg@b.example>
         S: 250 ok\\r\\n250 ok\\r\\n250 ok\\r\\n250 ok",
        DATA,
        "S: 250 2.0.0 queued",
    ]);
    let (gateway, up) = Gateway::with(&[&script]).await;
    let mut delivery = gateway.begin();
    let recipients = [to(0, "b@b.example"), to(1, "j\u{f6}rg@b.example")];
    for recipient in &recipients {
        delivery.offer(&sender(), &[], recipient).await.expect("taken");
    }
    let replies = delivery.deliver(&sender(), &[], &recipients, &message("hello\r\n")).await;
    assert_eq!(texts(&replies), ["250 2.0.0 queued"; 2]);
    up.contents().await;
}

#[tokio::test]
async fn one_recipient_that_cannot_be_reached_does_not_hold_up_the_others() {
    let script = script(&[&offering(&[]), ENVELOPE, DATA, "S: 250 2.0.0 queued"]);
    let (gateway, up) = Gateway::with(&[&script]).await;
    let mut delivery = gateway.begin();
    let since = parsed(&["RRVS=2014-04-03T23:01:00Z"]);
    let careful = Recipient { parameters: since, ..to(0, "c@b.example") };
    let refusal = delivery.offer(&sender(), &[], &careful).await.unwrap_err();
    assert_eq!(refusal.code(), 550);
    let plain = to(1, "b@b.example");
    delivery.offer(&sender(), &[], &plain).await.expect("taken");
    // Offered anew with both, as after a plugin's edit, each has its own fate.
    let replies = delivery.deliver(&sender(), &[], &[plain], &message("hello\r\n")).await;
    assert_eq!(texts(&replies), ["250 2.0.0 queued"]);
    up.contents().await;
}

#[tokio::test]
async fn offered_anew_each_recipient_has_its_own_fate() {
    let script = script(&[&offering(&[]), ENVELOPE, DATA, "S: 250 2.0.0 queued"]);
    let (gateway, up) = Gateway::with(&[&script]).await;
    let since = parsed(&["RRVS=2014-04-03T23:01:00Z"]);
    let recipients =
        [Recipient { parameters: since, ..to(0, "c@b.example") }, to(1, "b@b.example")];
    let delivery = gateway.begin();
    let replies = delivery.deliver(&sender(), &[], &recipients, &message("hello\r\n")).await;
    assert_eq!(
        texts(&replies),
        ["550 5.7.19 upstream up cannot tell since when a mailbox is whose", "250 2.0.0 queued"]
    );
    up.contents().await;
}

#[tokio::test]
async fn requiretls_goes_on_over_verified_tls() {
    let certificate = Certificate::new("127.0.0.1");
    let script = Script::with_certificate(
        vec![script(&[
            "tls",
            &offering(&["REQUIRETLS"]),
            "C: MAIL FROM:<a@a.example> REQUIRETLS
             C: RCPT TO:<b@b.example>
             S: 250 ok\\r\\n250 ok",
            DATA,
            "S: 250 2.0.0 queued",
        ])],
        Some(&certificate),
    )
    .await;
    let tls = tls(UpstreamTlsMode::Implicit, certificate.file.path());
    let gateway = Gateway::new(&Hop { tls, ..upstream(script.address) });
    let said = Said { mail: &["REQUIRETLS"], ..PLAIN };
    assert_eq!(hear(&gateway, &said).await, "250 2.0.0 queued");
    script.contents().await;
}

#[tokio::test]
async fn an_lmtp_upstream_keeps_the_same_promises() {
    let greeting = offering(&["DSN", "SMTPUTF8"]).replace("EHLO", "LHLO");
    let envelope = "C: MAIL FROM:<a@a.example> SMTPUTF8 RET=FULL
        C: RCPT TO:<j\u{f6}rg@b.example> NOTIFY=NEVER
        S: 250 ok\\r\\n250 ok\n";
    let script =
        Script::start(vec![script(&[&greeting, envelope, DATA, "S: 250 2.0.0 kept"])]).await;
    let gateway = Gateway::new(&Hop { protocol: Protocol::Lmtp, ..upstream(script.address) });
    let said = Said {
        mail: &["SMTPUTF8", "RET=FULL"],
        recipient: "j\u{f6}rg@b.example",
        rcpt: &["NOTIFY=NEVER"],
        ..PLAIN
    };
    assert_eq!(hear(&gateway, &said).await, "250 2.0.0 kept");
    script.contents().await;
}

#[test]
fn the_time_for_delivery_runs_while_a_message_waits() {
    let pool = Gateway::new(&upstream(([127, 0, 0, 1], 1).into())).pool;
    let reply = Reply::listing(250, ["up.example".to_owned(), "DELIVERBY".to_owned()]);
    let extensions = portcullis_smtp::client::Extensions::parse(&reply);
    let promises = pool.promises(&extensions);
    for (value, seconds, want) in [
        ("100;R", 30, Some("70;R")),
        ("100;R", 99, Some("1;R")),
        ("100;R", 100, None),
        ("100;NT", 130, Some("-30;NT")),
        ("-999999999;N", 130, Some("-999999999;N")),
    ] {
        let said = [parameter("BY", value)];
        let carried = promises.mail(&sender(), &said, false, Duration::from_secs(seconds));
        let carried = carried.ok().map(|carried| carried[0].value.clone());
        assert_eq!(carried.flatten().as_deref(), want, "{value} after {seconds} s");
    }
}

/// The table in the README, row by row, for an upstream that offers nothing.
#[test]
fn the_table_says_what_becomes_of_each_parameter() {
    let table = include_str!("../../../README.md");
    let (tls, cautions, extensions) = Default::default();
    let promises =
        Promises { upstream: "up", extensions: &extensions, tls: &tls, cautions: &cautions };
    for (begins, words, rcpt) in [
        ("`SIZE`, `BODY`", &["SIZE=10", "BODY=8BITMIME"][..], false),
        ("`BODY=BINARYMIME`", &["BODY=BINARYMIME"], false),
        ("`PRDR`", &["PRDR"], false),
        ("`REQUIRETLS`", &["REQUIRETLS"], false),
        ("`RET`, `ENVID`, `ORCPT`", &["RET=HDRS", "ENVID=x"], false),
        ("`RET`, `ENVID`, `ORCPT`", &["ORCPT=rfc822;a@a.example"], true),
        ("`NOTIFY`", &["NOTIFY=NEVER"], true),
        ("`AUTH`", &["AUTH=<>"], false),
        ("`BY` with `N`", &["BY=10;N"], false),
        ("`BY` with `R`", &["BY=10;R"], false),
        ("`MT-PRIORITY`", &["MT-PRIORITY=3"], false),
        ("`RRVS` with `C`", &["RRVS=2014-04-03T23:01:00Z;C"], true),
        ("`RRVS` with `R` or neither", &["RRVS=2014-04-03T23:01:00Z;R"], true),
        ("`RRVS` with `R` or neither", &["RRVS=2014-04-03T23:01:00Z"], true),
        ("`HOLDFOR`, `HOLDUNTIL`", &["HOLDFOR=10"], false),
        ("`HOLDFOR`, `HOLDUNTIL`", &["HOLDUNTIL=2030-01-01T00:00:00Z"], false),
        ("`SMTPUTF8`", &["SMTPUTF8"], false),
    ] {
        let parameters = parsed(words);
        let outcome = if rcpt {
            promises.rcpt(&Recipient { parameters, ..to(0, "b@b.example") })
        } else {
            promises.mail(&sender(), &parameters, false, Duration::ZERO)
        };
        let says = match outcome {
            Ok(carried) => {
                assert_eq!(carried, [], "{begins}: nothing goes on");
                "left behind".to_owned()
            }
            Err(reply) => reply.to_string().split(' ').take(2).collect::<Vec<_>>().join(" "),
        };
        let mut rows = table.lines().filter(|line| line.starts_with(&format!("| {begins} |")));
        assert!(rows.any(|row| row.contains(&says)), "{begins}: {says}");
    }
}
