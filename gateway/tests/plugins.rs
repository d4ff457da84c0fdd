//! What plugins can and cannot do to the gateway, with plugins written for it in wasm text, and
//! with those that are built from source where they are there.

#![expect(clippy::unwrap_used, reason = "what a test set up is there")]

#[path = "plugins/house.rs"]
mod house;
#[path = "plugins/text.rs"]
mod text;

#[path = "plugins/answers.rs"]
mod answers;
#[path = "plugins/authentication.rs"]
mod authentication;
#[path = "plugins/built.rs"]
mod built;
#[path = "plugins/edits.rs"]
mod edits;
#[path = "plugins/failures.rs"]
mod failures;
#[path = "plugins/loading.rs"]
mod loading;
#[path = "plugins/log.rs"]
mod log;
#[path = "plugins/outcome.rs"]
mod outcome;
#[path = "plugins/pooled.rs"]
mod pooled;
#[path = "plugins/reaching.rs"]
mod reaching;
#[path = "plugins/secrets.rs"]
mod secrets;
#[path = "plugins/strangers.rs"]
mod strangers;
