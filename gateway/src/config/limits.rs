//! Bounds for the process as a whole.

use super::section::Section;

/// Bounds for the process as a whole.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub connections_per_address: usize,
    /// Octets of message content in memory.
    pub content_memory_octets: u64,
    /// Octets of message content in temporary files.
    pub content_disk_octets: u64,
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
            content_memory_octets: 256 << 20,
            content_disk_octets: 4 << 30,
            message_memory_octets: 256 << 10,
            plugin_copies: 4000,
        }
    }
}

impl Limits {
    pub(super) const KEYS: &'static [&'static str] = &[
        "connections",
        "connections_per_address",
        "content_disk",
        "content_memory",
        "message_memory",
        "plugin_copies",
    ];

    pub(super) fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let connections = |key, default| section.count(key, 1..=1_000_000, default) as usize;
        let limits = Self {
            connections: connections("connections", default.connections as u64),
            connections_per_address: connections(
                "connections_per_address",
                default.connections_per_address as u64,
            ),
            content_memory_octets: section.size(
                "content_memory",
                1 << 20..=1 << 40,
                default.content_memory_octets,
            ),
            content_disk_octets: section.size(
                "content_disk",
                1 << 20..=1 << 50,
                default.content_disk_octets,
            ),
            message_memory_octets: section.size(
                "message_memory",
                4 << 10..=1 << 30,
                default.message_memory_octets,
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
