//! `/api/spool`: what waits, and what an operator wants done with it.

use std::sync::Arc;

use super::{Answer, Ask, Offer, Status};
use crate::spool::Order;

/// Room for the ids of 300,000 messages.
pub(super) const ORDER_OCTETS: usize = 8 << 20;

pub(super) async fn summary(offer: Arc<Offer>, _: Ask) -> Answer {
    match &offer.queue {
        Some(queue) => Answer::json(&queue.summary()),
        None => Answer::refusal(Status::NOT_FOUND, NONE),
    }
}

pub(super) async fn obey(offer: Arc<Offer>, ask: Ask) -> Answer {
    let Some(queue) = &offer.queue else {
        return Answer::refusal(Status::NOT_FOUND, NONE);
    };
    match ask.json::<Order>() {
        Ok(order) => Answer::json(&queue.obey(order).await),
        Err(refusal) => refusal,
    }
}

const NONE: &str = "there is no spool";
