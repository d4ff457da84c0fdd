//! Asking all lists at once.

use portcullis_plugin::dns::{self, Answer, Kind as Record, LookupError, Query};
use zones::{Judgement, List, Question, Teller};

use crate::settings::Of;
use crate::subjects::{Subjects, domain};

/// What all lists say but those that `leave` has. Where one wants the client's names, they are asked
/// for with the first batch, and lists about them with a second one.
pub(crate) fn ask<'a>(
    lists: &'a [List<Of>],
    mut subjects: Subjects,
    leave: u64,
    teller: &Teller,
) -> Result<Judgement<'a, Of>, LookupError> {
    let mut judgement = Judgement::default();
    let mut questions = questions(lists, &subjects, leave);
    let mut queries: Vec<_> = questions.iter().map(|question| question.query(lists)).collect();
    let named = subjects.client.filter(|_| lists.iter().any(|list| list.of.contains(&Of::Ptr)));
    if let Some(client) = named {
        queries.push(Query::new(&client.to_string(), Record::Ptr));
    }
    if queries.is_empty() {
        return Ok(judgement);
    }
    let mut answers = dns::lookup(&queries)?;
    if named.is_some() {
        let names = answers.pop();
        let names = names.iter().flat_map(Answer::records).filter_map(|name| domain(name));
        subjects = Subjects { names: names.take(MOST_NAMES).collect(), ..Subjects::default() };
        let more = self::questions(lists, &subjects, leave);
        if !more.is_empty() {
            let queries: Vec<_> = more.iter().map(|question| question.query(lists)).collect();
            answers.extend(dns::lookup(&queries)?);
            questions.extend(more);
        }
    }
    for (question, answer) in questions.into_iter().zip(&answers) {
        judgement.hear(lists, question, answer, teller);
    }
    Ok(judgement)
}

/// All that the lists want to know and that there is.
fn questions(lists: &[List<Of>], subjects: &Subjects, leave: u64) -> Vec<Question> {
    let mut questions = Vec::new();
    for (number, list) in lists.iter().enumerate().filter(|(number, _)| leave >> number & 1 == 0) {
        for of in list.of.iter().copied() {
            let client = subjects.client.filter(|_| of == Of::Client);
            let client = client.map(|client| client.to_string());
            let about = client.into_iter().chain(subjects.domains(of).map(str::to_owned));
            let kind = of.kind();
            questions.extend(about.map(|subject| Question { list: number, kind, subject }));
        }
    }
    questions.truncate(MOST_QUESTIONS);
    questions
}

/// Names of one address that are asked about: who has more is no better known by them.
const MOST_NAMES: usize = 2;

/// One more is for the names.
const MOST_QUESTIONS: usize = 99;
