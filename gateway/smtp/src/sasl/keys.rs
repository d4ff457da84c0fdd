//! The arithmetic of the mechanisms that do not reveal the password.

use hmac::{Hmac, Mac};
use md5::Md5;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A key or a digest of SHA-256.
pub(crate) type Octets = [u8; 32];

/// What a password becomes (RFC 5802 section 3).
pub(crate) struct Scram {
    salted_password: Zeroizing<Octets>,
}

impl Scram {
    /// `Hi(password, salt, iterations)`: PBKDF2 with one block.
    pub(crate) fn new(password: &str, salt: &[u8], iterations: u32) -> Self {
        let mut block = Zeroizing::new(hmac_sha256(password.as_bytes(), &[salt, &[0, 0, 0, 1]]));
        let mut salted_password = block.clone();
        let keyed = keyed(password.as_bytes());
        for _ in 1..iterations {
            let mut mac = keyed.clone();
            mac.update(block.as_slice());
            *block = mac.finalize().into_bytes().into();
            salted_password.iter_mut().zip(block.iter()).for_each(|(sum, octet)| *sum ^= octet);
        }
        Self { salted_password }
    }

    pub(crate) fn client_key(&self) -> Octets {
        hmac_sha256(self.salted_password.as_slice(), &[b"Client Key"])
    }

    pub(crate) fn stored_key(&self) -> Octets {
        sha256(&self.client_key())
    }

    pub(crate) fn server_key(&self) -> Octets {
        hmac_sha256(self.salted_password.as_slice(), &[b"Server Key"])
    }
}

pub(crate) fn sha256(octets: &[u8]) -> Octets {
    Sha256::digest(octets).into()
}

/// The HMAC of all pieces, one behind the other.
pub(crate) fn hmac_sha256(key: &[u8], pieces: &[&[u8]]) -> Octets {
    let mut mac = keyed(key);
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().into()
}

/// RFC 2195 section 2.
pub(crate) fn hmac_md5(key: &[u8], octets: &[u8]) -> [u8; 16] {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(octets);
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}
