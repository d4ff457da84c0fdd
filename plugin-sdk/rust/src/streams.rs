//! Streams of octets to services of the configuration. Grant `streams: [addresses]`.

pub use crate::bindings::smtp::filter::streams::StreamError;

#[cfg(target_family = "wasm")]
pub use crate::bindings::smtp::filter::streams::Connection;
#[cfg(not(target_family = "wasm"))]
pub use crate::fakes::Connection;

impl Connection {
    /// Exactly so much; an end before it is `unavailable`. The other side decides in which pieces it
    /// comes: bound what it makes you ask for.
    pub fn read_exact(&self, count: usize) -> Result<Vec<u8>, StreamError> {
        let mut octets = Vec::new();
        while octets.len() < count {
            let piece = self.read(u32::try_from(count - octets.len()).unwrap_or(u32::MAX))?;
            if piece.is_empty() {
                return Err(StreamError::Unavailable("the stream ended too early".to_owned()));
            }
            octets.extend(piece);
        }
        Ok(octets)
    }
}
