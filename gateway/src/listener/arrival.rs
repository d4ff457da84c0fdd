//! One connection, from the moment when it was accepted.

use std::net::IpAddr;
use std::sync::Arc;

use portcullis_smtp::proxy::{Header, Source, Tls};
use portcullis_smtp::server::Channel;
use tracing::{Instrument, debug, error_span, warn};

use super::{Open, Permit, trusts, turn_away};
use crate::connection::{self, Terms, Transport};
use crate::message::{SessionFacts, TlsFacts};
use crate::metrics::{Bound, ProxyHeader};
use crate::pipeline::{Pipeline, Site};
use crate::shutdown::Watcher;

/// A connection that has its permit.
pub(super) struct Arrival {
    pub(super) socket: Transport,
    pub(super) session: SessionFacts,
    pub(super) permit: Permit,
    pub(super) terms: Arc<Terms>,
    pub(super) site: Arc<Site>,
}

impl Arrival {
    /// Learns from the proxy whose connection it is; none if it is nobody's or one too many.
    ///
    /// A proxy that says nothing is not taken for a client: whoever reached this listener through it
    /// would be as trusted as the proxy.
    pub(super) async fn introduced(mut self) -> Option<Self> {
        let patience = self.terms.timeouts.proxy_header;
        let heard = connection::introduction(&mut self.socket, patience).await;
        let result = heard.as_ref().map_or_else(|error| error.result(), |_| ProxyHeader::Ok);
        self.terms.metrics.proxy_header(result);
        if result == ProxyHeader::Timeout {
            self.terms.metrics.bound_reached(Bound::ProxyTime);
        }
        let (listener, peer) = (&self.session.listener, self.session.client);
        match heard {
            Ok(header) => self.owned_by(header),
            Err(error) if result == ProxyHeader::Closed => {
                debug!(listener, %peer, %error, "closed without a client");
                None
            }
            Err(error) => {
                warn!(listener, %peer, %error, "a trusted proxy did not say whose connection it is");
                None
            }
        }
    }

    fn owned_by(mut self, header: Header) -> Option<Self> {
        let peer = self.session.client;
        let counts_for: Option<IpAddr> = match header.source {
            Source::Client { from, .. } => {
                self.session.client = from.into();
                self.session.via = Some(peer);
                self.session.client.ip()
            }
            Source::Unknown => peer.ip(),
            // The proxy looks whether somebody is there.
            Source::Proxy => None,
        };
        if let Some(tls) = header.tls {
            self.session.tls = Some(facts(tls, header.authority));
        }
        if let Some(ip) = counts_for
            && let Err(reason) = self.permit.admit(ip)
        {
            turn_away(
                &self.terms,
                &self.session.listener,
                &self.socket,
                reason,
                self.session.client,
            );
            return None;
        }
        Some(self)
    }

    /// Holds the conversation.
    pub(super) async fn converse(self, mut watcher: Watcher) {
        let Self { socket, session, permit, terms, site } = self;
        let open = Open::new(terms.metrics.clone(), permit);
        // An error span, so that a quiet log level keeps the id of what it still tells.
        let span = error_span!("smtp", id = session.id, client.addr = session.client.host());
        // By the client, not by the proxy: else whoever comes through it could say who he is.
        let channel = Channel {
            may_xclient: trusts(&terms.trust.xclient, session.client),
            may_xforward: trusts(&terms.trust.xforward, session.client),
            ..Channel::default()
        };
        let conversation = async {
            let mut pipeline = Pipeline::new(site, session);
            let presence = pipeline.presence().clone();
            let serving =
                connection::serve(socket, &terms, channel, &mut pipeline, &presence, &mut watcher);
            match serving.await {
                Ok(ending) => debug!(?ending, "conversation ended"),
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    debug!(%error, cause, "conversation broke off");
                }
            }
        };
        conversation.instrument(span).await;
        drop(open);
    }
}

/// What the proxy tells of the client's TLS. It is nothing that this side could vouch for: AUTH in
/// clear text behind the proxy is AUTH in clear text.
fn facts(tls: Tls, authority: Option<String>) -> TlsFacts {
    TlsFacts {
        version: tls.version.unwrap_or_default(),
        cipher: tls.cipher.unwrap_or_default(),
        server_name: authority,
        client_subject: tls.common_name.map(|name| format!("CN={}", escaped(&name))),
        at_proxy: true,
        ..TlsFacts::default()
    }
}

/// A value with what would end it escaped (RFC 4514 section 2.4).
fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        let at_edge = (at == 0 && matches!(c, ' ' | '#')) || (at + 1 == value.len() && c == ' ');
        if at_edge || matches!(c, '"' | '+' | ',' | ';' | '<' | '=' | '>' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_name_stays_one() {
        let tls = Tls { common_name: Some("bob,O=Admin ".into()), ..Tls::default() };
        let facts = facts(tls, Some("mx.example".into()));
        assert_eq!(facts.client_subject.as_deref(), Some("CN=bob\\,O\\=Admin\\ "));
        assert!(facts.at_proxy);
        assert_eq!(facts.server_name.as_deref(), Some("mx.example"));
    }
}
