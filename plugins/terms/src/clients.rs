//! Which clients are meant.

use portcullis_plugin::Session;
use serde::{Deserialize, Deserializer};

use crate::Networks;

/// Clients by login, network and listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// Who has logged in. By default they are meant.
    pub authenticated: bool,
    /// Who connects from here. Who is at a Unix socket is in no network.
    #[serde(deserialize_with = "named")]
    clients: Option<Networks>,
    /// What came in by these listeners.
    listeners: Vec<String>,
}

impl Default for Clients {
    fn default() -> Self {
        Self::new(true, None, Vec::new())
    }
}

// Each fact is a call into the gateway: what no list needs is not asked for.
impl Clients {
    pub(crate) fn new(
        authenticated: bool,
        clients: Option<Networks>,
        listeners: Vec<String>,
    ) -> Self {
        Self { authenticated, clients, listeners }
    }

    /// Where the settings do not say which networks, these are meant.
    pub fn networks_or(&mut self, usual: impl FnOnce() -> Networks) {
        self.clients.get_or_insert_with(usual);
    }

    /// Whether this one is meant.
    pub fn contain(&self, session: &Session) -> bool {
        self.has_user(session) || self.has_origin(session)
    }

    /// Whether it is for having logged in.
    pub fn has_user(&self, session: &Session) -> bool {
        self.authenticated && session.user().is_some()
    }

    /// Whether it is for where it comes from.
    pub fn has_origin(&self, session: &Session) -> bool {
        let networks = self.clients.as_ref().filter(|networks| !networks.is_empty());
        networks.is_some_and(|networks| {
            session.client_ip().is_some_and(|client| networks.contain(client))
        }) || (!self.listeners.is_empty() && self.listeners.contains(&session.listener()))
    }
}

/// What is named is something; it takes leaving the key out to say nothing.
pub(crate) fn named<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_known_by_login_network_and_listener() {
        let clients: Clients =
            serde_json::from_str(r#"{"clients": ["192.0.2.0/24"], "listeners": ["inside"]}"#)
                .unwrap();
        let stranger = || Session::fake().with_client("203.0.113.1");
        assert!(!clients.contain(&stranger()));
        assert!(clients.contain(&stranger().with_user("ann")));
        assert!(clients.has_user(&stranger().with_user("ann")));
        assert!(!clients.has_origin(&stranger().with_user("ann")));
        assert!(clients.contain(&stranger().with_listener("inside")));
        assert!(clients.contain(&Session::fake()));
        assert!(clients.contain(&Session::fake().with_client("::ffff:192.0.2.1")));
        assert!(!clients.contain(&Session::fake().with_client("unix")));
    }

    #[test]
    fn usual_networks_are_those_of_who_names_none() {
        let usual = || serde_json::from_str(r#"["203.0.113.0/24"]"#).unwrap();
        for (json, meant) in [
            ("{}", true),
            (r#"{"authenticated": false}"#, true),
            (r#"{"clients": []}"#, false),
            (r#"{"clients": ["192.0.2.0/24"]}"#, false),
        ] {
            let mut clients: Clients = serde_json::from_str(json).unwrap();
            clients.networks_or(usual);
            assert_eq!(
                clients.contain(&Session::fake().with_client("203.0.113.1")),
                meant,
                "{json}"
            );
        }
        assert!(serde_json::from_str::<Clients>(r#"{"clients": null}"#).is_err());
    }
}
