//! The gateway: mail in over SMTP or LMTP, judged by plugins, out over SMTP or LMTP.
//!
//! Imports look down, never sideways, never up (`tests/floors.rs` checks):
//!
//! ```text
//! 12  main
//! 11  cli
//! 10  demo
//! 9  gateway, scenarios, sink                          wiring; a configuration put to the test; an embedded upstream
//! 8  listener, admin, explain
//! 7  connection, workbench                             knows policy as a trait; one plugin alone
//! 6  pipeline                                          plugins + routing + queue + upstream
//! 5  queue                                             spool + routing + upstream
//! 4  plugins, routing, spool, upstream                 blind to each other
//! 3  authenticity                                      who sent a message; asks the resolver
//! 2  live, policy, resolver, store, tls, traces, users     seams; who may log in; what plugins remember
//! 1  config, metrics, message, shutdown, telemetry, worker     vocabulary
//! 0  portcullis-smtp
//! ```

pub mod admin;
pub mod authenticity;
pub mod cli;
pub mod config;
pub mod connection;
pub mod demo;
pub mod explain;
pub mod gateway;
pub mod listener;
pub mod live;
pub mod message;
pub mod metrics;
pub mod pipeline;
pub mod plugins;
pub mod policy;
pub mod queue;
pub mod resolver;
pub mod routing;
pub mod scenarios;
pub mod shutdown;
pub mod sink;
pub mod spool;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod traces;
pub mod upstream;
pub mod users;
pub mod workbench;
pub mod worker;
