//! What waits, in the order in which it is to be tried: ids and times, nothing else.
//!
//! Each upstream has a lane of its own, with a bound for what is tried at the same time, so that one
//! that hangs holds up nobody else. A lane whose upstream cannot be reached is closed: instead of
//! all that is due, one message after the other is tried, one a second, and the first that arrives opens
//! it again. What waited for the upstream then goes without regard to its own schedule: first two, then
//! four at a time, and so on.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::spool::Id;

/// Milliseconds since the epoch.
pub(super) type Moment = i64;

/// All that waits.
#[derive(Debug)]
pub(super) struct Agenda {
    lanes: Vec<Lane>,
    numbers: HashMap<String, usize>,
    messages: HashMap<Arc<Id>, Message>,
    /// When something comes to pass with a message without any attempt.
    alarms: BTreeSet<(Moment, Arc<Id>)>,
    concurrency: usize,
    /// The lane that is asked first for its next message.
    turn: usize,
}

/// What waits for one upstream.
#[derive(Debug)]
struct Lane {
    upstream: Arc<str>,
    /// Each by its own schedule.
    scheduled: BTreeSet<(Moment, Arc<Id>)>,
    /// Those that wait for the upstream of a closed lane, in their order.
    stalled: BTreeSet<(u64, Arc<Id>)>,
    /// The number of the next one there.
    number: u64,
    /// Those that did not reach the upstream since somebody did.
    lately: Vec<Arc<Id>>,
    in_flight: usize,
    /// How many may be in flight now.
    allowed: usize,
    /// Attempts in a row that did not reach the upstream.
    unreached: u32,
    /// If the lane is closed, nothing is tried before.
    pause: Moment,
}

#[derive(Debug)]
struct Message {
    alarm: Moment,
    held: bool,
    /// For most messages one.
    places: Vec<(usize, Place)>,
}

/// Where a message stands in a lane.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Scheduled(Moment),
    Stalled(u64),
    InFlight,
}

/// What is known of a message that is to wait.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) id: Arc<Id>,
    pub(super) alarm: Moment,
    /// Not to be tried before, whatever happens.
    pub(super) release: Moment,
    pub(super) held: bool,
    /// Upstreams, each with when it is to be tried.
    pub(super) due: Vec<(String, Moment)>,
}

/// A message whose turn it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Turn {
    pub(super) id: Arc<Id>,
    pub(super) upstream: Arc<str>,
}

/// One upstream and what waits for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Summary {
    pub(super) upstream: Arc<str>,
    pub(super) waiting: usize,
    pub(super) in_flight: usize,
    pub(super) reachable: bool,
}

impl Agenda {
    pub(super) fn new(concurrency: usize) -> Self {
        Self {
            lanes: Vec::new(),
            numbers: HashMap::new(),
            messages: HashMap::new(),
            alarms: BTreeSet::new(),
            concurrency,
            turn: 0,
        }
    }

    /// Another bound for each upstream.
    pub(super) fn bound(&mut self, concurrency: usize) {
        self.concurrency = concurrency;
        for lane in &mut self.lanes {
            if lane.is_open() {
                lane.allowed = lane.allowed.clamp(1, concurrency);
            }
        }
    }

    /// Takes a message in that was there before the process was: nobody knows whether it waits for its
    /// own sake or for an upstream's, so that it goes as soon as its upstream was seen to be there.
    pub(super) fn recover(&mut self, waiting: Waiting, now: Moment) {
        let Waiting { id, alarm, release, held, due } = waiting;
        let mut places = Vec::with_capacity(due.len());
        for (upstream, due) in due {
            let number = self.lane(&upstream);
            let lane = &mut self.lanes[number];
            let place = match release > now {
                true => Place::Scheduled(due),
                false => {
                    lane.suspect(now);
                    lane.stall()
                }
            };
            places.push((number, place));
        }
        self.insert(id, Message { alarm, held, places });
    }

    /// Takes a new message in. Says where it may be tried at once; there it counts as in flight.
    pub(super) fn admit(&mut self, waiting: Waiting, now: Moment) -> Vec<Turn> {
        let Waiting { id, alarm, held, due, .. } = waiting;
        let (mut places, mut turns) = (Vec::with_capacity(due.len()), Vec::new());
        for (upstream, due) in due {
            let number = self.lane(&upstream);
            let lane = &mut self.lanes[number];
            let place = if held || due > now {
                Place::Scheduled(due)
            } else if !lane.is_open() {
                lane.stall()
            } else if lane.in_flight < lane.allowed && !lane.has_due(now) {
                lane.in_flight += 1;
                turns.push(Turn { id: id.clone(), upstream: lane.upstream.clone() });
                Place::InFlight
            } else {
                Place::Scheduled(due)
            };
            places.push((number, place));
        }
        self.insert(id, Message { alarm, held, places });
        turns
    }

    /// The next message that may be tried; it is in flight then.
    pub(super) fn next(&mut self, now: Moment) -> Option<Turn> {
        for step in 0..self.lanes.len() {
            let number = (self.turn + step) % self.lanes.len();
            let Some(id) = self.lanes[number].take(now) else { continue };
            self.turn = number + 1;
            self.set(&id, number, Place::InFlight);
            let upstream = self.lanes[number].upstream.clone();
            return Some(Turn { id, upstream });
        }
        None
    }

    /// When there may be something to do, if nothing happens before.
    pub(super) fn wake(&self) -> Option<Moment> {
        let lanes = self.lanes.iter().filter_map(Lane::wake);
        lanes.chain(self.alarms.first().map(|(alarm, _)| *alarm)).min()
    }

    /// A turn has ended, and the upstream was reached or not, or nobody tried. Whoever did not reach it and is left is tried
    /// when somebody does, or at his own time.
    pub(super) fn ended(
        &mut self,
        turn: &Turn,
        next: Option<Moment>,
        reached: Option<bool>,
        now: Moment,
    ) {
        let concurrency = self.concurrency;
        let number = self.lane(&turn.upstream);
        let was_open = self.lanes[number].is_open();
        self.lanes[number].ended(reached, concurrency, now);
        if let Some(message) = self.messages.get_mut(&turn.id) {
            message.places.retain(|(at, place)| *at != number || *place != Place::InFlight);
            if let Some(due) = next {
                self.place(&turn.id, number, Place::Scheduled(due));
                if reached == Some(false) {
                    self.lanes[number].lately.push(turn.id.clone());
                }
            }
        }
        match (was_open, self.lanes[number].is_open()) {
            (_, false) => self.stall_lately(number),
            (false, true) => self.unstall(number, now),
            (true, true) => {}
        }
    }

    /// They wait for the upstream from now on.
    fn stall_lately(&mut self, number: usize) {
        for id in std::mem::take(&mut self.lanes[number].lately) {
            let place = self.messages.get(&id).and_then(|message| message.at(number));
            if matches!(place, Some(Place::Scheduled(_))) {
                let place = self.lanes[number].stall();
                self.place(&id, number, place);
            }
        }
    }

    /// They waited long enough.
    fn unstall(&mut self, number: usize, now: Moment) {
        for (_, id) in std::mem::take(&mut self.lanes[number].stalled) {
            self.place(&id, number, Place::Scheduled(now));
        }
    }

    /// Has a recipient wait for another upstream, too.
    pub(super) fn route(&mut self, id: &Arc<Id>, upstream: &str, due: Moment) {
        let number = self.lane(upstream);
        let Some(message) = self.messages.get(id) else { return };
        if !message.places.iter().any(|(at, _)| *at == number) {
            self.place(id, number, Place::Scheduled(due));
        }
    }

    /// Whether it is there at all.
    pub(super) fn knows(&self, id: &Id) -> bool {
        self.messages.contains_key(id)
    }

    /// Whether it is being tried now.
    pub(super) fn is_in_flight(&self, id: &Id) -> bool {
        let message = self.messages.get(id);
        message.is_some_and(|message| message.places.iter().any(|(_, p)| *p == Place::InFlight))
    }

    /// Whether this turn has not ended.
    pub(super) fn is_out(&self, turn: &Turn) -> bool {
        let number = self.numbers.get(&*turn.upstream);
        let message = self.messages.get(&turn.id).zip(number);
        message.is_some_and(|(message, number)| message.at(*number) == Some(Place::InFlight))
    }

    /// All ids, those of the oldest first.
    pub(super) fn ids(&self) -> Vec<Arc<Id>> {
        let mut ids: Vec<_> = self.messages.keys().cloned().collect();
        ids.sort();
        ids
    }

    /// Keeps a message back, or no longer.
    pub(super) fn hold(&mut self, id: &Id, held: bool) {
        let Some((id, _)) = self.messages.get_key_value(id) else { return };
        let id = id.clone();
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.held = held;
        for (number, place) in self.messages[&id].places.clone() {
            self.lanes[number].unlist(&id, place);
            if !held {
                self.lanes[number].list(&id, place);
            }
        }
        self.relist_alarm(&id);
    }

    /// Has a message tried as soon as may be.
    pub(super) fn hasten(&mut self, id: &Id, now: Moment) {
        let Some((id, message)) = self.messages.get_key_value(id) else { return };
        let id = id.clone();
        for (number, place) in message.places.clone() {
            if place != Place::InFlight {
                self.place(&id, number, Place::Scheduled(now));
                self.lanes[number].pause = self.lanes[number].pause.min(now);
            }
        }
    }

    /// Has all upstreams tried that could not be reached.
    pub(super) fn hasten_closed(&mut self, now: Moment) {
        for lane in &mut self.lanes {
            lane.pause = lane.pause.min(now);
        }
    }

    /// Forgets a message. What is in flight of it ends as it may.
    pub(super) fn remove(&mut self, id: &Id) {
        let Some((id, message)) = self.messages.remove_entry(id) else { return };
        self.alarms.remove(&(message.alarm, id.clone()));
        for (number, place) in message.places {
            self.lanes[number].unlist(&id, place);
        }
    }

    /// A message whose alarm has come. It is to get another one.
    pub(super) fn alarmed(&mut self, now: Moment) -> Option<Arc<Id>> {
        let (alarm, _) = self.alarms.first()?;
        if *alarm > now {
            return None;
        }
        self.alarms.pop_first().map(|(_, id)| id)
    }

    /// Sets the alarm of a message.
    pub(super) fn alarm(&mut self, id: &Id, alarm: Moment) {
        let Some((id, message)) = self.messages.get_key_value(id) else { return };
        let (id, before) = (id.clone(), message.alarm);
        self.alarms.remove(&(before, id.clone()));
        if let Some(message) = self.messages.get_mut(&id) {
            message.alarm = alarm;
        }
        self.relist_alarm(&id);
    }

    /// How many are kept back.
    pub(super) fn held(&self) -> usize {
        self.messages.values().filter(|message| message.held).count()
    }

    /// What waits, by upstream.
    pub(super) fn summary(&self) -> Vec<Summary> {
        let summary = |lane: &Lane| Summary {
            upstream: lane.upstream.clone(),
            waiting: lane.scheduled.len() + lane.stalled.len(),
            in_flight: lane.in_flight,
            reachable: lane.is_open(),
        };
        self.lanes.iter().map(summary).collect()
    }

    fn insert(&mut self, id: Arc<Id>, message: Message) {
        if !message.held {
            for (number, place) in &message.places {
                self.lanes[*number].list(&id, *place);
            }
        }
        self.messages.insert(id.clone(), message);
        self.relist_alarm(&id);
    }

    fn relist_alarm(&mut self, id: &Arc<Id>) {
        let Some(message) = self.messages.get(id) else { return };
        let entry = (message.alarm, id.clone());
        // What the operator keeps back does not expire under his hands.
        match message.held {
            true => self.alarms.remove(&entry),
            false => self.alarms.insert(entry),
        };
    }

    fn place(&mut self, id: &Arc<Id>, number: usize, place: Place) {
        let Some(message) = self.messages.get_mut(id) else { return };
        let before = message.places.iter().position(|(at, _)| *at == number);
        let before = before.map(|at| message.places.swap_remove(at).1);
        message.places.push((number, place));
        let lane = &mut self.lanes[number];
        if let Some(before) = before {
            lane.unlist(id, before);
        }
        if !message.held {
            lane.list(id, place);
        }
    }

    fn set(&mut self, id: &Arc<Id>, number: usize, place: Place) {
        let Some(message) = self.messages.get_mut(id) else { return };
        if let Some((_, own)) = message.places.iter_mut().find(|(at, _)| *at == number) {
            *own = place;
        }
    }

    fn lane(&mut self, upstream: &str) -> usize {
        if let Some(number) = self.numbers.get(upstream) {
            return *number;
        }
        let number = self.lanes.len();
        self.lanes.push(Lane {
            upstream: upstream.into(),
            scheduled: BTreeSet::new(),
            stalled: BTreeSet::new(),
            number: 0,
            lately: Vec::new(),
            in_flight: 0,
            allowed: self.concurrency,
            unreached: 0,
            pause: 0,
        });
        self.numbers.insert(upstream.to_owned(), number);
        number
    }
}

impl Lane {
    fn is_open(&self) -> bool {
        self.unreached < UNREACHED
    }

    /// Nobody knows whether the upstream is there: one goes ahead.
    fn suspect(&mut self, now: Moment) {
        if self.in_flight == 0 && self.is_open() {
            (self.unreached, self.allowed, self.pause) = (UNREACHED, 1, now);
        }
    }

    fn list(&mut self, id: &Arc<Id>, place: Place) {
        match place {
            Place::Scheduled(due) => self.scheduled.insert((due, id.clone())),
            Place::Stalled(number) => self.stalled.insert((number, id.clone())),
            Place::InFlight => false,
        };
    }

    fn unlist(&mut self, id: &Arc<Id>, place: Place) {
        match place {
            Place::Scheduled(due) => self.scheduled.remove(&(due, id.clone())),
            Place::Stalled(number) => self.stalled.remove(&(number, id.clone())),
            Place::InFlight => false,
        };
    }

    /// A place behind all others that wait for the upstream.
    fn stall(&mut self) -> Place {
        self.number += 1;
        Place::Stalled(self.number)
    }

    fn has_due(&self, now: Moment) -> bool {
        self.scheduled.first().is_some_and(|(due, _)| *due <= now)
    }

    fn take(&mut self, now: Moment) -> Option<Arc<Id>> {
        if self.in_flight >= self.allowed || !self.is_open() && self.pause > now {
            return None;
        }
        let id = match self.has_due(now) {
            true => self.scheduled.pop_first()?.1,
            // Of an open lane there is none.
            false => self.stalled.pop_first()?.1,
        };
        self.in_flight += 1;
        Some(id)
    }

    /// When it may have something to take.
    fn wake(&self) -> Option<Moment> {
        if self.in_flight >= self.allowed {
            return None;
        }
        let scheduled = self.scheduled.first().map(|(due, _)| *due);
        match self.is_open() {
            true => scheduled,
            false if self.stalled.is_empty() => scheduled.map(|due| due.max(self.pause)),
            false => Some(self.pause),
        }
    }

    fn ended(&mut self, reached: Option<bool>, concurrency: usize, now: Moment) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(reached) = reached else { return };
        if reached {
            let again = if self.is_open() { self.allowed * 2 } else { 2 };
            self.allowed = again.min(concurrency);
            self.unreached = 0;
            self.lately.clear();
            return;
        }
        self.unreached = self.unreached.saturating_add(1);
        if !self.is_open() {
            (self.allowed, self.pause) = (1, now + PAUSE);
        }
    }
}

impl Message {
    fn at(&self, number: usize) -> Option<Place> {
        self.places.iter().find(|(at, _)| *at == number).map(|(_, place)| *place)
    }
}

/// So many attempts in a row that do not reach an upstream close its lane: more than a connection
/// that is lost by chance.
const UNREACHED: u32 = 3;
/// Between attempts to reach an upstream, so that service is back soon after the upstream is.
const PAUSE: Moment = 1000;

#[cfg(test)]
mod tests;
