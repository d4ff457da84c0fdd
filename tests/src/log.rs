//! What the gateway logs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::PATIENCE;

/// The lines of a log, as they come.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Follows an output of the gateway.
    pub fn follow(&self, output: impl Read + Send + 'static) {
        let lines = Arc::clone(&self.0);
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n') {
                let Ok(line) = line else { return };
                let line = String::from_utf8_lossy(&line).into_owned();
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All lines so far that are JSON objects.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.lines().iter().filter_map(|line| Record::parse(line)).collect()
    }

    /// The records that mention a text anywhere.
    #[must_use]
    pub fn about(&self, text: &str) -> Vec<Record> {
        self.records().into_iter().filter(|record| record.mentions(text)).collect()
    }

    /// Waits for the first record that fits.
    ///
    /// # Panics
    /// If none comes, with all that was logged.
    #[track_caller]
    pub fn wait_for(&self, what: &str, fits: impl Fn(&Record) -> bool) -> Record {
        let start = Instant::now();
        loop {
            if let Some(record) = self.records().into_iter().find(&fits) {
                return record;
            }
            let all = || self.lines().join("\n");
            assert!(start.elapsed() < PATIENCE, "waited in vain for {what} in the log:\n{}", all());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// One record of a log in JSON.
#[derive(Clone, Debug)]
pub struct Record(Value);

impl Record {
    fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        value.is_object().then_some(Self(value))
    }

    /// A field, wherever it stands in the record, as text; empty if there is none.
    #[must_use]
    pub fn field(&self, name: &str) -> String {
        fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
            let object = value.as_object()?;
            object.get(name).or_else(|| object.values().find_map(|inner| find(inner, name)))
        }
        match find(&self.0, name) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// What stands at a JSON pointer, as text; empty if there is nothing.
    #[must_use]
    pub fn at(&self, pointer: &str) -> String {
        match self.0.pointer(pointer) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    /// The address and port of what stands at a JSON pointer, as `192.0.2.1:4711`; empty if nothing
    /// does.
    #[must_use]
    pub fn peer(&self, pointer: &str) -> String {
        let (address, port) =
            (self.at(&format!("{pointer}/address")), self.at(&format!("{pointer}/port")));
        match (address.contains(':'), port.is_empty()) {
            (_, true) => address,
            (true, false) => format!("[{address}]:{port}"),
            (false, false) => format!("{address}:{port}"),
        }
    }

    /// All of it.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// Whether a text stands anywhere in it.
    #[must_use]
    pub fn mentions(&self, text: &str) -> bool {
        self.0.to_string().contains(text)
    }
}
