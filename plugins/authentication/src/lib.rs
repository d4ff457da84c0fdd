//! Tells what was found out about a message's sender, and obeys its domain; see README.md.

mod arc;
mod domain;
mod field;
mod found;
mod judgement;
mod policy;
mod refusal;
mod results;
mod settings;

use std::error::Error;

use portcullis_plugin::mail_auth::{self, Finding};
use portcullis_plugin::{EditError, Hook, Message, Session, Transaction, Verdict, metrics, plugin};
use terms::Clients;

use crate::domain::Domains;
use crate::field::Field;
use crate::found::Found;
use crate::policy::{Policy, Ruling};
use crate::refusal::Refusals;
use crate::settings::{From, Scores, Settings, Spf};

/// The policy, and what it is told by.
#[derive(Debug)]
pub struct Authentication {
    id: String,
    /// Whose fields nobody else may bring along.
    own: Domains<()>,
    refusals: Refusals,
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
            refusals: Refusals { help: settings.help.map(|link| link.0) },
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

const TOO_MANY: &str = "too many header fields that say to be ours";

/// Of 1 KiB for key and value.
const NOTE_OCTETS: usize = 1000;
