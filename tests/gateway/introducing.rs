//! What real servers hear of the gateway and of its clients: logins, XCLIENT and XFORWARD.

use portcullis_tests::peers::{DovecotAuth, Postfix};
use portcullis_tests::{Gateway, wait_for};
use serde_json::json;

const MESSAGE: &[u8] = b"Subject: hello\r\n\r\nhello\r\n";

#[test]
fn postfix_accepts_the_gateway_s_login_by_every_mechanism() {
    let Some(dovecot) = DovecotAuth::start("gateway", "s3cret") else { return };
    let socket = dovecot.socket();
    let Some(postfix) = Postfix::receiver_with(&format!(
        "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n\
         smtpd_client_restrictions = permit_sasl_authenticated, reject\n",
        socket.display()
    )) else {
        return;
    };
    let upstream = |password: &str, mechanisms: &[&str]| {
        json!({
            "protocol": "smtp",
            "address": postfix.address.to_string(),
            "auth": { "user": "gateway", "password": password, "mechanisms": mechanisms },
        })
    };
    let mechanisms = ["scram-sha-256", "scram-sha-1", "cram-md5", "plain", "login"];
    for mechanism in mechanisms {
        let gateway = Gateway::new()
            .listener("mx", json!({}))
            .upstream_with("store", upstream("s3cret", &[mechanism]))
            .start();
        let reply = gateway.client().deliver("a@example.org", &["b@example.com"], MESSAGE);
        reply.unwrap().expect_code(250);
        let line = format!("sasl_method={}, sasl_username=gateway", mechanism.to_uppercase());
        wait_for(&line, || postfix.log().contains(&line).then_some(()));
    }
    let all: Vec<_> = mechanisms.to_vec();
    let gateway = Gateway::new()
        .listener("mx", json!({}))
        .upstream_with("store", upstream("wrong", &all))
        .start();
    let mut client = gateway.client();
    client.command("MAIL FROM:<a@example.org>").expect_code(250);
    let refused = client.command("RCPT TO:<b@example.com>");
    let text = "451 4.7.0 upstream store does not accept the gateway's login";
    assert_eq!(refused.to_string(), text);
    gateway.wait_for_metric("portcullis_upstream_connects_total", &[("result", "login")], 1.0);
}

#[test]
fn postfix_sees_the_client_behind_the_gateway() {
    let Some(postfix) = Postfix::receiver_with(
        "smtpd_authorized_xclient_hosts = 127.0.0.0/8\n\
         smtpd_authorized_xforward_hosts = 127.0.0.0/8\n\
         smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n",
    ) else {
        return;
    };
    let gateway = Gateway::new()
        .listener("mx", json!({ "trust": { "xclient": ["127.0.0.0/8"] } }))
        .upstream_with(
            "store",
            json!({
                "protocol": "smtp",
                "address": postfix.address.to_string(),
                "client": ["xclient", "xforward"],
            }),
        )
        .start();
    // One worker has it all to do: each keeps idle connections of its own.
    let mut client = gateway.client();
    for (address, name) in [("192.0.2.7", "seven.example"), ("192.0.2.8", "eight.example")] {
        client.command(&format!("XCLIENT ADDR={address} NAME={name} PORT=4711")).expect_code(220);
        client.command("EHLO client.example").expect_code(250);
        client.deliver("a@example.org", &["b@example.com"], MESSAGE).unwrap().expect_code(250);
        let line = format!("client={name}[{address}]");
        wait_for(&line, || postfix.log().contains(&line).then_some(()));
    }
    // Both over one connection.
    let connects = postfix.log().matches("]: connect from localhost[127.0.0.1]").count();
    // The test has looked whether Postfix listens.
    assert!(connects <= 2, "{}", postfix.log());
}
