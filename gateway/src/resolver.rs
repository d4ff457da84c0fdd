//! Asks name servers, and remembers what they said.
//!
//! Names are complete: no search domain is ever added, and no hosts file is read. Whatever goes
//! wrong is an [`Answer`] too, so that who asks decides what it means.

mod answer;
mod memory;
mod name;
mod zone;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::rr::Name;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::config;
use crate::metrics::{DnsMetrics, DnsResult};

use memory::Memory;

pub use answer::{Answer, Record};
pub use zone::Zone;

/// Kinds of records that can be asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// The name that this one stands for.
    Cname,
    /// Mail exchangers.
    Mx,
    /// Name servers of a zone.
    Ns,
    /// Names of an address.
    Ptr,
    /// Where a service is (RFC 2782).
    Srv,
    /// Certificates of a service (RFC 6698).
    Tlsa,
    /// Text.
    Txt,
}

/// One question.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Query {
    /// With or without the dot at the end; for [`Kind::Ptr`] an IP address will do.
    pub name: String,
    /// What is asked for.
    pub kind: Kind,
}

/// The resolver of the process. Cheap to clone; all clones share the cache and the bounds.
#[derive(Clone, Debug)]
pub struct Resolver {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    source: Source,
    /// A permit for each query in flight.
    queries: Semaphore,
    metrics: Arc<DnsMetrics>,
}

/// Where answers come from.
#[derive(Debug)]
enum Source {
    Servers { resolver: Box<TokioResolver>, memory: Memory },
    Zone(Zone),
}

/// Why there is no resolver. The operator's or the machine's to mend.
#[derive(Debug, thiserror::Error)]
#[error("the resolver cannot be set up: {0}")]
pub struct ResolverError(String);

impl Resolver {
    /// A resolver with an empty cache. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// If the library refuses its options.
    pub fn new(config: &config::Dns, metrics: Arc<DnsMetrics>) -> Result<Self, ResolverError> {
        let servers = match &config.servers {
            Some(servers) => servers.iter().copied().map(name_server).collect(),
            None => system_servers(),
        };
        let servers = ResolverConfig::from_name_servers(servers);
        let resolver = Box::new(build(servers, options(config))?);
        let source = Source::Servers { resolver, memory: Memory::of(config.cache_answers) };
        let queries = Semaphore::new(config.queries);
        Ok(Self { shared: Arc::new(Shared { source, queries, metrics }) })
    }

    /// A resolver that asks nobody.
    #[must_use]
    pub fn fixed(zone: Zone, metrics: Arc<DnsMetrics>) -> Self {
        let queries = Semaphore::new(Semaphore::MAX_PERMITS);
        Self { shared: Arc::new(Shared { source: Source::Zone(zone), queries, metrics }) }
    }

    /// Asks one question. What has no answer at the `deadline` has timed out.
    pub async fn lookup(&self, query: &Query, deadline: Instant) -> Answer {
        self.lookup_with_life(query, deadline).await.0
    }

    /// The same, and how long the answer lives: as long as the record that dies first.
    pub async fn lookup_with_life(&self, query: &Query, deadline: Instant) -> (Answer, Duration) {
        match self.recall(query) {
            Some(known) => known,
            None => self.ask(query, deadline).await,
        }
    }

    /// What is known already.
    fn recall(&self, query: &Query) -> Option<(Answer, Duration)> {
        let Source::Servers { memory, .. } = &self.shared.source else { return None };
        let began = Instant::now();
        let (answer, left) = memory.recall(query)?;
        self.shared.metrics.answered(result(&answer), began.elapsed());
        let life = if matches!(answer, Answer::Records(_)) { left } else { LIFE };
        Some((answer, life))
    }

    async fn ask(&self, query: &Query, deadline: Instant) -> (Answer, Duration) {
        let shared = &*self.shared;
        let Some(name) = name::parse(&query.name, query.kind) else {
            return (Answer::NotAName, LIFE);
        };
        let began = Instant::now();
        let asked = async {
            let _permit = shared.queries.acquire().await;
            let _in_flight = shared.metrics.in_flight();
            match &shared.source {
                Source::Servers { resolver, memory } => {
                    let (answer, life) = look_up(resolver, name, query.kind).await;
                    if let Some(life) = life {
                        memory.keep(query, &answer, life);
                    }
                    let lives = life.filter(|_| matches!(answer, Answer::Records(_)));
                    (answer, lives.unwrap_or(LIFE))
                }
                Source::Zone(zone) => (zone.answer(&name, query.kind), LIFE),
            }
        };
        let asked = timeout_at(deadline.into(), asked).await;
        let (answer, life) = asked.unwrap_or((Answer::TimedOut, LIFE));
        shared.metrics.answered(result(&answer), began.elapsed());
        (answer, life)
    }

    /// Whether both are the same resolver.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Asks all questions at once; the answers are in their order. What is known already costs no task.
    pub async fn lookup_all(&self, queries: Vec<Query>, deadline: Instant) -> Vec<Answer> {
        let mut answers = vec![Answer::TimedOut; queries.len()];
        // Dropped with this future if nobody waits for it any more.
        let mut lookups = JoinSet::new();
        for ((at, query), place) in queries.into_iter().enumerate().zip(&mut answers) {
            if let Some((answer, _)) = self.recall(&query) {
                *place = answer;
                continue;
            }
            let resolver = self.clone();
            lookups.spawn(async move { (at, resolver.ask(&query, deadline).await.0) });
        }
        while let Some(done) = lookups.join_next().await {
            if let Ok((at, answer)) = done
                && let Some(place) = answers.get_mut(at)
            {
                *place = answer;
            }
        }
        answers
    }
}

/// A resolver of the library's own that asks nobody: for code that has been told already all that
/// it may know.
///
/// # Errors
///
/// If the library refuses its options.
pub fn nobody() -> Result<TokioResolver, ResolverError> {
    let nobody = ResolverConfig::from_name_servers(Vec::new());
    build(nobody, options(&config::Dns::default()))
}

fn build(servers: ResolverConfig, options: ResolverOpts) -> Result<TokioResolver, ResolverError> {
    TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .map_err(|error| ResolverError(error.to_string()))
}

/// What name servers say, and for how long that may be kept: as long as the record that dies first, or
/// as the zone says of what is not there (RFC 2308). Neither a failure nor silence is kept.
async fn look_up(resolver: &TokioResolver, name: Name, kind: Kind) -> (Answer, Option<Duration>) {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into()).min(LONGEST_TTL);
    match resolver.lookup(name, kind.into()).await {
        Ok(lookup) => {
            let lives = lookup.answers().iter().map(|record| record.ttl).min();
            (Answer::of(lookup.answers(), kind), lives.map(seconds))
        }
        Err(error) => {
            let answer = Answer::of_error(&error);
            let lives = answer::absence(&error).filter(|_| !matches!(answer, Answer::Failed(_)));
            (answer, lives.map(seconds))
        }
    }
}

fn result(answer: &Answer) -> DnsResult {
    match answer {
        Answer::Failed(_) | Answer::NotAName => DnsResult::Failed,
        Answer::NoData => DnsResult::NoData,
        Answer::NoSuchName => DnsResult::NoSuchName,
        Answer::Records(_) => DnsResult::Records,
        Answer::TimedOut => DnsResult::TimedOut,
    }
}

fn options(config: &config::Dns) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = config.timeout;
    // The library counts those after the first.
    options.attempts = config.attempts.saturating_sub(1);
    // Ours is before it.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    // Over one TCP connection; beyond it, queries are refused at once.
    options.max_active_requests = config.queries;
    options
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// The system's name servers, without its search domains and options.
fn system_servers() -> Vec<NameServerConfig> {
    match read_system_conf() {
        Ok((system, _)) if !system.name_servers.is_empty() => system.name_servers,
        Ok(_) => {
            tracing::warn!("the system has no name servers: set dns.servers");
            Vec::new()
        }
        Err(error) => {
            tracing::warn!(%error, "the system's name servers are not known: set dns.servers");
            Vec::new()
        }
    }
}

/// Of what zones ask for; the same as that of other resolvers (RFC 8767 section 4 has a week).
const LONGEST_TTL: Duration = Duration::from_hours(24);

/// Of an answer without records.
const LIFE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
