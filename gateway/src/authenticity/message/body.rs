//! Hashes of a body (RFC 6376 section 3.7), which need not lie in memory.

use std::io;

use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::{HashAlgorithm, HashContext, HashImpl, Sha1, Sha256};
use mail_auth::dkim::Canonicalization;
use mail_auth::dkim::canonicalize::BodyHasher;

use crate::message::Content;

/// One hash for each way of hashing that signatures name, in their order.
pub(super) fn hashes(
    message: &AuthenticatedMessage<'_>,
    body: &Content,
) -> io::Result<Vec<Vec<u8>>> {
    let ways = message.body_hashes.iter();
    let mut hashers: Vec<_> = ways.map(|(way, hash, ..)| Hasher::new(*way, *hash)).collect();
    if hashers.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(segments) = body.segments() {
        for segment in segments {
            hashers.iter_mut().for_each(|hasher| hasher.write(segment));
        }
        return Ok(hashers.into_iter().map(Hasher::finish).collect());
    }
    let (mut chunk, mut at) = (vec![0; CHUNK_OCTETS], 0);
    while at < body.octets() {
        let count = body.read_at(at, &mut chunk)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hashers.iter_mut().for_each(|hasher| hasher.write(&chunk[..count]));
        at += count as u64;
    }
    Ok(hashers.into_iter().map(Hasher::finish).collect())
}

/// The library's, of either kind.
enum Hasher {
    Sha1(BodyHasher<<Sha1 as HashImpl>::Context>),
    Sha256(BodyHasher<<Sha256 as HashImpl>::Context>),
}

impl Hasher {
    /// Signatures that cover a part of the body (`l=`) are not taken, so that it is always whole.
    fn new(way: Canonicalization, hash: HashAlgorithm) -> Self {
        match hash {
            HashAlgorithm::Sha1 => Self::Sha1(BodyHasher::new(Sha1::hasher(), way, 0)),
            HashAlgorithm::Sha256 => Self::Sha256(BodyHasher::new(Sha256::hasher(), way, 0)),
        }
    }

    fn write(&mut self, octets: &[u8]) {
        match self {
            Self::Sha1(hasher) => hasher.write(octets),
            Self::Sha256(hasher) => hasher.write(octets),
        }
    }

    fn finish(self) -> Vec<u8> {
        let hash = match self {
            Self::Sha1(hasher) => hasher.finish().0.complete(),
            Self::Sha256(hasher) => hasher.finish().0.complete(),
        };
        hash.as_ref().to_vec()
    }
}

const CHUNK_OCTETS: usize = 64 << 10;
