//! Where a listener's house stands. A reload builds another one there.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::House;

/// Where the sessions of one listener on one thread find the house that stands now.
///
/// A transaction stays in the house in which it began; between transactions a session is in none, so
/// that an idle one keeps nothing alive that a reload has replaced.
#[derive(Debug)]
pub struct Site(ArcSwap<House>);

impl Site {
    /// With its first house.
    #[must_use]
    pub fn new(house: House) -> Self {
        Self(ArcSwap::from_pointee(house))
    }

    /// The house that stands now.
    #[must_use]
    pub fn house(&self) -> Arc<House> {
        self.0.load_full()
    }

    /// Puts another house in the place of this one; who is in there stays until the transaction's end.
    pub fn rebuild(&self, house: House) {
        self.0.store(Arc::new(house));
    }
}
