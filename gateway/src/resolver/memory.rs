//! What name servers said, for as long as they allow.
//!
//! The library has a cache of its own, of whole messages: to find something there takes ten times as
//! long as a plugin's question needs otherwise.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;

use super::{Answer, Query, Record};

/// Answers that are kept, by what was asked.
#[derive(Debug)]
pub(super) struct Memory(Cache<Query, Remembered>);

/// An answer, and when it is none any more.
#[derive(Clone, Debug)]
struct Remembered {
    answer: Answer,
    until: Instant,
}

impl Memory {
    /// Room for so many answers. Whose names are asked for often stay longest.
    pub(super) fn of(answers: u64) -> Self {
        Self(Cache::builder().max_capacity(answers).expire_after(End).build())
    }

    /// The answer, if there is one, and how long it lives.
    pub(super) fn recall(&self, query: &Query) -> Option<(Answer, Duration)> {
        let remembered = self.0.get(&*folded(query))?;
        let left = remembered.until.checked_duration_since(Instant::now())?;
        Some((remembered.answer, left))
    }

    /// Keeps an answer for so long, and none that is too large: answers are counted, and whoever sends
    /// mail has us ask for 64 KiB at as many names as there is room for.
    pub(super) fn keep(&self, query: &Query, answer: &Answer, life: Duration) {
        if life.is_zero() || octets(answer) > KEPT_OCTETS {
            self.0.invalidate(&*folded(query));
            return;
        }
        let until = Instant::now() + life;
        let remembered = Remembered { answer: answer.clone(), until };
        self.0.insert(folded(query).into_owned(), remembered);
    }
}

/// An answer that is none any more makes room: it was asked for more often than any new one, and would
/// keep them out.
#[derive(Debug)]
struct End;

impl Expiry<Query, Remembered> for End {
    fn expire_after_create(
        &self,
        _: &Query,
        remembered: &Remembered,
        now: Instant,
    ) -> Option<Duration> {
        Some(remembered.until.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &Query,
        remembered: &Remembered,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(remembered.until.saturating_duration_since(now))
    }
}

/// The same question in small letters (RFC 4343).
fn folded(query: &Query) -> Cow<'_, Query> {
    if query.name.bytes().any(|octet| octet.is_ascii_uppercase()) {
        Cow::Owned(Query { name: query.name.to_ascii_lowercase(), kind: query.kind })
    } else {
        Cow::Borrowed(query)
    }
}

/// About what it takes.
fn octets(answer: &Answer) -> usize {
    let record = |record: &Record| match record {
        Record::Address(_) => 0,
        Record::Exchanger { name, .. } | Record::Name(name) | Record::Other(name) => name.len(),
        Record::Text(text) => text.len(),
    };
    match answer {
        Answer::Records(records) => records.iter().map(|it| record(it) + RECORD_OCTETS).sum(),
        Answer::Failed(why) => why.len(),
        Answer::NoData | Answer::NoSuchName | Answer::NotAName | Answer::TimedOut => 0,
    }
}

/// Of a record beside its text.
const RECORD_OCTETS: usize = size_of::<Record>();

/// Of an answer that is kept, about: what fits into four datagrams. Next to none is larger.
const KEPT_OCTETS: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolver::Kind;

    fn query(name: &str) -> Query {
        Query { name: name.to_owned(), kind: Kind::Txt }
    }

    fn text(octets: usize) -> Answer {
        Answer::Records(vec![Record::Text(vec![b'x'; octets])])
    }

    #[test]
    fn an_answer_is_kept_for_as_long_as_it_lives() {
        let memory = Memory::of(10);
        assert_eq!(memory.recall(&query("a.example")), None);
        memory.keep(&query("a.example"), &text(1), Duration::from_mins(1));
        let (answer, left) = memory.recall(&query("A.Example")).unwrap();
        assert_eq!(answer, text(1));
        assert!(left <= Duration::from_mins(1) && left > Duration::from_secs(50), "{left:?}");
        assert_eq!(memory.recall(&Query { kind: Kind::A, ..query("a.example") }), None);
        memory.keep(&query("a.example"), &text(1), Duration::ZERO);
        assert_eq!(memory.recall(&query("a.example")), None);
    }

    #[test]
    fn what_is_over_keeps_nothing_out() {
        let memory = Memory::of(10);
        for number in 0..10 {
            let query = query(&format!("n{number}.example"));
            memory.keep(&query, &text(1), Duration::from_millis(1));
            (0..20).for_each(|_| drop(memory.recall(&query)));
        }
        memory.0.run_pending_tasks();
        let began = Instant::now();
        // The library looks for what is over once a second.
        while memory.0.entry_count() > 0 {
            assert!(began.elapsed() < Duration::from_secs(10), "{}", memory.0.entry_count());
            memory.0.run_pending_tasks();
            std::thread::sleep(Duration::from_millis(5));
        }
        let new = query("new.example");
        memory.keep(&new, &text(1), Duration::from_mins(1));
        memory.0.run_pending_tasks();
        assert!(memory.recall(&new).is_some());
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let memory = Memory::of(10);
        memory.keep(&query("a.example"), &text(1), Duration::from_mins(1));
        memory.keep(&query("a.example"), &text(KEPT_OCTETS), Duration::from_mins(1));
        assert_eq!(memory.recall(&query("a.example")), None);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let memory = Memory::of(10);
        for number in 0..1000 {
            memory.keep(&query(&format!("n{number}.example")), &text(1), Duration::from_mins(1));
        }
        memory.0.run_pending_tasks();
        assert!(memory.0.entry_count() <= 10, "{}", memory.0.entry_count());
        let nothing = Memory::of(0);
        nothing.keep(&query("a.example"), &text(1), Duration::from_mins(1));
        nothing.0.run_pending_tasks();
        assert_eq!(nothing.recall(&query("a.example")), None);
    }
}
