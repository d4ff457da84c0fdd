//! Undoes transfer encodings (RFC 2045 section 6) and charsets, chunk by chunk.
//!
//! What is not as it should be is read as well as it can be: who filters mail must see no less
//! than who reads it.

use encoding_rs::CoderResult;

use super::fields::{Form, Transfer};

/// Makes octets, or text in UTF-8, of what was sent.
pub(super) struct Decoder {
    transfer: State,
    text: Option<encoding_rs::Decoder>,
}

enum State {
    Base64(Base64),
    Identity,
    QuotedPrintable(QuotedPrintable),
}

impl Decoder {
    /// None if nothing is to be undone.
    pub(super) fn new(form: Form) -> Option<Self> {
        let transfer = match form.transfer {
            Transfer::Base64 => State::Base64(Base64::default()),
            Transfer::Identity if form.text.is_none() => return None,
            Transfer::Identity => State::Identity,
            Transfer::QuotedPrintable => State::QuotedPrintable(QuotedPrintable::default()),
        };
        Some(Self { transfer, text: form.text.map(encoding_rs::Encoding::new_decoder) })
    }

    pub(super) fn decode(&mut self, chunk: &[u8]) -> Vec<u8> {
        match &mut self.transfer {
            State::Base64(base64) => {
                let octets = base64.decode(chunk);
                self.convert(octets, false)
            }
            State::Identity => self.convert(chunk.to_vec(), false),
            State::QuotedPrintable(printable) => {
                let octets = printable.decode(chunk);
                self.convert(octets, false)
            }
        }
    }

    /// What is left when there is no more.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let octets = match &mut self.transfer {
            State::Base64(base64) => base64.finish(),
            State::Identity => Vec::new(),
            State::QuotedPrintable(printable) => printable.finish(),
        };
        self.convert(octets, true)
    }

    fn convert(&mut self, octets: Vec<u8>, last: bool) -> Vec<u8> {
        let Some(decoder) = &mut self.text else { return octets };
        let mut text = Vec::new();
        let mut rest = &*octets;
        loop {
            let room = decoder.max_utf8_buffer_length(rest.len()).unwrap_or(ROOM_OCTETS);
            let filled = text.len();
            // An estimate that is never too low would be three times what most text takes.
            text.resize(filled + room.min(rest.len() + ROOM_OCTETS), 0);
            let (result, read, written, _) =
                decoder.decode_to_utf8(rest, &mut text[filled..], last);
            text.truncate(filled + written);
            rest = &rest[read..];
            if result == CoderResult::InputEmpty {
                return text;
            }
        }
    }
}

/// Base64 with anything in between.
#[derive(Default)]
struct Base64 {
    bits: u32,
    /// Letters in `bits`: up to four.
    letters: u32,
}

impl Base64 {
    fn decode(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut octets = Vec::with_capacity(chunk.len() / 4 * 3 + 3);
        for &letter in chunk {
            let value = VALUES[usize::from(letter)];
            if value < 64 {
                self.bits = self.bits << 6 | u32::from(value);
                self.letters += 1;
                if self.letters == 4 {
                    octets.extend_from_slice(&self.bits.to_be_bytes()[1..]);
                    (self.bits, self.letters) = (0, 0);
                }
            } else if letter == b'=' {
                // Some put two texts behind each other.
                octets.append(&mut self.finish());
            }
        }
        octets
    }

    fn finish(&mut self) -> Vec<u8> {
        let (bits, letters) = (std::mem::take(&mut self.bits), std::mem::take(&mut self.letters));
        match letters {
            2 => vec![(bits >> 4) as u8],
            3 => vec![(bits >> 10) as u8, (bits >> 2) as u8],
            _ => Vec::new(),
        }
    }
}

/// What a letter stands for; 64 and more are none.
const VALUES: [u8; 256] = {
    let mut values = [u8::MAX; 256];
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut n = 0;
    while n < letters.len() {
        values[letters[n] as usize] = n as u8;
        n += 1;
    }
    values
};

/// Quoted-printable; an "=" that means nothing stays.
#[derive(Default)]
struct QuotedPrintable {
    /// What begins with "=" or white space, until it is known what it is.
    held: Vec<u8>,
}

impl QuotedPrintable {
    fn decode(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut octets = Vec::with_capacity(chunk.len() + self.held.len());
        for &octet in chunk {
            self.take(octet, &mut octets);
        }
        octets
    }

    fn take(&mut self, octet: u8, octets: &mut Vec<u8>) {
        match (&*self.held, octet) {
            ([], b'=' | b' ' | b'\t' | b'\r') => self.held.push(octet),
            ([], _) => octets.push(octet),
            ([b'='], _) if octet.is_ascii_hexdigit() => self.held.push(octet),
            ([b'=', high], _) if high.is_ascii_hexdigit() => match (hex(*high), hex(octet)) {
                (Some(high), Some(low)) => {
                    octets.push(high << 4 | low);
                    self.held.clear();
                }
                _ => self.give_up(octet, octets),
            },
            // "=", perhaps white space, and a line end is none.
            ([b'=', ..], b'\n') => self.held.clear(),
            // White space before a line end was added on the way.
            ([.., before], b'\n') => {
                octets.extend_from_slice(if *before == b'\r' { b"\r\n" } else { b"\n" });
                self.held.clear();
            }
            ([.., before], b' ' | b'\t' | b'\r')
                if *before != b'\r' && self.held.len() < HELD_OCTETS =>
            {
                self.held.push(octet);
            }
            _ => self.give_up(octet, octets),
        }
    }

    /// What was held means itself.
    fn give_up(&mut self, octet: u8, octets: &mut Vec<u8>) {
        octets.append(&mut self.held);
        self.take(octet, octets);
    }

    fn finish(&mut self) -> Vec<u8> {
        let mut held = std::mem::take(&mut self.held);
        let soft = held.first() == Some(&b'=') && held[1..].iter().all(u8::is_ascii_whitespace);
        if soft { Vec::new() } else { std::mem::take(&mut held) }
    }
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

/// More than the longest line of quoted-printable.
const HELD_OCTETS: usize = 1_000;

/// Room for what a charset makes of a few octets.
const ROOM_OCTETS: usize = 64;
