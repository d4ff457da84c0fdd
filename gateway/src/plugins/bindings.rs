//! The contract as Rust, generated from `plugin-sdk/wit/filter.wit`.
//!
//! Only what plugins import is bound here; their exports are looked up one by one, since no plugin
//! has all of them.

use super::host;

wasmtime::component::bindgen!({
    path: "../plugin-sdk/wit",
    world: "smtp:filter/capabilities",
    imports: {
        "smtp:filter/dns": async | trappable,
        "smtp:filter/http": async | trappable,
        "smtp:filter/kv.[method]store.add": async | trappable,
        "smtp:filter/kv.[method]store.delete": async | trappable,
        "smtp:filter/kv.[method]store.get": async | trappable,
        "smtp:filter/kv.[method]store.put": async | trappable,
        "smtp:filter/mail-auth": async | trappable,
        "smtp:filter/streams": async | trappable,
        "smtp:filter/types.[method]message.parts": async | trappable,
        "smtp:filter/types.[method]message.read-part": async | trappable,
        "smtp:filter/types.[method]message.splice-body": async | trappable,
        "smtp:filter/types.[method]reader.find": async | trappable,
        "smtp:filter/types.[method]reader.sha256": async | trappable,
        "smtp:filter/types.[method]writer.copy": async | trappable,
        "smtp:filter/types.[method]writer.finish": async | trappable,
        "smtp:filter/types.[method]writer.write": async | trappable,
        "smtp:filter/upstreams": async | trappable,
        default: trappable,
    },
    with: {
        "smtp:filter/kv.store": host::Store,
        "smtp:filter/streams.connection": host::Connection,
        "smtp:filter/types.message": host::MessageHandle,
        "smtp:filter/types.reader": host::Reader,
        "smtp:filter/types.session": host::SessionHandle,
        "smtp:filter/types.transaction": host::TransactionHandle,
        "smtp:filter/types.writer": host::Writer,
    },
});

pub(super) use smtp::filter::types::{EditError, Reply, Verdict};
pub(super) use smtp::filter::{
    clock, dns, http, kv, log, mail_auth, metrics, random, streams, types, upstreams,
};
