//! What a name server knows, and where it fails.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hickory_proto::rr::rdata::{
    A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TLSA, TXT,
    tlsa::{CertUsage, Matching, Selector},
};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Records by name. Names are complete, with or without the dot at the end.
#[derive(Clone, Debug)]
pub struct Zone {
    records: BTreeMap<Name, Vec<RData>>,
    /// Names that have names below them, if nothing else.
    nodes: BTreeSet<Name>,
    faults: BTreeMap<Name, Vec<(Option<RecordType>, Fault)>>,
    ttl: u32,
}

/// How it fails where it is asked for a name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// This response code and nothing else; 2 is SERVFAIL.
    Code(u8),
    /// Octets that are no message.
    Garbage,
    /// No answer at all.
    Silence,
    /// Cut off over UDP, whole over TCP.
    Truncated,
    /// The right answer to another query.
    WrongId,
}

/// What is there at a name.
pub(super) struct Found {
    /// Of the kind that was asked for, with the CNAMEs on the way.
    pub(super) records: Vec<Record>,
    /// Whether the name where the way ended is there at all.
    pub(super) exists: bool,
}

impl Default for Zone {
    fn default() -> Self {
        Self::new()
    }
}

impl Zone {
    /// A zone without names, and records that live for five minutes.
    #[must_use]
    pub fn new() -> Self {
        let (records, nodes, faults) = Default::default();
        Self { records, nodes, faults, ttl: 300 }
    }

    /// How long all records live, and the news that there are none.
    #[must_use]
    pub fn ttl(mut self, seconds: u32) -> Self {
        self.ttl = seconds;
        self
    }

    /// Adds a record as in a zone file, but names are complete without a dot at the end: `A`,
    /// `AAAA`, `CNAME`, `MX`, `NS`, `PTR`, `SRV`, `TLSA`, or `TXT` with one text without quotes.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    #[track_caller]
    pub fn record(self, name: &str, kind: &str, data: &str) -> Self {
        let Some(data) = read(kind, data) else { panic!("{name} {kind} {data} is no record") };
        self.add(name, data)
    }

    /// Adds a TXT record of these strings.
    #[must_use]
    pub fn text(self, name: &str, strings: &[&[u8]]) -> Self {
        self.add(name, RData::TXT(TXT::from_bytes(strings.to_vec())))
    }

    /// Adds the name of an address.
    #[must_use]
    pub fn pointer(self, address: IpAddr, name: &str) -> Self {
        let owner = Name::from(address).to_ascii();
        self.add(&owner, RData::PTR(PTR(parse(name))))
    }

    /// Adds a name that has no records.
    #[must_use]
    pub fn empty(mut self, name: &str) -> Self {
        self.note(&parse(name));
        self
    }

    /// Fails where it is asked for this name, and this kind if one is given.
    ///
    /// # Panics
    /// If there is no such kind.
    #[must_use]
    #[track_caller]
    pub fn fails(mut self, name: &str, kind: Option<&str>, fault: Fault) -> Self {
        let kind = kind.map(|kind| kind.parse().expect("a kind of record"));
        self.faults.entry(parse(name)).or_default().push((kind, fault));
        self
    }

    fn add(mut self, name: &str, data: RData) -> Self {
        let name = parse(name);
        self.note(&name);
        self.records.entry(name).or_default().push(data);
        self
    }

    fn note(&mut self, name: &Name) {
        let mut node = name.clone();
        while !node.is_root() && self.nodes.insert(node.clone()) {
            node = node.base_name();
        }
    }

    pub(super) fn fault(&self, name: &Name, kind: RecordType) -> Option<Fault> {
        let faults = self.faults.get(name)?;
        let hit = faults.iter().find(|(only, _)| only.is_none_or(|only| only == kind));
        hit.map(|(_, fault)| *fault)
    }

    pub(super) fn find(&self, name: &Name, kind: RecordType) -> Found {
        let (mut name, mut records) = (name.clone(), Vec::new());
        for _ in 0..CHAIN {
            let here = self.records.get(&name).map(Vec::as_slice).unwrap_or_default();
            let of_kind = here.iter().filter(|data| data.record_type() == kind);
            let before = records.len();
            records.extend(of_kind.map(|data| self.owned(&name, data)));
            if records.len() > before || kind == RecordType::CNAME {
                break;
            }
            let alias = here.iter().find_map(|data| match data {
                RData::CNAME(target) => Some(target),
                _ => None,
            });
            let Some(CNAME(target)) = alias else { break };
            records.push(self.owned(&name, &RData::CNAME(CNAME(target.clone()))));
            name = target.clone();
        }
        Found { records, exists: self.nodes.contains(&name) }
    }

    fn owned(&self, name: &Name, data: &RData) -> Record {
        Record::from_rdata(name.clone(), self.ttl, data.clone())
    }

    /// Says how long it lasts that something is not there.
    pub(super) fn start_of_authority(&self) -> Record {
        let (host, mailbox) = (parse("ns.invalid"), parse("hostmaster.invalid"));
        let refresh = i32::try_from(self.ttl).unwrap_or(i32::MAX);
        let soa = SOA::new(host, mailbox, 1, refresh, refresh, refresh, self.ttl);
        Record::from_rdata(Name::root(), self.ttl, RData::SOA(soa))
    }
}

fn read(kind: &str, data: &str) -> Option<RData> {
    let mut words = data.split(' ');
    Some(match kind {
        "A" => RData::A(A(data.parse().ok()?)),
        "AAAA" => RData::AAAA(AAAA(data.parse().ok()?)),
        "CNAME" => RData::CNAME(CNAME(parse(data))),
        "MX" => RData::MX(MX::new(words.next()?.parse().ok()?, parse(words.next()?))),
        "NS" => RData::NS(NS(parse(data))),
        "PTR" => RData::PTR(PTR(parse(data))),
        "SRV" => {
            let mut number = || words.next()?.parse().ok();
            let (priority, weight, port) = (number()?, number()?, number()?);
            RData::SRV(SRV::new(priority, weight, port, parse(words.next()?)))
        }
        "TLSA" => {
            let mut number = || words.next()?.parse::<u8>().ok();
            let (usage, selector, matching) = (number()?, number()?, number()?);
            let digits = words.next()?;
            let octet = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
            let octets = (0..digits.len()).step_by(2).map(octet).collect::<Option<_>>()?;
            let usage = CertUsage::from(usage);
            RData::TLSA(TLSA::new(
                usage,
                Selector::from(selector),
                Matching::from(matching),
                octets,
            ))
        }
        "TXT" if data.is_empty() => RData::TXT(TXT::from_bytes(vec![b""])),
        "TXT" => RData::TXT(TXT::from_bytes(data.as_bytes().chunks(255).collect())),
        _ => return None,
    })
}

/// Any octets are a label, as in DNS itself.
fn parse(name: &str) -> Name {
    let name = name.strip_suffix('.').unwrap_or(name);
    let labels = name.split('.').filter(|label| !label.is_empty());
    Name::from_labels(labels.map(str::as_bytes)).expect("a name of at most 255 octets")
}

/// CNAMEs that are followed.
const CHAIN: usize = 16;
