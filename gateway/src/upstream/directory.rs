//! From what the configuration says of an upstream's address to where to connect.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::lookup_host;
use tokio::time::timeout_at;

use crate::config::UpstreamAddress;
use crate::resolver::{Answer, Kind, Query, Record, Resolver};

use super::address::Endpoint;
use super::failure::Failure;

/// Looks names up.
///
/// Hosts are the system's to find, as they are for every other program of the machine: /etc/hosts,
/// search domains and what else there is. It does not say how long its answers live, so they are
/// kept for a few seconds. Mail exchangers are looked up by the gateway's own resolver, as
/// their hosts are, and kept as long as their records say.
#[derive(Clone, Debug)]
pub(super) struct Directory {
    resolver: Resolver,
    /// This gateway's own name.
    pub(super) hostname: String,
}

/// What was found.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Found {
    pub(super) hosts: Vec<Host>,
    /// When to look again; never, if nothing was looked up.
    pub(super) until: Option<Instant>,
}

/// One host.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Host {
    pub(super) name: String,
    /// Its place among the mail exchangers: the first is 0, others may have the same.
    pub(super) preference: u32,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Directory {
    pub(super) fn new(resolver: &Resolver, hostname: &str) -> Self {
        Self { resolver: resolver.clone(), hostname: hostname.to_owned() }
    }

    /// Whether both find the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.resolver.is(&other.resolver) && self.hostname == other.hostname
    }

    /// Where an address leads now.
    pub(super) async fn find(
        &self,
        address: &UpstreamAddress,
        deadline: Instant,
    ) -> Result<Found, Failure> {
        match address {
            UpstreamAddress::Mx { domain, port } => self.exchangers(domain, *port, deadline).await,
            UpstreamAddress::Tcp { host, port } => match fixed(address) {
                Some(found) => Ok(found),
                None => host_of_the_system(host, *port, deadline).await,
            },
            UpstreamAddress::Unix(_) => Ok(fixed(address).unwrap_or_default()),
        }
    }

    /// RFC 5321 section 5.1.
    async fn exchangers(
        &self,
        domain: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Found, Failure> {
        let (answer, until) = self.ask(domain, Kind::Mx, deadline).await;
        let exchangers = match answer {
            Answer::Records(records) => self.in_order(records)?,
            // "implicit MX": the domain itself.
            Answer::NoData => vec![(0, domain.to_owned())],
            answer => return Err(unresolved(domain, &answer)),
        };
        let mut found = Found { hosts: Vec::new(), until: Some(until) };
        let mut failure = None;
        for (preference, name) in exchangers {
            let (addresses, until) = self.addresses(&name, deadline).await;
            found.until = found.until.min(Some(until));
            match addresses {
                Ok(addresses) => {
                    let endpoint = |ip| Endpoint::Tcp(SocketAddr::new(ip, port));
                    let endpoints = addresses.into_iter().map(endpoint).collect();
                    found.hosts.push(Host { name, preference, endpoints });
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(failure) if found.hosts.is_empty() => Err(failure),
            _ => Ok(found),
        }
    }

    /// Names by their places. Where this gateway is one of them, only those before it are: mail must
    /// not go in circles.
    fn in_order(&self, records: Vec<Record>) -> Result<Vec<(u32, String)>, Failure> {
        let mut records: Vec<_> = records
            .into_iter()
            .filter_map(|record| match record {
                Record::Exchanger { preference, name } => Some((preference, name)),
                _ => None,
            })
            .collect();
        // RFC 7505 section 3.
        if let [(_, name)] = &records[..]
            && is_root(name)
        {
            return Err(Failure::NullMx);
        }
        records.retain(|(_, name)| !is_root(name));
        records.sort();
        let own = records.iter().find(|(_, name)| name.eq_ignore_ascii_case(&self.hostname));
        if let Some(own) = own.map(|(preference, _)| *preference) {
            records.retain(|(preference, _)| *preference < own);
            if records.is_empty() {
                return Err(Failure::Resolve(io::Error::other(
                    "this gateway is the first of them",
                )));
            }
        }
        let mut preferences: Vec<_> = records.iter().map(|(preference, _)| *preference).collect();
        preferences.dedup();
        let place = |own| preferences.partition_point(|other| *other < own) as u32;
        let records = records.into_iter().map(|(preference, name)| (place(preference), name));
        Ok(records.take(EXCHANGERS).collect())
    }

    /// IPv4 first: hosts that want a name behind each IPv6 address are common.
    async fn addresses(
        &self,
        name: &str,
        deadline: Instant,
    ) -> (Result<Vec<IpAddr>, Failure>, Instant) {
        let (v4, v6) =
            tokio::join!(self.ask(name, Kind::A, deadline), self.ask(name, Kind::Aaaa, deadline));
        let until = v4.1.min(v6.1);
        let addresses: Vec<_> = [&v4.0, &v6.0]
            .into_iter()
            .flat_map(|answer| match answer {
                Answer::Records(records) => &records[..],
                _ => &[],
            })
            .filter_map(|record| match record {
                Record::Address(address) => Some(*address),
                _ => None,
            })
            .collect();
        match addresses.is_empty() {
            true => (Err(unresolved(name, &v4.0)), until),
            false => (Ok(addresses), until),
        }
    }

    async fn ask(&self, name: &str, kind: Kind, deadline: Instant) -> (Answer, Instant) {
        let query = Query { name: name.to_owned(), kind };
        let (answer, lives) = self.resolver.lookup_with_life(&query, deadline).await;
        (answer, Instant::now() + lives.max(SHORTEST))
    }
}

/// What needs no looking up.
pub(super) fn fixed(address: &UpstreamAddress) -> Option<Found> {
    let (name, endpoint) = match address {
        UpstreamAddress::Mx { .. } => return None,
        UpstreamAddress::Tcp { host, port } => {
            (host.clone(), Endpoint::Tcp(SocketAddr::new(host.parse().ok()?, *port)))
        }
        UpstreamAddress::Unix(path) => (String::new(), Endpoint::Unix(path.clone())),
    };
    let host = Host { name, preference: 0, endpoints: vec![endpoint] };
    Some(Found { hosts: vec![host], until: None })
}

async fn host_of_the_system(host: &str, port: u16, deadline: Instant) -> Result<Found, Failure> {
    let found = timeout_at(deadline.into(), lookup_host((host, port))).await;
    let found = found.map_err(|_| Failure::Timeout)?.map_err(Failure::Resolve)?;
    let mut endpoints: Vec<_> = found.map(Endpoint::Tcp).collect();
    // Some systems tell an address that has two names in /etc/hosts twice.
    let mut seen = std::collections::HashSet::new();
    endpoints.retain(|endpoint| seen.insert(endpoint.clone()));
    let host = Host { name: host.to_owned(), preference: 0, endpoints };
    Ok(Found { hosts: vec![host], until: Some(Instant::now() + KEPT) })
}

fn is_root(name: &str) -> bool {
    name.is_empty() || name == "."
}

fn unresolved(name: &str, answer: &Answer) -> Failure {
    let why = match answer {
        Answer::Records(_) | Answer::NoData => "it has no address",
        Answer::NoSuchName => "there is no such name",
        Answer::NotAName => "it is no name",
        Answer::TimedOut => "no answer in time",
        Answer::Failed(why) => why.as_str(),
    };
    Failure::Resolve(io::Error::other(format!("{name}: {why}")))
}

/// How long an answer of the system is kept: a host that moves is followed soon, and a burst of new
/// connections asks once.
const KEPT: Duration = Duration::from_secs(5);

/// Records that live for no time at all are not asked for with every transaction.
const SHORTEST: Duration = Duration::from_secs(1);

/// More than anybody has; the rest is not looked up.
const EXCHANGERS: usize = 16;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::metrics::{Metrics, Names};
    use crate::resolver::Zone;

    use super::*;

    fn directory(records: &[(&str, Kind, &[&str])]) -> Directory {
        let mut zone = Zone::default();
        for (name, kind, texts) in records {
            let read = |text: &&str| Record::parse(*kind, text).expect("a record");
            let answer = match texts.is_empty() {
                true => Answer::NoData,
                false => Answer::Records(texts.iter().map(read).collect()),
            };
            assert!(zone.put(name, *kind, answer));
        }
        let metrics = Arc::new(Metrics::new(&Names::default()));
        Directory::new(&Resolver::fixed(zone, metrics.dns()), "gw.example")
    }

    /// Name, place and addresses of each host, or what is wrong.
    async fn find(directory: &Directory) -> Vec<String> {
        let domain = UpstreamAddress::Mx { domain: "d.example".to_owned(), port: 25 };
        match directory.find(&domain, Instant::now() + Duration::from_secs(10)).await {
            Err(Failure::Resolve(error)) => vec![error.to_string()],
            Err(failure) => vec![failure.to_string()],
            Ok(found) => {
                let show = |host: &Host| {
                    let endpoints: Vec<_> =
                        host.endpoints.iter().map(Endpoint::to_string).collect();
                    format!("{} {} {}", host.preference, host.name, endpoints.join(" "))
                };
                found.hosts.iter().map(show).collect()
            }
        }
    }

    #[tokio::test]
    async fn exchangers_come_in_their_order_with_all_addresses() {
        let directory = directory(&[
            (
                "d.example",
                Kind::Mx,
                &["20 b.example", "10 c.example", "20 a.example", "30 no.example"],
            ),
            ("a.example", Kind::A, &["192.0.2.1", "192.0.2.2"]),
            ("b.example", Kind::Aaaa, &["2001:db8::1"]),
            ("c.example", Kind::A, &["192.0.2.3"]),
            ("c.example", Kind::Aaaa, &["2001:db8::3"]),
        ]);
        let want = [
            "0 c.example 192.0.2.3:25 [2001:db8::3]:25",
            "1 a.example 192.0.2.1:25 192.0.2.2:25",
            "1 b.example [2001:db8::1]:25",
        ];
        assert_eq!(find(&directory).await, want);
    }

    #[tokio::test]
    async fn a_domain_without_exchangers_is_its_own() {
        let directory = directory(&[("d.example", Kind::A, &["192.0.2.1"])]);
        assert_eq!(find(&directory).await, ["0 d.example 192.0.2.1:25"]);
    }

    #[tokio::test]
    async fn what_leads_nowhere_says_why() {
        let nothing = directory(&[]);
        assert_eq!(find(&nothing).await, ["d.example: there is no such name"]);
        let null = directory(&[("d.example", Kind::Mx, &["0 ."])]);
        assert_eq!(find(&null).await, ["takes no mail: its MX is null"]);
        let no_address = directory(&[("d.example", Kind::Mx, &["10 a.example"])]);
        assert_eq!(find(&no_address).await, ["a.example: there is no such name"]);
    }

    #[tokio::test]
    async fn mail_goes_to_those_before_this_gateway_only() {
        let mx: &[&str] = &["10 a.example", "20 GW.example", "20 b.example", "30 c.example"];
        let a: &[&str] = &["192.0.2.1"];
        let directory = |mx| {
            directory(&[
                ("d.example", Kind::Mx, mx),
                ("a.example", Kind::A, a),
                ("b.example", Kind::A, a),
                ("c.example", Kind::A, a),
            ])
        };
        assert_eq!(find(&directory(mx)).await, ["0 a.example 192.0.2.1:25"]);
        assert_eq!(find(&directory(&mx[1..])).await, ["this gateway is the first of them"]);
    }

    #[tokio::test]
    async fn hosts_are_those_of_the_system() {
        let localhost = UpstreamAddress::Tcp { host: "localhost".to_owned(), port: 25 };
        let deadline = Instant::now() + Duration::from_secs(30);
        let found = directory(&[]).find(&localhost, deadline).await.expect("/etc/hosts has it");
        assert!(found.until.is_some());
        let loopback = Endpoint::Tcp(([127, 0, 0, 1], 25).into());
        assert!(found.hosts[0].endpoints.contains(&loopback), "{found:?}");
    }
}
