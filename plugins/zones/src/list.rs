//! A list as it is written, and what its answers say.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr};

use portcullis_plugin::dns::{Answer, listed_name};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::codes::{Code, Pattern, points};
use crate::known;

/// A list. `O` are the things that it may be asked about.
#[derive(Debug)]
pub struct List<O> {
    /// Capitals, for symbols, metrics and the log.
    pub name: String,
    /// For clients: never with a key that only we know.
    pub shown: String,
    /// What it is asked about.
    pub of: Vec<O>,
    zone: String,
    codes: Vec<(Pattern, Code)>,
    /// What any other answer is worth; none if such answers mean nothing.
    otherwise: Option<Code>,
}

/// What lists are about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// IP addresses.
    Addresses,
    /// Domain names.
    Domains,
}

/// A thing that lists are asked about.
pub trait Subject: Sized {
    /// What a list of this kind is asked about where its settings do not say.
    fn usual(kind: Kind) -> Vec<Self>;
}

/// What an answer says.
#[derive(Debug, PartialEq)]
pub enum Said<'a> {
    /// Not listed.
    No,
    /// Listed.
    Listed(Hit<'a>),
    /// Not an answer to the question: the list does not serve this resolver, or is not a list.
    Nonsense(String),
    /// Neither yes nor no.
    Nothing,
}

/// What a listing is worth: of several answers that which is worth most.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit<'a> {
    /// The answer.
    pub answer: Ipv4Addr,
    /// What it means.
    pub code: &'a Code,
}

impl<O> List<O> {
    /// The name under which it has an address.
    pub fn of_address(&self, address: IpAddr) -> String {
        listed_name(address, &self.zone)
    }

    /// The name under which it has a domain.
    pub fn of_domain(&self, domain: &str) -> String {
        let mut name = String::with_capacity(domain.len() + 1 + self.zone.len());
        name.push_str(domain);
        name.push('.');
        name.push_str(&self.zone);
        name
    }

    /// A name that no list has (RFC 5782 sections 5 and 6). One that does lists the whole world, as
    /// lists do that have been given up.
    pub fn probe(&self, kind: Kind) -> String {
        match kind {
            Kind::Addresses => self.of_address(Ipv4Addr::LOCALHOST.into()),
            Kind::Domains => self.of_domain("invalid"),
        }
    }

    /// What it answers.
    pub fn read<'a>(&'a self, answer: &Answer) -> Said<'a> {
        match answer {
            Answer::NoSuchName | Answer::NoData => Said::No,
            Answer::Failed(_) | Answer::TimedOut => Said::Nothing,
            Answer::Records(records) => self.read_records(records),
        }
    }

    fn read_records<'a>(&'a self, records: &[String]) -> Said<'a> {
        let mut best: Option<Hit<'a>> = None;
        let mut nonsense = None;
        for record in records {
            let code = record.parse().ok().and_then(|answer| Some((answer, self.code(answer)?)));
            match code {
                // That other answers beside it are right is not to be believed.
                None => return Said::Nonsense(record.clone()),
                Some((answer, None)) => nonsense = nonsense.or(Some(answer)),
                Some((answer, Some(code))) => {
                    let better = best.is_none_or(|best| {
                        code.score.abs() > best.code.score.abs() || (code.allow && !best.code.allow)
                    });
                    if better {
                        best = Some(Hit { answer, code });
                    }
                }
            }
        }
        best.map_or(Said::No, Said::Listed)
    }

    /// What an answer means: nothing at all, nothing here, or this. Errors of public lists never
    /// become a listing: 127.255.255.0/24 (Spamhaus and others: not served to this resolver, too
    /// many queries, a mistyped zone), and, unless the settings say otherwise, 127.0.0.1
    /// (URIBL, SURBL) and 127.0.0.255 (dnswl.org).
    fn code(&self, answer: Ipv4Addr) -> Option<Option<&Code>> {
        let octets = answer.octets();
        if octets[0] != 127 || octets[..3] == [127, 255, 255] {
            return None;
        }
        let mut fitting = self.codes.iter().filter(|(pattern, _)| pattern.fits(answer));
        if matches!(octets, [127, 0, 0, 1 | 255]) {
            let named = fitting.find(|(pattern, _)| pattern.names(answer));
            return named.map(|(_, code)| Some(code));
        }
        Some(fitting.next().map(|(_, code)| code).or(self.otherwise.as_ref()))
    }
}

/// The lists of a plugin: at least one, `such` as this, and no two of a name.
pub fn lists<'de, D: Deserializer<'de>, O: Deserialize<'de> + Subject>(
    deserializer: D,
    such: &str,
) -> Result<Vec<List<O>>, D::Error> {
    let lists = Vec::<List<O>>::deserialize(deserializer)?;
    if lists.is_empty() {
        return Err(D::Error::custom(format!("name the lists to ask, as in `[{such}]`")));
    }
    for (number, list) in lists.iter().enumerate() {
        if lists[..number].iter().any(|other| other.name == list.name) {
            let name = &list.name;
            return Err(D::Error::custom(format!(
                "[{number}]: another list is called {name}, too; give this one a `name`"
            )));
        }
    }
    Ok(lists)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<O> {
    zone: String,
    name: Option<String>,
    of: Option<Vec<O>>,
    #[serde(default)]
    codes: Codes,
    score: Option<f64>,
}

#[derive(Default)]
struct Codes(Vec<(Pattern, Code)>);

impl<'de, O: Deserialize<'de> + Subject> Deserialize<'de> for List<O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor(PhantomData))
    }
}

struct ListVisitor<O>(PhantomData<O>);

impl<'de, O: Deserialize<'de> + Subject> Visitor<'de> for ListVisitor<O> {
    type Value = List<O>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the zone of a list, or a mapping with `zone`")
    }

    fn visit_str<E: Error>(self, zone: &str) -> Result<List<O>, E> {
        let codes = Codes::default();
        made(Written { zone: zone.to_owned(), name: None, of: None, codes, score: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<List<O>, A::Error> {
        made(Written::deserialize(MapAccessDeserializer::new(map))?)
    }
}

fn made<O: Subject, E: Error>(written: Written<O>) -> Result<List<O>, E> {
    let zone = written.zone.trim_end_matches('.').to_ascii_lowercase();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if !zone.contains('.') || zone.contains("..") || zone.starts_with('.') {
        return Err(E::custom(format!("`{zone}` is not a zone as in `zen.spamhaus.org`")));
    }
    if zone.len() > LONGEST || !zone.bytes().all(fits) {
        return Err(E::custom(format!("`{zone}` is not the name of a zone")));
    }
    let known = known::find(&zone);
    let own = written.name.as_deref().map(symbol);
    if own.as_ref().is_some_and(|name| name.is_empty() || name.len() > LONGEST_NAME) {
        return Err(E::custom("a name has letters, digits and `_`, at most 40"));
    }
    let name = own.or_else(|| known.map(|known| known.name.to_owned()));
    let shown = written.name.or_else(|| known.map(|known| known.zone.to_owned()));
    let of =
        written.of.unwrap_or_else(|| O::usual(known.map_or(Kind::Addresses, |known| known.kind)));
    if of.is_empty() {
        return Err(E::custom("`of` names what the list is asked about"));
    }
    let score = written.score.map(points).transpose()?;
    let usual = || known.filter(|_| score.is_none());
    let mut codes = match usual() {
        Some(known) if written.codes.0.is_empty() => known.codes(),
        _ => written.codes.0,
    };
    // The narrowest that fits counts, of several bits the one that is worth most.
    let worth = |code: &Code| code.score.abs();
    codes.sort_by(|(a, of_a), (b, of_b)| {
        a.width().cmp(&b.width()).then(worth(of_b).total_cmp(&worth(of_a)))
    });
    // With codes, what is none of them means nothing, unless a score says what it is worth.
    let otherwise = match score {
        None if !codes.is_empty() => None,
        score => Some(score.unwrap_or(USUAL)),
    };
    let otherwise = otherwise.map(|score| Code { score, meaning: None, allow: false });
    Ok(List {
        name: name.unwrap_or_else(|| symbol(&zone).chars().take(LONGEST_NAME).collect()),
        shown: shown.unwrap_or_else(|| zone.clone()),
        of,
        zone,
        codes,
        otherwise,
    })
}

/// As symbols and labels are written.
fn symbol(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    name.chars().map(letter).collect()
}

impl<'de> Deserialize<'de> for Codes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CodesVisitor)
    }
}

struct CodesVisitor;

impl<'de> Visitor<'de> for CodesVisitor {
    type Value = Codes;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a mapping of answers, as in `127.0.0.2: 5`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Codes, A::Error> {
        let mut codes = Vec::new();
        while let Some(code) = map.next_entry()? {
            codes.push(code);
        }
        Ok(Codes(codes))
    }
}

/// Leaves room for 63 octets of a domain before it.
const LONGEST: usize = 180;

/// With what the plugins put before it, a symbol has at most 64.
const LONGEST_NAME: usize = 40;

/// What a listing is worth where nothing is said: a strong hint, not a proof.
const USUAL: f64 = 3.0;

#[cfg(test)]
mod tests {
    use portcullis_plugin::settings;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Client;

    impl Subject for Client {
        fn usual(_: Kind) -> Vec<Self> {
            vec![Self]
        }
    }

    fn list(json: &str) -> Result<List<Client>, String> {
        settings::read(json)
    }

    fn score(list: &List<Client>, answers: &[&str]) -> Option<f64> {
        let answers = answers.iter().map(ToString::to_string).collect();
        match list.read(&Answer::Records(answers)) {
            Said::Listed(hit) => Some(hit.code.score),
            Said::No => Some(0.0),
            Said::Nonsense(_) | Said::Nothing => None,
        }
    }

    #[test]
    fn what_is_no_answer_is_no_listing() {
        for zone in
            ["\"zen.spamhaus.org\"", "\"unknown.example\"", "{\"zone\":\"a.b\",\"score\":9}"]
        {
            let list = list(zone).unwrap();
            for answer in ["127.255.255.254", "127.255.255.252", "127.255.255.255", "127.255.255.1"]
                .into_iter()
                .chain(["192.0.2.1", "0.0.0.0", "127.0.0.1", "127.0.0.255", "x", "", "::1"])
            {
                assert_eq!(score(&list, &[answer]), None, "{zone} {answer}");
                assert_eq!(score(&list, &["127.0.0.2", answer]), None, "{zone} {answer}");
            }
            assert_eq!(list.read(&Answer::TimedOut), Said::Nothing);
            assert_eq!(list.read(&Answer::Failed("x".to_owned())), Said::Nothing);
            assert_eq!(list.read(&Answer::NoData), Said::No);
            assert_eq!(list.read(&Answer::Records(Vec::new())), Said::No);
        }
    }

    #[test]
    fn the_narrowest_code_counts_and_of_answers_the_best() {
        let zone = r#"{"zone": "l.example", "codes":
            {"127.0.0.*": 1, "127.0.0.2-9": 2, "127.0.0.4": 3.5, "&64": 4, "127.0.0.1": 9}}"#;
        let list = list(zone).unwrap();
        for (answers, points) in [
            (&["127.0.0.10"][..], Some(1.0)),
            (&["127.0.0.3"], Some(2.0)),
            (&["127.0.0.4"], Some(3.5)),
            (&["127.0.0.3", "127.0.0.4", "127.0.0.10"], Some(3.5)),
            (&["127.0.0.1"], Some(9.0)),
            (&["127.0.1.1"], Some(0.0)),
        ] {
            assert_eq!(score(&list, answers), points, "{answers:?}");
        }
    }

    #[test]
    fn of_bits_that_are_set_the_worst_counts() {
        let list = list(r#"{"zone": "multi.uribl.com"}"#).unwrap();
        assert_eq!(score(&list, &["127.0.0.6"]), Some(5.0));
        assert_eq!(score(&list, &["127.0.0.4"]), Some(1.0));
        assert_eq!(score(&list, &["127.0.0.8"]), Some(0.0));
        assert_eq!((&*list.name, &*list.shown), ("URIBL", "multi.uribl.com"));
    }

    #[test]
    fn a_key_is_never_shown() {
        let list = list(r#"{"zone": "s3cret.zen.dq.spamhaus.net"}"#).unwrap();
        assert_eq!((&*list.name, &*list.shown), ("ZEN", "zen.spamhaus.org"));
        assert_eq!(list.of_domain("x"), "x.s3cret.zen.dq.spamhaus.net");
    }

    #[test]
    fn mistakes_are_told() {
        for (json, mistake) in [
            ("\"zen\"", "`zen` is not a zone as in `zen.spamhaus.org`"),
            ("{}", "missing field `zone`"),
            (r#"{"zone": "a.b", "of": []}"#, "`of` names what the list is asked about"),
            (r#"{"zone": "a.b", "score": 1e9}"#, "points are from -1000 to 1000"),
            (r#"{"zone": "a b.c"}"#, "`a b.c` is not the name of a zone"),
            (r#"{"zone": "a.b", "codes": {"1.2.3.4": 1}}"#, "codes.1.2.3.4: `1.2.3.4` is not"),
            (r#"{"zone": "a.b", "codes": {"127.0.0.2": {}}}"#, "missing field `score`"),
        ] {
            let said = list(json).unwrap_err();
            assert!(said.contains(mistake), "{said}");
        }
    }
}
