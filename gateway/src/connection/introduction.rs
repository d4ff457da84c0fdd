//! The header of the PROXY protocol, before anything is said on a connection.

use std::io;
use std::time::Duration;

use portcullis_smtp::proxy::{Header, HeaderError, Parser};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::metrics::ProxyHeader;

/// Why a trusted proxy did not say whose connection it is.
#[derive(Debug, thiserror::Error)]
pub enum IntroductionError {
    /// It closed first. Health checks that only connect do.
    #[error("closed before the PROXY header")]
    Closed,
    /// What it said is no header.
    #[error("{0}")]
    Header(#[from] HeaderError),
    /// The socket failed.
    #[error("socket failed")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("no PROXY header in time")]
    Timeout,
}

impl IntroductionError {
    /// What is counted.
    #[must_use]
    pub fn result(&self) -> ProxyHeader {
        match self {
            Self::Closed | Self::Io(_) => ProxyHeader::Closed,
            Self::Header(HeaderError::Missing) => ProxyHeader::Missing,
            Self::Header(_) => ProxyHeader::Malformed,
            Self::Timeout => ProxyHeader::Timeout,
        }
    }
}

/// Reads the header and not an octet more: what follows may be a TLS handshake.
///
/// # Errors
///
/// If it does not come, or is none.
pub async fn introduction(
    transport: &mut (impl AsyncRead + Unpin),
    patience: Duration,
) -> Result<Header, IntroductionError> {
    timeout(patience, read(transport)).await.map_err(|_| IntroductionError::Timeout)?
}

async fn read(transport: &mut (impl AsyncRead + Unpin)) -> Result<Header, IntroductionError> {
    let mut parser = Parser::new();
    loop {
        let mut octets = vec![0; parser.wants()];
        let count = transport.read(&mut octets).await?;
        if count == 0 {
            return Err(IntroductionError::Closed);
        }
        if let Some(header) = parser.receive(&octets[..count])?.header {
            return Ok(header);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use portcullis_smtp::proxy::Source;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 25\r\n";

    async fn heard(octets: &[u8], patience: Duration) -> Result<(Header, Vec<u8>), ProxyHeader> {
        let (mut near, mut far) = tokio::io::duplex(256);
        far.write_all(octets).await.expect("room");
        let stays = (patience < LONG).then_some(far);
        let header = introduction(&mut near, patience).await.map_err(|error| error.result())?;
        drop(stays);
        let mut rest = Vec::new();
        near.read_to_end(&mut rest).await.expect("a pipe");
        Ok((header, rest))
    }

    #[tokio::test]
    async fn what_follows_the_header_is_still_there() {
        let (header, rest) = heard(&[LINE, b"\x16\x03\x01EHLO"].concat(), LONG).await.expect("one");
        assert!(matches!(header.source, Source::Client { .. }), "{header:?}");
        assert_eq!(rest, b"\x16\x03\x01EHLO");
    }

    #[tokio::test]
    async fn who_does_not_introduce_the_client_is_told_apart() {
        for (octets, patience, want) in [
            (&b""[..], LONG, ProxyHeader::Closed),
            (&LINE[..20], LONG, ProxyHeader::Closed),
            (b"EHLO client.example\r\n", LONG, ProxyHeader::Missing),
            (b"\x16\x03\x01\x02\0", LONG, ProxyHeader::Missing),
            (b"PROXY TCP4 RABBIT\r\n     ", LONG, ProxyHeader::Malformed),
            (&LINE[..20], SHORT, ProxyHeader::Timeout),
            (b"", SHORT, ProxyHeader::Timeout),
        ] {
            let heard = heard(octets, patience).await;
            assert_eq!(heard.map(drop), Err(want), "{}", octets.escape_ascii());
        }
    }

    #[tokio::test]
    async fn a_header_may_come_in_pieces() {
        let (mut near, mut far) = tokio::io::duplex(256);
        let mut reading = Box::pin(introduction(&mut near, LONG));
        for octet in LINE {
            assert!(matches!(futures_poll(&mut reading).await, Poll::Pending));
            far.write_all(&[*octet]).await.expect("room");
        }
        assert!(reading.await.is_ok());
    }

    /// Polls once.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        std::future::poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut *future).poll(context)))
            .await
    }

    const LONG: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(20);
}
