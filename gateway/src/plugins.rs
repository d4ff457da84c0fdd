//! Plugins: WebAssembly components in a sandbox.
//!
//! ```text
//! file ── component ── configure ── snapshot ── compile ── link        once, when it is loaded
//!         (wrapped if   (runs once)  (memory is  (cached    │
//!         it is a core               frozen)     on disk)   │
//!         module)                                           ▼
//!                                        a copy of the snapshot        each transaction
//!                                               │
//!                                          hook calls                  each question
//! ```
//!
//! A copy has its memory, its time and its handles, all of them bounded; it reaches nothing but
//! what `host` gives it; and it is thrown away after its transaction or its first failure, unless its
//! plugin is pooled: then it waits for the next transaction. The rest of the gateway sees [`policy::Plugin`](crate::policy::Plugin) and knows nothing of wasm.

mod address;
mod authentication;
mod bindings;
mod cache;
mod component;
mod convert;
mod copy;
mod engine;
mod fingerprint;
mod host;
mod http;
mod inspect;
mod load;
mod pool;
mod snapshot;
mod state;
mod streams;

pub use copy::WasmPlugin;
pub use engine::{Engine, EngineError, Services};
pub use fingerprint::Fingerprint;
pub use inspect::{Fit, Inspection, Told};
pub use load::{LoadError, LoadFailure};
