use proptest::prelude::*;

use super::*;

fn id() -> Arc<Id> {
    Arc::new(Id::fresh())
}

fn waiting(id: &Arc<Id>, due: &[(&str, Moment)]) -> Waiting {
    let due = due.iter().map(|(upstream, due)| ((*upstream).to_owned(), *due)).collect();
    Waiting { id: id.clone(), alarm: Moment::MAX, release: 0, held: false, due }
}

fn new(agenda: &mut Agenda, upstream: &str, now: Moment) -> (Arc<Id>, Option<Turn>) {
    let id = id();
    let turns = agenda.admit(waiting(&id, &[(upstream, now)]), now);
    (id, turns.into_iter().next())
}

/// As long as the upstream is not there.
fn close(agenda: &mut Agenda, upstream: &str, now: Moment) {
    for _ in 0..UNREACHED {
        let (_, turn) = new(agenda, upstream, now);
        agenda.ended(&turn.expect("room"), Some(now + 60_000), Some(false), now);
    }
    assert!(agenda.summary().iter().any(|it| &*it.upstream == upstream && !it.reachable));
}

#[test]
fn what_is_new_goes_at_once_as_far_as_there_is_room() {
    let mut agenda = Agenda::new(2);
    let turns: Vec<_> = (0..3).map(|_| new(&mut agenda, "store", 0).1).collect();
    assert!(turns[0].is_some() && turns[1].is_some() && turns[2].is_none());
    assert_eq!(agenda.next(0), None);
    agenda.ended(turns[0].as_ref().expect("begun"), None, Some(true), 0);
    assert!(agenda.next(0).is_some());
    assert_eq!(agenda.next(0), None);
}

#[test]
fn one_upstream_that_hangs_holds_up_nobody_else() {
    let mut agenda = Agenda::new(1);
    assert!(new(&mut agenda, "hangs", 0).1.is_some());
    for _ in 0..100 {
        assert!(new(&mut agenda, "hangs", 0).1.is_none());
    }
    let both = id();
    let turns = agenda.admit(waiting(&both, &[("hangs", 0), ("store", 0)]), 0);
    assert_eq!(turns.len(), 1);
    assert_eq!(&*turns[0].upstream, "store");
}

#[test]
fn what_is_due_later_waits() {
    let mut agenda = Agenda::new(5);
    let late = id();
    assert!(agenda.admit(waiting(&late, &[("store", 50)]), 0).is_empty());
    assert_eq!((agenda.next(49), agenda.wake()), (None, Some(50)));
    assert_eq!(agenda.next(50).map(|turn| turn.id), Some(late));
    assert_eq!(agenda.wake(), Some(Moment::MAX), "its alarm alone");
}

#[test]
fn an_upstream_that_is_not_there_is_looked_for_once_a_second_by_one_after_the_other() {
    let mut agenda = Agenda::new(20);
    close(&mut agenda, "store", 0);
    assert!(new(&mut agenda, "store", 0).1.is_none(), "what is new waits, too");
    assert_eq!((agenda.next(PAUSE - 1), agenda.wake()), (None, Some(PAUSE)));
    let mut seen = BTreeSet::new();
    for look in 1..=4 {
        let now = look * PAUSE;
        let turn = agenda.next(now).expect("one");
        assert_eq!(agenda.next(now), None, "one only");
        seen.insert(turn.id.clone());
        agenda.ended(&turn, Some(60_000), Some(false), now);
    }
    assert_eq!(seen.len(), 4, "a message that is the trouble itself is in nobody's way");
}

#[test]
fn what_waited_for_an_upstream_goes_when_it_is_back_and_not_all_at_once() {
    let mut agenda = Agenda::new(20);
    close(&mut agenda, "store", 0);
    for _ in 0..97 {
        new(&mut agenda, "store", 0);
    }
    let now = PAUSE;
    let mut flying = vec![agenda.next(now).expect("one")];
    let mut rounds = Vec::new();
    while !flying.is_empty() {
        rounds.push(flying.len());
        for turn in flying.drain(..) {
            agenda.ended(&turn, None, Some(true), now);
        }
        flying.extend(std::iter::from_fn(|| agenda.next(now)));
    }
    assert_eq!(rounds.iter().sum::<usize>(), 100);
    assert!(rounds.starts_with(&[1, 2, 8, 20, 20]), "{rounds:?}");
}

#[test]
fn what_was_there_before_the_process_goes_once_one_has_arrived() {
    let mut agenda = Agenda::new(20);
    let ids: Vec<_> = (0..3).map(|_| id()).collect();
    for id in &ids {
        agenda.recover(waiting(id, &[("store", 3_600_000)]), 0);
    }
    let held = Waiting { release: 9000, ..waiting(&id(), &[("store", 9000)]) };
    agenda.recover(held, 0);
    let first = agenda.next(0).expect("one goes ahead");
    assert_eq!((&first.id, agenda.next(0)), (&ids[0], None));
    agenda.ended(&first, None, Some(true), 5);
    assert_eq!(std::iter::from_fn(|| agenda.next(5)).count(), 2, "not what is held for a time");
    assert!(agenda.next(8999).is_none());
}

#[test]
fn a_connection_that_is_lost_by_chance_closes_nothing() {
    let mut agenda = Agenda::new(20);
    let (lost, turn) = new(&mut agenda, "store", 0);
    agenda.ended(&turn.expect("room"), Some(60_000), Some(false), 0);
    assert!(new(&mut agenda, "store", 0).1.is_some());
    assert_eq!(agenda.next(60_000).map(|turn| turn.id), Some(lost));
}

#[test]
fn what_is_held_is_not_tried_and_does_not_expire() {
    let mut agenda = Agenda::new(20);
    let id = id();
    agenda.admit(Waiting { alarm: 5, ..waiting(&id, &[("store", 10)]) }, 0);
    agenda.hold(&id, true);
    assert_eq!((agenda.next(20), agenda.alarmed(20), agenda.held()), (None, None, 1));
    agenda.hold(&id, false);
    assert_eq!(agenda.alarmed(20), Some(id.clone()));
    assert_eq!(agenda.next(20).map(|turn| turn.id), Some(id));
}

#[test]
fn what_is_held_while_it_is_tried_is_not_tried_again() {
    let mut agenda = Agenda::new(20);
    let (id, turn) = new(&mut agenda, "store", 0);
    agenda.hold(&id, true);
    agenda.ended(&turn.expect("room"), Some(10), Some(true), 0);
    assert_eq!(agenda.next(10), None);
    agenda.hold(&id, false);
    assert!(agenda.next(10).is_some());
}

#[test]
fn what_is_hastened_goes_now_even_to_an_upstream_that_is_not_there() {
    let mut agenda = Agenda::new(20);
    close(&mut agenda, "store", 0);
    let late = id();
    agenda.admit(waiting(&late, &[("store", 50_000)]), 0);
    agenda.hasten(&late, 1);
    assert_eq!(agenda.next(1).map(|turn| turn.id), Some(late));
}

#[test]
fn a_turn_without_an_attempt_says_nothing_of_the_upstream() {
    let mut agenda = Agenda::new(20);
    close(&mut agenda, "store", 0);
    let turn = agenda.next(PAUSE).expect("one");
    agenda.ended(&turn, None, None, PAUSE);
    assert!(!agenda.summary()[0].reachable);
    assert!(agenda.next(PAUSE).is_some());
}

#[test]
fn a_message_that_is_removed_is_gone() {
    let mut agenda = Agenda::new(1);
    let (id, turn) = new(&mut agenda, "store", 0);
    agenda.remove(&id);
    agenda.ended(&turn.expect("room"), Some(0), Some(true), 0);
    assert_eq!((agenda.next(100), agenda.wake(), agenda.knows(&id)), (None, None, false));
    assert!(new(&mut agenda, "store", 0).1.is_some(), "its place is free");
}

proptest! {
    /// Whatever upstreams do, nobody is forgotten, tried twice at once, or tried by too many.
    #[test]
    fn nobody_is_forgotten(steps in prop::collection::vec((0_u8..6, 0_usize..3, any::<bool>()), 1..200)) {
        let upstreams = ["one", "two", "three"];
        let mut agenda = Agenda::new(3);
        let (mut now, mut flying, mut left) = (0, Vec::<Turn>::new(), BTreeSet::new());
        for (step, at, flag) in steps {
            match step {
                0 | 1 => {
                    let (id, turn) = new(&mut agenda, upstreams[at], now);
                    left.insert(id);
                    flying.extend(turn);
                }
                2 => flying.extend(agenda.next(now)),
                3 | 4 if !flying.is_empty() => {
                    let turn = flying.remove(at % flying.len());
                    let done = flag && step == 3;
                    agenda.ended(&turn, (!done).then_some(now + 700), Some(flag), now);
                    if done {
                        agenda.remove(&turn.id);
                        left.remove(&turn.id);
                    }
                }
                _ => now += 400,
            }
            for upstream in upstreams {
                prop_assert!(flying.iter().filter(|turn| &*turn.upstream == upstream).count() <= 3);
            }
            let ids: BTreeSet<_> = flying.iter().map(|turn| turn.id.clone()).collect();
            prop_assert_eq!(ids.len(), flying.len());
        }
        // All upstreams are there again: it empties, with nothing to wait for but what it says.
        for _ in 0..2000 {
            for turn in flying.drain(..) {
                agenda.ended(&turn, None, Some(true), now);
                agenda.remove(&turn.id);
                left.remove(&turn.id);
            }
            flying.extend(std::iter::from_fn(|| agenda.next(now)));
            match agenda.wake() {
                Some(wake) if flying.is_empty() => now = now.max(wake),
                _ => {}
            }
        }
        prop_assert!(left.is_empty(), "{} are left", left.len());
        prop_assert!(agenda.ids().is_empty());
    }
}
