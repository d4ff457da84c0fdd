//! The gateway from outside: the program as it is built, over real sockets.

mod authenticating;
mod authenticity;
mod bounds;
mod carving;
mod chunking;
mod conversation;
mod corpus;
mod endings;
mod judging;
mod languages_native;
mod languages_script;
mod misbehaving;
mod observing;
mod parameters;
mod proxies;
mod reaching;
mod receivers;
mod reloading;
mod remembering;
mod resolving;
mod senders;
mod smuggling;
mod sockets;
mod starting;
mod tls;
mod vouching;
