//! The terms in which the settings of several plugins are written: networks, domains, addresses, times, secrets,
//! who is left alone; and what services of others say.
//!
//! Lists of some dozens are meant. They are kept as they were read and gone through in order: an
//! index would take more memory in each copy of the plugin than it saves time.

mod addresses;
mod clients;
mod domain;
mod exempt;
mod networks;
mod prefixes;
mod punycode;
mod remote;
mod secret;
mod span;
mod stream;

pub use self::addresses::Addresses;
pub use self::clients::Clients;
pub use self::domain::folded;
pub use self::exempt::Exempt;
pub use self::networks::{Networks, network, prefix};
pub use self::prefixes::Prefixes;
pub use self::punycode::encode as a_label;
pub use self::remote::{OnError, field_value, reply_of, reply_text};
pub use self::secret::Secret;
pub use self::span::Span;
pub use self::stream::Away;
