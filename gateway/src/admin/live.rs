//! `/api/sessions`, `/api/transactions` and `/api/events`: what goes on, and what went on last.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use super::{Answer, Ask, Gone, Offer, Status, Stream};
use crate::live::{Filter, Heard, Interest, News, SubscribeError, Subscription};
use crate::telemetry::TransactionRecord;

/// `/api/sessions`: the sessions in flight, the oldest first.
pub(super) async fn sessions(offer: Arc<Offer>, ask: Ask) -> Answer {
    match asked(&ask) {
        Ok((filter, limit)) => Answer::json(&offer.live.sessions(&filter, limit)),
        Err(refusal) => refusal,
    }
}

/// What is told of the last transactions.
#[derive(Serialize)]
struct Transactions<'a> {
    /// The newest first.
    transactions: Vec<&'a TransactionRecord>,
    /// How many there are, whatever was asked for.
    kept: usize,
}

/// `/api/transactions`: the last ones, the newest first.
pub(super) async fn transactions(offer: Arc<Offer>, ask: Ask) -> Answer {
    match asked(&ask) {
        Ok((filter, limit)) => {
            let records = offer.live.transactions(&filter, limit);
            let transactions = records.iter().map(|record| &**record).collect();
            Answer::json(&Transactions { transactions, kept: offer.live.kept().0 })
        }
        Err(refusal) => refusal,
    }
}

/// `/api/transactions/ID`: one of them.
pub(super) async fn transaction(offer: Arc<Offer>, ask: Ask) -> Answer {
    let id = ask.path().rsplit('/').next().unwrap_or_default();
    match offer.live.transaction(id) {
        Some(record) => Answer::json(&*record),
        None => Answer::refusal(Status::NOT_FOUND, "no such transaction is kept"),
    }
}

/// `/api/events`: Server-Sent Events, until who listens has gone or the gateway ends.
///
/// `events` says which: `session`, `transaction`, `step`, with commas between; without it the first two.
pub(super) async fn events(offer: Arc<Offer>, ask: Ask) -> Answer {
    let interest = match interest(&ask) {
        Ok(interest) => interest,
        Err(refusal) => return refusal,
    };
    let (answer, stream) = Answer::stream("text/event-stream");
    match offer.live.subscribe(interest) {
        Ok(subscription) => {
            // It ends with the subscription or with the stream, whatever ends first.
            tokio::spawn(tell(subscription, stream));
            answer
        }
        Err(error @ (SubscribeError::Closed | SubscribeError::Full)) => {
            Answer::refusal(Status::SERVICE_UNAVAILABLE, error.to_string())
        }
    }
}

/// The conditions and the limit of a query.
fn asked(ask: &Ask) -> Result<(Filter, usize), Answer> {
    let limit = match ask.parameter("limit").as_deref() {
        None | Some("") => LIMIT,
        Some(limit) => limit.parse().map_err(|_| {
            Answer::refusal(Status::BAD_REQUEST, "\"limit\" is a number, such as 100")
        })?,
    };
    Ok((filter(ask)?, limit))
}

fn filter(ask: &Ask) -> Result<Filter, Answer> {
    FILTERS.iter().try_fold(Filter::default(), |filter, name| match ask.parameter(name) {
        Some(value) => filter
            .with(name, &value)
            .map_err(|error| Answer::refusal(Status::BAD_REQUEST, error.to_string())),
        None => Ok(filter),
    })
}

fn interest(ask: &Ask) -> Result<Interest, Answer> {
    let filter = filter(ask)?;
    let wanted = ask.parameter("events").filter(|wanted| !wanted.is_empty());
    let wanted = wanted.as_deref().unwrap_or("session,transaction");
    let mut interest = Interest { filter, ..Interest::default() };
    for word in wanted.split(',') {
        match word {
            "session" => interest.sessions = true,
            "step" => interest.steps = true,
            "transaction" => interest.transactions = true,
            _ => {
                let text = "\"events\" is any of session, step and transaction";
                return Err(Answer::refusal(Status::BAD_REQUEST, text));
            }
        }
    }
    Ok(interest)
}

/// Passes on what happens.
async fn tell(mut subscription: Subscription, mut stream: Stream) {
    // So that who asked knows that from now on nothing is missed.
    let mut dropped = 0;
    let mut next = Some(": watching\n\n".to_owned());
    while let Some(text) = next {
        if let Err(Gone) = stream.send(text).await {
            return;
        }
        next = match timeout(QUIET, subscription.next()).await {
            Ok(Some(heard)) => Some(event(&heard, &mut dropped)),
            Ok(None) => None,
            // A comment: who reads knows that the connection lives, and who writes whether it does.
            Err(_) => Some(":\n\n".to_owned()),
        };
    }
}

/// JSON holds no line ends, so that an event is a line.
fn event(heard: &Heard, dropped: &mut usize) -> String {
    let (name, data) = match heard {
        Heard::Dropped(count) => {
            *dropped += count;
            let told = serde_json::json!({ "dropped": count, "total": dropped });
            ("dropped", Ok(told.to_string()))
        }
        Heard::News(News::Session(session)) => ("session", serde_json::to_string(&**session)),
        Heard::News(News::Step(step)) => ("step", serde_json::to_string(&**step)),
        Heard::News(News::Transaction(record)) => ("transaction", serde_json::to_string(&**record)),
    };
    match data {
        Ok(data) => format!("event: {name}\ndata: {data}\n\n"),
        Err(error) => format!(": {}\n\n", error.to_string().escape_debug()),
    }
}

/// What can be asked for.
const FILTERS: [&str; 6] = ["id", "client", "listener", "sender", "recipient", "outcome"];

/// Sessions or transactions in one answer, where nobody says how many.
const LIMIT: usize = 1000;

/// After a silence of this length there is a comment.
const QUIET: Duration = Duration::from_secs(15);
