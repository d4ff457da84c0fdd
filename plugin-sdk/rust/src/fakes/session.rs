//! A connection that nobody made.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Credentials, EditError, Forwarded, TlsInfo};

/// One connection of one client.
#[derive(Clone, Debug)]
pub struct Session {
    id: String,
    listener: String,
    client_address: String,
    client_port: u16,
    client_name: Option<String>,
    helo: Option<String>,
    esmtp: bool,
    tls: Option<TlsInfo>,
    tls_at_proxy: bool,
    user: Option<String>,
    mechanism: Option<String>,
    forwarded: Option<Forwarded>,
    saved: RefCell<Option<Vec<u8>>>,
    notes: RefCell<BTreeMap<String, String>>,
    conduct: Vec<(String, u32)>,
    delay: Cell<Duration>,
}

impl Session {
    /// A client at 192.0.2.1 that has not said hello to the listener `mx` yet.
    pub fn fake() -> Self {
        Self {
            id: "session-1".to_owned(),
            listener: "mx".to_owned(),
            client_address: "192.0.2.1".to_owned(),
            client_port: 49_152,
            client_name: None,
            helo: None,
            esmtp: true,
            tls: None,
            tls_at_proxy: false,
            user: None,
            mechanism: None,
            forwarded: None,
            saved: RefCell::new(None),
            notes: RefCell::new(BTreeMap::new()),
            conduct: Vec::new(),
            delay: Cell::new(Duration::ZERO),
        }
    }

    /// Another client address.
    pub fn with_client(mut self, address: &str) -> Self {
        self.client_address = address.to_owned();
        self
    }

    /// A trusted proxy said that this is the client's host name.
    pub fn with_client_name(mut self, name: &str) -> Self {
        self.client_name = Some(name.to_owned());
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
        (self.tls, self.tls_at_proxy) = (Some(tls), false);
        self
    }

    /// Inside TLS that ended at a trusted proxy.
    pub fn with_tls_at_proxy(mut self, tls: TlsInfo) -> Self {
        (self.tls, self.tls_at_proxy) = (Some(tls), true);
        self
    }

    /// The client is authenticated as this identity, by PLAIN.
    pub fn with_user(mut self, identity: &str) -> Self {
        (self.user, self.mechanism) = (Some(identity.to_owned()), Some("PLAIN".to_owned()));
        self
    }

    /// A trusted proxy said this of the client that its mail came from.
    pub fn with_forwarded(mut self, forwarded: Forwarded) -> Self {
        self.forwarded = Some(forwarded);
        self
    }

    /// A note of another plugin, under its whole name: `plugin.key`.
    pub fn with_note(self, name: &str, value: &str) -> Self {
        self.notes.borrow_mut().insert(name.to_owned(), value.to_owned());
        self
    }

    /// The client has done this so often, such as `early-talker` once.
    pub fn with_conduct(mut self, name: &str, count: u32) -> Self {
        self.conduct.push((name.to_owned(), count));
        self
    }

    /// How long the plugin wants the reply held back.
    pub fn delayed(&self) -> Duration {
        self.delay.get()
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

    /// The client's host name, where a trusted proxy said it (XCLIENT NAME).
    pub fn client_name(&self) -> Option<String> {
        self.client_name.clone()
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

    /// Whether it ended at a trusted proxy (PROXY protocol): the way from there to the gateway is in
    /// clear text.
    pub fn tls_at_proxy(&self) -> bool {
        self.tls_at_proxy
    }

    /// The identity that AUTH established.
    pub fn user(&self) -> Option<String> {
        self.user.clone()
    }

    /// The SASL mechanism by which it did.
    pub fn mechanism(&self) -> Option<String> {
        self.mechanism.clone()
    }

    /// What a trusted proxy said of the client that its mail came from (XFORWARD).
    pub fn forwarded(&self) -> Option<Forwarded> {
        self.forwarded.clone()
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

    /// What the client has done so far against the manners of the protocol, and how often; the guide has
    /// the names.
    pub fn conduct(&self) -> Vec<(String, u32)> {
        self.conduct.clone()
    }

    /// Holds the reply of this step back, for at most 60 seconds; more is `OutOfRange`. See
    /// [`Session::hold_back`].
    pub fn delay(&self, milliseconds: u32) -> Result<(), EditError> {
        let delay = Duration::from_millis(milliseconds.into());
        if delay > MAX_DELAY {
            return Err(EditError::OutOfRange);
        }
        self.delay.set(self.delay.get().max(delay));
        Ok(())
    }
}

impl Credentials {
    /// A client that says by PLAIN that it is this user; the secret is not shown.
    pub fn fake(user: &str) -> Self {
        let (mechanism, user) = ("PLAIN".to_owned(), user.to_owned());
        Self { mechanism, user, authorization: None, secret: None }
    }

    /// By another mechanism.
    pub fn with_mechanism(mut self, name: &str) -> Self {
        self.mechanism = name.to_owned();
        self
    }

    /// It wants to act as somebody else.
    pub fn with_authorization(mut self, name: &str) -> Self {
        self.authorization = Some(name.to_owned());
        self
    }

    /// The plugin is granted to see this secret.
    pub fn with_secret(mut self, secret: &str) -> Self {
        self.secret = Some(secret.to_owned());
        self
    }
}

const MAX_DELAY: Duration = Duration::from_secs(60);
const MAX_STATE: usize = 64 * 1024;
const MAX_NOTES: usize = 64;
const MAX_NOTE: usize = 1024;
