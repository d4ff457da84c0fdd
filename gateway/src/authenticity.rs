//! Finds out who sent a message: iprev, SPF, DKIM, DMARC and ARC, in the words of RFC 8601.
//!
//! The library `mail-auth` reads records and signatures and checks the latter. It never asks a name
//! server itself: what it needs is looked up before, by the resolver of the process, all at once,
//! with its cache, bounds and metrics. SPF is evaluated here, over the library's records and macros:
//! its own evaluation takes the first of several records and knows no bound for void look-ups.
//!
//! What is found is about the message as the client sent it. Nothing here judges.

mod known;
mod message;
mod sender;
mod spf;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mail_auth::MessageAuthenticator;
use tokio::sync::Semaphore;

use crate::message::{Content, Finding, HeaderSection, Outcome};
use crate::resolver::{self, Answer, Kind, Query, Resolver, ResolverError};

/// Finds out who sent messages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Authenticator {
    shared: Arc<Shared>,
}

struct Shared {
    resolver: Resolver,
    /// The gateway's own name: the macro `r` of SPF.
    hostname: String,
    /// Knows no name servers.
    library: MessageAuthenticator,
    /// A permit for each message that a processor works at.
    processors: Arc<Semaphore>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("hostname", &self.hostname).finish_non_exhaustive()
    }
}

/// Who says to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sender {
    /// The client, if it has an IP address.
    pub address: Option<IpAddr>,
    /// The argument of EHLO, HELO or LHLO.
    pub helo: String,
    /// The reverse-path; none is the null one.
    pub reverse_path: Option<String>,
}

/// A complete message, as the client sent it.
#[derive(Clone, Debug)]
pub struct Received {
    /// Everything before the empty line.
    pub header: Arc<HeaderSection>,
    /// Everything after it.
    pub body: Content,
    /// What [`Authenticator::sender`] found.
    pub sender: Arc<[Finding]>,
}

impl Authenticator {
    /// Finds out by this resolver.
    ///
    /// # Errors
    ///
    /// If the library cannot be set up.
    pub fn new(resolver: Resolver, hostname: &str) -> Result<Self, ResolverError> {
        let library = MessageAuthenticator(resolver::nobody()?);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let processors = Arc::new(Semaphore::new(processors));
        let hostname = hostname.to_owned();
        Ok(Self { shared: Arc::new(Shared { resolver, hostname, library, processors }) })
    }

    /// iprev of the client, and SPF of the reverse-path, or of the HELO name if that is null.
    pub async fn sender(&self, sender: Sender) -> Vec<Finding> {
        let names = Names::new(&self.shared.resolver);
        let Some(address) = sender.address else {
            let unknown = "the client has no IP address";
            let iprev = Finding::new("iprev", Outcome::None).because(unknown);
            return vec![iprev, sender.spf(Outcome::None).because(unknown)];
        };
        let (iprev, spf) = tokio::join!(
            sender::iprev(&names, address),
            sender::spf(&names, &sender, address, &self.shared.hostname),
        );
        vec![iprev, spf]
    }

    /// DKIM, a finding a signature; ARC; DMARC.
    pub async fn content(&self, received: Received) -> Vec<Finding> {
        message::findings(&self.shared, received).await
    }
}

impl Sender {
    /// What is said where there was no time to find out.
    #[must_use]
    pub fn unknown(&self, reason: &str) -> Vec<Finding> {
        let iprev = Finding::new("iprev", Outcome::TemporaryError).because(reason);
        vec![iprev, self.spf(Outcome::TemporaryError).because(reason)]
    }

    /// SPF of whom it is about.
    fn spf(&self, outcome: Outcome) -> Finding {
        let finding = Finding::new("spf", outcome);
        match &self.reverse_path {
            Some(path) => finding.with("smtp.mailfrom", path),
            None => finding.with("smtp.helo", &*self.helo),
        }
    }
}

/// When a search that begins now is over, whether it has found anything or not.
#[must_use]
pub fn deadline() -> Instant {
    Instant::now() + SEARCH_TIME
}

/// What is said of a message where there was no time to find out.
#[must_use]
pub fn unknown(reason: &str) -> Vec<Finding> {
    let unknown = |method| Finding::new(method, Outcome::TemporaryError).because(reason);
    ["dkim", "arc", "dmarc"].map(unknown).into()
}

/// The resolver, for one search.
#[derive(Clone, Copy, Debug)]
struct Names<'a> {
    resolver: &'a Resolver,
    deadline: Instant,
}

impl<'a> Names<'a> {
    fn new(resolver: &'a Resolver) -> Self {
        Self { resolver, deadline: deadline() }
    }

    async fn ask(&self, name: &str, kind: Kind) -> Answer {
        self.resolver.lookup(&Query { name: name.to_owned(), kind }, self.deadline).await
    }

    /// A few at a time: whoever sends a message decides what is asked about it, and must not take
    /// all queries of the process.
    async fn ask_all(&self, queries: Vec<Query>) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(queries.len());
        for some in queries.chunks(QUERIES_AT_ONCE) {
            answers.extend(self.resolver.lookup_all(some.to_vec(), self.deadline).await);
        }
        answers
    }
}

/// For all look-ups of one search: RFC 7208 section 4.6.4 wants at least that much.
const SEARCH_TIME: Duration = Duration::from_secs(20);

/// Of one search: more than an honest message makes necessary, and a small part of `dns.queries`.
const QUERIES_AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokio::net::UdpSocket;
    use tokio::time::timeout_at;

    use super::*;
    use crate::config::Dns;
    use crate::metrics;

    #[tokio::test]
    async fn one_message_leaves_queries_to_others() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let servers = Some(vec![silent.local_addr().expect("its address")]);
        let metrics = metrics::Metrics::new(&metrics::Names::default());
        let dns = Dns { servers, timeout: Duration::from_mins(1), ..Dns::default() };
        let resolver = Resolver::new(&dns, metrics.dns()).expect("a resolver");
        let deadline = Instant::now() + Duration::from_millis(500);
        let names = Names { resolver: &resolver, deadline };
        let query = |number| Query { name: format!("n{number}.example"), kind: Kind::Txt };
        let asking = names.ask_all((0..100).map(query).collect());
        let hearing = async {
            let (mut heard, mut datagram) = (HashSet::new(), [0; 512]);
            while let Ok(Ok(length)) = timeout_at(deadline.into(), silent.recv(&mut datagram)).await
            {
                // Behind the number, which is another one when it is asked again, and the flags.
                heard.insert(datagram[12..length].to_vec());
            }
            heard.len()
        };
        let (answers, heard) = tokio::join!(asking, hearing);
        assert_eq!(answers, vec![Answer::TimedOut; 100]);
        assert_eq!(heard, QUERIES_AT_ONCE);
    }
}
