//! Evaluating records, within the bounds of RFC 7208 section 4.6.4.

use std::net::IpAddr;
use std::pin::Pin;

use mail_auth::spf::{Macro, Variables};

use super::grammar::{self, Mechanism, Prefixes};
use super::record::{self, permanent};
use super::{Asked, Explanation};
use crate::authenticity::Names;
use crate::authenticity::sender::{TIMED_OUT, addresses, hosts};
use crate::message::Outcome;
use crate::resolver::{Answer, Kind, Record};

/// One call of `check_host`, with the calls within it.
#[derive(Debug)]
pub(super) struct Evaluation<'a> {
    asked: &'a Asked<'a>,
    names: &'a Names<'a>,
    /// Terms that made a look-up necessary.
    lookups: u32,
    /// Look-ups that found nothing.
    voids: u32,
    /// Of the record that counts.
    pub(super) explanation: Option<Explanation>,
}

/// Why there is no outcome of the record's own.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) reason: String,
}

type Evaluated<T> = Result<T, Ended>;

impl<'a> Evaluation<'a> {
    pub(super) fn new(asked: &'a Asked<'a>, names: &'a Names<'a>) -> Self {
        Self { asked, names, lookups: 0, voids: 0, explanation: None }
    }

    /// The outcome for a domain.
    pub(super) async fn check(&mut self, domain: &str) -> Evaluated<Outcome> {
        if !is_domain(domain) {
            let reason = "the domain is not one that has mail".to_owned();
            return Err(Ended { outcome: Outcome::None, reason });
        }
        let record = record::select(self.names.ask(domain, Kind::Txt).await)?;
        let Some(record) = record else {
            let reason = "the domain has no SPF record".to_owned();
            return Err(Ended { outcome: Outcome::None, reason });
        };
        for directive in &record.directives {
            if self.matches(&directive.mechanism, domain).await? {
                self.explanation = record.exp.map(|exp| (exp, domain.to_owned()));
                return Ok(directive.outcome);
            }
        }
        self.redirect(record, domain).await
    }

    /// RFC 7208 section 6.1.
    async fn redirect(&mut self, record: grammar::Record, domain: &str) -> Evaluated<Outcome> {
        let Some(redirect) = &record.redirect else { return Ok(Outcome::Neutral) };
        let target = self.target(Some(redirect), domain).await?;
        self.explanation = None;
        self.check_boxed(&target).await.map_err(no_record)
    }

    /// Recursion has an end: it counts look-ups.
    fn check_boxed<'b>(
        &'b mut self,
        domain: &'b str,
    ) -> Pin<Box<dyn Future<Output = Evaluated<Outcome>> + Send + 'b>> {
        Box::pin(self.check(domain))
    }

    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Evaluated<bool> {
        let address = self.asked.address;
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Network(network, prefixes) => Ok(within(address, *network, *prefixes)),
            Mechanism::A(host, prefixes) => {
                let target = self.target(host.as_ref(), domain).await?;
                let found = self.addresses(&[target]).await?;
                Ok(found.iter().any(|found| within(address, *found, *prefixes)))
            }
            Mechanism::Mx(host, prefixes) => {
                let target = self.target(host.as_ref(), domain).await?;
                let found = self.exchangers(&target).await?;
                let found = self.addresses(&found).await?;
                Ok(found.iter().any(|found| within(address, *found, *prefixes)))
            }
            Mechanism::Exists(host) => {
                let target = self.target(Some(host), domain).await?;
                let answer = self.names.ask(&target, Kind::A).await;
                Ok(!self.found(answer)?.is_empty())
            }
            Mechanism::Include(host) => {
                let target = self.target(Some(host), domain).await?;
                let included = self.check_boxed(&target).await.map_err(no_record)?;
                self.explanation = None;
                Ok(included == Outcome::Pass)
            }
            Mechanism::Ptr(host) => {
                let target = self.target(host.as_ref(), domain).await?;
                let validated = self.validated().await;
                Ok(validated.iter().any(|name| is_below(name, &target)))
            }
        }
    }

    /// The domain of a term that needs a look-up; the record's own if it names none.
    async fn target(&mut self, host: Option<&Macro>, domain: &str) -> Evaluated<String> {
        self.count_lookup()?;
        match host {
            Some(host) => Ok(self.expand(host, domain).await),
            None => Ok(domain.to_owned()),
        }
    }

    /// RFC 7208 section 4.6.4.
    fn count_lookup(&mut self) -> Evaluated<()> {
        self.lookups += 1;
        if self.lookups > LOOKUPS {
            return Err(permanent("the SPF record needs more than ten look-ups"));
        }
        Ok(())
    }

    /// The records of an answer. That there are none may be said a few times only.
    fn found(&mut self, answer: Answer) -> Evaluated<Vec<Record>> {
        if let Answer::Records(records) = answer {
            return Ok(records);
        }
        let void = matches!(answer, Answer::NoData | Answer::NoSuchName);
        nothing(answer)?;
        self.voids += u32::from(void);
        if self.voids > VOID_LOOKUPS {
            return Err(permanent("the SPF record looks for too much that is not there"));
        }
        Ok(Vec::new())
    }

    /// The addresses of hosts, of the client's family.
    async fn addresses(&mut self, hosts: &[String]) -> Evaluated<Vec<IpAddr>> {
        let mut found = Vec::new();
        for answer in addresses(self.names, hosts, self.asked.address).await {
            for record in self.found(answer)? {
                if let Record::Address(address) = record {
                    found.push(address);
                }
            }
        }
        Ok(found)
    }

    async fn exchangers(&mut self, domain: &str) -> Evaluated<Vec<String>> {
        let answer = self.names.ask(domain, Kind::Mx).await;
        let name = |record| match record {
            Record::Exchanger { name, .. } => Some(name),
            _ => None,
        };
        let names: Vec<_> = self.found(answer)?.into_iter().filter_map(name).collect();
        if names.len() > EXCHANGERS {
            return Err(permanent("a domain of the SPF record has more than ten mail exchangers"));
        }
        Ok(names)
    }

    /// The client's names that lead back to it (RFC 7208 section 5.5). What cannot be looked up is
    /// not there.
    async fn validated(&self) -> Vec<String> {
        let address = self.asked.address;
        let answer = self.names.ask(&address.to_string(), Kind::Ptr).await;
        let Answer::Records(records) = answer else { return Vec::new() };
        let hosts = hosts(records);
        let answers = addresses(self.names, &hosts, address).await;
        let leads_back = |answer: &Answer| match answer {
            Answer::Records(records) => records.contains(&Record::Address(address)),
            _ => false,
        };
        let hosts = hosts.into_iter().zip(&answers);
        hosts.filter(|(_, answer)| leads_back(answer)).map(|(host, _)| host).collect()
    }

    /// A domain of a record (RFC 7208 section 7.3).
    async fn expand(&self, domain_spec: &Macro, domain: &str) -> String {
        let expanded = self.evaluate(domain_spec, domain).await;
        shortened(expanded.strip_suffix('.').unwrap_or(&expanded)).to_owned()
    }

    /// What the domain's owner says (RFC 7208 section 6.2).
    pub(super) async fn explain(&self, exp: &Macro, domain: &str) -> Option<String> {
        let target = self.expand(exp, domain).await;
        let text = record::explanation(self.names.ask(&target, Kind::Txt).await)?;
        Some(self.evaluate(&text, domain).await)
    }

    async fn evaluate(&self, text: &Macro, domain: &str) -> String {
        let name = if text.needs_ptr() { self.name_for(domain).await } else { String::new() };
        let mut variables = Variables::new();
        variables.set_ip(&self.asked.address);
        variables.set_sender(self.asked.sender.as_bytes());
        variables.set_domain(domain.as_bytes());
        variables.set_helo_domain(self.asked.helo.as_bytes());
        variables.set_host_domain(self.asked.hostname.as_bytes());
        variables.set_validated_domain(name.as_bytes());
        text.eval(&variables, domain, false).into_owned()
    }

    /// The macro `p` (RFC 7208 section 7.3).
    async fn name_for(&self, domain: &str) -> String {
        let validated = self.validated().await;
        let same = validated.iter().find(|name| name.eq_ignore_ascii_case(domain));
        let below = || validated.iter().find(|name| is_below(name, domain));
        let name = same.or_else(below).or_else(|| validated.first());
        name.map_or_else(|| "unknown".to_owned(), Clone::clone)
    }
}

/// An answer without records: whether there are none for sure.
pub(super) fn nothing(answer: Answer) -> Evaluated<()> {
    let unknown = |reason| Err(Ended { outcome: Outcome::TemporaryError, reason });
    match answer {
        Answer::Failed(why) => unknown(why),
        Answer::TimedOut => unknown(TIMED_OUT.to_owned()),
        Answer::NoData | Answer::NoSuchName | Answer::NotAName | Answer::Records(_) => Ok(()),
    }
}

/// Where another domain's record is referred to, it has to be there.
fn no_record(ended: Ended) -> Ended {
    match ended.outcome {
        Outcome::None => permanent("the SPF record refers to one that is not there"),
        _ => ended,
    }
}

/// RFC 7208 section 4.3.
fn is_domain(domain: &str) -> bool {
    let label = |label: &str| (1..=63).contains(&label.len());
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    domain.len() <= DOMAIN_OCTETS
        && domain.contains('.')
        && domain.split('.').all(label)
        && !(domain.starts_with('[') && domain.ends_with(']'))
}

/// Without the first labels of what is too long (RFC 7208 section 7.3). All at once: what a record
/// makes of macros can have a hundred thousand of them.
fn shortened(domain: &str) -> &str {
    let Some(over) = domain.len().checked_sub(DOMAIN_OCTETS + 1) else { return domain };
    match memchr::memchr(b'.', &domain.as_bytes()[over..]) {
        Some(at) => &domain[over + at + 1..],
        None => domain.rsplit_once('.').map_or(domain, |(_, last)| last),
    }
}

fn is_below(name: &str, domain: &str) -> bool {
    let Some(at) = name.len().checked_sub(domain.len()) else { return false };
    let Some((above, same)) = name.split_at_checked(at) else { return false };
    same.eq_ignore_ascii_case(domain) && (above.is_empty() || above.ends_with('.'))
}

/// Whether an address lies in a network of its own family.
fn within(address: IpAddr, network: IpAddr, prefixes: Prefixes) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - prefixes.ip4).unwrap_or(0);
            (address.to_bits() ^ network.to_bits()) & mask == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - prefixes.ip6).unwrap_or(0);
            (address.to_bits() ^ network.to_bits()) & mask == 0
        }
        _ => false,
    }
}

/// Of all terms that need a look-up (RFC 7208 section 4.6.4).
const LOOKUPS: u32 = 10;

/// Of those that find nothing.
const VOID_LOOKUPS: u32 = 2;

/// Of one domain.
const EXCHANGERS: usize = 10;

/// RFC 7208 section 4.3.
const DOMAIN_OCTETS: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_have_mail_is_no_domain() {
        let long = format!("{}.example", "x".repeat(64));
        for domain in ["", "localhost", "a...example", ".example.org", "[192.0.2.1]", &long] {
            assert!(!is_domain(domain), "{domain}");
        }
        for domain in ["example.org", "example.org.", "foo:bar/baz.example", "_spf.example"] {
            assert!(is_domain(domain), "{domain}");
        }
    }

    #[test]
    fn what_is_too_long_loses_its_first_labels() {
        let most = |labels: usize| vec!["abc"; labels].join(".");
        assert_eq!(shortened(""), "");
        assert_eq!(shortened(&most(63)), most(63));
        assert_eq!(shortened(&format!("ab.{}", most(63))), most(63));
        assert_eq!(shortened(&format!("x.{}", most(64))), most(63));
        assert_eq!(shortened(&format!(".{}", "x".repeat(253))), "x".repeat(253));
        let label = "x".repeat(254);
        assert_eq!(shortened(&format!("a.b.{label}")), label);
        assert_eq!(shortened(&label), label);
    }

    #[test]
    fn a_prefix_of_nothing_is_every_address_of_its_family() {
        let prefixes = |ip4, ip6| Prefixes { ip4, ip6 };
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let (here, there) = (address("192.0.2.1"), address("198.51.100.1"));
        assert!(within(here, there, prefixes(0, 128)));
        assert!(!within(here, there, prefixes(32, 0)));
        assert!(!within(here, address("::"), prefixes(0, 0)));
        assert!(within(address("2001:db8::1"), address("2001:db8::2"), prefixes(32, 64)));
    }
}
