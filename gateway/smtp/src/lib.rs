//! The SMTP and LMTP protocol without I/O.
//!
//! Both ends of a conversation as state machines: bytes go in, bytes and questions come out. There
//! is no socket, no clock and no policy in this crate, so that a whole conversation runs in
//! microseconds in a test, a fuzzer drives the very session that faces the network, and pipelining
//! falls out of the shape.
//!
//! ```text
//!   bytes --receive--> server::Session --poll--> Step::Ask(question) ... decide(verdict)
//!                                           |--> Step::Content(octets)
//!                                           |--> Step::Read / StartTls / Close
//!   bytes <--take_output--'
//! ```

pub mod address;
mod body;
pub mod client;
pub mod command;
pub mod extension;
pub mod hazards;
mod header;
mod lines;
pub mod parameter;
mod plain;
pub mod proxy;
pub mod reply;
pub mod sasl;
pub mod server;
pub mod stuffing;
pub mod xclient;
pub mod xtext;

pub use address::{Domain, Grammar, Mailbox, ReversePath};
pub use extension::{Extension, Offers};
pub use parameter::{DateTime, Parameter};
pub use reply::{EnhancedStatus, Reply, ReplyError};
