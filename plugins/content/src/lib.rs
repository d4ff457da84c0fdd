//! Judges attachments by name, content and size, and the sanity of messages; see README.md.

mod action;
mod archive;
mod check;
mod claim;
mod examine;
mod findings;
mod kind;
mod markup;
mod name;
mod ole;
mod outcome;
mod rules;
mod sanity;
mod settings;
mod source;
mod strip;

use portcullis_plugin::{
    EditError, Hook, Message, Part, Recipient, Session, Transaction, Verdict, plugin,
};
use terms::Exempt;

use crate::action::{Action, Decision};
use crate::check::Check;
use crate::examine::{Examiner, Promises, Seen};
use crate::findings::Findings;
use crate::outcome::{Outcome, Reason};
use crate::rules::{Deed, Rule, SizeRule};
use crate::sanity::Section;
use crate::settings::{Limits, Settings};
use crate::source::Budget;

/// Checks, rules and limits, ready to be used.
#[derive(Debug)]
pub struct Content {
    /// In the order of the checks.
    actions: Vec<Action>,
    rules: Vec<Rule>,
    sizes: Vec<SizeRule>,
    promises: Promises,
    help: Option<String>,
    tag_header: String,
    /// Whether anything is tagged: then nobody else's tags count.
    tags: bool,
    exempt: Exempt,
    limits: Limits,
}

#[plugin]
impl Content {
    fn configure(settings: Settings) -> Result<Self, String> {
        let actions = actions(&settings)?;
        let numbered =
            |list: &str, number: usize, mistake: String| format!("{list}[{number}]: {mistake}");
        let rules = settings.rules.into_iter().enumerate();
        let rules = rules
            .map(|(number, rule)| Rule::new(rule).map_err(|m| numbered("rules", number, m)))
            .collect::<Result<Vec<_>, _>>()?;
        let sizes = settings.sizes.into_iter().enumerate();
        let sizes = sizes
            .map(|(number, rule)| SizeRule::new(rule).map_err(|m| numbered("sizes", number, m)))
            .collect::<Result<_, _>>()?;
        let help = settings.help;
        if help.as_ref().is_some_and(|help| !help.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err("help: an address of a page, without blanks".to_owned());
        }
        let tag_header = settings.tag_header.unwrap_or_else(|| "X-Attachment-Policy".to_owned());
        let named = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if tag_header.is_empty() || !tag_header.bytes().all(named) {
            return Err(format!("tag_header: `{tag_header}` is not the name of a header"));
        }
        let tagging = |action: &Action| matches!(action.decision, Some(Decision::Tag(_)));
        let tags = actions.iter().any(tagging)
            || rules.iter().any(|rule| matches!(&rule.deed, Deed::Act(action) if tagging(action)));
        let promises = Promises::new(settings.extensions);
        let (exempt, limits) = (settings.exempt, settings.limits);
        Ok(Self { actions, rules, sizes, promises, help, tag_header, tags, exempt, limits })
    }

    fn skip(&self) -> Vec<Hook> {
        let idle = self.actions.iter().all(Action::is_off);
        let idle = idle && self.rules.is_empty() && self.sizes.is_empty();
        if idle { vec![Hook::Message] } else { Vec::new() }
    }

    fn message(
        &self,
        session: &Session,
        transaction: &Transaction,
        message: &Message,
    ) -> Result<Verdict, EditError> {
        let section = message.header_section();
        let section = Section::new(&section);
        let mut findings = Findings::default();
        // Whoever may send UTF-8 in fields says so at MAIL (RFC 6531 3.4), which is a call to ask.
        section.findings(false).for_each(|check| findings.of_message(check));
        let parts = if section.is_plain_text() { Vec::new() } else { message.parts() };
        let mut outcome = Outcome::default();
        let mut known = Known::new(transaction);
        if !parts.is_empty() || !findings.0.is_empty() || !self.sizes.is_empty() {
            if self.exempt.message(session, transaction) {
                return Ok(Verdict::Next);
            }
            self.look_at_parts(message, &parts, &mut findings, &mut outcome, &mut known);
            self.weigh_sizes(message, &mut outcome, &mut known);
            self.judge(transaction, findings, &mut outcome, &mut known);
        }
        if self.tags {
            let count = message.header(&self.tag_header).len();
            // A call has 1,000 edits. Who forges as many fields is no honest sender.
            if count > MOST_FORGED {
                return Ok(Verdict::reject(554, "5.6.0", "too many fields that are ours to give"));
            }
            for nth in 0..u32::try_from(count).unwrap_or(u32::MAX) {
                message.drop_header(&self.tag_header, nth)?;
            }
        }
        outcome.carry_out(transaction, message, &parts, &self.tag_header)
    }
}

/// The recipients, once somebody wants them.
struct Known<'a> {
    transaction: &'a Transaction,
    recipients: Option<Vec<Recipient>>,
}

impl<'a> Known<'a> {
    fn new(transaction: &'a Transaction) -> Self {
        Self { transaction, recipients: None }
    }

    fn recipients(&mut self) -> &[Recipient] {
        self.recipients.get_or_insert_with(|| self.transaction.recipients())
    }
}

impl Content {
    fn action(&self, check: Check) -> &Action {
        &self.actions[check as usize]
    }

    /// The rules have the first word about each part, the checks the second.
    fn look_at_parts(
        &self,
        message: &Message,
        parts: &[Part],
        findings: &mut Findings,
        outcome: &mut Outcome,
        known: &mut Known<'_>,
    ) {
        let (promises, limits) = (&self.promises, &self.limits);
        let budget = Budget::new(limits.read.0);
        let examiner = Examiner { message, promises, limits, budget };
        for part in examiner.worthwhile(parts, findings) {
            let mut own = Findings::default();
            let seen = examiner.see(part, &mut own);
            if self.apply_rules(&seen, outcome, known) {
                continue;
            }
            examiner.check(&seen, &mut own);
            findings.0.append(&mut own.0);
        }
        if examiner.budget.is_spent() {
            findings.of_message(Check::TooManyParts);
        }
    }

    /// Whether a rule says that the part is to be let be. The first that fits decides; points are
    /// given by each.
    fn apply_rules(&self, seen: &Seen<'_>, outcome: &mut Outcome, known: &mut Known<'_>) -> bool {
        for rule in &self.rules {
            if !rule.fits(seen, || known.transaction.sender()) {
                continue;
            }
            let recipients = known.recipients();
            if let Some(about) = &rule.recipients
                && !recipients.iter().any(|one| about.contain(Some(&one.address)))
            {
                continue;
            }
            let Deed::Act(action) = &rule.deed else { return true };
            let name = name::sanitised(seen.name());
            let text = match name.as_str() {
                "" => "an attachment is not allowed here".to_owned(),
                name => format!("the attachment \"{name}\" is not allowed here"),
            };
            let reason = Reason {
                part: Some(seen.part.index),
                symbol: &rule.symbol,
                text: &text,
                help: self.help.as_deref(),
                recipients: rule.recipients.as_ref(),
            };
            outcome.add(action, &reason, recipients);
            if action.decision.is_some() {
                return true;
            }
        }
        false
    }

    fn weigh_sizes(&self, message: &Message, outcome: &mut Outcome, known: &mut Known<'_>) {
        if self.sizes.is_empty() {
            return;
        }
        let size = message.size();
        for rule in self.sizes.iter().filter(|rule| size > rule.larger_than) {
            let recipients = known.recipients();
            let about = rule.recipients.as_ref();
            if recipients
                .iter()
                .any(|one| about.is_none_or(|about| about.contain(Some(&one.address))))
            {
                let why = format!("{size} octets are more than {}", rule.larger_than);
                outcome.refuse(rule.refusal.clone(), &why, about, recipients);
            }
        }
    }

    fn judge(
        &self,
        transaction: &Transaction,
        findings: Findings,
        outcome: &mut Outcome,
        known: &mut Known<'_>,
    ) {
        for finding in findings.0 {
            let action = self.action(finding.check);
            let internationalised =
                || transaction.parameters().iter().any(|parameter| parameter.keyword == "SMTPUTF8");
            if action.is_off() || (finding.check == Check::RawOctets && internationalised()) {
                continue;
            }
            // Only decisions want words and recipients.
            let (text, recipients) = match action.decision {
                Some(_) => (finding.text(), known.recipients()),
                None => (String::new(), [].as_slice()),
            };
            let reason = Reason {
                part: finding.part,
                symbol: finding.check.symbol(),
                text: &text,
                help: self.help.as_deref(),
                recipients: None,
            };
            outcome.add(action, &reason, recipients);
        }
    }
}

/// Leaves room for what parts that are stripped and tags take.
const MOST_FORGED: usize = 500;

/// What is done about each check, in their order.
fn actions(settings: &Settings) -> Result<Vec<Action>, String> {
    for (key, action) in &settings.checks {
        let Some(check) = Check::ALL.iter().find(|check| check.key() == key) else {
            let known: Vec<_> = Check::ALL.iter().map(|check| check.key()).collect();
            return Err(format!(
                "checks: unknown check `{key}`, expected one of {}",
                known.join(", ")
            ));
        };
        let of_message = *check as usize >= Check::TooManyParts as usize;
        if of_message && matches!(action.decision, Some(Decision::Strip(_))) {
            return Err(format!(
                "checks.{key}: is about the message; only attachments are stripped"
            ));
        }
    }
    let action =
        |check: &Check| settings.checks.get(check.key()).cloned().unwrap_or_else(|| check.usual());
    Ok(Check::ALL.iter().map(action).collect())
}
