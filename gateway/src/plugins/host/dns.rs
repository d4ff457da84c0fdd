//! The `dns` interface.

use wasmtime::Result;

use crate::config::Grant;
use crate::plugins::bindings::dns::{self, Answer, Kind, LookupError, Query};
use crate::plugins::state::State;
use crate::resolver;

impl dns::Host for State {
    async fn lookup(
        &mut self,
        queries: Vec<Query>,
    ) -> Result<std::result::Result<Vec<Answer>, LookupError>> {
        // What is found now would be frozen into every copy. Before the grant is looked at: what is
        // frozen does not depend on grants.
        if self.call.is_none() {
            let failed = || Answer::Failed("not while the plugin is configured".into());
            return Ok(Ok(queries.iter().map(|_| failed()).collect()));
        }
        if !self.granted(Grant::Dns) {
            return Ok(Err(LookupError::Denied));
        }
        let call = self.call_mut()?;
        let asked = call.queries.saturating_add(queries.len());
        if queries.len() > QUERIES_AT_ONCE || asked > QUERIES {
            return Ok(Err(LookupError::TooMany));
        }
        call.queries = asked;
        let queries: Vec<_> = queries.into_iter().map(query).collect();
        let resolver = &self.facts.services.resolver;
        let answers = resolver.lookup_all(queries.clone(), self.patience()).await;
        for (query, answer) in queries.iter().zip(&answers) {
            self.asked(|| format!("dns {:?} {}: {}", query.kind, query.name, shown(answer)));
        }
        Ok(Ok(answers.into_iter().map(answer).collect()))
    }
}

fn query(Query { name, kind }: Query) -> resolver::Query {
    let kind = match kind {
        Kind::A => resolver::Kind::A,
        Kind::Aaaa => resolver::Kind::Aaaa,
        Kind::Mx => resolver::Kind::Mx,
        Kind::Ns => resolver::Kind::Ns,
        Kind::Txt => resolver::Kind::Txt,
        Kind::Ptr => resolver::Kind::Ptr,
        Kind::Cname => resolver::Kind::Cname,
        Kind::Srv => resolver::Kind::Srv,
        Kind::Tlsa => resolver::Kind::Tlsa,
    };
    resolver::Query { name, kind }
}

fn answer(answer: resolver::Answer) -> Answer {
    match answer {
        resolver::Answer::Records(records) => {
            Answer::Records(records.iter().take(RECORDS).map(ToString::to_string).collect())
        }
        resolver::Answer::NoSuchName => Answer::NoSuchName,
        resolver::Answer::NoData => Answer::NoData,
        resolver::Answer::Failed(why) => Answer::Failed(why),
        resolver::Answer::NotAName => Answer::Failed("not a name".into()),
        resolver::Answer::TimedOut => Answer::TimedOut,
    }
}

/// For people.
fn shown(answer: &resolver::Answer) -> String {
    match answer {
        resolver::Answer::Records(records) => {
            records.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }
        resolver::Answer::NoSuchName => "no such name".to_owned(),
        resolver::Answer::NoData => "no data".to_owned(),
        resolver::Answer::Failed(why) => format!("failed, {why}"),
        resolver::Answer::NotAName => "not a name".to_owned(),
        resolver::Answer::TimedOut => "timed out".to_owned(),
    }
}

/// As the contract says. A message has about a dozen names to look up in a dozen lists.
const QUERIES_AT_ONCE: usize = 100;

/// Of one hook call, as the contract says.
const QUERIES: usize = 500;

/// Of one answer, as the contract says.
const RECORDS: usize = 100;
