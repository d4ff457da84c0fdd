//! Orders: to the gateway that uses the spool, or carried out here if none does.

use std::collections::HashSet;
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Failed, Found, Selection};
use crate::admin::Client;
use crate::cli::chain;
use crate::metrics::{Metrics, Names};
use crate::spool::{Action, Entry, Id, Obeyed, Order, Spool, SpoolError};

pub(super) async fn execute(
    action: Action,
    selection: Selection,
    yes: bool,
) -> Result<ExitCode, Failed> {
    let Selection { place, filter, all, ids } = selection;
    if !all && ids.is_empty() && filter.is_empty() {
        return Err(Failed::Asked("which messages? Name them, or --all of them".to_owned()));
    }
    let found = place.find()?;
    let ids = match filter.is_empty() {
        true => ids,
        false => chosen(&found, |entry| filter.takes(entry))?,
    };
    let order = Order { action, ids, all };
    if !yes {
        confirm(&order)?;
    }
    let obeyed = obey(&found, &order).await?;
    println!("{} {}", messages(obeyed.done), past(action));
    for id in &obeyed.unknown {
        eprintln!("error: no message {id} waits");
    }
    for failed in &obeyed.failed {
        eprintln!("error: {failed}");
    }
    let all = obeyed.unknown.is_empty() && obeyed.failed.is_empty();
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn messages(count: u64) -> String {
    format!("{count} message{}", if count == 1 { "" } else { "s" })
}

fn past(action: Action) -> &'static str {
    match action {
        Action::Drop => "dropped",
        Action::Hold => "held",
        Action::Release => "released",
        Action::Retry => "to be tried at once",
    }
}

fn chosen(found: &Found, takes: impl Fn(&Entry) -> bool) -> Result<Vec<Id>, Failed> {
    let (survey, mut ids) = (found.survey(), Vec::new());
    for id in survey.ids()? {
        match survey.entry(&id) {
            Ok(Some(entry)) if takes(&entry) => ids.push(id),
            Ok(_) => {}
            Err(reason) => eprintln!("error: the file of {id} is no message: {reason}"),
        }
    }
    Ok(ids)
}

/// A message that was dropped cannot be brought back.
fn confirm(order: &Order) -> Result<(), Failed> {
    let what = match order.all {
        true => "all messages".to_owned(),
        false => messages(order.ids.len() as u64),
    };
    if !io::stdin().is_terminal() {
        return Err(Failed::Asked(format!("{what} would be dropped; --yes says that it is meant")));
    }
    print!("Drop {what}, undelivered, and nobody is told? [yes/no] ");
    let mut answer = String::new();
    let asked = io::stdout().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    match asked {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(Failed::Asked("nothing was dropped".to_owned())),
    }
}

async fn obey(found: &Found, order: &Order) -> Result<Obeyed, Failed> {
    let metrics = Metrics::new(&Names::default()).spool();
    // What would be made here is meant to be there.
    found.survey().ids()?;
    match (Spool::open(&found.spool, metrics), &found.client) {
        (Ok((spool, waiting)), _) => Ok(here(&spool, waiting, order).await),
        (Err(SpoolError::Locked { .. }), Some(client)) => there(client, order).await,
        (Err(error @ SpoolError::Locked { .. }), None) => Err(Failed::Asked(format!(
            "{error}, and it cannot be asked: give --config with its \"admin\""
        ))),
        (Err(error), _) => Err(error.into()),
    }
}

/// No gateway has the spool.
async fn here(spool: &Arc<Spool>, waiting: Vec<Entry>, order: &Order) -> Obeyed {
    let mut wanted: HashSet<&Id> = order.ids.iter().collect();
    let mut obeyed = Obeyed::default();
    for mut entry in waiting {
        if !wanted.remove(&entry.id) && !order.all {
            continue;
        }
        order.action.apply(&mut entry, Timestamp::now());
        let done = match order.action {
            Action::Drop => spool.remove(&entry.id).await,
            Action::Hold | Action::Release | Action::Retry => spool.update(&entry).await,
        };
        match done {
            Ok(()) => obeyed.done += 1,
            Err(error) => obeyed.failed.push(format!("{}: {}", entry.id, chain(&error))),
        }
    }
    obeyed.unknown.extend(wanted.into_iter().cloned());
    obeyed
}

/// The gateway has it.
async fn there(client: &Client, order: &Order) -> Result<Obeyed, Failed> {
    let json = serde_json::to_string(order).map_err(|error| Failed::Asked(error.to_string()))?;
    let told = client.post("/api/spool", &json).await;
    let told = told.map_err(|error| Failed::Asked(error.to_string()))?;
    serde_json::from_str(&told)
        .map_err(|_| Failed::Asked(format!("the gateway at {client} answers: {told}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config;
    use crate::message::{Content, HeaderSection, Message, Outbound};

    async fn store(spool: &Arc<Spool>) -> Id {
        let waiting = json!({"is": "waiting", "next": "2100-01-01T00:00:00Z"});
        let entry = json!({
            "id": Id::fresh(),
            "accepted": "2027-01-15T08:00:00Z",
            "reverse_path": "ann@example.org",
            "recipients": [{"address": "bob@example.com", "upstream": "store", "state": waiting}],
        });
        let body = Content::from_bytes(b"text\r\n".to_vec());
        let message = Message::new(Arc::new(HeaderSection::parse(b"\r\n".to_vec())), body);
        let outbound = Outbound { prefix: Vec::new(), message };
        let entry = serde_json::from_value(entry).expect("an entry");
        let stored = spool.store(entry, &outbound).await.expect("stored");
        stored.claim();
        stored.id().clone()
    }

    fn ordered(action: Action, ids: &[&Id], all: bool) -> Order {
        Order { action, ids: ids.iter().map(|id| (*id).clone()).collect(), all }
    }

    #[tokio::test]
    async fn orders_are_carried_out_where_no_gateway_has_the_spool_and_only_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut spool = config::Spool::in_directory(directory.path().join("spool"));
        spool.free_octets = 0;
        let found = Found { spool, client: None };
        let missing = ordered(Action::Hold, &[], true);
        assert!(obey(&found, &missing).await.is_err() && !found.spool.directory.exists());

        let metrics = Metrics::new(&Names::default()).spool();
        let (spool, _) = Spool::open(&found.spool, metrics).expect("it can be opened");
        let (one, two) = (store(&spool).await, store(&spool).await);
        let hold = ordered(Action::Hold, &[&two], false);
        let refused = obey(&found, &hold).await.expect_err("it is locked").to_string();
        assert!(
            refused.ends_with("cannot be asked: give --config with its \"admin\""),
            "{refused}"
        );
        drop(spool);

        assert_eq!(obey(&found, &hold).await.expect("obeyed").done, 1);
        let held = |id: &Id| found.survey().entry(id).expect("readable").expect("there").held;
        assert_eq!((held(&one), held(&two)), (false, true));
        let drop = ordered(Action::Drop, &[&one, &Id::fresh()], false);
        let obeyed = obey(&found, &drop).await.expect("obeyed");
        assert_eq!((obeyed.done, obeyed.unknown.len()), (1, 1));
        assert_eq!(found.survey().ids().expect("readable"), std::slice::from_ref(&two));
        assert_eq!(obey(&found, &ordered(Action::Retry, &[], true)).await.expect("obeyed").done, 1);
        assert!(held(&two));
    }
}
