//! What the author's domain wants, and what is done about it here (RFC 7489 section 6.6.2).

use portcullis_plugin::Message;
use portcullis_plugin::dns::{self, Answer, Kind, Query};

use crate::arc;
use crate::domain::Domains;
use crate::found::Found;
use crate::settings::{Action, Dmarc, Local, OnError};

/// The policy, ready to be used.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) settings: Dmarc,
    pub(crate) local: Domains<Local>,
    pub(crate) lists: Domains<()>,
    pub(crate) sealers: Domains<()>,
    /// So that nobody outside can tell by our code alone which messages are sampled.
    pub(crate) id: String,
}

/// What a policy asks for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Wish {
    None,
    Quarantine,
    Reject,
}

impl Wish {
    fn new(text: &str) -> Self {
        match text {
            "reject" => Self::Reject,
            "quarantine" => Self::Quarantine,
            _ => Self::None,
        }
    }

    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::Quarantine => "quarantine",
            Self::None => "none",
        }
    }

    /// What is done with a message that the sampling leaves out (RFC 7489 section 6.6.4).
    fn lowered(self) -> Self {
        if self == Self::Reject { Self::Quarantine } else { Self::None }
    }
}

/// What is to become of a message that is not its author's.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Ruling {
    /// What the domain, or we for it, ask for.
    pub(crate) wish: Wish,
    /// What is left of that.
    pub(crate) applied: Wish,
    /// What is done.
    pub(crate) step: Step,
    /// Why not what was asked for: `arc`, `list`, `client`, `local`, `pct`.
    pub(crate) overridden: Option<&'static str>,
    /// More about that, for the field.
    pub(crate) comment: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    Nothing,
    Score,
    Quarantine,
    Refuse,
    /// Name servers failed.
    ScoreError,
    Defer,
}

impl Policy {
    /// None if DMARC has nothing against the message.
    pub(crate) fn rule(&self, found: &Found, trusted: bool, message: &Message) -> Option<Ruling> {
        let finding = found.dmarc()?;
        let asked = finding.property("policy.published");
        // Without a policy it is that which nobody knows; with one, whether SPF or a signature passes.
        let unknown = finding.outcome == "temperror";
        if unknown && asked.is_none() {
            return (!trusted).then(|| Ruling::error(self.settings.on_error));
        }
        let author = found.author()?;
        let local = self.local.find(author);
        let published = match &*finding.outcome {
            "fail" | "temperror" => Wish::new(asked.unwrap_or_default()),
            "none" | "permerror" if local.is_some() && !found.is_aligned(author) => Wish::None,
            _ => return None,
        };
        let wish = match local {
            Some(Local::Reject) => Wish::Reject,
            Some(Local::Quarantine) => Wish::Quarantine,
            Some(Local::Ignore) | None => published,
        };
        let mut ruling = Ruling::new(wish);
        if let Some((why, comment)) = self.excuse(found, author, local, trusted, message) {
            ruling.excuse(why, Wish::None, comment);
            return Some(ruling);
        }
        if local.is_none() && wish > Wish::None && self.settings.pct {
            self.sample(&mut ruling, author, message);
        }
        ruling.step = self.step(&ruling, local);
        if ruling.step == Step::Refuse {
            if unknown || found.is_in_doubt(author) {
                ruling.step = Step::of(self.settings.in_doubt);
            }
        } else if unknown {
            ruling.step = Step::of(self.settings.on_error);
        }
        Some(ruling)
    }

    fn step(&self, ruling: &Ruling, local: Option<Local>) -> Step {
        let action = match (ruling.applied, local) {
            (Wish::Reject, Some(Local::Reject)) => Action::Refuse,
            (Wish::Reject, _) => self.settings.reject,
            (Wish::Quarantine, _) => self.settings.quarantine,
            (Wish::None, _) => self.settings.none,
        };
        match action {
            Action::Ignore => Step::Nothing,
            Action::Score => Step::Score,
            Action::Quarantine => Step::Quarantine,
            Action::Refuse => Step::Refuse,
        }
    }

    /// Why the message may pass nevertheless.
    fn excuse(
        &self,
        found: &Found,
        author: &str,
        local: Option<Local>,
        trusted: bool,
        message: &Message,
    ) -> Option<(&'static str, String)> {
        if trusted {
            return Some(("client", "trusted client".to_owned()));
        }
        if local == Some(Local::Ignore) {
            return Some(("local", "local policy".to_owned()));
        }
        if !self.sealers.is_empty()
            && let Some(chain) = found.chain()
            && let Some(sealer) = arc::vouching(&self.sealers, chain, message, author)
        {
            return Some(("arc", format!("arc=pass as.d={sealer}")));
        }
        let list = found.passing().find(|domain| self.lists.find(domain).is_some())?;
        let is_list = |name| !message.header(name).is_empty();
        (is_list("List-Id") || is_list("List-Post"))
            .then(|| ("list", format!("mailing list of {list}")))
    }

    /// RFC 7489 section 6.6.4: the domain may want its policy applied to some of its mail only.
    fn sample(&self, ruling: &mut Ruling, author: &str, message: &Message) {
        let percent = percent(author);
        if percent < 100 && self.share(author, message) >= percent {
            let lowered = ruling.wish.lowered();
            ruling.excuse("pct", lowered, format!("pct={percent}"));
        }
    }

    /// From 0 to 99, the same whenever the message comes again, from wherever its sender sends.
    fn share(&self, author: &str, message: &Message) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |octets: &[u8]| {
            for octet in octets.iter().chain(b"\0") {
                hash = (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        add(self.id.as_bytes());
        add(author.as_bytes());
        for name in ["Message-ID", "Date", "From"] {
            message.header(name).iter().for_each(|value| add(value));
        }
        // The low bits of FNV depend on little.
        hash ^= hash >> 33;
        hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
        (hash ^ (hash >> 33)) % 100
    }
}

impl Ruling {
    fn new(wish: Wish) -> Self {
        let (overridden, comment) = (None, String::new());
        Self { wish, applied: wish, step: Step::Nothing, overridden, comment }
    }

    fn error(on_error: OnError) -> Self {
        Self { step: Step::of(on_error), ..Self::new(Wish::None) }
    }

    fn excuse(&mut self, why: &'static str, applied: Wish, comment: String) {
        (self.overridden, self.applied, self.comment) = (Some(why), applied, comment);
    }
}

impl Step {
    fn of(on_error: OnError) -> Self {
        match on_error {
            OnError::Pass => Self::Nothing,
            OnError::Score => Self::ScoreError,
            OnError::Defer => Self::Defer,
        }
    }
}

/// What the domain says of sampling. The gateway has asked for these records, so they are in its
/// cache. Without the grant, and where nobody answers, the policy is for all of the mail.
fn percent(author: &str) -> u64 {
    let mut names = vec![author];
    names.extend(author.match_indices('.').map(|(at, _)| &author[at + 1..]));
    // The name itself and the seven longest of those above (RFC 9989 section 4.10).
    if names.len() > WALK {
        names.drain(1..names.len() + 1 - WALK);
    }
    let query = |name: &&str| Query::new(&format!("_dmarc.{name}"), Kind::Txt);
    let queries: Vec<_> = names.iter().map(query).collect();
    let answers = dns::lookup(&queries).unwrap_or_default();
    let records: Vec<_> = answers.iter().map(record).collect();
    let Some(Some(own)) = records.first() else {
        return percent_above(records.get(1..).unwrap_or_default());
    };
    percent_in(own)
}

/// The record of the organization: the one that says so, or that with the fewest labels which is
/// not the one of a registry.
fn percent_above(records: &[Option<&str>]) -> u64 {
    let mut chosen = None;
    for record in records.iter().flatten() {
        match tag(record, "psd") {
            Some("y") => break,
            Some("n") => {
                chosen = Some(record);
                break;
            }
            _ => chosen = Some(record),
        }
    }
    chosen.map_or(100, |record| percent_in(record))
}

/// The one record of DMARC at a name; several are none.
fn record(answer: &Answer) -> Option<&str> {
    let mut records = answer.records().iter().filter(|record| tag(record, "v") == Some("DMARC1"));
    let record = records.next()?;
    records.next().is_none().then_some(record)
}

fn percent_in(record: &str) -> u64 {
    let percent = tag(record, "pct").and_then(|percent| percent.parse().ok());
    percent.filter(|percent| *percent <= 100).unwrap_or(100)
}

/// The value of a tag (RFC 6376 section 3.2).
fn tag<'a>(record: &'a str, name: &str) -> Option<&'a str> {
    let mut tags = record.split(';').filter_map(|tag| tag.split_once('='));
    tags.find(|(known, _)| known.trim() == name).map(|(_, value)| value.trim())
}

/// Labels of a walk.
const WALK: usize = 8;

#[cfg(test)]
mod tests {
    use portcullis_plugin::testing::answer_dns;

    use super::*;

    fn publish(name: &str, record: &str) {
        answer_dns(name, Kind::Txt, Answer::Records(vec![record.to_owned()]));
    }

    #[test]
    fn the_share_is_looked_up_where_the_policy_is() {
        assert_eq!(percent("example.org"), 100, "without the grant");
        publish("_dmarc.example.org", "v=DMARC1; p=reject; pct = 20 ;");
        publish("_dmarc.own.example.org", "v=DMARC1; p=reject");
        publish("_dmarc.odd.example.org", "v=DMARC1; p=reject; pct=200");
        publish("_dmarc.registry", "v=DMARC1; p=reject; psd=y; pct=1");
        publish("_dmarc.shop.registry", "v=DMARC1; p=reject; pct=2");
        publish("_dmarc.a.shop.registry", "v=DMARC1; p=reject; psd=n; pct=3");
        answer_dns(
            "_dmarc.two.example",
            Kind::Txt,
            Answer::Records(vec!["v=DMARC1; pct=1".to_owned(), "v=DMARC1; pct=2".to_owned()]),
        );
        answer_dns("_dmarc.slow.example", Kind::Txt, Answer::TimedOut);
        for (author, expected) in [
            ("example.org", 20),
            ("news.example.org", 20),
            ("own.example.org", 100),
            ("odd.example.org", 100),
            ("b.shop.registry", 2),
            ("b.a.shop.registry", 3),
            ("a.b.c.d.e.f.g.h.i.example.org", 20),
            ("two.example", 100),
            ("slow.example", 100),
            ("org", 100),
        ] {
            assert_eq!(percent(author), expected, "{author}");
        }
    }
}
