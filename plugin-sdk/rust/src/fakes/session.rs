//! A connection that nobody made.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::{EditError, TlsInfo};

/// One connection of one client.
#[derive(Clone, Debug)]
pub struct Session {
    id: String,
    listener: String,
    client_address: String,
    client_port: u16,
    helo: Option<String>,
    esmtp: bool,
    tls: Option<TlsInfo>,
    saved: RefCell<Option<Vec<u8>>>,
    notes: RefCell<BTreeMap<String, String>>,
}

impl Session {
    /// A client at 192.0.2.1 that has not said hello to the listener `mx` yet.
    pub fn fake() -> Self {
        Self {
            id: "session-1".to_owned(),
            listener: "mx".to_owned(),
            client_address: "192.0.2.1".to_owned(),
            client_port: 49_152,
            helo: None,
            esmtp: true,
            tls: None,
            saved: RefCell::new(None),
            notes: RefCell::new(BTreeMap::new()),
        }
    }

    /// Another client address.
    pub fn with_client(mut self, address: &str) -> Self {
        self.client_address = address.to_owned();
        self
    }

    /// The client has said EHLO and this name.
    pub fn with_helo(mut self, name: &str) -> Self {
        self.helo = Some(name.to_owned());
        self
    }

    /// Another listener.
    pub fn with_listener(mut self, name: &str) -> Self {
        self.listener = name.to_owned();
        self
    }

    /// Inside TLS.
    pub fn with_tls(mut self, tls: TlsInfo) -> Self {
        self.tls = Some(tls);
        self
    }

    /// A note of another plugin, under its whole name: `plugin.key`.
    pub fn with_note(self, name: &str, value: &str) -> Self {
        self.notes.borrow_mut().insert(name.to_owned(), value.to_owned());
        self
    }

    /// Unique; the same in logs, replies and `Received`.
    pub fn id(&self) -> String {
        self.id.clone()
    }

    /// The listener's name in the configuration.
    pub fn listener(&self) -> String {
        self.listener.clone()
    }

    /// The client's IP address; see [`Session::client_ip`].
    pub fn client_address(&self) -> String {
        self.client_address.clone()
    }

    /// The client's port.
    pub fn client_port(&self) -> u16 {
        self.client_port
    }

    /// The name that the client gave, once it has said hello.
    pub fn helo(&self) -> Option<String> {
        self.helo.clone()
    }

    /// Whether the client said EHLO or LHLO.
    pub fn esmtp(&self) -> bool {
        self.esmtp
    }

    /// The TLS session, if there is one.
    pub fn tls(&self) -> Option<TlsInfo> {
        self.tls.clone()
    }

    /// Bytes that this plugin saved in this session, on any earlier hook.
    pub fn load(&self) -> Option<Vec<u8>> {
        self.saved.borrow().clone()
    }

    /// At most 64 KiB; more is `OutOfRange`.
    pub fn save(&self, state: &[u8]) -> Result<(), EditError> {
        if state.len() > MAX_STATE {
            return Err(EditError::OutOfRange);
        }
        self.saved.replace(Some(state.to_vec()));
        Ok(())
    }

    /// A fact that a plugin has told in this session, as `plugin.key`.
    pub fn note(&self, name: &str) -> Option<String> {
        self.notes.borrow().get(name).cloned()
    }

    /// Tells a fact to later plugins; here the plugin is called `test`. At most 64 notes a session
    /// and 1 KiB each; more is `OutOfRange`.
    pub fn set_note(&self, key: &str, value: &str) -> Result<(), EditError> {
        let mut notes = self.notes.borrow_mut();
        if notes.len() == MAX_NOTES || key.len() + value.len() > MAX_NOTE {
            return Err(EditError::OutOfRange);
        }
        notes.insert(format!("test.{key}"), value.to_owned());
        Ok(())
    }
}

const MAX_STATE: usize = 64 * 1024;
const MAX_NOTES: usize = 64;
const MAX_NOTE: usize = 1024;
