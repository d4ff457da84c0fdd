//! Asks DNS lists about the domains of links; see README.md.

mod host;
mod links;
mod scan;
mod settings;

use portcullis_plugin::dns::{self, LookupError};
use portcullis_plugin::{Message, Part, Session, Transaction, Verdict, metrics, plugin};
use zones::{Judgement, Kind, Question, Teller, inside, score};

use crate::links::{Links, Target};
use crate::settings::{MOST_QUESTIONS, Of, Settings};

/// Lists, and what is made of what they say.
#[derive(Debug)]
pub struct Uribl {
    settings: Settings,
    teller: Teller,
    /// Domains that nobody is asked about, sorted.
    silent: Vec<String>,
}

#[plugin]
impl Uribl {
    fn configure(mut settings: Settings) -> Result<Self, String> {
        settings.check()?;
        settings.exempt.clients.networks_or(inside);
        let teller = Teller::new(settings.store.take());
        let silent = settings.silent();
        Ok(Self { settings, teller, silent })
    }

    fn message(
        &self,
        session: &Session,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<Verdict, LookupError> {
        if self.settings.exempt.message(session, transaction) {
            return Ok(Verdict::Next);
        }
        let (targets, flooded) = self.links(message).chosen(self.settings.domains);
        if flooded {
            metrics::add("floods", 1, None);
            score(transaction, "URIBL_FLOOD", self.settings.flood_score);
        }
        let judged = self.judge(&targets)?;
        if judged.listings.is_empty() && judged.silent == 0 {
            return Ok(Verdict::Next);
        }
        judged.score(transaction, "URIBL", self.settings.on_error, self.settings.error_score);
        judged.tell();
        Ok(self.refusal(&judged).unwrap_or(Verdict::Next))
    }
}

impl Uribl {
    /// The links of all texts, up to so many octets in all.
    fn links(&self, message: &Message) -> Links {
        let mut links = Links::default();
        let mut left = self.settings.bytes;
        for part in message.parts() {
            if left == 0 {
                break;
            }
            let html = part.content_type.ends_with("html") || part.content_type.ends_with("xml");
            if part.size == 0 || !(html || part.content_type.starts_with("text/")) {
                continue;
            }
            let content = read(message, &part, left);
            left -= content.len().min(left);
            if html {
                scan::html(&content, |place, link| links.add(place, link, &self.silent));
            } else {
                scan::text(&content, |place, link| links.add(place, link, &self.silent));
            }
        }
        links
    }

    fn judge(&self, targets: &[Target]) -> Result<Judgement<'_, Of>, LookupError> {
        let lists = &self.settings.lists;
        let questions = self.questions(targets);
        let mut judged = Judgement::default();
        if questions.is_empty() {
            return Ok(judged);
        }
        let queries: Vec<_> = questions.iter().map(|question| question.query(lists)).collect();
        let answers = dns::lookup(&queries)?;
        for (question, answer) in questions.into_iter().zip(&answers) {
            judged.hear(lists, question, answer, &self.teller);
        }
        let refuse = self.settings.refuse.as_ref();
        let why = refuse.is_some_and(|refuse| judged.against() >= refuse.score);
        judged.confirm(why, &self.teller)?;
        Ok(judged)
    }

    fn questions(&self, targets: &[Target]) -> Vec<Question> {
        let mut questions = Vec::new();
        for target in targets {
            for (list, of) in self.settings.lists.iter().enumerate() {
                for of in &of.of {
                    let (kind, subject) = match (of, target) {
                        (Of::Address, Target::Address(address)) => {
                            (Kind::Addresses, address.to_string())
                        }
                        (Of::Domain, Target::Domain { registered, .. }) => {
                            (Kind::Domains, registered.clone())
                        }
                        (Of::Host, Target::Domain { host, .. }) => (Kind::Domains, host.clone()),
                        (Of::Address | Of::Domain | Of::Host, _) => continue,
                    };
                    questions.push(Question { list, kind, subject });
                }
            }
        }
        questions.truncate(MOST_QUESTIONS);
        questions
    }

    fn refusal(&self, judged: &Judgement<'_, Of>) -> Option<Verdict> {
        let refuse = self.settings.refuse.as_ref()?;
        judged.refusal(refuse.score, &refuse.reply, None, self.settings.on_error)
    }
}

/// At most so many octets of a part, decoded.
fn read(message: &Message, part: &Part, most: usize) -> Vec<u8> {
    let mut content = Vec::new();
    let Some(reader) = message.read_part(part.index) else { return content };
    while content.len() < most {
        let wanted = u32::try_from(most - content.len()).unwrap_or(u32::MAX);
        let chunk = reader.read(wanted);
        if chunk.is_empty() {
            break;
        }
        if content.is_empty() {
            content = chunk;
        } else {
            content.extend_from_slice(&chunk);
        }
    }
    content
}
