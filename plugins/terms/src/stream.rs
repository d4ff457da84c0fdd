//! Services at the other end of a stream.

use portcullis_plugin::streams::StreamError;

/// Why nobody answers there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Away {
    /// The plugin has no grant for the address.
    Denied,
    /// Nobody is there, or it hung up.
    Unavailable,
    /// It has not said anything in time.
    TimedOut,
}

impl Away {
    /// For metrics and the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed-out",
        }
    }
}

impl From<StreamError> for Away {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Denied => Self::Denied,
            StreamError::TimedOut => Self::TimedOut,
            StreamError::TooMany | StreamError::Unavailable(_) => Self::Unavailable,
        }
    }
}
