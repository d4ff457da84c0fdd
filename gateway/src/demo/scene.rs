//! The scenes: each a conversation, and what must come of it.

use std::io;
use std::net::SocketAddr;

use super::talk::Talk;
use crate::sink::Sink;
use crate::telemetry::{Colour, Paint};

/// Where the scenes are played.
#[derive(Debug)]
pub(super) struct Stage {
    gateway: SocketAddr,
    store: Sink,
    archive: Sink,
    paint: Paint,
    outcomes: Vec<(&'static str, bool, String)>,
}

impl Stage {
    pub(super) fn new(gateway: SocketAddr, store: Sink, archive: Sink, paint: Paint) -> Self {
        Self { gateway, store, archive, paint, outcomes: Vec::new() }
    }

    /// All scenes, then the table of what came of them. Whether each ended as it should.
    pub(super) async fn play(&mut self) -> io::Result<bool> {
        self.accepted().await?;
        self.sender_refused().await?;
        self.one_recipient_refused().await?;
        self.header_rewritten().await?;
        self.routed().await?;
        self.trapped().await?;

        println!("\n{}", self.paint.in_colour(Colour::Bold, "What became of each"));
        for (scene, well, outcome) in &self.outcomes {
            let (colour, mark) = if *well { (Colour::Green, "ok") } else { (Colour::Red, "WRONG") };
            println!("  {:<7} {scene:<28} {outcome}", self.paint.in_colour(colour, mark));
        }
        Ok(self.outcomes.iter().all(|(_, well, _)| *well))
    }

    async fn accepted(&mut self) -> io::Result<()> {
        self.title("1. A message is accepted, stamped and forwarded");
        let mut talk = self.greet().await?;
        talk.say("MAIL FROM:<ann@sender.example>").await?;
        talk.say("RCPT TO:<info@example.org>").await?;
        talk.say("DATA").await?;
        let reply = talk.send("Subject: hello\nFrom: ann@sender.example\n\nHi!").await?;
        talk.say("QUIT").await?;
        let got = self.last_of_store();
        self.show("the store got", &got);
        let stamped = got.contains("Received: from") && got.contains("X-Filtered-By: Portcullis");
        self.note("accepted and stamped", reply.starts_with("250") && stamped, reply);
        Ok(())
    }

    async fn sender_refused(&mut self) -> io::Result<()> {
        self.title("2. A sender is refused by the plugin `access`");
        let mut talk = self.greet().await?;
        let reply = talk.say("MAIL FROM:<win@spammer.example>").await?;
        talk.say("QUIT").await?;
        self.note("sender refused", reply.starts_with("550"), reply);
        Ok(())
    }

    async fn one_recipient_refused(&mut self) -> io::Result<()> {
        self.title("3. One recipient is refused by the plugin `recipients`, the other delivered");
        let before = self.store.count();
        let mut talk = self.greet().await?;
        talk.say("MAIL FROM:<ann@sender.example>").await?;
        let refused = talk.say("RCPT TO:<nobody@example.org>").await?;
        talk.say("RCPT TO:<info+demo@example.org>").await?;
        talk.say("DATA").await?;
        let reply = talk.send("Subject: two recipients\n\nOne of them exists.").await?;
        talk.say("QUIT").await?;
        let one = self.store.count() == before + 1;
        let well = refused.starts_with("550") && reply.starts_with("250") && one;
        self.note("one recipient refused", well, format!("{refused} / {reply}"));
        Ok(())
    }

    async fn header_rewritten(&mut self) -> io::Result<()> {
        self.title("4. A header is rewritten by the plugin `headers`");
        let mut talk = self.greet().await?;
        talk.say("MAIL FROM:<ann@sender.example>").await?;
        talk.say("RCPT TO:<info@example.org>").await?;
        talk.say("DATA").await?;
        let message = "Subject: numbers\nX-Priority: 1 (Highest)\nX-Internal-Note: secret\n\nx";
        let reply = talk.send(message).await?;
        talk.say("QUIT").await?;
        let got = self.last_of_store();
        self.show("the store got", &got);
        let set = got.contains("X-Priority: 3") && !got.contains("X-Internal-Note");
        self.note("header rewritten", reply.starts_with("250") && set, reply);
        Ok(())
    }

    async fn routed(&mut self) -> io::Result<()> {
        self.title("5. A message is routed to the second upstream, over LMTP");
        let before = self.archive.count();
        let mut talk = self.greet().await?;
        talk.say("MAIL FROM:<ann@sender.example>").await?;
        talk.say("RCPT TO:<all@archive.example>").await?;
        talk.say("DATA").await?;
        let reply = talk.send("Subject: for the record\n\nKeep this.").await?;
        talk.say("QUIT").await?;
        let arrived = self.archive.count() == before + 1;
        self.note("routed to the archive", reply.starts_with("250") && arrived, reply);
        Ok(())
    }

    async fn trapped(&mut self) -> io::Result<()> {
        self.title("6. A plugin panics: that mail waits, everybody else is served");
        let mut talk = self.greet().await?;
        let reply = talk.say("MAIL FROM:<trap@sender.example>").await?;
        talk.say("RSET").await?;
        let next = talk.say("MAIL FROM:<ann@sender.example>").await?;
        talk.say("QUIT").await?;
        let well = reply.starts_with("451") && next.starts_with("250");
        self.note("plugin trapped", well, reply);
        Ok(())
    }

    async fn greet(&self) -> io::Result<Talk> {
        let (mut talk, _) = Talk::open(self.gateway, self.paint).await?;
        talk.say("EHLO client.sender.example").await?;
        Ok(talk)
    }

    fn last_of_store(&self) -> String {
        self.store
            .last()
            .map(|mail| String::from_utf8_lossy(&mail.octets).into_owned())
            .unwrap_or_default()
    }

    fn title(&self, text: &str) {
        println!("\n{}", self.paint.in_colour(Colour::Bold, text));
    }

    fn show(&self, what: &str, message: &str) {
        println!("    -- {what}:");
        for line in message.lines() {
            println!("    {}", self.paint.in_colour(Colour::Yellow, line));
        }
    }

    fn note(&mut self, scene: &'static str, well: bool, outcome: String) {
        self.outcomes.push((scene, well, outcome));
    }
}
