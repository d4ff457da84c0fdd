//! What plugins that listen hear of a session.

use super::*;

impl Listener {
    /// What was told since the last time: the stage, whom it is about, who decided, and the code.
    fn heard(&self) -> Vec<String> {
        let events = std::mem::take(&mut *self.told.lock().unwrap());
        let line = |event: &Event| {
            let Event { stage, recipient, by, code, .. } = event;
            let about = recipient.as_deref().unwrap_or("-");
            format!("{} {about} {} {code}", stage.label(), by.as_deref().unwrap_or("-"))
        };
        events.iter().map(line).collect()
    }
}

#[tokio::test]
async fn a_session_is_told_from_its_beginning_to_its_end() {
    let mut house = Setup::new(nothing).start().await;
    house.ask(Question::Connect).await;
    house.ask(Question::Hello { name: "client.example".into(), esmtp: true }).await;
    assert_eq!(house.send(&["x@b.example"]).await, ["250 2.0.0 kept [s.1]"]);
    house.client.lost("closed").await;
    let events = house.told.lock().unwrap().clone();
    let rcpt = &events[3];
    assert_eq!((&*rcpt.session, &*rcpt.listener, &*rcpt.client_address), ("s", "mx", "192.0.2.1"));
    assert_eq!(rcpt.transaction.as_deref(), Some("s.1"));
    assert_eq!(rcpt.sender.as_deref(), Some("a@a.example"));
    assert!(rcpt.time > 1_600_000_000_000);
    assert_eq!(events.last().unwrap().text, "closed");
    assert_eq!(events[5].text, "2.0.0 kept [s.1]");
    assert_eq!(
        house.heard(),
        [
            "connect - - 220",
            "helo - - 250",
            "mail - - 250",
            "rcpt x@b.example one 250",
            "delivery x@b.example one 250",
            "message - - 250",
            "disconnect - - 0",
        ]
    );
    drop(house.client);
    assert!(house.told.lock().unwrap().is_empty(), "an end is told once");
}

fn refuses(call: &HookCall) -> (Opinion, Vec<Edit>) {
    let refused = call.recipient.as_ref().is_some_and(|r| r.address.local_part() == "spam");
    let refused = refused || call.hook == Hook::Message;
    (if refused { Opinion::Reject(spam()) } else { Opinion::Next }, Vec::new())
}

#[tokio::test]
async fn refusals_name_the_plugin_and_an_end_without_goodbye_is_told_too() {
    let mut house = Setup::new(refuses).start().await;
    house.ask(Question::Connect).await;
    house.mail().await;
    house.rcpt("spam@b.example").await;
    house.rcpt("x@nowhere.example").await;
    house.rcpt("x@b.example").await;
    house.data().await;
    house.message("Subject: x\r\n\r\nbody\r\n").await;
    let told = house.told.clone();
    assert_eq!(
        house.heard(),
        [
            "connect - - 220",
            "mail - - 250",
            "rcpt spam@b.example scripted 550",
            "rcpt x@nowhere.example - 550",
            "rcpt x@b.example one 250",
            "message - scripted 550",
        ]
    );
    drop(house);
    let told = told.lock().unwrap();
    assert_eq!((told[0].stage.label(), &*told[0].text), ("disconnect", "cut at the shutdown"));
}

#[tokio::test]
async fn what_the_session_refuses_by_itself_is_told_once() {
    let mut house = Setup::new(nothing).start().await;
    house.mail().await;
    house.rcpt("x@b.example").await;
    house.data().await;
    house.client.content(b"Subject: x\r\n".to_vec()).await;
    house.client.refused(Reply::fixed(552, (5, 3, 4), "message too large")).await;
    assert_eq!(house.heard(), ["mail - - 250", "rcpt x@b.example one 250", "message - - 552"]);
}
