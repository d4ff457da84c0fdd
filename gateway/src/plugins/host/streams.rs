//! The `streams` interface.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::Result;
use wasmtime::component::Resource;

use super::Reader;
use super::reader::CHUNK_OCTETS;
use crate::metrics::PluginMetrics;
use crate::plugins::bindings::streams::{self, HostConnection, StreamError};
use crate::plugins::state::State;
use crate::plugins::streams::{STREAMS_AT_ONCE, Stream, StreamFailure, WRITE_OCTETS};

/// A connection of the call in progress, or one whose call has ended.
pub struct Connection {
    stream: Option<Stream>,
    /// For each call, if the plugin wants it to be shorter than it has to be.
    patience: Option<Duration>,
    /// For all of them: what is left of the plugin's time after many short waits is nearly nothing, and
    /// it still has to make something of what came.
    until: Instant,
    metrics: Arc<PluginMetrics>,
    /// What it came to so far.
    result: &'static str,
}

type Done<T> = std::result::Result<T, StreamFailure>;
type Outcome<T> = Result<std::result::Result<T, StreamError>>;

impl Drop for Connection {
    fn drop(&mut self) {
        self.metrics.stream(self.result);
    }
}

impl Connection {
    async fn write(&mut self, octets: &[u8], deadline: Instant) -> Done<()> {
        let written = match &mut self.stream {
            Some(stream) => stream.write(octets, deadline).await,
            None => Err(ended()),
        };
        self.told(written)
    }

    async fn read(&mut self, max: usize, deadline: Instant) -> Done<Vec<u8>> {
        let read = match &mut self.stream {
            Some(stream) => stream.read(max, deadline).await,
            None => Err(ended()),
        };
        self.told(read)
    }

    fn told<T>(&mut self, done: Done<T>) -> Done<T> {
        done.inspect_err(|failure| self.result = failure.label())
    }
}

impl streams::Host for State {}

impl HostConnection for State {
    async fn open(
        &mut self,
        address: String,
        timeout_ms: Option<u32>,
    ) -> Outcome<Resource<Connection>> {
        let patience = timeout_ms.map(|time| Duration::from_millis(time.into()));
        let until = self.patience();
        let opened = match &self.call {
            // Before the grant is looked at: what is frozen does not depend on grants.
            None => Err(StreamFailure::Denied),
            Some(call) if call.streams >= STREAMS_AT_ONCE => Err(StreamFailure::TooMany),
            Some(_) => {
                let (client, granted) = (&self.facts.services.streams, &self.facts.streams);
                client.open(granted, &address, sooner(patience, until)).await
            }
        };
        self.asked(|| format!("stream to {address}: {}", shown(&opened)));
        let metrics = self.facts.metrics.clone();
        match opened {
            Ok(stream) => {
                self.call_mut()?.streams += 1;
                let stream = Some(stream);
                let connection = Connection { stream, patience, until, metrics, result: "ok" };
                Ok(Ok(self.table.push(connection)?))
            }
            Err(failure) => {
                metrics.stream(failure.label());
                Ok(Err(failure.into()))
            }
        }
    }

    async fn write(&mut self, to: Resource<Connection>, octets: Vec<u8>) -> Outcome<()> {
        let deadline = self.deadline_of(&to)?;
        let connection = self.table.get_mut(&to)?;
        let written = if octets.len() > WRITE_OCTETS {
            connection.told(Err(StreamFailure::TooMany))
        } else {
            connection.write(&octets, deadline).await
        };
        self.asked(|| format!("stream write {} octets: {}", octets.len(), shown(&written)));
        Ok(written.map_err(Into::into))
    }

    async fn write_content(
        &mut self,
        to: Resource<Connection>,
        content: Resource<Reader>,
        max: u64,
    ) -> Outcome<u64> {
        let deadline = self.deadline_of(&to)?;
        let mut sent = 0;
        let written = loop {
            let wanted = (max - sent).min(CHUNK_OCTETS as u64);
            let octets = self.table.get_mut(&content)?.read(usize::try_from(wanted)?)?;
            if octets.is_empty() {
                break Ok(sent);
            }
            if let Err(failure) = self.table.get_mut(&to)?.write(&octets, deadline).await {
                break Err(failure);
            }
            sent += octets.len() as u64;
        };
        self.asked(|| format!("stream write {sent} octets of content: {}", shown(&written)));
        Ok(written.map_err(Into::into))
    }

    async fn read(&mut self, from: Resource<Connection>, max: u32) -> Outcome<Vec<u8>> {
        let deadline = self.deadline_of(&from)?;
        let max = (max as usize).min(CHUNK_OCTETS);
        let read = self.table.get_mut(&from)?.read(max, deadline).await;
        self.asked(|| match &read {
            Ok(octets) => format!("stream read {} octets", octets.len()),
            Err(_) => format!("stream read: {}", shown(&read)),
        });
        Ok(read.map_err(Into::into))
    }

    async fn drop(&mut self, connection: Resource<Connection>) -> Result<()> {
        let connection = self.table.delete(connection)?;
        if let (Some(_), Some(call)) = (&connection.stream, &mut self.call) {
            call.streams -= 1;
        }
        Ok(())
    }
}

impl State {
    /// Ends the connections of the call that is over; their handles may stay.
    pub(in crate::plugins) fn close_streams(&mut self) {
        if self.call.as_ref().is_none_or(|call| call.streams == 0) {
            return;
        }
        for handle in self.table.iter_mut() {
            if let Some(connection) = handle.downcast_mut::<Connection>() {
                connection.stream = None;
            }
        }
    }

    fn deadline_of(&self, connection: &Resource<Connection>) -> Result<Instant> {
        let connection = self.table.get(connection)?;
        Ok(sooner(connection.patience, connection.until))
    }
}

fn sooner(patience: Option<Duration>, until: Instant) -> Instant {
    let wished = patience.and_then(|patience| Instant::now().checked_add(patience));
    wished.map_or(until, |wished| wished.min(until))
}

impl From<StreamFailure> for StreamError {
    fn from(failure: StreamFailure) -> Self {
        match failure {
            StreamFailure::Denied => Self::Denied,
            StreamFailure::TooMany => Self::TooMany,
            StreamFailure::TimedOut => Self::TimedOut,
            StreamFailure::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

fn ended() -> StreamFailure {
    StreamFailure::Unavailable("it ended with the hook call that opened it".to_owned())
}

/// For people.
fn shown<T>(done: &Done<T>) -> String {
    match done {
        Ok(_) => "ok".to_owned(),
        Err(StreamFailure::Unavailable(why)) => why.clone(),
        Err(failure) => failure.label().to_owned(),
    }
}
