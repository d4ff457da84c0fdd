//! A store on a Redis, or what speaks as one, that gateways share.
//!
//! One connection carries everything, and one task keeps it: it connects, looks after it, and connects
//! anew. While there is no connection nobody waits: mail is not to hang where Redis does.
//!
//! An entry is a hash: `v` the value, `n` the version. Each operation is one script, and so atomic
//! and one round trip. Versions are Redis' time in microseconds, so that what is deleted and written
//! anew has another one.

use std::fmt;
use std::sync::{Arc, LazyLock, Once};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, RedisError, Script};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Entry, StoreError};
use crate::config::RedisUrl;
use crate::metrics::StoreMetrics;

/// A Redis. Cheap to ask while it is away.
pub(super) struct Redis {
    pub(super) url: RedisUrl,
    link: Arc<watch::Sender<Link>>,
    keeper: Once,
    /// Where the connection is driven: it has to outlive who asks.
    runtime: Option<Handle>,
    metrics: Arc<StoreMetrics>,
    name: String,
}

/// The connection.
#[derive(Clone)]
enum Link {
    /// Nobody has tried yet to the end.
    Unknown,
    Down(String),
    /// Numbered, so that what is heard late about one is not said of the next.
    Up(u64, MultiplexedConnection),
}

impl Redis {
    pub(super) fn new(name: &str, url: RedisUrl, metrics: Arc<StoreMetrics>) -> Self {
        Self {
            url,
            link: Arc::new(watch::Sender::new(Link::Unknown)),
            keeper: Once::new(),
            runtime: Handle::try_current().ok(),
            metrics,
            name: name.to_owned(),
        }
    }

    /// Connects, and stays connected.
    pub(super) fn start(&self) {
        self.keeper.call_once(|| {
            let Some(runtime) = &self.runtime else { return };
            let keeper = Keeper {
                name: self.name.clone(),
                url: self.url.clone(),
                link: Arc::downgrade(&self.link),
                metrics: Arc::clone(&self.metrics),
            };
            runtime.spawn(keeper.run());
        });
    }

    pub(super) async fn get(
        &self,
        keys: &[String],
        time: Duration,
    ) -> Result<Vec<Option<Entry>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<Vec<Option<Vec<u8>>>> = self.ask(&GET, keys, &[], time).await?;
        // Plugins rely on one answer for each key.
        if found.len() != keys.len() {
            return Err(StoreError::Unavailable("redis: answers to something else".to_owned()));
        }
        Ok(found.into_iter().map(entry).collect())
    }

    pub(super) async fn put(
        &self,
        key: &str,
        value: Vec<u8>,
        time_to_live: Option<Duration>,
        expect: Option<u64>,
        time: Duration,
    ) -> Result<u64, StoreError> {
        let expect = expect.map(|version| version.to_string()).unwrap_or_default();
        let arguments = [value, milliseconds(time_to_live), expect.into_bytes()];
        let version: String = self.ask(&PUT, &[key.to_owned()], &arguments, time).await?;
        version.parse().map_err(|_| StoreError::Conflict)
    }

    pub(super) async fn add(
        &self,
        key: &str,
        by: i64,
        time_to_live: Option<Duration>,
        time: Duration,
    ) -> Result<i64, StoreError> {
        let arguments = [by.to_string().into_bytes(), milliseconds(time_to_live)];
        let sum: String = self.ask(&ADD, &[key.to_owned()], &arguments, time).await?;
        sum.parse().map_err(|_| StoreError::NotACounter)
    }

    pub(super) async fn delete(&self, keys: &[String], time: Duration) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let _: i64 = self.ask(&DELETE, keys, &[], time).await?;
        Ok(())
    }

    async fn ask<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[Vec<u8>],
        time: Duration,
    ) -> Result<T, StoreError> {
        self.start();
        let deadline = Instant::now() + time;
        let (number, mut connection) = self.connection(deadline).await?;
        let mut invocation = script.prepare_invoke();
        for key in keys {
            invocation.key(self.place(key));
        }
        for argument in arguments {
            invocation.arg(argument);
        }
        let reason = match timeout_at(deadline, invocation.invoke_async(&mut connection)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) if is_over(&error) => reason(&error),
            Ok(Err(error)) => return Err(StoreError::Unavailable(reason(&error))),
            Err(_) => LATE.to_owned(),
        };
        // Who comes next does not wait for the same again.
        self.link.send_if_modified(|link| {
            let same = matches!(link, Link::Up(known, _) if *known == number);
            if same {
                *link = Link::Down(reason.clone());
            }
            same
        });
        Err(StoreError::Unavailable(reason))
    }

    async fn connection(
        &self,
        deadline: Instant,
    ) -> Result<(u64, MultiplexedConnection), StoreError> {
        let mut link = self.link.subscribe();
        let known = link.wait_for(|link| !matches!(link, Link::Unknown));
        let link = match timeout_at(deadline, known).await {
            Ok(Ok(link)) => link.clone(),
            Ok(Err(_)) | Err(_) => Link::Down(LATE.to_owned()),
        };
        match link {
            Link::Up(number, connection) => Ok((number, connection)),
            Link::Down(reason) => Err(StoreError::Unavailable(reason)),
            Link::Unknown => Err(StoreError::Unavailable(LATE.to_owned())),
        }
    }

    /// Where a key lies, among those of others who use the same Redis.
    fn place(&self, key: &str) -> String {
        format!("portcullis:{}:{key}", self.name)
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Keeps the connection of a store until the store is gone.
struct Keeper {
    name: String,
    url: RedisUrl,
    link: std::sync::Weak<watch::Sender<Link>>,
    metrics: Arc<StoreMetrics>,
}

impl Keeper {
    async fn run(self) {
        let (mut number, mut pause, mut told) = (0, FIRST_PAUSE, false);
        while self.link.strong_count() > 0 {
            match self.connect().await {
                Ok(connection) => {
                    number += 1;
                    (pause, told) = (FIRST_PAUSE, false);
                    tracing::info!(store = self.name, url = %self.url, "store connected");
                    self.set(Link::Up(number, connection.clone()));
                    self.watch(connection).await;
                    if self.link.strong_count() > 0 {
                        let (store, url) = (&self.name, &self.url);
                        tracing::warn!(store, %url, "store lost its connection");
                    }
                }
                Err(reason) => {
                    if !std::mem::replace(&mut told, true) {
                        let (store, url) = (&self.name, &self.url);
                        tracing::warn!(store, %url, reason, "store cannot be reached");
                    }
                    self.set(Link::Down(reason));
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, String> {
        let client = Client::open(self.url.reveal()).map_err(|error| reason(&error))?;
        // Who asks has a deadline; the library needs none of its own.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIME))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(WAITING);
        let work = async {
            let mut connection =
                client.get_multiplexed_async_connection_with_config(&config).await?;
            redis::cmd("PING").query_async::<()>(&mut connection).await?;
            Ok(connection)
        };
        match timeout(CONNECT_TIME, work).await {
            Ok(done) => done.map_err(|error| reason(&error)),
            Err(_) => Err(LATE.to_owned()),
        }
    }

    /// Returns when the connection is of no more use: somebody found out, or it does not answer.
    async fn watch(&self, mut connection: MultiplexedConnection) {
        let Some(mut link) = self.link.upgrade().map(|link| link.subscribe()) else { return };
        loop {
            let down = link.wait_for(|link| !matches!(link, Link::Up(..)));
            // Over, or everybody who asks is gone.
            if timeout(BETWEEN_PINGS, down).await.is_ok() {
                return;
            }
            let ping = redis::cmd("PING");
            let reason = match timeout(CONNECT_TIME, ping.query_async::<()>(&mut connection)).await
            {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => reason(&error),
                Err(_) => LATE.to_owned(),
            };
            self.set(Link::Down(reason));
            return;
        }
    }

    fn set(&self, link: Link) {
        self.metrics.up(matches!(link, Link::Up(..)));
        if let Some(known) = self.link.upgrade() {
            known.send_replace(link);
        }
    }
}

/// What a script found: value and version.
fn entry(fields: Vec<Option<Vec<u8>>>) -> Option<Entry> {
    let mut fields = fields.into_iter();
    let (value, version) = (fields.next()??, fields.next()??);
    let version = std::str::from_utf8(&version).ok()?.parse().ok()?;
    Some(Entry { value, version })
}

fn milliseconds(time_to_live: Option<Duration>) -> Vec<u8> {
    time_to_live.map(|time| time.as_millis().to_string().into_bytes()).unwrap_or_default()
}

/// Whether the connection has to be made anew.
fn is_over(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.is_unrecoverable_error()
}

/// What went wrong, without what Redis says in its own words: that may repeat what we sent.
fn reason(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("redis: {}", code.escape_debug()),
        None if error.is_io_error() => format!("redis: {}", error.to_string().escape_debug()),
        None => format!("redis: {}", error.category().escape_debug()),
    }
}

const LATE: &str = "redis: no answer in time";

static GET: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local found = {}
        for i, key in ipairs(KEYS) do found[i] = redis.call('HMGET', key, 'v', 'n') end
        return found",
    )
});

static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local old = redis.call('HGET', KEYS[1], 'n') or '0'
        if ARGV[3] ~= '' and ARGV[3] ~= old then return 'conflict' end
        local time = redis.call('TIME')
        local version = math.max(time[1] * 1000000 + time[2], tonumber(old) + 1)
        version = string.format('%.0f', version)
        redis.call('HSET', KEYS[1], 'v', ARGV[1], 'n', version)
        if ARGV[2] == '' then redis.call('PERSIST', KEYS[1])
        else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
        return version",
    )
});

// What Lua makes of a sum has 53 bits, so it is read again as text.
static ADD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local old = redis.call('HGET', KEYS[1], 'n')
        local sum = redis.pcall('HINCRBY', KEYS[1], 'v', ARGV[1])
        if type(sum) == 'table' and sum.err then
            if string.find(sum.err, 'integer') or string.find(sum.err, 'overflow') then return '' end
            return sum
        end
        local time = redis.call('TIME')
        local version = math.max(time[1] * 1000000 + time[2], tonumber(old or '0') + 1)
        redis.call('HSET', KEYS[1], 'n', string.format('%.0f', version))
        if not old and ARGV[2] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
        return redis.call('HGET', KEYS[1], 'v')",
    )
});

static DELETE: LazyLock<Script> =
    LazyLock::new(|| Script::new("return redis.call('UNLINK', unpack(KEYS))"));

/// To connect, or for an answer to PING. A Redis that takes longer is no help to mail that waits.
const CONNECT_TIME: Duration = Duration::from_secs(2);

/// An idle connection that broke is found out by us, and not by the next mail.
const BETWEEN_PINGS: Duration = Duration::from_secs(1);

/// Between attempts to connect. Redis is back soon after a restart; one that stays away is not asked
/// more than once a second by each gateway.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Requests that may wait to be written; as many as plugins ask at once on a busy gateway.
const WAITING: usize = 1_000;
