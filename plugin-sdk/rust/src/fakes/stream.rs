//! Services that a test makes up, for this thread and so for this test.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::Reader;
use crate::streams::StreamError;

type Says = Rc<dyn Fn(&[u8]) -> Result<Vec<u8>, StreamError>>;

thread_local! {
    static SERVICES: RefCell<BTreeMap<String, Service>> = RefCell::default();
}

struct Service {
    says: Says,
    heard: Vec<Rc<RefCell<Vec<u8>>>>,
}

/// Grants this address, and answers there: `says` tells all that the service has said in one
/// connection, once it has heard so much there. Where it has no more to say than was read before, the
/// stream ends; an error is what reading comes to.
pub fn answer_stream(
    address: &str,
    says: impl Fn(&[u8]) -> Result<Vec<u8>, StreamError> + 'static,
) {
    let service = Service { says: Rc::new(says), heard: Vec::new() };
    SERVICES.with_borrow_mut(|services| services.insert(address.to_owned(), service));
}

/// What the service at this address has heard, a connection each.
pub fn streamed(address: &str) -> Vec<Vec<u8>> {
    SERVICES.with_borrow(|services| {
        let heard = services.get(address).map(|service| service.heard.iter());
        heard.into_iter().flatten().map(|heard| heard.borrow().clone()).collect()
    })
}

/// An open stream.
pub struct Connection {
    says: Says,
    heard: Rc<RefCell<Vec<u8>>>,
    read: RefCell<usize>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("heard", &self.heard).finish_non_exhaustive()
    }
}

impl Connection {
    /// To `host:port` or `unix:/path`, letter by letter as it is granted. The time is that of every later
    /// call as well.
    pub fn open(address: &str, _timeout_ms: Option<u32>) -> Result<Self, StreamError> {
        SERVICES.with_borrow_mut(|services| {
            let service = services.get_mut(address).ok_or(StreamError::Denied)?;
            let heard: Rc<RefCell<Vec<u8>>> = Rc::default();
            service.heard.push(heard.clone());
            Ok(Self { says: service.says.clone(), heard, read: RefCell::default() })
        })
    }

    /// All of it, at most 1 MiB.
    pub fn write(&self, octets: &[u8]) -> Result<(), StreamError> {
        if octets.len() > MAX_WRITE {
            return Err(StreamError::TooMany);
        }
        self.heard.borrow_mut().extend(octets);
        Ok(())
    }

    /// As much as the reader still has, at most so much, without passing through the plugin; how much it
    /// was.
    pub fn write_content(&self, content: &Reader, max: u64) -> Result<u64, StreamError> {
        let mut written = 0;
        while written < max {
            let chunk = content.read(u32::try_from(max - written).unwrap_or(u32::MAX));
            if chunk.is_empty() {
                break;
            }
            written += chunk.len() as u64;
            self.heard.borrow_mut().extend(chunk);
        }
        Ok(written)
    }

    /// Gives at most so much, never more than 64 KiB; empty is the end.
    pub fn read(&self, max: u32) -> Result<Vec<u8>, StreamError> {
        let said = (self.says)(&self.heard.borrow())?;
        let mut read = self.read.borrow_mut();
        let new = said.get(*read..).unwrap_or_default();
        let piece = new[..new.len().min(max as usize).min(MAX_READ)].to_vec();
        *read += piece.len();
        Ok(piece)
    }
}

const MAX_WRITE: usize = 1 << 20;
const MAX_READ: usize = 64 << 10;
