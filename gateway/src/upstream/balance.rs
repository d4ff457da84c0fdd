//! Which address gets the next transaction.
//!
//! They take turns by weight (smooth weighted round-robin, as nginx does), so that the weights are what
//! is seen, with few clients and with many. Fewest transactions first would send every second
//! of two at once to the smaller one. But who has far more to do for its weight than the
//! idlest is slow, and is passed over until it has caught up.

use std::sync::Arc;
use std::time::Instant;

use super::address::Address;

/// Addresses of an upstream at some time.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pub(super) seats: Vec<Seat>,
    /// When names are to be looked up again; never, if there are none.
    pub(super) until: Option<Instant>,
}

/// One address among the others.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) address: Arc<Address>,
    /// Lower ones go first: preferences of mail exchangers, then backups.
    pub(super) tier: u32,
    /// For the shares of one name, whose addresses share its weight.
    pub(super) weight: u32,
    /// The name that it came from.
    pub(super) name: usize,
    /// Another way to the same hosts, IPv6 beside IPv4: for when the first way fails.
    pub(super) detour: bool,
    /// Its member of the configuration.
    pub(super) member: usize,
}

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Turns {
    credits: Vec<i64>,
    /// Transactions at each seat; none where it is not fit. Kept for its memory only.
    busy: Vec<Option<u64>>,
}

impl Roster {
    pub(super) fn is_current(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// The seat that comes next among those that are fit; none, if none is.
    pub(super) fn next(
        &self,
        turns: &mut Turns,
        fit: impl Fn(&Arc<Address>) -> bool,
    ) -> Option<&Seat> {
        // Looked at once: other threads change it all the time.
        turns.busy.clear();
        turns.busy.extend(
            self.seats
                .iter()
                .map(|seat| fit(&seat.address).then(|| u64::from(seat.address.busy()))),
        );
        let fit = self.seats.iter().zip(&turns.busy).filter(|(_, busy)| busy.is_some());
        let tier = fit.map(|(seat, _)| seat.tier).min()?;
        let direct = |own: &Seat, busy: &[Option<u64>]| {
            self.seats.iter().zip(busy).any(|(seat, busy)| {
                busy.is_some() && seat.name == own.name && seat.tier == tier && !seat.detour
            })
        };
        // A detour never stands in for another one, so that they can go one by one.
        for index in 0..self.seats.len() {
            let seat = &self.seats[index];
            let stands = seat.tier == tier && (!seat.detour || !direct(seat, &turns.busy));
            turns.busy[index] = turns.busy[index].filter(|_| stands);
        }
        turns.next(&self.seats)
    }
}

impl Turns {
    /// Each that is not slow gets its weight in credit, and who has the most pays for all.
    fn next<'a>(&mut self, seats: &'a [Seat]) -> Option<&'a Seat> {
        if self.credits.len() != seats.len() {
            self.credits = vec![0; seats.len()];
        }
        let weight = |seat: &Seat| u64::from(seat.weight.max(1));
        let loads =
            seats.iter().zip(&self.busy).filter_map(|(seat, busy)| Some((weight(seat), (*busy)?)));
        let (least_weight, least) =
            loads.min_by(|(a, a_busy), (b, b_busy)| (a_busy * b).cmp(&(b_busy * a)))?;
        let slow =
            |seat: &Seat, busy: u64| busy * least_weight > 2 * (least + SLACK) * weight(seat);
        let (mut total, mut next) = (0, None);
        for (index, seat) in seats.iter().enumerate() {
            if self.busy[index].is_none_or(|busy| slow(seat, busy)) {
                continue;
            }
            self.credits[index] += i64::from(seat.weight);
            total += i64::from(seat.weight);
            if next.is_none_or(|best: usize| self.credits[best] < self.credits[index]) {
                next = Some(index);
            }
        }
        let next = next?;
        self.credits[next] -= total;
        seats.get(next)
    }
}

/// Transactions more than twice those of the idlest that say nothing yet.
const SLACK: u64 = 4;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::super::address::{Busy, Endpoint};
    use super::*;

    fn seat(name: usize, tier: u32, weight: u32) -> Seat {
        let address = Arc::new(Address::new(Endpoint::Unix(name.to_string().into()), ""));
        Seat { address, tier, weight, name, detour: false, member: name }
    }

    fn play(seats: &[Seat], rounds: usize, hold: usize) -> Vec<usize> {
        let roster = Roster { seats: seats.to_vec(), until: None };
        let (mut turns, mut held) = (Turns::default(), std::collections::VecDeque::new());
        let mut got = HashMap::new();
        for _ in 0..rounds {
            let seat = roster.next(&mut turns, |address| address.health.is_up()).expect("one");
            *got.entry(seat.name).or_default() += 1;
            held.push_back(Busy::new(seat.address.clone()));
            if held.len() > hold {
                held.pop_front();
            }
        }
        (0..seats.len()).map(|name| got.get(&name).copied().unwrap_or_default()).collect()
    }

    fn fail(seat: &Seat) {
        let policy = crate::config::UpstreamHealth::default();
        for _ in 0..3 {
            seat.address.health.failed(&policy, Instant::now(), 0);
        }
    }

    #[test]
    fn weights_are_kept_with_few_and_with_many_at_once() {
        let seats = [seat(0, 0, 3), seat(1, 0, 1), seat(2, 0, 2)];
        assert_eq!(play(&seats, 600, 0), [300, 100, 200]);
        let got = play(&seats, 6000, 60);
        for (got, want) in got.into_iter().zip([3000_usize, 1000, 2000]) {
            assert!(got.abs_diff(want) < 100, "{got} of {want}");
        }
    }

    #[test]
    fn somebody_is_next_whatever_others_do_meanwhile() {
        let seats = [seat(0, 0, 1), seat(1, 0, 1)];
        let roster = Roster { seats: seats.to_vec(), until: None };
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    seats.iter().for_each(|seat| drop(Busy::new(seat.address.clone())));
                }
            });
            let mut turns = Turns::default();
            let all = (0..100_000).all(|_| roster.next(&mut turns, |_| true).is_some());
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(all);
        });
    }

    #[test]
    fn who_has_much_to_do_gets_less() {
        let seats = [seat(0, 0, 1), seat(1, 0, 1)];
        let _busy: Vec<_> = (0..10).map(|_| Busy::new(seats[0].address.clone())).collect();
        assert_eq!(play(&seats, 10, 0), [0, 10]);
    }

    #[test]
    fn backups_come_in_when_all_others_are_down() {
        let seats = [seat(0, 0, 1), seat(1, 0, 1), seat(2, 1, 5)];
        assert_eq!(play(&seats, 10, 0), [5, 5, 0]);
        fail(&seats[0]);
        assert_eq!(play(&seats, 10, 0), [0, 10, 0]);
        fail(&seats[1]);
        assert_eq!(play(&seats, 10, 0), [0, 0, 10]);
        fail(&seats[2]);
        let roster = Roster { seats: seats.into(), until: None };
        assert!(roster.next(&mut Turns::default(), |it| it.health.is_up()).is_none());
    }

    #[test]
    fn a_detour_is_for_its_own_name_alone() {
        let detour = Seat { name: 0, detour: true, ..seat(2, 0, 1) };
        let seats = [seat(0, 0, 1), seat(1, 0, 1), detour];
        assert_eq!(play(&seats, 10, 0)[..2], [5, 5]);
        fail(&seats[0]);
        assert_eq!(play(&seats, 10, 0)[..2], [5, 5], "by its detour");
        assert!(!seats[0].address.health.is_up());
    }
}
