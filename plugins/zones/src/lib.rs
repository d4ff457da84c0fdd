//! Lists in DNS (RFC 5782): what is asked of them and what their answers mean; see README.md.

mod codes;
mod inside;
mod judgement;
mod known;
mod list;
mod reply;
mod trouble;

pub use codes::{Code, Pattern};
pub use inside::inside;
pub use judgement::{Judgement, Listing, Question, score};
pub use list::{Hit, Kind, List, Said, Subject, lists};
pub use reply::{Form, plain};
pub use trouble::{OnError, Teller};
