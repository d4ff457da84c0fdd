//! A transaction as a milter hears it: all of its steps, one after the other.

use portcullis_plugin::{Message, Parameter, Session, Transaction, Verdict};

use crate::answer::Answer;
use crate::edit::{Edits, Refused};
use crate::negotiation::{Step, Terms};
use crate::packet::{Failure, Wire};
use crate::settings::Settings;

/// What a filter made of a message.
pub(crate) struct Outcome {
    pub(crate) answer: Answer,
    /// Recipients that it does not want, by their index.
    pub(crate) refused: Vec<(u32, Verdict)>,
    pub(crate) edits: Edits,
}

/// One filter, one message.
pub(crate) struct Conversation<'a> {
    wire: Wire,
    terms: Terms,
    settings: &'a Settings,
    session: &'a Session,
    transaction: &'a Transaction,
    message: &'a Message,
    refused: Vec<(u32, Verdict)>,
}

impl<'a> Conversation<'a> {
    /// All of it.
    pub(crate) fn hold(
        settings: &'a Settings,
        session: &'a Session,
        transaction: &'a Transaction,
        message: &'a Message,
    ) -> Result<Outcome, Refused> {
        let mut wire = Wire::open(&settings.server, settings.timeout.as_seconds() * 1000)?;
        let terms = Terms::agree(&mut wire, &settings.edits)?;
        let refused = Vec::new();
        let mut this = Self { wire, terms, settings, session, transaction, message, refused };
        let mut edits = Edits::default();
        let answer = match this.tell()? {
            Some(early) => early,
            None => this.end(&mut edits)?,
        };
        // It has said all that it has to say.
        let _ = this.wire.put(b'Q', b"").and_then(|()| this.wire.flush());
        Ok(Outcome { answer, refused: this.refused, edits })
    }

    /// Up to the end of the body; an answer is one that ends it all.
    fn tell(&mut self) -> Result<Option<Answer>, Failure> {
        let steps = [Self::connect, Self::helo, Self::mail, Self::recipients, Self::data];
        for step in steps.into_iter().chain([Self::headers, Self::body]) {
            if let Some(answer) = step(self)? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    fn connect(&mut self) -> Result<Option<Answer>, Failure> {
        let (address, port) = (self.session.client_address(), self.session.client_port());
        let name = self.session.client_name().unwrap_or_else(|| format!("[{address}]"));
        let port_text = port.to_string();
        let mut macros = vec![
            ("{client_addr}", address.clone()),
            ("{client_name}", name.clone()),
            ("{client_port}", port_text),
            ("{daemon_name}", self.session.listener()),
            ("_", format!("{name} [{address}]")),
            ("v", "Portcullis".to_owned()),
        ];
        // The operator's own come last, and so count.
        let own = self.settings.macros.iter();
        macros.extend(own.map(|(name, value)| (&**name, value.clone())));
        self.define(b'C', &macros)?;
        let family = match self.session.client_ip() {
            Some(ip) if ip.is_ipv4() => b'4',
            Some(_) => b'6',
            None if address == "unix" => b'L',
            None => b'U',
        };
        let mut data = name.into_bytes();
        data.extend([0, family]);
        if family != b'U' {
            data.extend(port.to_be_bytes());
            let address = self.session.client_ip().map_or(address, |ip| ip.to_string());
            data.extend(address.into_bytes());
            data.push(0);
        }
        self.step(Step::Connect, b'C', &data)
    }

    fn helo(&mut self) -> Result<Option<Answer>, Failure> {
        let Some(name) = self.session.helo() else { return Ok(None) };
        let mut macros = Vec::new();
        if let Some(tls) = self.session.tls() {
            macros.extend([("{tls_version}", tls.version), ("{cipher}", tls.cipher)]);
            macros.extend(tls.client_subject.map(|subject| ("{cert_subject}", subject)));
        }
        self.define(b'H', &macros)?;
        self.step(Step::Helo, b'H', &ended(&name))
    }

    fn mail(&mut self) -> Result<Option<Answer>, Failure> {
        let sender = self.transaction.sender().unwrap_or_default();
        let mut macros = vec![("i", self.transaction.id()), ("{mail_addr}", sender.clone())];
        macros.extend(host(&sender).map(|host| ("{mail_host}", host)));
        macros.extend(self.session.user().map(|user| ("{auth_authen}", user)));
        macros.extend(self.session.mechanism().map(|mechanism| ("{auth_type}", mechanism)));
        self.define(b'M', &macros)?;
        self.step(Step::Mail, b'M', &path(&sender, &self.transaction.parameters()))
    }

    fn recipients(&mut self) -> Result<Option<Answer>, Failure> {
        let recipients = self.transaction.recipients();
        for recipient in &recipients {
            let mut macros = vec![("{rcpt_addr}", recipient.address.clone())];
            macros.extend(host(&recipient.address).map(|host| ("{rcpt_host}", host)));
            self.define(b'R', &macros)?;
            let data = path(&recipient.address, &recipient.parameters);
            match self.step(Step::Rcpt, b'R', &data)? {
                Some(Answer::Refuse(Verdict::Disconnect(reply))) => {
                    return Ok(Some(Answer::Refuse(Verdict::Disconnect(reply))));
                }
                Some(Answer::Refuse(verdict)) => self.refused.push((recipient.index, verdict)),
                Some(answer) => return Ok(Some(answer)),
                None => {}
            }
        }
        if self.refused.is_empty() || self.refused.len() < recipients.len() {
            return Ok(None);
        }
        // Nobody is left. Of several answers, one that lets the client come again is kept.
        let mut verdicts = self.refused.iter().map(|(_, verdict)| verdict);
        let again = verdicts.clone().find(|verdict| matches!(verdict, Verdict::Defer(_)));
        Ok(again.or_else(|| verdicts.next()).cloned().map(Answer::Refuse))
    }

    fn data(&mut self) -> Result<Option<Answer>, Failure> {
        self.step(Step::Data, b'T', b"")
    }

    fn headers(&mut self) -> Result<Option<Answer>, Failure> {
        if self.terms.wants(Step::Header) {
            let section = self.message.header_section();
            for (name, value) in fields(&section) {
                let blank = value.first().is_some_and(|octet| *octet == b' ');
                let value = &value[usize::from(blank && !self.terms.keeps_blanks())..];
                let mut data = Vec::with_capacity(name.len() + value.len() + 2);
                data.extend(name);
                data.push(0);
                // Lines end in LF there, and nothing can be a zero.
                let fits = |octet: &u8| *octet != b'\r' && *octet != 0;
                data.extend(value.iter().copied().filter(fits));
                data.push(0);
                if let Some(answer) = self.step(Step::Header, b'L', &data)? {
                    return Ok(Some(answer));
                }
            }
        }
        self.step(Step::EndOfHeaders, b'N', b"")
    }

    fn body(&mut self) -> Result<Option<Answer>, Failure> {
        if !self.terms.wants(Step::Body) {
            return Ok(None);
        }
        let content = self.message.read_body();
        let mut left = self.message.read_body().skip(u64::MAX);
        while left > 0 {
            let octets = left.min(CHUNK_OCTETS);
            self.wire.put_content(b'B', &content, octets as usize)?;
            left -= octets;
            match self.answer(Step::Body)? {
                None => {}
                Some(Answer::Skip) => break,
                answer => return Ok(answer),
            }
        }
        Ok(None)
    }

    /// The filter's last word, and what it asks for before that.
    fn end(&mut self, edits: &mut Edits) -> Result<Answer, Refused> {
        self.wire.put(b'E', b"")?;
        loop {
            let (command, data) = self.wire.take()?;
            match Answer::read(command, &data) {
                Some(Answer::Skip) => return Err(Failure::Protocol.into()),
                Some(answer) => return Ok(answer),
                None if command == b'p' => {}
                None => edits.take(self.terms, command, &data, self.message)?,
            }
        }
    }

    /// Tells of a step, if it is wanted. An answer is one that ends it all.
    fn step(&mut self, step: Step, command: u8, data: &[u8]) -> Result<Option<Answer>, Failure> {
        if !self.terms.wants(step) {
            return Ok(None);
        }
        self.wire.put(command, data)?;
        match self.answer(step)? {
            Some(Answer::Skip) => Err(Failure::Protocol),
            answer => Ok(answer),
        }
    }

    fn answer(&mut self, step: Step) -> Result<Option<Answer>, Failure> {
        if !self.terms.answers(step) {
            return Ok(None);
        }
        loop {
            let (command, data) = self.wire.take()?;
            match Answer::read(command, &data) {
                Some(Answer::Continue) => return Ok(None),
                Some(answer) => return Ok(Some(answer)),
                // It takes its time; the plugin's goes on all the same.
                None if command == b'p' => {}
                None => return Err(Failure::Protocol),
            }
        }
    }

    /// Macros for a step.
    fn define(&mut self, command: u8, macros: &[(&str, String)]) -> Result<(), Failure> {
        if macros.is_empty() {
            return Ok(());
        }
        let mut data = vec![command];
        for (name, value) in macros {
            // One letter stands alone, more are in braces.
            let braced = name.len() > 1 && !name.starts_with('{');
            let name = if braced { format!("{{{name}}}") } else { (*name).to_owned() };
            data.extend(ended(&name));
            data.extend(ended(value));
        }
        self.wire.put(b'D', &data)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

fn ended(text: &str) -> Vec<u8> {
    text.bytes().filter(|octet| *octet != 0).chain([0]).collect()
}

fn host(address: &str) -> Option<String> {
    portcullis_plugin::split_address(address).1.map(str::to_owned)
}

/// `<address>` and its parameters as they came.
fn path(address: &str, parameters: &[Parameter]) -> Vec<u8> {
    let mut data = ended(&format!("<{address}>"));
    for Parameter { keyword, value } in parameters {
        data.extend(match value {
            None => ended(keyword),
            Some(value) if XTEXT.contains(&&**keyword) => {
                ended(&format!("{keyword}={}", xtext(value)))
            }
            Some(value) => ended(&format!("{keyword}={value}")),
        });
    }
    data
}

/// RFC 3461 section 4.
fn xtext(value: &str) -> String {
    let fits = |octet: &u8| matches!(octet, b'!'..=b'~') && !matches!(octet, b'+' | b'=');
    let encode = |octet: u8| match fits(&octet) {
        true => char::from(octet).to_string(),
        false => format!("+{octet:02X}"),
    };
    value.bytes().map(encode).collect()
}

/// The fields of a header section: names, and values with their line ends but the last.
fn fields(section: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut fields: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    for line in section.split_inclusive(|octet| *octet == b'\n') {
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        match fields.last_mut() {
            Some((_, end)) if folded => *end = at + line.len(),
            _ => fields.push((at, at + line.len())),
        }
        at += line.len();
    }
    let parts = fields.into_iter().filter_map(|(start, end)| {
        let field = &section[start..end];
        let field = field.strip_suffix(b"\n").unwrap_or(field);
        let colon = field.iter().position(|octet| *octet == b':')?;
        let name = field[..colon].trim_ascii_end();
        let value = &field[colon + 1..];
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        (!name.is_empty()).then_some((name, value))
    });
    parts.collect()
}

const XTEXT: &[&str] = &["AUTH", "ENVID", "ORCPT"];

/// MILTER_CHUNK_SIZE.
const CHUNK_OCTETS: u64 = 65_535;
