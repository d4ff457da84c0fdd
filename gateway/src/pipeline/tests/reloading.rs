//! What a reload means to a session.

use super::*;

fn refuses(_: &HookCall) -> (Opinion, Vec<Edit>) {
    (Opinion::Reject(spam()), Vec::new())
}

/// The same house with another plugin in it.
fn another(house: &House, script: Script, metrics: &Metrics) -> House {
    let link =
        Link { metrics: metrics.plugin("scripted"), plugin: Arc::new(Scripted::new(script)) };
    House {
        spool: house.spool.clone(),
        listener: house.listener.clone(),
        hostname: house.hostname.clone(),
        protocol: house.protocol,
        chain: Chain::new(vec![link], true),
        login: house.login.clone(),
        routes: house.routes.clone(),
        upstreams: house.upstreams.clone(),
        upstream: house.upstream.clone(),
        quarantine: house.quarantine.clone(),
        delivery: house.delivery,
        mixed: house.mixed,
        receipts: house.receipts.clone(),
        live: house.live.clone(),
        duplicates: house.duplicates,
        budget: house.budget.clone(),
        header_octets: house.header_octets,
        message_octets: house.message_octets,
        metrics: house.metrics.clone(),
        traces: None,
        in_use: Arc::new(metrics.configuration_in_use()),
    }
}

#[tokio::test]
async fn a_transaction_ends_where_it_began_and_the_next_one_begins_anew() {
    let mut house = Setup::new(nothing).start().await;
    let site = house.client.site.clone();
    let old = Arc::downgrade(&site.house());
    assert_eq!(house.mail().await, "yes");
    assert_eq!(house.rcpt("one@b.example").await, "yes");
    site.rebuild(another(&site.house(), refuses, &house.metrics));
    assert_eq!(house.rcpt("two@b.example").await, "yes");
    assert_eq!(house.data().await, "yes");
    assert!(old.upgrade().is_some());
    assert_eq!(house.message(MESSAGE).await, ["250 2.0.0 kept [s.1]"]);
    // An idle session keeps nothing of what was.
    assert!(old.upgrade().is_none());
    assert_eq!(house.mail().await, "550 5.7.1 spam [s.2]");
    house.outcomes(&[("accepted", 1), ("rejected", 1)]);
}
