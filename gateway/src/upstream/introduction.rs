//! What an upstream is told of the client whose mail it gets: XCLIENT and XFORWARD.
//!
//! Whatever is not known is said to be unavailable: what was said of the client before, on the same
//! connection, shall not stand for this one.

use std::net::IpAddr;
use std::time::Duration;

use portcullis_smtp::client::{Stage, Step};
use portcullis_smtp::xclient::{Proto, Said, Source, Xclient, Xforward};
use tracing::warn;

use crate::message::{Forwarded, Provenance};

use super::connection::{Connection, closed};
use super::failure::Failure;
use super::pool::Pool;

/// Whether and how the client is spoken for.
impl Pool {
    /// Says who the client is, where that is wanted, unless it was said last.
    pub(super) async fn introduce(
        &self,
        connection: &mut Connection,
        provenance: &Provenance,
    ) -> Result<(), Failure> {
        if !self.target.upstream.client.xclient {
            return Ok(());
        }
        let limit = self.target.upstream.command_timeout;
        if !connection.introduce(xclient(provenance), limit).await? {
            self.cautions().no_xclient.call_once(|| {
                let upstream = &*self.name;
                warn!(upstream, "no XCLIENT here: it takes the gateway for the client");
            });
        }
        Ok(())
    }

    /// Queues where the message came from, where that is wanted. Says how many answers there will be.
    pub(super) fn forward(&self, connection: &mut Connection, provenance: &Provenance) -> usize {
        if !self.target.upstream.client.xforward {
            return 0;
        }
        let answers = connection.session.xforward(&xforward(provenance));
        if answers == 0 {
            self.cautions().no_xforward.call_once(|| {
                let upstream = &*self.name;
                warn!(upstream, "no XFORWARD here: its log will not name the clients");
            });
        }
        answers
    }
}

impl Connection {
    /// Says who the client is, if it is not the one of the transaction before. Says whether the
    /// upstream wants to know.
    async fn introduce(&mut self, client: Xclient, limit: Duration) -> Result<bool, Failure> {
        if self.introduced.as_deref() == Some(&client) {
            return Ok(true);
        }
        if !self.session.xclient(&client) {
            return Ok(false);
        }
        loop {
            match self.step(limit).await? {
                Step::Answer(..) => {}
                Step::Ready => break,
                _ => return Err(closed()),
            }
        }
        self.introduced = Some(Box::new(client));
        Ok(true)
    }

    /// Hears what became of XFORWARD. A no is no reason to keep the mail: it is for the log.
    pub(super) async fn forwarded(
        &mut self,
        answers: usize,
        limit: Duration,
    ) -> Result<(), Failure> {
        for _ in 0..answers {
            self.answer(Stage::Xforward, limit).await?;
        }
        Ok(())
    }
}

fn xclient(provenance: &Provenance) -> Xclient {
    Xclient {
        name: provenance.name.clone().into(),
        reverse_name: Said::Unavailable,
        address: provenance.address.into(),
        port: provenance.port.into(),
        protocol: Said::Value(if provenance.esmtp { Proto::Esmtp } else { Proto::Smtp }),
        helo: provenance.helo.clone().into(),
        login: provenance.login.clone().into(),
        // Nobody is asked where the client has connected to: this upstream is where the mail goes.
        destination_address: Said::Nothing,
        destination_port: Said::Nothing,
    }
}

/// What a proxy has told goes on; else the client itself.
fn xforward(provenance: &Provenance) -> Xforward {
    let Some(forwarded) = &provenance.forwarded else {
        let protocol = if provenance.esmtp { "ESMTP" } else { "SMTP" };
        let local = provenance.address.is_none_or(|address: IpAddr| address.is_loopback());
        return Xforward {
            name: provenance.name.clone().into(),
            address: provenance.address.into(),
            port: provenance.port.into(),
            protocol: Said::Value(protocol.to_owned()),
            helo: provenance.helo.clone().into(),
            identity: Said::Value(provenance.id.clone()),
            source: Said::Value(if local { Source::Local } else { Source::Remote }),
        };
    };
    let Forwarded { name, address, port, protocol, helo, identity, source } = forwarded.clone();
    let source = source.and_then(|source| {
        [Source::Local, Source::Remote].into_iter().find(|known| known.word() == source)
    });
    Xforward {
        name: name.into(),
        address: address.into(),
        port: port.into(),
        protocol: protocol.into(),
        helo: helo.into(),
        identity: Said::Value(identity.unwrap_or_else(|| provenance.id.clone())),
        source: source.into(),
    }
}
