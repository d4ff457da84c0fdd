//! Tells what was found out about a message's sender, and obeys its domain; see README.md.

mod arc;
mod domain;
mod field;
mod found;
mod policy;
mod results;
mod settings;

use std::error::Error;

use portcullis_plugin::log;
use portcullis_plugin::mail_auth::{self, Finding};
use portcullis_plugin::{
    EditError, Hook, Message, Refusal, Reply, Session, Transaction, Verdict, metrics, plugin,
};
use terms::Clients;

use crate::domain::Domains;
use crate::field::Field;
use crate::found::{Found, spf_domain};
use crate::policy::{Policy, Ruling, Step, Wish};
use crate::settings::{Action, From, OnError, Refused, Scores, Settings, Spf};

/// The policy, and what it is told by.
#[derive(Debug)]
pub struct Authentication {
    id: String,
    /// Whose fields nobody else may bring along.
    own: Domains<()>,
    help: Option<String>,
    /// Those who log in are ours, those of networks and listeners trusted.
    exempt: Clients,
    spf: Spf,
    from: From,
    policy: Policy,
    scores: Scores,
}

#[plugin]
impl Authentication {
    fn configure(settings: Settings) -> Result<Self, String> {
        let Some(id) = settings.authserv_id else {
            return Err(
                "authserv_id: required: the name of this gateway, as in `hostname:`".to_owned()
            );
        };
        let id = id.0;
        let own = domain::Pattern::try_from(id.clone())
            .map_err(|mistake| format!("authserv_id: {mistake}"))?;
        let named =
            |patterns: Vec<domain::Pattern>| patterns.into_iter().map(|pattern| (pattern, ()));
        let mut dmarc = settings.dmarc;
        Ok(Self {
            own: Domains::new(named(settings.remove).chain([(own, ())])),
            help: settings.help.map(|link| link.0),
            exempt: settings.exempt,
            spf: settings.spf,
            from: settings.from,
            scores: settings.scores,
            policy: Policy {
                local: Domains::new(std::mem::take(&mut dmarc.domains)),
                lists: Domains::new(named(std::mem::take(&mut dmarc.lists))),
                sealers: Domains::new(named(settings.arc.trusted)),
                settings: dmarc,
                id: id.clone(),
            },
            id,
        })
    }

    fn skip(&self) -> Vec<Hook> {
        let late = self.spf.refuse.is_empty() && !self.spf.early;
        if late { vec![Hook::Mail] } else { Vec::new() }
    }

    fn mail(
        &self,
        session: &Session,
        transaction: &Transaction,
    ) -> Result<Verdict, Box<dyn Error>> {
        if self.exempt.contain(session) {
            session.set_note("spf", "none")?;
            return Ok(Verdict::Next);
        }
        let findings = mail_auth::sender(session, transaction)?;
        let Some(spf) = findings.iter().find(|finding| finding.method == "spf") else {
            return Ok(Verdict::Next);
        };
        session.set_note("spf", &spf.outcome)?;
        Ok(self.judge_sender(spf, session))
    }

    fn message(
        &self,
        session: &Session,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<Verdict, Box<dyn Error>> {
        // Mail of our users: they have shown who they are, and their networks publish no SPF.
        if self.exempt.has_user(session) {
            let mut field = Field::new(&self.id, false);
            field.begin("auth", "pass");
            return Ok(self.tell(field, message)?.unwrap_or(Verdict::Next));
        }
        let found = Found {
            sender: mail_auth::sender(session, transaction)?,
            content: mail_auth::content(session, transaction, message)?,
        };
        let trusted = self.exempt.has_origin(session);
        let ruling = self.policy.rule(&found, trusted, message);
        let verdict = self.judge(&found, ruling.as_ref(), trusted, transaction, message)?;
        metrics::add("messages", 1, Some(("dmarc", known(found.outcome("dmarc")))));
        note(session, &found)?;
        if !matches!(verdict, Verdict::Next | Verdict::Quarantine(_)) {
            return Ok(verdict);
        }
        let refused = self.tell(self.field(&found, ruling.as_ref(), transaction), message)?;
        Ok(refused.unwrap_or(verdict))
    }
}

impl Authentication {
    fn judge_sender(&self, spf: &Finding, session: &Session) -> Verdict {
        let refused = match &*spf.outcome {
            "fail" => Refused::Fail,
            "softfail" => Refused::SoftFail,
            "permerror" => Refused::PermError,
            "temperror" if self.spf.on_error == OnError::Defer && !self.spf.refuse.is_empty() => {
                // RFC 7372 section 3.2.
                return Verdict::defer(451, "4.7.24", "SPF cannot be checked now");
            }
            _ => return Verdict::Next,
        };
        if !self.spf.refuse.contains(&refused) {
            return Verdict::Next;
        }
        let domain = spf_domain(spf).unwrap_or_default();
        let client = session.client_address();
        let said =
            spf.property("policy.explanation").map(|text| format!("{domain} explained: {text}"));
        let facts = [("{client}", &*client), ("{domain}", domain)];
        log::info("refused for SPF", &[("domain", domain), ("spf", &spf.outcome)]);
        metrics::add("refused", 1, Some(("reason", "spf")));
        let broken = refused == Refused::PermError;
        let reply = if broken { &self.spf.broken } else { &self.spf.reply };
        self.refusal(reply, &facts, said.as_deref())
    }

    /// Scores, and says whether the message is refused.
    fn judge(
        &self,
        found: &Found,
        ruling: Option<&Ruling>,
        trusted: bool,
        to: &Transaction,
        message: &Message,
    ) -> Result<Verdict, EditError> {
        if trusted {
            return Ok(Verdict::Next);
        }
        if let Some((symbol, action)) = self.author_fault(found, message) {
            match action {
                Action::Refuse => {
                    log::info("refused for its From fields", &[]);
                    metrics::add("refused", 1, Some(("reason", "from")));
                    return Ok(self.refusal(&self.from.reply, &[], None));
                }
                Action::Quarantine => return Ok(Verdict::quarantine("From fields")),
                Action::Score => score(to, symbol)?,
                Action::Ignore => {}
            }
        }
        match ruling {
            Some(ruling) => self.apply(ruling, found, to),
            None if found.outcome("dmarc") == "pass" => {
                score(to, ("AUTH_PASS", self.scores.auth_pass))?;
                Ok(Verdict::Next)
            }
            None => {
                self.score_methods(found, to)?;
                Ok(Verdict::Next)
            }
        }
    }

    fn apply(
        &self,
        ruling: &Ruling,
        found: &Found,
        to: &Transaction,
    ) -> Result<Verdict, EditError> {
        let author = found.author().unwrap_or_default();
        if let Some(why) = ruling.overridden {
            metrics::add("overridden", 1, Some(("by", why)));
            log::debug("policy overridden", &[("domain", author), ("why", &ruling.comment)]);
        }
        match ruling.step {
            Step::Refuse => {
                log::info("refused for DMARC", &[("domain", author)]);
                metrics::add("refused", 1, Some(("reason", "dmarc")));
                let facts = [("{domain}", author)];
                return Ok(self.refusal(&self.policy.settings.reply, &facts, None));
            }
            Step::Defer => {
                log::info("deferred: DMARC cannot be checked now", &[("domain", author)]);
                metrics::add("deferred", 1, None);
                let text = "who sent this cannot be checked now, as name servers do not answer";
                return Ok(Verdict::defer(451, "4.7.1", text));
            }
            Step::ScoreError => score(to, ("AUTH_TEMPERROR", self.scores.auth_temperror))?,
            Step::Quarantine => {
                return Ok(Verdict::quarantine(format!("DMARC policy of {author}")));
            }
            Step::Score => score(to, self.symbol(ruling))?,
            Step::Nothing => {}
        }
        // Who forwards for good reasons cannot send for the sender's domain.
        if matches!(ruling.overridden, None | Some("pct")) {
            self.score_methods(found, to)?;
        }
        Ok(Verdict::Next)
    }

    fn symbol(&self, ruling: &Ruling) -> (&'static str, f64) {
        match ruling.applied {
            Wish::Reject => ("DMARC_REJECT", self.scores.dmarc_reject),
            Wish::Quarantine => ("DMARC_QUARANTINE", self.scores.dmarc_quarantine),
            Wish::None => ("DMARC_NONE", self.scores.dmarc_none),
        }
    }

    /// Where DMARC has not said that the mail is its author's.
    fn score_methods(&self, found: &Found, to: &Transaction) -> Result<(), EditError> {
        let spf = match found.outcome("spf") {
            "fail" => Some(("SPF_FAIL", self.scores.spf_fail)),
            "softfail" => Some(("SPF_SOFTFAIL", self.scores.spf_softfail)),
            "permerror" => Some(("SPF_PERMERROR", self.scores.spf_permerror)),
            _ => None,
        };
        spf.map_or(Ok(()), |spf| score(to, spf))?;
        let says = |word: &str| found.signatures().any(|signature| signature.outcome == word);

        if says("fail") && !says("pass") && !says("temperror") {
            score(to, ("DKIM_FAIL", self.scores.dkim_fail))?;
        }
        Ok(())
    }

    /// RFC 7489 section 6.6.1: without one author's domain there is no policy to obey.
    fn author_fault(
        &self,
        found: &Found,
        message: &Message,
    ) -> Option<((&'static str, f64), Action)> {
        let mut fields = message.header("From");
        fields.dedup();
        let several = ("FROM_SEVERAL", self.scores.from_several);
        if fields.len() > 1 {
            return Some((several, self.from.several));
        }
        if found.author().is_some() || found.outcome("dmarc") == "temperror" {
            return None;
        }
        let authors = fields.iter().flatten().filter(|octet| **octet == b'@').count();
        if authors > 1 {
            // One field with several authors is rare, but RFC 5322 lets it be.
            let action =
                if self.from.several == Action::Ignore { Action::Ignore } else { Action::Score };
            return Some((several, action));
        }
        Some((("FROM_MISSING", self.scores.from_missing), self.from.missing))
    }

    fn field(&self, found: &Found, ruling: Option<&Ruling>, transaction: &Transaction) -> Field {
        let beyond_ascii = found.all().any(|finding| !is_ascii(finding))
            && transaction.parameters().iter().any(|parameter| parameter.keyword == "SMTPUTF8");
        let mut field = Field::new(&self.id, beyond_ascii);
        for finding in found.all() {
            // RFC 8601 section 2.7.3 knows no `none` for iprev.
            if finding.method == "iprev" && finding.outcome == "none" {
                continue;
            }
            match ruling.filter(|_| finding.method == "dmarc" && finding.outcome != "temperror") {
                Some(ruling) => {
                    let (wish, applied) = (ruling.wish.label(), ruling.applied.label());
                    let space = if ruling.comment.is_empty() { "" } else { " " };
                    let comment = format!("p={wish} dis={applied}{space}{}", ruling.comment);
                    field.add(finding, Some(&comment), &[("policy.dmarc", applied)]);
                }
                None => field.add(finding, None, &[]),
            }
        }
        field
    }

    /// One field of ours at the top, and none that says to be ours below it. A call has 1,000 edits:
    /// who forges more fields than that is refused.
    fn tell(&self, field: Field, message: &Message) -> Result<Option<Verdict>, EditError> {
        match self.mark(field, message) {
            Err(EditError::OutOfRange) => {
                metrics::add("refused", 1, Some(("reason", "fields")));
                Ok(Some(Verdict::reject(554, "5.6.0", TOO_MANY)))
            }
            marked => marked.map(|()| None),
        }
    }

    fn mark(&self, field: Field, message: &Message) -> Result<(), EditError> {
        let mut forged = 0;
        for (nth, value) in (0..).zip(message.header(Field::NAME)) {
            let claimed = results::claimed(&String::from_utf8_lossy(&value));
            if claimed.is_none_or(|name| self.own.find(&name).is_some()) {
                message.drop_header(Field::NAME, nth)?;
                forged += 1;
            }
        }
        if forged > 0 {
            metrics::add("fields_removed", forged, None);
        }
        message.add_header(Some(0), Field::NAME, field.finish().as_bytes())
    }

    /// A refusal in the operator's words. What peers had a hand in is kept to one line of ASCII.
    fn refusal(&self, refusal: &Refusal, facts: &[(&str, &str)], more: Option<&str>) -> Verdict {
        let mut reply = refusal.reply().clone();
        for (name, value) in facts {
            if reply.text.contains(name) {
                reply.text = reply.text.replace(name, &shown(value));
            }
        }
        if let Some(more) = more {
            reply.text.push_str("; ");
            reply.text.push_str(&shown(more));
        }
        if let Some(help) = &self.help {
            reply.text.push_str("; see ");
            reply.text.push_str(help);
        }
        verdict(reply)
    }
}

fn verdict(reply: Reply) -> Verdict {
    match reply.code {
        421 => Verdict::Disconnect(reply),
        400..=499 => Verdict::Defer(reply),
        _ => Verdict::Reject(reply),
    }
}

fn score(to: &Transaction, (symbol, points): (&str, f64)) -> Result<(), EditError> {
    if points == 0.0 { Ok(()) } else { to.score(symbol, points) }
}

/// For plugins that are asked after this one.
fn note(session: &Session, found: &Found) -> Result<(), EditError> {
    session.set_note("dmarc", known(found.outcome("dmarc")))?;
    let mut domains = String::new();
    for signature in found.signatures().filter(|signature| signature.outcome == "pass") {
        let domain = signature.property("header.d").unwrap_or_default();
        if domains.len() + domain.len() < NOTE_OCTETS && !domains.split(' ').any(|d| d == domain) {
            domains.push_str(if domains.is_empty() { "" } else { " " });
            domains.push_str(domain);
        }
    }
    session.set_note("dkim-domains", &domains)
}

/// Words that a metric may have as a label.
fn known(outcome: &str) -> &'static str {
    match outcome {
        "pass" => "pass",
        "fail" => "fail",
        "none" => "none",
        "temperror" => "temperror",
        _ => "permerror",
    }
}

fn is_ascii(finding: &Finding) -> bool {
    let reason = finding.reason.as_deref().unwrap_or_default();
    reason.is_ascii() && finding.properties.iter().all(|(_, value)| value.is_ascii())
}

fn shown(text: &str) -> String {
    let fits = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    text.chars().take(SHOWN_CHARACTERS).map(fits).collect()
}

const TOO_MANY: &str = "too many header fields that say to be ours";

/// Of 1 KiB for key and value.
const NOTE_OCTETS: usize = 1000;

/// A domain and more.
const SHOWN_CHARACTERS: usize = 255;
