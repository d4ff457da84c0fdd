//! Bounds for the process as a whole.

use std::time::Duration;

use super::network::Network;
use super::section::Section;

/// Bounds for the process as a whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub connections_per_address: usize,
    /// Connections at once from one network: a /24, or in IPv6 a /48.
    pub connections_per_network: usize,
    /// Connections at once that wait for a reply that a plugin holds back.
    pub delayed_connections: usize,
    /// New connections a second.
    pub connection_rate: u32,
    /// New connections a second from one address.
    pub connection_rate_per_address: u32,
    /// Clients that count only for all: what is bounded for an address or a network is not for them.
    pub exempt: Vec<Network>,
    /// Octets of message content in memory.
    pub content_memory_octets: u64,
    /// Octets of message content in temporary files.
    pub content_disk_octets: u64,
    /// How long content waits for room in temporary files.
    pub content_wait: Duration,
    /// Octets of one message that may lie in memory.
    pub message_memory_octets: u64,
    /// Copies of plugins at once.
    pub plugin_copies: u32,
}

impl Default for Limits {
    /// The reasons stand in `config/portcullis.yaml`.
    fn default() -> Self {
        Self {
            connections: 1000,
            connections_per_address: 50,
            connections_per_network: 250,
            delayed_connections: 500,
            connection_rate: 10_000,
            connection_rate_per_address: 5000,
            exempt: Vec::new(),
            content_memory_octets: 28 << 20,
            content_disk_octets: 4 << 30,
            content_wait: Duration::from_secs(10),
            message_memory_octets: 8 << 20,
            plugin_copies: 4000,
        }
    }
}

impl Limits {
    pub(super) const KEYS: &'static [&'static str] = &[
        "connection_rate",
        "connection_rate_per_address",
        "connections",
        "connections_per_address",
        "connections_per_network",
        "content_disk",
        "content_memory",
        "content_wait",
        "delayed_connections",
        "exempt",
        "message_memory",
        "plugin_copies",
    ];

    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let connections = |key, default| section.count(key, 1..=1_000_000, default) as usize;
        let all = connections("connections", default.connections as u64);
        let per_address =
            connections("connections_per_address", default.connections_per_address as u64);
        let rate = |key, default: u32| section.count(key, 1..=1_000_000, default.into()) as u32;
        let content_memory_octets =
            section.size("content_memory", 1 << 20..=1 << 40, default.content_memory_octets);
        let limits = Self {
            connections: all,
            connections_per_address: per_address,
            connections_per_network: connections(
                "connections_per_network",
                (all / 4).max(per_address) as u64,
            ),
            // Half of the places stay for those who are served.
            delayed_connections: section.count("delayed_connections", 0..=1_000_000, all as u64 / 2)
                as usize,
            connection_rate: rate("connection_rate", default.connection_rate),
            connection_rate_per_address: rate(
                "connection_rate_per_address",
                default.connection_rate_per_address,
            ),
            exempt: section.networks("exempt"),
            content_memory_octets,
            content_disk_octets: section.size(
                "content_disk",
                1 << 20..=1 << 50,
                default.content_disk_octets,
            ),
            content_wait: section.duration(
                "content_wait",
                Duration::ZERO..=Duration::from_mins(5),
                default.content_wait,
            ),
            message_memory_octets: section.size(
                "message_memory",
                4 << 10..=1 << 30,
                default.message_memory_octets.min(content_memory_octets),
            ),
            plugin_copies: section.count("plugin_copies", 1..=100_000, default.plugin_copies.into())
                as u32,
        };
        if limits.message_memory_octets > limits.content_memory_octets {
            let key = if section.entry("message_memory").is_some() {
                "message_memory"
            } else {
                "content_memory"
            };
            let text = "\"message_memory\" is larger than \"content_memory\"";
            let help = "one message cannot have more than all of them together";
            section.reader.error(section.mark_of(key), text, Some(help));
        }
        limits
    }
}
