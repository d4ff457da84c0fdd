//! What becomes of mail for what was found out about its sender: a refusal, or points.

use portcullis_plugin::mail_auth::Finding;
use portcullis_plugin::{EditError, Message, Session, Transaction, Verdict, log, metrics};

use crate::Authentication;
use crate::found::{Found, spf_domain};
use crate::policy::{Ruling, Step, Wish};
use crate::settings::{Action, OnError, Refused};

impl Authentication {
    /// At MAIL, by SPF alone.
    pub(crate) fn judge_sender(&self, spf: &Finding, session: &Session) -> Verdict {
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
        self.refusals.fill(reply, &facts, said.as_deref())
    }

    /// Scores, and says whether the message is refused.
    pub(crate) fn judge(
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
                    return Ok(self.refusals.fill(&self.from.reply, &[], None));
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
                return Ok(self.refusals.fill(&self.policy.settings.reply, &facts, None));
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
}

fn score(to: &Transaction, (symbol, points): (&str, f64)) -> Result<(), EditError> {
    if points == 0.0 { Ok(()) } else { to.score(symbol, points) }
}
