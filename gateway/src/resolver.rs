//! Asks name servers, and remembers what they said.
//!
//! Names are complete: no search domain is ever added, and no hosts file is read. Whatever goes
//! wrong is an [`Answer`] too, so that who asks decides what it means.

mod answer;
mod name;
mod zone;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::rr::{self, Name};
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
#[derive(Clone, Debug, Eq, PartialEq)]
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
    Servers(Box<TokioResolver>),
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
        let source = Source::Servers(Box::new(build(servers, options(config))?));
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
        let shared = &*self.shared;
        let mut life = LIFE;
        let Some(name) = name::parse(&query.name, query.kind) else {
            return (Answer::NotAName, life);
        };
        let began = Instant::now();
        let asked = async {
            let _permit = shared.queries.acquire().await;
            let _in_flight = shared.metrics.in_flight();
            match &shared.source {
                Source::Servers(resolver) => {
                    match resolver.lookup(name.clone(), query.kind.into()).await {
                        Ok(lookup) => {
                            if answer::octets(lookup.message()) > KEPT_OCTETS {
                                forget(resolver, name, lookup.answers(), query.kind);
                            }
                            let lives = lookup.answers().iter().map(|record| record.ttl).min();
                            life = lives.map_or(life, |ttl| Duration::from_secs(ttl.into()));
                            Answer::of(lookup.answers(), query.kind)
                        }
                        Err(error) => Answer::of_error(&error),
                    }
                }
                Source::Zone(zone) => zone.answer(&name, query.kind),
            }
        };
        let answer = timeout_at(deadline.into(), asked).await.unwrap_or(Answer::TimedOut);
        shared.metrics.answered(result(&answer), began.elapsed());
        (answer, life)
    }

    /// Whether both are the same resolver.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Asks all questions at once; the answers are in their order.
    pub async fn lookup_all(&self, queries: Vec<Query>, deadline: Instant) -> Vec<Answer> {
        let mut answers = vec![Answer::TimedOut; queries.len()];
        // Dropped with this future if nobody waits for it any more.
        let mut lookups = JoinSet::new();
        for (at, query) in queries.into_iter().enumerate() {
            let resolver = self.clone();
            lookups.spawn(async move { (at, resolver.lookup(&query, deadline).await) });
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
    let config = config::Dns { cache_answers: 0, ..config::Dns::default() };
    build(nobody, options(&config))
}

fn build(servers: ResolverConfig, options: ResolverOpts) -> Result<TokioResolver, ResolverError> {
    TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .map_err(|error| ResolverError(error.to_string()))
}

/// Keeps no answer that is too large for it, under no name that led to it: the library counts answers,
/// and whoever sends mail has us ask for 64 KiB at as many names as there is room for.
fn forget(resolver: &TokioResolver, name: Name, answers: &[rr::Record], kind: Kind) {
    let others = answers.iter().map(|record| record.name.clone());
    std::iter::once(name).chain(others).for_each(|name| {
        resolver.clear_lookup_cache(name, kind.into());
    });
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
    options.cache_size = config.cache_answers;
    options.use_hosts_file = ResolveHosts::Never;
    // Over one TCP connection; beyond it, queries are refused at once.
    options.max_active_requests = config.queries;
    options.positive_max_ttl = Some(LONGEST_TTL);
    options.negative_max_ttl = Some(LONGEST_TTL);
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

/// Of an answer that is kept, about: what fits into four datagrams. Next to none is larger.
const KEPT_OCTETS: usize = 4 << 10;
