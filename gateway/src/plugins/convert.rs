//! Values of the contract from and to values of the gateway.

use portcullis_smtp::{EnhancedStatus, Parameter, Reply, ReplyError};

use super::bindings::{self, Verdict, types};
use super::host::printable;
use crate::message::{Forwarded, Part, Recipient};
use crate::policy::{FailureReason, Hook, HookFailure, Opinion};

pub(super) fn parameters(parameters: &[Parameter]) -> Vec<types::Parameter> {
    let convert = |parameter: &Parameter| types::Parameter {
        keyword: parameter.keyword.clone(),
        value: parameter.value.clone(),
    };
    parameters.iter().map(convert).collect()
}

pub(super) fn recipient(recipient: &Recipient) -> types::Recipient {
    types::Recipient {
        index: recipient.index,
        address: recipient.address.to_string(),
        parameters: parameters(&recipient.parameters),
    }
}

pub(super) fn part(index: u32, part: &Part) -> types::Part {
    let Part { parent, content_type, charset, disposition, file_name, size, encoded } =
        part.clone();
    types::Part { index, parent, content_type, charset, disposition, file_name, size, encoded }
}

pub(super) fn forwarded(said: &Forwarded) -> types::Forwarded {
    let Forwarded { name, address, port, protocol, helo, identity, source } = said.clone();
    let address = address.map(|address| address.to_canonical().to_string());
    types::Forwarded { name, address, port, protocol, helo, identity, source }
}

/// What a plugin's verdict means, if it may give it at this hook.
pub(super) fn opinion(hook: Hook, verdict: Verdict) -> Result<Opinion, HookFailure> {
    let opinion = match verdict {
        Verdict::Next => Opinion::Next,
        Verdict::Accept => Opinion::Accept,
        Verdict::Reject(answer) => {
            Opinion::Reject(refusal(&answer, "reject", Reply::is_permanent)?)
        }
        Verdict::Defer(answer) => Opinion::Defer(refusal(&answer, "defer", Reply::is_transient)?),
        Verdict::Disconnect(answer) => {
            let negative = |reply: &Reply| !reply.is_positive();
            Opinion::Disconnect(refusal(&answer, "disconnect", negative)?)
        }
        Verdict::Discard(text) if hook >= Hook::Mail => {
            Opinion::Discard(printable(&text, TEXT_OCTETS))
        }
        Verdict::Quarantine(text) if hook >= Hook::Headers => {
            Opinion::Quarantine(printable(&text, TEXT_OCTETS))
        }
        Verdict::Discard(_) => return Err(bad(format!("discard is not an answer to {hook}"))),
        Verdict::Quarantine(_) => {
            return Err(bad(format!("quarantine is not an answer to {hook}")));
        }
    };
    Ok(opinion)
}

/// A reply in the contract's words.
pub(super) fn said(reply: &Reply) -> types::Reply {
    types::Reply {
        code: reply.code(),
        status: reply.status().map(EnhancedStatus::parts),
        text: reply.text(),
    }
}

/// A reply in a plugin's words.
pub(super) fn reply(answer: &bindings::Reply) -> Result<Reply, AnswerError> {
    if answer.text.len() > TEXT_OCTETS {
        return Err(AnswerError::TooLong);
    }
    let status = match answer.status {
        Some((class, subject, detail)) => Some(EnhancedStatus::new(class, subject, detail)?),
        None => None,
    };
    Ok(Reply::new(answer.code, status, &answer.text)?)
}

/// Why a plugin's words are no reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    #[error(transparent)]
    Reply(#[from] ReplyError),
    #[error("text is longer than {TEXT_OCTETS} octets")]
    TooLong,
}

pub(super) fn refusal(
    answer: &bindings::Reply,
    verdict: &str,
    fits: impl Fn(&Reply) -> bool,
) -> Result<Reply, HookFailure> {
    let reply = reply(answer).map_err(|error| bad(format!("{verdict}: {error}")))?;
    if !fits(&reply) {
        return Err(bad(format!("{verdict} with code {}", reply.code())));
    }
    Ok(reply)
}

pub(super) fn bad(detail: String) -> HookFailure {
    HookFailure { reason: FailureReason::BadAnswer, detail }
}

/// Of a reply or of a reason for the log. Clients show no more, and some read no more.
const TEXT_OCTETS: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, status: Option<(u8, u16, u16)>, text: &str) -> bindings::Reply {
        bindings::Reply { code, status, text: text.into() }
    }

    #[test]
    fn verdicts_that_the_contract_forbids_are_bad_answers() {
        for (hook, verdict) in [
            (Hook::Rcpt, Verdict::Reject(answer(200, None, "fine"))),
            (Hook::Rcpt, Verdict::Reject(answer(450, None, "later"))),
            (Hook::Rcpt, Verdict::Reject(answer(550, None, "no\r\n250 yes"))),
            (Hook::Rcpt, Verdict::Reject(answer(550, Some((4, 7, 1)), "no"))),
            (Hook::Rcpt, Verdict::Reject(answer(550, Some((5, 7000, 1)), "no"))),
            (Hook::Rcpt, Verdict::Reject(answer(550, None, &"x".repeat(5_000)))),
            (Hook::Rcpt, Verdict::Defer(answer(550, None, "no"))),
            (Hook::Rcpt, Verdict::Disconnect(answer(250, None, "bye"))),
            (Hook::Helo, Verdict::Discard("too early".into())),
            (Hook::Data, Verdict::Quarantine("too early".into())),
        ] {
            let failure = opinion(hook, verdict).expect_err("a bad answer");
            assert_eq!(failure.reason, FailureReason::BadAnswer);
        }
    }

    #[test]
    fn reasons_for_the_log_are_printable() {
        let discard = opinion(Hook::Mail, Verdict::Discard("a\nb".into())).expect("allowed");
        assert_eq!(discard, Opinion::Discard("a\\nb".into()));
    }
}
