//! What name servers said.

use std::fmt;
use std::net::IpAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{self, Name, RData};
use hickory_resolver::net::{DnsError, NetError, NoRecords};

use super::Kind;

/// The answer to one question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// At least one record.
    Records(Vec<Record>),
    /// NXDOMAIN.
    NoSuchName,
    /// The name exists, this kind of record does not.
    NoData,
    /// Neither yes nor no, and why.
    Failed(String),
    /// It was not asked at all: that can be no name.
    NotAName,
    /// Nobody answered in time.
    TimedOut,
}

/// One record of the kind that was asked for. Shown as in a zone file, text as it is; names have
/// no dot at the end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Record {
    /// A or AAAA.
    Address(IpAddr),
    /// MX.
    Exchanger {
        /// The lowest is tried first.
        preference: u16,
        /// Its name; `.` accepts no mail (RFC 7505).
        name: String,
    },
    /// CNAME, NS or PTR.
    Name(String),
    /// SRV or TLSA, as in a zone file.
    Other(String),
    /// TXT, its strings joined.
    Text(Vec<u8>),
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Exchanger { preference, name } => write!(f, "{preference} {name}"),
            Self::Name(name) | Self::Other(name) => f.write_str(name),
            Self::Text(octets) => f.write_str(&String::from_utf8_lossy(octets)),
        }
    }
}

impl Answer {
    pub(super) fn of(answers: &[rr::Record], kind: Kind) -> Self {
        let asked = answers.iter().filter(|record| record.record_type() == kind.into());
        let records: Vec<_> = asked.filter_map(|record| read(&record.data)).collect();
        if records.is_empty() { Self::NoData } else { Self::Records(records) }
    }

    pub(super) fn of_error(error: &NetError) -> Self {
        match error {
            NetError::Timeout => Self::TimedOut,
            NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, .. })) => {
                match response_code {
                    ResponseCode::NXDomain => Self::NoSuchName,
                    ResponseCode::NoError => Self::NoData,
                    other => Self::Failed(format!("the name server says {}", other.to_str())),
                }
            }
            NetError::Dns(DnsError::ResponseCode(code)) => {
                Self::Failed(format!("the name server says {}", code.to_str()))
            }
            NetError::NoConnections => Self::Failed("there is no name server".into()),
            NetError::Io(error) => Self::Failed(format!("no connection: {error}")),
            NetError::Truncated => Self::Failed("the answer was cut off".into()),
            _ => Self::Failed("the answer makes no sense".into()),
        }
    }
}

/// For how many seconds a zone says that what was asked for is not there.
pub(super) fn absence(error: &NetError) -> Option<u32> {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { negative_ttl, .. })) => *negative_ttl,
        _ => None,
    }
}

fn read(data: &RData) -> Option<Record> {
    Some(match data {
        RData::A(address) => Record::Address(address.0.into()),
        RData::AAAA(address) => Record::Address(address.0.into()),
        RData::CNAME(name) => Record::Name(show(name)),
        RData::MX(mx) => Record::Exchanger { preference: mx.preference, name: show(&mx.exchange) },
        RData::NS(name) => Record::Name(show(name)),
        RData::PTR(name) => Record::Name(show(name)),
        RData::SRV(srv) => {
            let target = show(&srv.target);
            Record::Other(format!("{} {} {} {target}", srv.priority, srv.weight, srv.port))
        }
        RData::TLSA(tlsa) => Record::Other(tlsa.to_string()),
        RData::TXT(text) => Record::Text(text.txt_data.concat()),
        _ => return None,
    })
}

/// A name without the dot at the end; the root is nothing but that.
fn show(name: &Name) -> String {
    let mut text = name.to_ascii();
    if text.len() > 1 && text.ends_with('.') && !text.ends_with("\\.") {
        text.pop();
    }
    text
}
