//! Standard output and standard error of plugins: lines of the log.

use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Keeps what a plugin prints until its call ends.
#[derive(Clone, Default)]
pub(in crate::plugins) struct StandardStream {
    printed: Arc<Mutex<Vec<u8>>>,
}

impl StandardStream {
    /// What was printed since the last time.
    pub(in crate::plugins) fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.printed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    // What is too much is dropped: a plugin that prints is not to fail for it.
    fn keep(&self, octets: &[u8]) {
        let mut printed = self.printed.lock().unwrap_or_else(PoisonError::into_inner);
        let room = PRINTED_OCTETS.saturating_sub(printed.len());
        printed.extend_from_slice(&octets[..octets.len().min(room)]);
    }
}

impl IsTerminal for StandardStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for StandardStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    // Ours never waits, unlike the default, which hands lines to another task: the last ones
    // before a trap would be lost.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for StandardStream {
    fn write(&mut self, octets: Bytes) -> StreamResult<()> {
        self.keep(&octets);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PRINTED_OCTETS)
    }
}

impl Pollable for StandardStream {
    fn ready<'a, 'b>(&'a mut self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(ready(()))
    }
}

impl AsyncWrite for StandardStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.keep(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Kept of one call.
const PRINTED_OCTETS: usize = 64 << 10;
