//! What lists say of all that they are asked about.

use std::net::IpAddr;

use portcullis_plugin::dns::{self, Answer, Kind as Record, LookupError, Query};
use portcullis_plugin::{Transaction, Verdict, log, metrics};

use crate::list::{Hit, Kind, List, Said};
use crate::reply::Form;
use crate::trouble::{OnError, Teller};

/// What is asked: a list, by its number, and of what.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// As in the settings, from 0.
    pub list: usize,
    /// What the subject is.
    pub kind: Kind,
    /// An IP address or a domain.
    pub subject: String,
}

/// A list has it.
#[derive(Debug)]
pub struct Listing<'a, O> {
    /// Who has it.
    pub list: &'a List<O>,
    /// What it has.
    pub subject: String,
    /// What that is worth.
    pub hit: Hit<'a>,
    /// What the list itself says of it; only where that was asked.
    text: Option<String>,
    kind: Kind,
}

/// What all of them say.
#[derive(Debug)]
pub struct Judgement<'a, O> {
    /// One a list: where it has several things, the one that is worth most.
    pub listings: Vec<Listing<'a, O>>,
    /// Lists that did not answer, as bits.
    pub silent: u64,
    /// Lists that did.
    heard: u64,
}

impl<O> Default for Judgement<'_, O> {
    fn default() -> Self {
        Self { listings: Vec::new(), silent: 0, heard: 0 }
    }
}

impl Question {
    /// The question as the resolver takes it.
    pub fn query<O>(&self, lists: &[List<O>]) -> Query {
        Query::new(&name(&lists[self.list], self.kind, &self.subject), Record::A)
    }
}

fn name<O>(list: &List<O>, kind: Kind, subject: &str) -> String {
    match subject.parse() {
        Ok(address) if kind == Kind::Addresses => list.of_address(address),
        _ => list.of_domain(subject),
    }
}

impl<'a, O> Judgement<'a, O> {
    /// Takes an answer in.
    pub fn hear(
        &mut self,
        lists: &'a [List<O>],
        question: Question,
        answer: &Answer,
        teller: &Teller,
    ) {
        let list = &lists[question.list];
        let bit = 1 << question.list;
        let said = list.read(answer);
        if said != Said::Nothing {
            self.heard |= bit;
        }
        match said {
            Said::No => {}
            Said::Nothing => {
                self.silent |= bit;
                teller.silent(&list.name);
            }
            Said::Nonsense(answer) => teller.nonsense(&list.name, &answer),
            Said::Listed(hit) => {
                let Question { kind, subject, .. } = question;
                self.keep(Listing { list, subject, hit, text: None, kind });
            }
        }
    }

    fn keep(&mut self, new: Listing<'a, O>) {
        let known = self.listings.iter_mut().find(|known| known.list.name == new.list.name);
        match known {
            Some(known) if known.hit.code.score.abs() < new.hit.code.score.abs() => *known = new,
            Some(_) => {}
            None => self.listings.push(new),
        }
    }

    /// Asks those who have it whether they have everything, and why, if that is to be told. Then only
    /// what counts is left: where one that is trusted has it, what speaks for it.
    pub fn confirm(&mut self, why: bool, teller: &Teller) -> Result<(), LookupError> {
        if self.listings.is_empty() {
            return Ok(());
        }
        let probes =
            self.listings.iter().map(|one| Query::new(&one.list.probe(one.kind), Record::A));
        let mut queries: Vec<_> = probes.collect();
        if why {
            queries.extend(
                self.listings
                    .iter()
                    .map(|one| Query::new(&name(one.list, one.kind, &one.subject), Record::Txt)),
            );
        }
        let mut answers = dns::lookup(&queries)?;
        let texts = answers.split_off(self.listings.len().min(answers.len()));
        for (listing, text) in self.listings.iter_mut().zip(texts) {
            listing.text = text.records().first().cloned();
        }
        let mut answers = answers.into_iter();
        self.listings.retain(|listing| {
            let broken = answers.next().is_some_and(|answer| !answer.records().is_empty());
            if broken {
                teller.broken(&listing.list.name);
            }
            !broken
        });
        if self.listings.iter().any(|listing| listing.hit.code.allow) {
            self.listings.retain(|listing| listing.hit.code.score <= 0.0);
        }
        Ok(())
    }

    /// The points of those that speak against it.
    pub fn against(&self) -> f64 {
        self.listings.iter().map(|listing| listing.hit.code.score.max(0.0)).sum()
    }

    /// All points.
    fn sum(&self) -> f64 {
        self.listings.iter().map(|listing| listing.hit.code.score).sum()
    }

    /// That which is worth most.
    fn worst(&self) -> Option<&Listing<'a, O>> {
        let worth = |listing: &&Listing<'_, O>| listing.hit.code.score;
        self.listings.iter().max_by(|a, b| worth(a).total_cmp(&worth(b)))
    }

    /// Points for each listing, as `DNSBL_ZEN` with `DNSBL` before it, and for hearing nothing.
    pub fn score(&self, to: &Transaction, before: &str, on_error: OnError, error_score: f64) {
        for Listing { list, hit, .. } in &self.listings {
            metrics::add("listings", 1, Some(("list", &list.name)));
            score(to, &format!("{before}_{}", list.name), hit.code.score);
        }
        if on_error == OnError::Score && self.heard_nothing() {
            score(to, &format!("{before}_ERROR"), error_score);
        }
    }

    /// What is answered from so many points on, and while no list says anything.
    pub fn refusal(
        &self,
        from: f64,
        reply: &Form,
        client: Option<IpAddr>,
        on_error: OnError,
    ) -> Option<Verdict> {
        if on_error == OnError::Defer && self.heard_nothing() {
            return Some(Verdict::defer(451, "4.7.1", "DNS lists do not answer, try again later"));
        }
        let worst = self.worst().filter(|_| self.sum() >= from)?;
        metrics::add("refusals", 1, Some(("list", &worst.list.name)));
        let client = client.map_or_else(|| "the client".to_owned(), |client| client.to_string());
        Some(reply.fill(&[
            ("client", &client),
            ("subject", &worst.subject),
            ("list", &worst.list.shown),
            ("reason", worst.reason()),
        ]))
    }

    /// Whether lists were asked and none said anything.
    fn heard_nothing(&self) -> bool {
        self.silent != 0 && self.heard == 0
    }

    /// The names of those that speak against it, or for it, with blanks between them.
    pub fn names(&self, against: bool) -> String {
        let mut names = String::new();
        for listing in self.listings.iter().filter(|one| (one.hit.code.score > 0.0) == against) {
            if !names.is_empty() {
                names.push(' ');
            }
            names.push_str(&listing.list.name);
        }
        names
    }

    /// Whoever finds a refusal in the log wants to know all that it came of.
    pub fn tell(&self) {
        for Listing { list, subject, hit, .. } in &self.listings {
            let answer = hit.answer.to_string();
            let fields = [("list", &*list.name), ("subject", subject), ("answer", &answer)];
            log::info("listed", &fields);
        }
    }
}

impl<O> Listing<'_, O> {
    /// Why, in the words of the list, or else in ours.
    fn reason(&self) -> &str {
        let own = || self.hit.code.meaning.as_deref();
        self.text.as_deref().or_else(own).unwrap_or("see there")
    }
}

/// A gateway that takes no more symbols has heard enough.
pub fn score(to: &Transaction, symbol: &str, points: f64) {
    if points != 0.0 {
        let _ = to.score(symbol, points);
    }
}
