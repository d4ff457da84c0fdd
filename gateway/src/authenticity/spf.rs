//! SPF (RFC 7208): may this client send for this domain?

mod evaluation;
mod expression;
mod grammar;
mod record;

use std::net::IpAddr;

use mail_auth::spf::Macro;

use super::Names;
use crate::message::Outcome;
use evaluation::{Ended, Evaluation};

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Asked<'a> {
    /// The client.
    pub(super) address: IpAddr,
    /// What it calls itself.
    pub(super) helo: &'a str,
    /// The sender, with a local part.
    pub(super) sender: String,
    /// Who asks.
    pub(super) hostname: &'a str,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) struct Checked {
    pub(super) outcome: Outcome,
    pub(super) reason: Option<String>,
    /// What the domain's owner says about a failure.
    pub(super) explanation: Option<String>,
}

impl Asked<'_> {
    /// The function `check_host` of RFC 7208 section 4.
    pub(super) async fn check(&self, names: &Names<'_>, domain: &str) -> Checked {
        let mut evaluation = Evaluation::new(self, names);
        let (outcome, reason) = match evaluation.check(domain).await {
            Ok(outcome) => (outcome, None),
            Err(Ended { outcome, reason }) => (outcome, Some(reason)),
        };
        let explanation = match evaluation.explanation.take() {
            Some((exp, domain)) if outcome == Outcome::Fail => {
                evaluation.explain(&exp, &domain).await
            }
            _ => None,
        };
        Checked { outcome, reason, explanation }
    }
}

/// The text `exp=` of a record, and the domain of that record.
type Explanation = (Macro, String);
