//! The client's name, and whether it may send for the sender.

use std::net::IpAddr;

use mail_auth::common::to_a_label;

use super::spf::{Asked, Checked};
use super::{Names, Sender};
use crate::message::{Finding, Outcome};
use crate::resolver::{Answer, Kind, Query, Record};

/// RFC 8601 section 2.7.3: whether a name of the address leads back to it.
pub(super) async fn iprev(names: &Names<'_>, address: IpAddr) -> Finding {
    let finding = |outcome, reason: String| {
        let finding = Finding::new("iprev", outcome).because(reason);
        finding.with("policy.iprev", address.to_string())
    };
    let hosts = match names.ask(&address.to_string(), Kind::Ptr).await {
        Answer::Records(records) => hosts(records),
        Answer::NoSuchName | Answer::NoData | Answer::NotAName => Vec::new(),
        Answer::Failed(why) => return finding(Outcome::TemporaryError, why),
        Answer::TimedOut => return finding(Outcome::TemporaryError, TIMED_OUT.into()),
    };
    if hosts.is_empty() {
        return finding(Outcome::PermanentError, "the address has no name".into());
    }
    let mut unknown = None;
    for (host, answer) in hosts.iter().zip(addresses(names, &hosts, address).await) {
        match answer {
            Answer::Records(records) if records.contains(&Record::Address(address)) => {
                return finding(Outcome::Pass, host.clone());
            }
            Answer::Records(_) | Answer::NoData | Answer::NoSuchName | Answer::NotAName => {}
            Answer::Failed(why) => unknown = Some(why),
            Answer::TimedOut => unknown = Some(TIMED_OUT.into()),
        }
    }
    match unknown {
        Some(why) => finding(Outcome::TemporaryError, why),
        None => finding(Outcome::Fail, format!("{} is elsewhere", hosts.join(", "))),
    }
}

/// SPF of the reverse-path, or of the HELO name if that is null (RFC 7208 section 2.4).
pub(super) async fn spf(
    names: &Names<'_>,
    sender: &Sender,
    address: IpAddr,
    hostname: &str,
) -> Finding {
    let (local, domain) = match sender.reverse_path.as_deref() {
        Some(path) => path.rsplit_once('@').unwrap_or(("", path)),
        None => ("", &*sender.helo),
    };
    let local = if local.is_empty() { "postmaster" } else { local };
    let domain = to_a_label(domain).into_owned();
    let asked =
        Asked { address, helo: &sender.helo, sender: format!("{local}@{domain}"), hostname };
    let Checked { outcome, reason, explanation } = asked.check(names, &domain).await;
    let finding = Finding { reason, ..sender.spf(outcome) };
    match explanation {
        Some(text) => finding.with("policy.explanation", text),
        None => finding,
    }
}

/// The names among records, at most as many as RFC 7208 section 4.6.4 lets one look at.
pub(super) fn hosts(records: Vec<Record>) -> Vec<String> {
    let name = |record| match record {
        Record::Name(name) => Some(name),
        _ => None,
    };
    records.into_iter().filter_map(name).take(HOSTS).collect()
}

/// Asks for the addresses of hosts, of the family of `like`.
pub(super) async fn addresses(names: &Names<'_>, hosts: &[String], like: IpAddr) -> Vec<Answer> {
    let kind = if like.is_ipv4() { Kind::A } else { Kind::Aaaa };
    let query = |host: &String| Query { name: host.clone(), kind };
    names.ask_all(hosts.iter().map(query).collect()).await
}

/// Why, where nobody answered.
pub(super) const TIMED_OUT: &str = "no answer from name servers in time";

/// Names of an address that are looked at.
const HOSTS: usize = 10;
