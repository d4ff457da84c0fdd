//! Bounds and deadlines of one session.

use std::time::Duration;

use super::section::Section;

/// Bounds of one session.
#[derive(Clone, Debug)]
pub struct SessionLimits {
    /// Octets of a command line, CRLF included.
    pub command_octets: usize,
    /// Octets of one parameter of MAIL or RCPT.
    pub parameter_octets: usize,
    /// Octets of a message, announced as SIZE.
    pub message_octets: u64,
    /// Octets of a header section.
    pub header_octets: usize,
    /// Fields of a header section.
    pub header_fields: u32,
    /// Recipients of a transaction.
    pub recipients: usize,
    /// Recipients that may be refused for good.
    pub refused_recipients: u32,
    /// Transactions.
    pub transactions: u32,
    /// Errors that the client may make.
    pub errors: u32,
    /// Commands that do not exist.
    pub unknown_commands: u32,
    /// Octets a second at which content must come.
    pub content_rate: u64,
    /// Commands that bring no message nearer, between two messages.
    pub idle_commands: u32,
    /// `Received` fields of a message; more is a loop.
    pub received_hops: usize,
}

impl Default for SessionLimits {
    /// The reasons stand in `config/portcullis.yaml`.
    fn default() -> Self {
        Self {
            command_octets: 4096,
            parameter_octets: 1024,
            message_octets: 50 << 20,
            header_octets: 256 << 10,
            header_fields: 10_000,
            recipients: 1000,
            refused_recipients: 50,
            transactions: 10_000,
            errors: 20,
            unknown_commands: 10,
            content_rate: 100,
            idle_commands: 100,
            received_hops: 100,
        }
    }
}

impl SessionLimits {
    pub(super) const KEYS: &'static [&'static str] = &[
        "command_line",
        "content_rate",
        "errors",
        "header",
        "header_fields",
        "idle_commands",
        "message",
        "parameter",
        "received_hops",
        "recipients",
        "refused_recipients",
        "transactions",
        "unknown_commands",
    ];

    pub(super) fn read(section: &Section<'_>, default: &Self) -> Self {
        let size = |key, range, default: usize| section.size(key, range, default as u64) as usize;
        let count = |key, range, default: u32| section.count(key, range, default.into()) as u32;
        let limits = Self {
            command_octets: size("command_line", 512..=64 << 10, default.command_octets),
            parameter_octets: size("parameter", 64..=64 << 10, default.parameter_octets),
            message_octets: section.size("message", 1000..=4 << 30, default.message_octets),
            header_octets: size("header", 1000..=16 << 20, default.header_octets),
            recipients: section.count("recipients", 1..=100_000, default.recipients as u64)
                as usize,
            content_rate: section.size("content_rate", 1..=1 << 30, default.content_rate),
            header_fields: count("header_fields", 10..=1_000_000, default.header_fields),
            refused_recipients: count(
                "refused_recipients",
                1..=1_000_000,
                default.refused_recipients,
            ),
            transactions: count("transactions", 1..=1_000_000_000, default.transactions),
            errors: count("errors", 1..=10_000, default.errors),
            unknown_commands: count("unknown_commands", 1..=10_000, default.unknown_commands),
            idle_commands: count("idle_commands", 1..=1_000_000, default.idle_commands),
            received_hops: section.count("received_hops", 1..=1000, default.received_hops as u64)
                as usize,
        };
        limits.warn(section);
        limits
    }

    /// What RFC 5321 section 4.5.3.1 wants every server to take.
    fn warn(&self, section: &Section<'_>) {
        let reader = section.reader;
        if section.entry("message").is_some() && self.message_octets < 64 << 10 {
            let help = "RFC 5321 section 4.5.3.1.7 asks for 64 KiB at least";
            reader.warn(section.mark_of("message"), "small messages will be refused", Some(help));
        }
        if section.entry("recipients").is_some() && self.recipients < 100 {
            let help = "RFC 5321 section 4.5.3.1.8 asks for 100 at least";
            let text = "few recipients will be taken at a time";
            reader.warn(section.mark_of("recipients"), text, Some(help));
        }
    }
}

/// Deadlines of one session (RFC 5321 section 4.5.3.2).
#[derive(Clone, Debug)]
pub struct SessionTimeouts {
    /// For the next command.
    pub command: Duration,
    /// For the next block of content.
    pub content: Duration,
    /// For one write.
    pub write: Duration,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For the whole session, until its last transaction begins.
    pub session: Duration,
    /// For the header of the PROXY protocol.
    pub proxy_header: Duration,
}

impl Default for SessionTimeouts {
    /// The reasons stand in `config/portcullis.yaml`.
    fn default() -> Self {
        Self {
            command: Duration::from_mins(5),
            content: Duration::from_mins(3),
            write: Duration::from_mins(1),
            handshake: Duration::from_secs(30),
            session: Duration::from_hours(2),
            proxy_header: Duration::from_secs(5),
        }
    }
}

impl SessionTimeouts {
    pub(super) const KEYS: &'static [&'static str] =
        &["command", "content", "handshake", "proxy_header", "session", "write"];

    pub(super) fn read(section: &Section<'_>, default: &Self) -> Self {
        let wait = |key, default| {
            section.duration(key, Duration::from_millis(100)..=Duration::from_hours(1), default)
        };
        Self {
            command: wait("command", default.command),
            content: wait("content", default.content),
            write: wait("write", default.write),
            handshake: wait("handshake", default.handshake),
            session: section.duration(
                "session",
                Duration::from_secs(1)..=Duration::from_hours(24 * 7),
                default.session,
            ),
            proxy_header: wait("proxy_header", default.proxy_header),
        }
    }
}
