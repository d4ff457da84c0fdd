//! Exim, which uses whatever is offered.

use portcullis_tests::peers::Exim;

use super::*;

#[test]
fn exim_sends_through_the_gateway() {
    for transport in ["hosts_try_chunking = *", "hosts_try_chunking =", "hosts_require_tls = *"] {
        let (sink, gateway) = with_tls("starttls");
        let Some(exim) = Exim::sender(gateway.address("mx"), transport, "") else { return };
        let body = "a line\n.\n..dots\nno end";
        let to = ["b@example.com", "c@example.com"];
        let said = exim.send("a@example.org", &to, &format!("Subject: via Exim\n\n{body}\n"));
        let heard = format!("{transport}: {}{}", said.stderr, exim.log());
        assert!(said.status.success(), "{heard}");
        assert!(heard.contains("Completed"), "{heard}");
        let letter = sink.only_letter();
        assert_eq!(letter.recipients, to, "{heard}");
        let want = format!("\r\n\r\n{}\r\n", body.replace('\n', "\r\n"));
        assert!(letter.text().ends_with(&want), "{}", letter.text());
    }
}

#[test]
fn exim_hears_of_each_recipient() {
    let (here, there) = (Sink::smtp(), crate::chunking::refusing());
    let gateway = crate::chunking::two_upstreams(&here, &there);
    let Some(exim) = Exim::sender(gateway.address("mx"), "hosts_try_prdr = *", "") else { return };
    let to = ["b@example.com", "c@example.net"];
    let said = exim.send("a@example.org", &to, "Subject: via Exim\n\nx\n");
    let heard = format!("{}{}", said.stderr, exim.log());
    // What follows is Exim's own report about the other one.
    assert_eq!(here.wait_for(1)[0].recipients, ["b@example.com"], "{heard}");
    assert!(heard.contains("=> b@example.com"), "{heard}");
    assert!(heard.contains("** c@example.net"), "{heard}");
    assert!(heard.contains("550 5.7.1 not here"), "{heard}");
    let mixed = [("listener", "mx"), ("outcome", "mixed")];
    gateway.wait_for_metric("portcullis_transactions_total", &mixed, 1.0);
}
