//! What plugins can ask of the host: the contract's resources, the log, metrics, and standard
//! output.
//!
//! Sessions, transactions and messages are the call's: their handles carry nothing. Readers and
//! writers lie in the store's table.

#![expect(unreachable_pub, reason = "the generated bindings export the handles again")]

mod clock;
mod dns;
mod http;
mod log;
mod mail_auth;
mod message;
mod metrics;
mod random;
mod reader;
mod session;
mod standard;
mod store;
mod streams;
mod transaction;
mod upstreams;
mod writer;

pub(super) use self::log::{LogLines, printable};
pub use self::reader::Reader;
pub(super) use self::standard::StandardStream;
pub use self::store::Store;
pub use self::streams::Connection;
pub use self::writer::Writer;

/// The session of the call in progress.
pub struct SessionHandle;

/// The transaction of the call in progress.
pub struct TransactionHandle;

/// The message of the call in progress.
pub struct MessageHandle;

/// What an edit comes to.
type Staged<T> = wasmtime::Result<Result<T, super::bindings::EditError>>;
