//! What upstreams have taken while its client does not know: it will send that again.
//!
//! A receipt is kept for a recipient whose upstream said 250 where the client was told to come again for
//! another one's sake, or was gone before it could be told. When the same message comes again, that
//! recipient is answered from here, once. The same message is: sender, recipient, upstream,
//! Message-ID and every octet as the client sent it. What has no Message-ID is never the same.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use portcullis_smtp::{Mailbox, ReversePath};
use sha2::{Digest as _, Sha256};

use crate::config::Duplicates;
use crate::message::{Content, HeaderSection, Lease};

/// The receipts of the process.
#[derive(Debug, Default)]
pub struct Receipts {
    book: Mutex<Book>,
    /// How many there are: most of the time none, and then nothing needs to be looked up.
    count: AtomicUsize,
}

#[derive(Debug, Default)]
struct Book {
    receipts: HashMap<Key, Receipt>,
    /// In the order in which they came; what was taken out since, or came again, stays until then.
    order: VecDeque<(Instant, Key)>,
}

#[derive(Debug)]
struct Receipt {
    digest: Digest,
    since: Instant,
}

/// Who got something from whom, by its Message-ID.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Key([u8; 32]);

/// Of all octets of a message.
pub(super) type Digest = [u8; 32];

impl Key {
    pub(super) fn new(
        upstream: &str,
        sender: &ReversePath,
        recipient: &Mailbox,
        message_id: &[u8],
    ) -> Self {
        let mut hash = Sha256::new();
        let sender = sender.to_string();
        for part in [upstream.as_bytes(), sender.as_bytes(), recipient.as_str().as_bytes()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(message_id);
        Self(hash.finalize().into())
    }
}

impl Receipts {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether a message may be here already, as far as can be told without its digest.
    pub(super) fn may_have(&self, keys: &[Key], bounds: &Duplicates) -> bool {
        self.count() > 0
            && self.work(bounds, |book| keys.iter().any(|key| book.receipts.contains_key(key)))
    }

    /// Takes out the receipt for this message: its client is answered now.
    pub(super) fn take(&self, key: &Key, digest: &Digest, bounds: &Duplicates) -> bool {
        self.work(bounds, |book| {
            let same = book.receipts.get(key).is_some_and(|receipt| receipt.digest == *digest);
            same && book.receipts.remove(key).is_some()
        })
    }

    pub(super) fn keep(&self, key: Key, digest: Digest, bounds: &Duplicates) {
        let since = Instant::now();
        self.work(bounds, |book| {
            book.receipts.insert(key, Receipt { digest, since });
            book.order.push_back((since, key));
        });
    }

    /// Works with what is not too old, and leaves no more than may be.
    fn work<T>(&self, bounds: &Duplicates, work: impl FnOnce(&mut Book) -> T) -> T {
        // Each step leaves a book that can be worked with.
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.forget_before(bounds);
        let done = work(&mut book);
        book.forget_beyond(bounds);
        self.count.store(book.receipts.len(), Ordering::Relaxed);
        done
    }
}

impl Book {
    fn forget_before(&mut self, bounds: &Duplicates) {
        while self.order.front().is_some_and(|(since, _)| since.elapsed() >= bounds.window) {
            self.forget_first();
        }
    }

    fn forget_beyond(&mut self, bounds: &Duplicates) {
        while self.receipts.len() > bounds.entries {
            self.forget_first();
        }
        if self.order.len() > 2 * bounds.entries {
            let receipts = &self.receipts;
            let stands = |since: &Instant, key: &Key| {
                receipts.get(key).is_some_and(|receipt| receipt.since == *since)
            };
            self.order.retain(|(since, key)| stands(since, key));
        }
    }

    fn forget_first(&mut self) {
        if let Some((since, key)) = self.order.pop_front()
            && self.receipts.get(&key).is_some_and(|receipt| receipt.since == since)
        {
            self.receipts.remove(&key);
        }
    }
}

/// A message as its client sent it.
#[derive(Debug)]
pub(super) struct Received {
    header: Arc<HeaderSection>,
    body: Content,
    /// The header section's share of the memory for content, as soon as nobody else answers for it.
    pub(super) lease: Option<Lease>,
}

impl Received {
    pub(super) fn new(header: Arc<HeaderSection>) -> Self {
        Self { header, body: Content::from_bytes(Vec::new()), lease: None }
    }

    pub(super) fn set_body(&mut self, body: Content) {
        self.body = body;
    }

    /// None of a message that cannot be told from others.
    pub(super) fn message_id(&self) -> Option<Vec<u8>> {
        self.header.value("Message-ID", 0).filter(|id| !id.is_empty())
    }

    /// None if the content cannot be read: then it is like no other.
    pub(super) async fn digest(&self) -> Option<Digest> {
        let (header, body) = (self.header.clone(), self.body.clone());
        if body.segments().is_some() && body.octets() <= AT_ONCE_OCTETS as u64 {
            return digest(&header, &body).ok();
        }
        let digested = tokio::task::spawn_blocking(move || digest(&header, &body)).await;
        digested.ok()?.ok()
    }
}

fn digest(header: &HeaderSection, body: &Content) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    hash.update(header.octets().to_be_bytes());
    hash.update(header.as_bytes());
    let mut octets = vec![0; AT_ONCE_OCTETS];
    let mut at = 0;
    loop {
        match body.read_at(at, &mut octets)? {
            0 => break,
            count => {
                hash.update(&octets[..count]);
                at += count as u64;
            }
        }
    }
    // A file that has become shorter is not what came.
    if at == body.octets() {
        Ok(hash.finalize().into())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// What is digested without leaving the thread: some tenths of a millisecond.
const AT_ONCE_OCTETS: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn bounds(entries: usize) -> Duplicates {
        Duplicates { window: Duration::from_mins(1), entries }
    }

    fn key(recipient: &str) -> Key {
        let recipient = Mailbox::parse(recipient).expect("an address");
        Key::new("store", &ReversePath::Null, &recipient, b"<1@x>")
    }

    #[test]
    fn a_receipt_is_good_once_and_for_the_same_octets() {
        let (receipts, bounds) = (Receipts::default(), bounds(10));
        let a = key("a@b.example");
        assert!(!receipts.may_have(&[a], &bounds));
        receipts.keep(a, [1; 32], &bounds);
        assert!(receipts.may_have(&[key("b@b.example"), a], &bounds));
        assert!(!receipts.may_have(&[key("b@b.example")], &bounds));
        assert!(!receipts.take(&a, &[2; 32], &bounds));
        assert!(receipts.take(&a, &[1; 32], &bounds));
        assert!(!receipts.take(&a, &[1; 32], &bounds));
        assert_eq!(receipts.count(), 0);
    }

    #[test]
    fn the_oldest_receipts_make_room_and_all_end_with_the_window() {
        let (receipts, two) = (Receipts::default(), bounds(2));
        let [a, b, c] = ["a@b.example", "b@b.example", "c@b.example"].map(key);
        for key in [a, b, a, c] {
            receipts.keep(key, [1; 32], &two);
        }
        assert!(!receipts.may_have(&[b], &two));
        assert!(receipts.may_have(&[a], &two) && receipts.may_have(&[c], &two));
        let over = Duplicates { window: Duration::ZERO, ..two };
        assert!(!receipts.may_have(&[a, c], &over));
        assert_eq!(receipts.count(), 0);
    }

    #[test]
    fn receipts_that_come_and_go_take_no_room() {
        let (receipts, bounds) = (Receipts::default(), bounds(4));
        for _ in 0..1000 {
            receipts.keep(key("a@b.example"), [1; 32], &bounds);
            assert!(receipts.take(&key("a@b.example"), &[1; 32], &bounds));
        }
        assert!(receipts.book.lock().unwrap().order.len() <= 8);
    }

    #[test]
    fn no_part_of_a_key_runs_into_the_next() {
        let key = |upstream: &str, recipient: &str| {
            let recipient = Mailbox::parse(recipient).expect("an address");
            Key::new(upstream, &ReversePath::Null, &recipient, b"")
        };
        assert_ne!(key("st", "ore@x.example"), key("store", "e@x.example"));
    }

    #[tokio::test]
    async fn every_octet_counts() {
        let received = |header: &str, body: Vec<u8>| {
            let header = HeaderSection::parse(header.as_bytes().to_vec());
            let mut received = Received::new(Arc::new(header));
            received.set_body(Content::from_bytes(body));
            received
        };
        let large = vec![b'x'; 3 * AT_ONCE_OCTETS + 1];
        let mut changed = large.clone();
        changed[2 * AT_ONCE_OCTETS] = b'y';
        let mut seen = Vec::new();
        for (header, body) in [
            ("A: b\r\n\r\n", &b""[..]),
            ("A: b\r\n\r\n", b"x"),
            ("A: b\r\n\r\nx", b""),
            ("A: b\r\n\r\n", &large),
            ("A: b\r\n\r\n", &changed),
        ] {
            let digest = received(header, body.to_vec()).digest().await.expect("readable");
            assert!(!seen.contains(&digest));
            seen.push(digest);
        }
        assert_eq!(
            received("Message-ID: <a@b>\r\n\r\n", vec![]).message_id(),
            Some(b"<a@b>".to_vec())
        );
        assert_eq!(received("Message-ID:\r\n\r\n", vec![]).message_id(), None);
        assert_eq!(received("A: b\r\n\r\n", vec![]).message_id(), None);
    }
}
