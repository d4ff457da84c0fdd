//! The client's messages (RFC 5802 section 7).

use std::str;

use zeroize::Zeroizing;

use super::super::Next;
use super::super::gs2::{self, Flag};
use crate::sasl::keys::Octets;
use crate::sasl::open;

/// `client-first-message`.
#[derive(Debug)]
pub(super) struct ClientFirst<'a> {
    pub(super) flag: Flag<'a>,
    pub(super) authorization: Option<String>,
    /// `gs2-header`.
    pub(super) header: &'a str,
    /// `client-first-message-bare`.
    pub(super) bare: &'a str,
    pub(super) user: String,
    pub(super) nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    /// Reads the message, or says how the exchange ends.
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Next> {
        let text = str::from_utf8(message).map_err(|_| Next::Malformed)?;
        let (flag, authorization, header) = gs2::header(text).ok_or(Next::Malformed)?;
        let bare = &text[header.len()..];
        // Something that must be understood, and is not.
        if bare.starts_with("m=") {
            return Err(Next::Fail("e=extensions-not-supported"));
        }
        let (user, nonce) = read_bare(bare).ok_or(Next::Malformed)?;
        Ok(Self { flag, authorization, header, bare, user, nonce })
    }
}

/// `client-final-message`.
#[derive(Debug)]
pub(super) struct ClientFinal<'a> {
    pub(super) binding: Zeroizing<Vec<u8>>,
    pub(super) nonce: &'a str,
    pub(super) proof: Octets,
    /// `client-final-message-without-proof`.
    pub(super) without_proof: &'a str,
}

impl<'a> ClientFinal<'a> {
    pub(super) fn read(message: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(message).ok()?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let binding = open(attributes.next()?.strip_prefix("c=")?.as_bytes())?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if !attributes.all(is_attribute) {
            return None;
        }
        let proof = open(proof.as_bytes())?.as_slice().try_into().ok()?;
        Some(Self { binding, nonce, proof, without_proof })
    }
}

/// `username "," nonce ["," extensions]`.
fn read_bare(bare: &str) -> Option<(String, &str)> {
    let mut attributes = bare.split(',');
    let user = gs2::sasl_name(attributes.next()?.strip_prefix("n=")?)?;
    let nonce = attributes.next()?.strip_prefix("r=")?;
    let is_nonce = (1..=NONCE_OCTETS).contains(&nonce.len())
        && nonce.bytes().all(|octet| octet.is_ascii_graphic());
    (is_nonce && attributes.all(is_attribute)).then_some((user, nonce))
}

/// `attr-val`.
fn is_attribute(text: &str) -> bool {
    let mut octets = text.bytes();
    octets.next().is_some_and(|octet| octet.is_ascii_alphabetic())
        && octets.next() == Some(b'=')
        && octets.next().is_some()
}

/// Of the client's nonce, which our first message repeats: with a salt of 64 octets it still fits
/// into a line of 512.
const NONCE_OCTETS: usize = 200;
