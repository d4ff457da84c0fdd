//! Write plugins for the Portcullis SMTP gateway in Rust.
//!
//! A plugin is a type, and the hooks that it has are the methods of one `impl` block:
//!
//! ```
//! use portcullis_plugin::{Recipient, Verdict, plugin};
//!
//! #[derive(Default)]
//! struct Closed;
//!
//! #[plugin]
//! impl Closed {
//!     fn rcpt(&self, recipient: &Recipient) -> Verdict {
//!         if recipient.domain().eq_ignore_ascii_case("closed.example") {
//!             return Verdict::reject(550, "5.7.1", "closed for good");
//!         }
//!         Verdict::Next
//!     }
//! }
//! ```
//!
//! That is the whole `lib.rs` of a crate with `crate-type = ["cdylib", "rlib"]`. Built for
//! `wasm32-unknown-unknown` (or `wasm32-wasip2`) it exports the hook that is written and no other,
//! so the gateway never asks it anything else.
//!
//! # The block
//!
//! | method | when | may look at |
//! |---|---|---|
//! | `fn configure(settings: S) -> Result<Self, E>` | once for each configuration | the operator's settings |
//! | `fn skip(&self) -> Vec<Hook>` | right after `configure` | |
//! | `fn connect(…) -> Verdict` | a client has connected | `&Session` |
//! | `fn helo(…) -> Verdict` | HELO, EHLO, LHLO | `&Session`, the name as `&str` |
//! | `fn auth(…) -> Authentication` | AUTH | `&Session`, `&Credentials` |
//! | `fn mail(…) -> Verdict` | MAIL FROM | `&Session`, `&Transaction` |
//! | `fn rcpt(…) -> Verdict` | each RCPT TO | `&Session`, `&Transaction`, `&Recipient` |
//! | `fn data(…) -> Verdict` | DATA, before the 354 | `&Session`, `&Transaction` |
//! | `fn headers(…) -> Verdict` | the header section is complete | `&Session`, `&Transaction`, `&Message` |
//! | `fn message(…) -> Verdict` | the message is complete | `&Session`, `&Transaction`, `&Message` |
//! | `fn outcome(…)` | after the event, in batches | `&[Outcome]` |
//!
//! A hook takes `&self` or `&mut self` and then whatever it wants of the last column, in any order.
//! Instead of an answer it may return `Result<Verdict, E>` (`Result<Authentication, E>`): an error is this plugin's failure, as
//! a panic is. All other functions belong into another `impl` block; a name that is no hook is a
//! compile error, not a plugin that is never asked.
//!
//! Without `configure` the type has to implement `Default`, and settings are refused. With it, `S`
//! is any type that implements `serde::Deserialize`; say `#[serde(deny_unknown_fields)]`, so that
//! the operator's typing errors are found.
//!
//! # Memory
//!
//! What `configure` built is kept as an image. Each transaction gets a fresh copy of it, which is
//! gone when the transaction ends: fields changed in `rcpt` are still changed in `message`, and
//! never seen by another mail. Work done in `configure` (sorting, compiling patterns) is done once.
//!
//! # Tests
//!
//! On any other target than wasm nothing is exported, and [`Session`], [`Transaction`],
//! [`Credentials`], [`Recipient`] and [`Message`] can be made up; see [`testing`].

mod authentication;
#[doc(hidden)]
pub mod bindings;
pub mod clock;
mod content;
pub mod dns;
mod envelope;
#[doc(hidden)]
#[cfg(target_family = "wasm")]
pub mod exports;
#[cfg(not(target_family = "wasm"))]
mod fakes;
mod files;
#[doc(hidden)]
#[cfg(target_family = "wasm")]
pub mod guest;
mod hook;
pub mod http;
pub mod kv;
pub mod log;
pub mod mail_auth;
pub mod metrics;
mod outcome;
pub mod random;
mod refusal;
#[doc(hidden)]
pub mod settings;
pub mod streams;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod upstreams;
mod verdict;

pub use portcullis_plugin_macros::plugin;

pub use self::authentication::{Authentication, Credentials};
pub use self::bindings::smtp::filter::types::{
    EditError, Forwarded, Parameter, Part, Recipient, Reply, TlsInfo, Verdict,
};
#[cfg(target_family = "wasm")]
pub use self::bindings::smtp::filter::types::{Message, Reader, Session, Transaction, Writer};
pub use self::envelope::split_address;
#[cfg(not(target_family = "wasm"))]
pub use self::fakes::{Message, Reader, Session, Transaction, Writer};
pub use self::files::Files;
pub use self::hook::{Hook, Plugin, Question};
pub use self::outcome::Outcome;
pub use self::refusal::Refusal;
pub use self::verdict::Answer;
