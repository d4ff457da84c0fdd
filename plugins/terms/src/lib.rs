//! The terms in which the settings of several plugins are written: networks, addresses, times, and
//! who is left alone.
//!
//! Lists of some dozens are meant. They are kept as they were read and gone through in order: an
//! index would take more memory in each copy of the plugin than it saves time.

mod addresses;
mod exempt;
mod networks;
mod span;

pub use self::addresses::Addresses;
pub use self::exempt::Exempt;
pub use self::networks::{Networks, network};
pub use self::span::Span;
