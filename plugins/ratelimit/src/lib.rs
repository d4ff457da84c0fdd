//! Counts, and stops who does too much; see README.md.

mod facts;
mod rule;
mod settings;

use std::collections::BTreeMap;

use portcullis_plugin::kv::{Entry, KvError, Store};
use portcullis_plugin::{
    Hook, Message, Outcome, Recipient, Refusal, Session, Transaction, Verdict, clock, log, metrics,
    plugin,
};
use terms::Exempt;

use crate::facts::Asked;
use crate::rule::{Action, Rule};
use crate::settings::{Count, OnError, Part, Prefixes, Settings};

/// The rules.
#[derive(Debug)]
pub struct Ratelimit {
    store: String,
    network: Prefixes,
    rules: Vec<Rule>,
    exempt: Exempt,
    on_error: OnError,
}

/// A rule about somebody, with what the store knows of it.
struct Counter<'a> {
    rule: &'a Rule,
    of: String,
    /// Where it counts now, and where it did before.
    keys: [String; 2],
    before: i64,
    cost: Cost,
}

/// What a step takes of a limit.
#[derive(Clone, Copy, Debug)]
enum Cost {
    Counts(i64),
    /// It is counted elsewhere.
    Looks(i64),
}

#[plugin]
impl Ratelimit {
    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { store, network, rules, exempt, on_error } = settings;
        network.check("network")?;
        // Each has a label of its own in a metric, and two keys in one call to the store.
        if rules.is_empty() || rules.len() > 32 {
            return Err(format!("rules: {} are not from 1 to 32", rules.len()));
        }
        let rules = rules
            .into_iter()
            .enumerate()
            .map(|(number, rule)| {
                Rule::new(rule).map_err(|mistake| format!("rules[{number}]: {mistake}"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        for (number, rule) in rules.iter().enumerate() {
            if rules[..number].iter().any(|other| other.name == rule.name) {
                return Err(format!("rules[{number}]: there is another rule `{}`", rule.name));
            }
        }
        Ok(Self { store, network, rules, exempt, on_error })
    }

    fn skip(&self) -> Vec<Hook> {
        let counts = |wanted: &[Count]| self.rules.iter().any(|rule| wanted.contains(&rule.count));
        let needs: [(Hook, &[Count]); 5] = [
            (Hook::Connect, &[Count::Connections]),
            (Hook::Mail, &[Count::Messages, Count::Octets, Count::Refused]),
            (Hook::Rcpt, &[Count::Recipients]),
            (Hook::Message, &[Count::Octets]),
            (Hook::Outcome, &[Count::Refused]),
        ];
        let idle = needs.into_iter().filter(|(_, wanted)| !counts(wanted));
        idle.map(|(hook, _)| hook).collect()
    }

    fn connect(&self, session: &Session) -> Result<Verdict, KvError> {
        self.ask(&Asked::new(session, None, None), |count| {
            (count == Count::Connections).then_some(Cost::Counts(1))
        })
    }

    fn mail(&self, session: &Session, transaction: &Transaction) -> Result<Verdict, KvError> {
        self.ask(&Asked::new(session, Some(transaction), None), |count| match count {
            Count::Messages => Some(Cost::Counts(1)),
            // What was refused is counted afterwards, and octets when they have come. Now it only
            // matters whether there is room for what the client announces.
            Count::Refused => Some(Cost::Looks(0)),
            Count::Octets => Some(Cost::Looks(announced(transaction))),
            Count::Connections | Count::Recipients => None,
        })
    }

    fn rcpt(
        &self,
        session: &Session,
        transaction: &Transaction,
        recipient: &Recipient,
    ) -> Result<Verdict, KvError> {
        if self.exempt.recipient(&recipient.address) {
            return Ok(Verdict::Next);
        }
        self.ask(&Asked::new(session, Some(transaction), Some(&recipient.address)), |count| {
            (count == Count::Recipients).then_some(Cost::Counts(1))
        })
    }

    fn message(
        &self,
        session: &Session,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<Verdict, KvError> {
        let size = i64::try_from(message.size()).unwrap_or(i64::MAX);
        self.ask(&Asked::new(session, Some(transaction), None), |count| {
            (count == Count::Octets).then_some(Cost::Counts(size))
        })
    }

    fn outcome(&self, events: &[Outcome]) {
        let refused =
            events.iter().filter(|event| event.stage == "rcpt" && (500..600).contains(&event.code));
        let now = clock::now() / 1000;
        let mut counts = BTreeMap::<(usize, String), i64>::new();
        for event in refused {
            for (number, rule) in self.rules.iter().enumerate() {
                if rule.count == Count::Refused
                    && let Some(of) = facts::key(&rule.key, event, self.network)
                {
                    *counts.entry((number, of)).or_default() += 1;
                }
            }
        }
        let Ok(store) = Store::open(&self.store) else { return };
        for ((number, of), count) in counts {
            let rule = &self.rules[number];
            let [key, _] = rule.keys(&of, now);
            if let Err(error) = store.add(&key, count, rule.time_to_live()) {
                away(&error);
                return;
            }
        }
    }
}

impl Ratelimit {
    /// Counts, unless that were too much of something. The store's absence is no failure, but what
    /// `on_error` says.
    fn ask(
        &self,
        asked: &Asked<'_>,
        cost: impl Fn(Count) -> Option<Cost>,
    ) -> Result<Verdict, KvError> {
        let now = clock::now() / 1000;
        let mut counters = self.counters(asked, cost, now);
        if counters.is_empty() {
            return Ok(Verdict::Next);
        }
        match self.decide(asked, &mut counters, now) {
            // The operator's mistake, which no mail should hide.
            Err(KvError::Denied) => Err(KvError::Denied),
            Err(error) => {
                away(&error);
                Ok(match (self.on_error, asked.transaction) {
                    (OnError::Pass, _) => Verdict::Next,
                    (OnError::Defer, None) => Verdict::disconnect(421, "4.3.0", AWAY),
                    (OnError::Defer, Some(_)) => Verdict::defer(451, "4.3.0", AWAY),
                })
            }
            decided => decided,
        }
    }

    fn counters(
        &self,
        asked: &Asked<'_>,
        cost: impl Fn(Count) -> Option<Cost>,
        now: u64,
    ) -> Vec<Counter<'_>> {
        let mut exempt = None;
        let mut counters = Vec::new();
        for rule in &self.rules {
            let Some(cost) = cost(rule.count) else { continue };
            // A rule about users is about those who are exempt from the others for having logged in.
            if !rule.key.contains(&Part::User)
                && *exempt.get_or_insert_with(|| self.is_exempt(asked))
            {
                continue;
            }
            let Some(of) = facts::key(&rule.key, asked, self.network) else { continue };
            let keys = rule.keys(&of, now);
            counters.push(Counter { rule, of, keys, before: 0, cost });
        }
        counters
    }

    fn is_exempt(&self, asked: &Asked<'_>) -> bool {
        match asked.transaction {
            Some(transaction) => self.exempt.transaction(asked.session, transaction),
            None => self.exempt.clients.contain(asked.session),
        }
    }

    fn decide(
        &self,
        asked: &Asked<'_>,
        counters: &mut [Counter<'_>],
        now: u64,
    ) -> Result<Verdict, KvError> {
        let store = Store::open(&self.store)?;
        let keys: Vec<_> = counters.iter().flat_map(|counter| counter.keys.clone()).collect();
        let entries = store.get(&keys)?;
        if entries.len() != keys.len() {
            return Err(KvError::Unavailable("the store answers something else".to_owned()));
        }
        let mut refused = None;
        for (counter, found) in counters.iter_mut().zip(entries.chunks(2)) {
            counter.before = number(found[1].as_ref());
            let current = number(found[0].as_ref()).saturating_add(counter.cost.amount());
            if counter.rule.rate(current, counter.before, now) > u64::from(counter.rule.limit) {
                let verdict = counter.exceeded(asked);
                refused = refused.or(verdict);
            }
        }
        match refused {
            Some(verdict) => Ok(verdict),
            None => count(&store, counters, now),
        }
    }
}

/// What is refused is not counted: coming again is not what keeps anybody out.
fn count(store: &Store, counters: &[Counter<'_>], now: u64) -> Result<Verdict, KvError> {
    for (number, counter) in counters.iter().enumerate() {
        let Cost::Counts(cost) = counter.cost else { continue };
        let sum = plausible(store.add(&counter.keys[0], cost, counter.rule.time_to_live())?);
        let too_much = counter.rule.rate(sum, counter.before, now) > u64::from(counter.rule.limit);
        // Somebody else was faster, here or at another gateway.
        if too_much && let Action::Refuse(refusal) = &counter.rule.action {
            for counter in &counters[..=number] {
                if let Cost::Counts(cost) = counter.cost {
                    store.add(&counter.keys[0], -cost, counter.rule.time_to_live())?;
                }
            }
            return Ok(counter.refused(refusal));
        }
    }
    Ok(Verdict::Next)
}

impl Counter<'_> {
    /// What comes of it. Only a refusal ends it; points or a delay that cannot be given are not worth
    /// a mail.
    fn exceeded(&self, asked: &Asked<'_>) -> Option<Verdict> {
        match &self.rule.action {
            Action::Refuse(refusal) => Some(self.refused(refusal)),
            Action::Score { symbol, points } => {
                self.tell("score");
                let _ = asked.transaction.map(|transaction| transaction.score(symbol, *points));
                None
            }
            Action::Delay(milliseconds) => {
                self.tell("delay");
                let _ = asked.session.delay(*milliseconds);
                None
            }
        }
    }

    fn refused(&self, refusal: &Refusal) -> Verdict {
        self.tell("refuse");
        // What is larger than the limit does not become smaller by waiting.
        let alone = self.rule.count == Count::Octets
            && self.cost.amount() > i64::from(self.rule.limit)
            && refusal.reply().code < 500;
        if alone {
            let text = format!("a message here has at most {} octets", self.rule.limit);
            return Verdict::reject(552, "5.3.4", text);
        }
        refusal.verdict()
    }

    fn tell(&self, action: &str) {
        metrics::add("exceeded", 1, Some(("rule", &self.rule.name)));
        let fields = [("rule", &*self.rule.name), ("of", &self.of), ("action", action)];
        log::info("rate is exceeded", &fields);
    }
}

impl Cost {
    fn amount(self) -> i64 {
        match self {
            Self::Counts(amount) | Self::Looks(amount) => amount,
        }
    }
}

/// What the client says that the message will have (RFC 1870).
fn announced(transaction: &Transaction) -> i64 {
    let parameters = transaction.parameters();
    let size = parameters.iter().find(|parameter| parameter.keyword == "SIZE");
    size.and_then(|size| size.value.as_deref()?.parse().ok()).unwrap_or_default()
}

/// What is no number is none.
fn number(entry: Option<&Entry>) -> i64 {
    let digits = entry.and_then(|entry| std::str::from_utf8(&entry.value).ok());
    plausible(digits.and_then(|digits| digits.parse().ok()).unwrap_or_default())
}

/// What nobody can have counted nobody has: all octets of ten years through a fast network are fewer.
fn plausible(count: i64) -> i64 {
    if count < 1 << 60 { count } else { 0 }
}

fn away(error: &KvError) {
    metrics::add("store_away", 1, None);
    log::debug("the store does not say", &[("error", &error.to_string())]);
}

const AWAY: &str = "cannot tell rates now, come again later";
