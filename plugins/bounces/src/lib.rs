//! Knows returned mail from forged, mail that only says to be ours, and mail that cannot be returned; see
//! README.md.

mod from;
mod reach;
mod settings;
mod tag;

use portcullis_plugin::mail_auth::Finding;
use portcullis_plugin::{
    EditError, Hook, Message, Recipient, Refusal, Session, Transaction, Verdict, clock, log,
    mail_auth, metrics, plugin, split_address,
};
use terms::{Addresses, Clients, Exempt};

use crate::reach::Reach;
use crate::settings::{Answer, Day, Forged, NullSender, OnError, Settings, Unreachable};
use crate::tag::{Key, Tag};

/// The rules.
#[derive(Debug)]
pub struct Bounces {
    domains: Addresses,
    /// Who sends for our domains.
    ours: Clients,
    batv: Option<Batv>,
    forged: Forged,
    null_sender: NullSender,
    /// If there is anything to it.
    unreachable: Option<Unreachable>,
    exempt: Exempt,
}

/// Tags.
#[derive(Debug)]
struct Batv {
    /// The first one signs.
    keys: Vec<Key>,
    days: u64,
    refuse_from: Option<Day>,
    refuse: Refusal,
    missing: f64,
    valid: f64,
}

#[plugin]
impl Bounces {
    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings { domains, ours, batv, forged, null_sender, unreachable, exempt } = settings;
        if domains.is_empty() {
            return Err("domains: which are ours has to be said".to_owned());
        }
        let batv = batv.map(Batv::new).transpose().map_err(|mistake| format!("batv.{mistake}"))?;
        if batv.is_none() {
            let instead = "they need no tag, and without `batv` nobody does; leave out senders or clients \
                           instead, or set `batv`";
            exempt.without(&["recipients"], instead)?;
        }
        forged.check()?;
        if let Some(rules) = &unreachable {
            rules.check()?;
        }
        let unreachable = unreachable.filter(|rules| !rules.is_off());
        Ok(Self { domains, ours, batv, forged, null_sender, unreachable, exempt })
    }

    fn skip(&self) -> Vec<Hook> {
        let mut skip = Vec::new();
        if self.forged.reverse_path.is_off() && self.unreachable.is_none() {
            skip.push(Hook::Mail);
        }
        if self.batv.is_none() {
            skip.push(Hook::Data);
            if self.null_sender.recipients == 0 {
                skip.push(Hook::Rcpt);
            }
        }
        if self.forged.from.is_off() {
            skip.push(Hook::Message);
        }
        skip
    }

    fn mail(&self, session: &Session, transaction: &Transaction) -> Result<Verdict, String> {
        let Some(sender) = transaction.sender() else { return Ok(Verdict::Next) };
        let says_ours = !self.forged.reverse_path.is_off() && self.domains.contain(Some(&sender));
        if !(says_ours || self.unreachable.is_some())
            || self.ours.contain(session)
            || self.exempt.transaction(session, transaction)
        {
            return Ok(Verdict::Next);
        }
        match &self.unreachable {
            // Ours exist.
            _ if says_ours => Ok(self.forged(&sender, session, transaction)),
            Some(rules) => unreachable(rules, &sender, transaction),
            None => Ok(Verdict::Next),
        }
    }

    fn rcpt(
        &self,
        session: &Session,
        transaction: &Transaction,
        recipient: &Recipient,
    ) -> Result<Verdict, EditError> {
        let bounce = transaction.sender().is_none();
        let mut tagged = Tag::None;
        if let Some(batv) = &self.batv {
            tagged = Tag::of(&recipient.address, &batv.keys, today());
            if let Tag::Valid(address) = &tagged {
                // Also for mail with a sender: some answer the reverse-path.
                transaction.set_recipient(recipient.index, address)?;
            }
        }
        if !bounce || self.ours.contain(session) || self.exempt.transaction(session, transaction) {
            return Ok(Verdict::Next);
        }
        let most = self.null_sender.recipients;
        // Mail to postmaster has to be accepted (RFC 5321 4.5.1).
        if recipient.local_part().eq_ignore_ascii_case("postmaster") {
            return Ok(Verdict::Next);
        }
        if most > 0 && transaction.recipients().len() >= most {
            tell("null_to_many", "null sender to many", "recipient", &recipient.address);
            return Ok(self.null_sender.refuse.verdict());
        }
        match &self.batv {
            Some(batv) => self.returned(batv, &tagged, transaction, &recipient.address),
            None => Ok(Verdict::Next),
        }
    }

    fn data(&self, session: &Session, transaction: &Transaction) -> Result<Verdict, EditError> {
        if let Some(batv) = &self.batv
            && self.ours.contain(session)
            && let Some(sender) = transaction.sender()
            && self.domains.contain(Some(&sender))
            && !self.exempt.sender(Some(&sender))
            && let Some(key) = batv.keys.first()
            && let Some(signed) = key.sign(&sender, today() + batv.days)
        {
            transaction.set_sender(Some(&signed))?;
            metrics::add("mails", 1, Some(("result", "signed")));
        }
        Ok(Verdict::Next)
    }

    fn message(&self, session: &Session, transaction: &Transaction, message: &Message) -> Verdict {
        let values = message.header("From");
        let mut authors = values.iter().flat_map(|value| from::addresses(value));
        let Some(author) = authors.find(|author| self.domains.contain(Some(author))) else {
            return Verdict::Next;
        };
        if self.ours.contain(session) || self.exempt.transaction(session, transaction) {
            return Verdict::Next;
        }
        let authentic = || passes("dmarc", mail_auth::content(session, transaction, message));
        if self.forged.unless_authentic && authentic() {
            return Verdict::Next;
        }
        tell("forged_from", "author is forged", "from", &author);
        answer(&self.forged.from, "FORGED_FROM", transaction)
    }
}

impl Bounces {
    /// A stranger's mail from one of us.
    fn forged(&self, sender: &str, session: &Session, transaction: &Transaction) -> Verdict {
        // Who sends newsletters for us is named in our SPF record.
        let authentic = || passes("spf", mail_auth::sender(session, transaction));
        if self.forged.unless_authentic && authentic() {
            return Verdict::Next;
        }
        tell("forged_sender", "sender is forged", "sender", sender);
        answer(&self.forged.reverse_path, "FORGED_SENDER", transaction)
    }

    /// A bounce of what we have sent has a tag; one of what others have sent in our name has none.
    fn returned(
        &self,
        batv: &Batv,
        tag: &Tag,
        transaction: &Transaction,
        recipient: &str,
    ) -> Result<Verdict, EditError> {
        if matches!(tag, Tag::Valid(_)) {
            metrics::add("mails", 1, Some(("result", "tag_valid")));
            if batv.valid != 0.0 {
                transaction.score("BATV_VALID", batv.valid)?;
            }
            return Ok(Verdict::Next);
        }
        let needs_tag = self.domains.contain(Some(recipient))
            && !self.exempt.recipient(recipient)
            && (*tag == Tag::Wrong || tag::fits(split_address(recipient).0));
        if !needs_tag {
            return Ok(Verdict::Next);
        }
        tell("tag_missing", "bounce of what we have not sent", "recipient", recipient);
        if batv.refuse_from.is_some_and(|day| day.0 <= today()) {
            return Ok(batv.refuse.verdict());
        }
        if batv.missing != 0.0 {
            transaction.score("BATV_MISSING", batv.missing)?;
        }
        Ok(Verdict::Next)
    }
}

impl Batv {
    fn new(settings: settings::Batv) -> Result<Self, String> {
        let settings::Batv { keys, lifetime, refuse_from, refuse, missing, valid } = settings;
        let days = u64::from(lifetime.as_seconds()) / 86_400;
        if !(1..=100).contains(&days) {
            return Err(format!("lifetime: {lifetime} is not from 1d to 100d"));
        }
        let mut ready = Vec::<Key>::new();
        for (place, key) in keys.into_iter().enumerate() {
            if key.number > 9 || ready.iter().any(|known| known.number() == key.number) {
                return Err(format!("keys[{place}].number: from 0 to 9, and no two the same"));
            }
            ready.push(Key::new(key.number, key.secret.text())?);
        }
        if ready.is_empty() {
            return Err("keys: at least one; without tags leave `batv` out".to_owned());
        }
        let refuse = match refuse {
            Some(refuse) => refuse,
            None => "550 5.7.1 this address has sent nothing that could come back".parse()?,
        };
        Ok(Self { keys: ready, days, refuse_from, refuse, missing, valid })
    }
}

/// To whom nothing can be returned.
fn unreachable(
    rules: &Unreachable,
    sender: &str,
    transaction: &Transaction,
) -> Result<Verdict, String> {
    let Some(domain) = reach::domain(sender) else { return Ok(Verdict::Next) };
    // The operator's mistake, which no mail should hide.
    let reach =
        Reach::of(domain).map_err(|_| "no grant `dns`, which `unreachable` needs".to_owned())?;
    match reach {
        Reach::Unknown if !rules.unknown.is_off() => {
            tell("sender_unknown", "sender's domain does not exist", "sender", sender);
            Ok(answer(&rules.unknown, "SENDER_UNKNOWN", transaction))
        }
        Reach::NoMail if !rules.no_mail.is_off() => {
            tell("sender_no_mail", "sender's domain takes no mail", "sender", sender);
            Ok(answer(&rules.no_mail, "SENDER_NO_MAIL", transaction))
        }
        Reach::Known | Reach::Unknown | Reach::NoMail => Ok(Verdict::Next),
        Reach::Unanswered => Ok(unanswered(rules.on_error, sender)),
    }
}

fn unanswered(on_error: OnError, sender: &str) -> Verdict {
    let text = "no answer about the sender's domain";
    match on_error {
        OnError::Pass => {
            metrics::add("mails", 1, Some(("result", "sender_unanswered")));
            log::debug(text, &[("sender", sender)]);
            Verdict::Next
        }
        OnError::Defer => {
            tell("sender_unanswered", text, "sender", sender);
            Verdict::defer(451, "4.4.3", "your domain cannot be looked up now")
        }
    }
}

fn today() -> u64 {
    clock::now() / 86_400_000
}

/// Without the grant nothing passes.
fn passes<E>(method: &str, findings: Result<Vec<Finding>, E>) -> bool {
    findings
        .unwrap_or_default()
        .iter()
        .any(|finding| finding.method == method && finding.outcome == "pass")
}

fn answer(answer: &Answer, symbol: &str, transaction: &Transaction) -> Verdict {
    match &answer.refuse {
        Some(refusal) => refusal.verdict(),
        None => {
            // Points that cannot be given are not worth a mail.
            let _ = transaction.score(symbol, answer.score);
            Verdict::Next
        }
    }
}

fn tell(result: &str, text: &str, field: &str, value: &str) {
    metrics::add("mails", 1, Some(("result", result)));
    log::info(text, &[(field, value)]);
}
