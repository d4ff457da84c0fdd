//! What is remembered from one mail of a session to the next.

use portcullis_plugin::{Refusal, Session, Verdict, clock};

/// Lists that did not answer a moment ago, whether notes were left, and what recipients are told.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Memory {
    /// As bits, in the order of the settings.
    silent: u64,
    /// Milliseconds since 1970 at which they are asked again.
    until: u64,
    pub(crate) noted: bool,
    /// A mail whose reply was held back goes on with another copy of the plugin. Its id, and below what
    /// its recipients are told; the next mail of the session need not be asked about.
    refusal: String,
}

impl Memory {
    pub(crate) fn load(session: &Session) -> Self {
        session.load().as_deref().and_then(read).unwrap_or_default()
    }

    /// The lists to leave out: no mail of this session waits for them again so soon.
    pub(crate) fn leave(&self) -> u64 {
        if self.silent != 0 && clock::now() < self.until { self.silent } else { 0 }
    }

    /// These did not answer, `left` were not asked.
    pub(crate) fn hear(&mut self, silent: u64, left: u64) {
        if silent != 0 {
            self.until = clock::now() + PAUSE;
        }
        self.silent = silent | left;
    }

    /// Keeps it, if it has changed.
    pub(crate) fn save(&self, session: &Session, before: &Self) {
        if self != before {
            let octets = [&self.silent.to_le_bytes()[..], &self.until.to_le_bytes()].concat();
            // These few octets fit into what a session may keep; without them lists are asked again.
            let noted = [u8::from(self.noted)];
            let _ = session.save(&[&*octets, &noted, self.refusal.as_bytes()].concat());
        }
    }

    /// What recipients of this mail are told.
    pub(crate) fn refuse(&mut self, id: &str, refusal: Option<&Verdict>) {
        self.refusal = match refusal {
            Some(Verdict::Reject(reply) | Verdict::Defer(reply) | Verdict::Disconnect(reply)) => {
                let status = reply.status.map(|(a, b, c)| format!("{a}.{b}.{c} "));
                format!("{id}\n{} {}{}", reply.code, status.unwrap_or_default(), reply.text)
            }
            _ => String::new(),
        };
    }

    /// The same, if that was found out.
    pub(crate) fn refusal(&self, id: &str) -> Option<Verdict> {
        let (of, refusal) = self.refusal.split_once('\n')?;
        if of != id {
            return None;
        }
        Some(refusal.parse::<Refusal>().ok()?.verdict())
    }
}

/// Another version of the plugin may have written it.
fn read(octets: &[u8]) -> Option<Memory> {
    let (silent, rest) = octets.split_first_chunk()?;
    let (until, rest) = rest.split_first_chunk()?;
    let (&noted, refusal) = rest.split_first()?;
    let refusal = str::from_utf8(refusal).ok()?.to_owned();
    let (silent, until) = (u64::from_le_bytes(*silent), u64::from_le_bytes(*until));
    Some(Memory { silent, until, noted: noted == 1, refusal })
}

const PAUSE: u64 = 60_000;

#[cfg(test)]
mod tests {
    use portcullis_plugin::testing::stop_clock;

    use super::*;

    #[test]
    fn who_is_silent_is_left_out_for_a_minute() {
        let session = Session::fake();
        stop_clock(1_000);
        let mut memory = Memory::load(&session);
        assert_eq!(memory.leave(), 0);
        memory.hear(5, 0);
        memory.save(&session, &Memory::default());
        assert_eq!(Memory::load(&session), memory);
        assert_eq!(memory.leave(), 5);
        stop_clock(1_000 + PAUSE);
        assert_eq!(memory.leave(), 0);
    }

    #[test]
    fn what_makes_no_sense_is_forgotten() {
        for octets in [&b""[..], b"x", &[1; 16], &[0xff; 18]] {
            let session = Session::fake();
            session.save(octets).unwrap();
            assert_eq!(Memory::load(&session), Memory::default());
        }
    }
}
