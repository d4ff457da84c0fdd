//! What the configuration says of the log, for whoever writes it.

use tracing::error;
use zeroize::Zeroizing;

use crate::config::{self, LogAddresses, LogFormat, LogOutput};
use crate::telemetry::{self, Addresses, Destination, Format, Options};

/// Puts the log of the next configuration in the place of this one's.
pub(super) fn renew(now: &config::Log, next: &config::Log) {
    if now != next
        && let Err(error) = telemetry::apply(&log_options(next))
    {
        error!(%error, "the log stays as it was");
    }
}

/// The log as a configuration has it.
#[must_use]
pub fn log_options(log: &config::Log) -> Options {
    Options {
        format: match log.format {
            LogFormat::Json => Format::Json,
            LogFormat::Text => Format::Text,
        },
        filter: log.level.clone(),
        destination: match log.output {
            None => Destination::Automatic,
            Some(LogOutput::Journald) => Destination::Journald,
            Some(LogOutput::Stderr) => Destination::Stderr,
        },
        addresses: match log.addresses {
            LogAddresses::Domain => Addresses::Domain,
            LogAddresses::Full => Addresses::Full,
            LogAddresses::Hashed => Addresses::Hashed,
            LogAddresses::None => Addresses::None,
        },
        key: log.hash_key.as_ref().map(|key| Zeroizing::new(key.octets().to_vec())),
        buffer: usize::try_from(log.buffer_octets).unwrap_or(usize::MAX),
    }
}
