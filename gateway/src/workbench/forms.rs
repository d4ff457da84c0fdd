//! Verdicts, edits and log lines as facts, and the words that scenario files have for them.

use portcullis_smtp::Reply;
use tracing::Level;

use super::fact::{Fact, Form, Short};
use crate::message::{Edit, HeaderEdit};
use crate::policy::{Answer, HookFailure, Opinion};
use crate::telemetry::KeptLine;

/// What a reply is made of.
pub(crate) const REPLY: &[&str] = &["code", "status", "text"];

/// What a plugin answers to all hooks but `auth`.
pub(super) const VERDICTS: &[Form] = &[
    Form { kind: "accept", keys: &[], short: Short::Nothing },
    Form { kind: "defer", keys: REPLY, short: Short::Reply },
    Form { kind: "discard", keys: &["text"], short: Short::Field("text") },
    Form { kind: "disconnect", keys: REPLY, short: Short::Reply },
    FAILS,
    Form { kind: "next", keys: &[], short: Short::Nothing },
    NOT_ASKED,
    Form { kind: "quarantine", keys: &["text"], short: Short::Field("text") },
    Form { kind: "reject", keys: REPLY, short: Short::Reply },
];

/// What it answers to `auth`.
pub(super) const AUTHENTICATIONS: &[Form] = &[
    Form { kind: "authenticated", keys: &["user"], short: Short::Field("user") },
    FAILS,
    Form { kind: "next", keys: &[], short: Short::Nothing },
    NOT_ASKED,
    Form { kind: "refused", keys: REPLY, short: Short::Reply },
    Form { kind: "unavailable", keys: REPLY, short: Short::Reply },
];

const FAILS: Form =
    Form { kind: "fails", keys: &["reason", "text"], short: Short::Field("reason") };
const NOT_ASKED: Form = Form { kind: "not-asked", keys: &[], short: Short::Nothing };

/// What it makes of its settings.
pub(super) const CONFIGURATIONS: &[Form] = &[
    Form { kind: "ok", keys: &[], short: Short::Nothing },
    Form { kind: "refused", keys: &["text"], short: Short::Field("text") },
];

/// What the client was told in the end.
pub(super) const REPLIES: &[Form] = &[
    Form { kind: "disconnected", keys: REPLY, short: Short::Reply },
    Form { kind: "none", keys: &[], short: Short::Nothing },
    Form { kind: "refused", keys: REPLY, short: Short::Reply },
];

/// What it changes.
pub(crate) const EDITS: &[Form] = &[
    Form { kind: "add-header", keys: &["at", "name", "value"], short: Short::Nothing },
    Form { kind: "add-recipient", keys: &["address", "index"], short: Short::Field("address") },
    Form { kind: "delay", keys: &["time"], short: Short::Field("time") },
    Form { kind: "drop-header", keys: &["name", "nth"], short: Short::Field("name") },
    Form { kind: "drop-recipient", keys: &["index"], short: Short::Field("index") },
    Form {
        kind: "refuse-recipient",
        keys: &["code", "index", "status", "text"],
        short: Short::Reply,
    },
    Form { kind: "replace-body", keys: &["body"], short: Short::Field("body") },
    Form { kind: "route", keys: &["index", "upstream"], short: Short::Field("upstream") },
    Form { kind: "score", keys: &["points", "symbol"], short: Short::Field("symbol") },
    Form { kind: "set-header", keys: &["name", "nth", "value"], short: Short::Nothing },
    Form { kind: "set-recipient", keys: &["address", "index"], short: Short::Field("address") },
    Form { kind: "set-sender", keys: &["address"], short: Short::Field("address") },
    Form { kind: "splice-body", keys: &["at", "length", "replacement"], short: Short::Nothing },
];

/// What it logs, by level.
pub(super) const LINES: &[Form] = &[
    Form { kind: "debug", keys: &["fields", "hook", "text"], short: Short::Field("text") },
    Form { kind: "error", keys: &["fields", "hook", "text"], short: Short::Field("text") },
    Form { kind: "info", keys: &["fields", "hook", "text"], short: Short::Field("text") },
    Form { kind: "trace", keys: &["fields", "hook", "text"], short: Short::Field("text") },
    Form { kind: "warn", keys: &["fields", "hook", "text"], short: Short::Field("text") },
];

/// What a hook call came to, in the words of a scenario.
#[must_use]
pub fn verdict(auth: bool, result: &Result<Answer, HookFailure>) -> Fact {
    let opinion = match result {
        Ok(answer) => &answer.opinion,
        Err(HookFailure { reason, detail }) => {
            let fields = vec![("reason", reason.label().to_owned()), ("text", detail.clone())];
            return Fact { kind: FAILS.kind, fields };
        }
    };
    let text = |kind, text: &str| Fact { kind, fields: vec![("text", text.to_owned())] };
    match opinion {
        Opinion::Accept => Fact::bare("accept"),
        Opinion::Authenticated(user) => {
            Fact { kind: "authenticated", fields: vec![("user", user.clone())] }
        }
        Opinion::Defer(answer) if auth => reply("unavailable", answer),
        Opinion::Defer(answer) => reply("defer", answer),
        Opinion::Discard(why) => text("discard", why),
        Opinion::Disconnect(answer) => reply("disconnect", answer),
        Opinion::Next => Fact::bare("next"),
        Opinion::Quarantine(why) => text("quarantine", why),
        Opinion::Reject(answer) if auth => reply("refused", answer),
        Opinion::Reject(answer) => reply("reject", answer),
    }
}

/// A reply.
pub(super) fn reply(kind: &'static str, reply: &Reply) -> Fact {
    Fact { kind, fields: reply_fields(reply) }
}

fn reply_fields(reply: &Reply) -> Vec<(&'static str, String)> {
    let mut fields = vec![("code", reply.code().to_string())];
    fields.extend(reply.status().map(|status| ("status", status.to_string())));
    fields.push(("text", reply.text()));
    fields
}

/// One line of the log.
pub(super) fn line(line: &KeptLine) -> Fact {
    let kind = match line.level {
        Level::DEBUG => "debug",
        Level::ERROR => "error",
        Level::INFO => "info",
        Level::TRACE => "trace",
        Level::WARN => "warn",
    };
    let field = |name: &str| line.fields.iter().find(|(known, _)| *known == name);
    let mut fields = vec![("text", line.text.clone())];
    for name in ["hook", "fields"] {
        fields.extend(field(name).map(|(known, value)| (*known, value.clone())));
    }
    Fact { kind, fields }
}

/// One edit.
#[must_use]
pub fn edit(edit: &Edit) -> Fact {
    let (kind, fields) = match edit {
        Edit::AddRecipient(added) => (
            "add-recipient",
            vec![("address", added.address.to_string()), ("index", added.index.to_string())],
        ),
        Edit::Delay(delay) => ("delay", vec![("time", format!("{delay:?}"))]),
        Edit::DropRecipient(index) => ("drop-recipient", vec![("index", index.to_string())]),
        Edit::Header(edit) => return header_edit(edit),
        Edit::RefuseRecipient(index, reply) => {
            let mut fields = vec![("index", index.to_string())];
            fields.extend(reply_fields(reply));
            ("refuse-recipient", fields)
        }
        Edit::ReplaceBody(body) => ("replace-body", vec![("body", super::play::text_of(body))]),
        Edit::Route { upstream, index } => {
            let mut fields = vec![("upstream", upstream.clone())];
            fields.extend(index.map(|index| ("index", index.to_string())));
            ("route", fields)
        }
        Edit::Score(score) => {
            let points = score.points.get().to_string();
            ("score", vec![("symbol", score.symbol.clone()), ("points", points)])
        }
        Edit::SetRecipient(index, address) => {
            ("set-recipient", vec![("address", address.to_string()), ("index", index.to_string())])
        }
        Edit::SpliceBody(splice) => (
            "splice-body",
            vec![
                ("at", splice.at.to_string()),
                ("length", splice.length.to_string()),
                ("replacement", super::play::text_of(&splice.replacement)),
            ],
        ),
        Edit::SetSender(path) => ("set-sender", vec![("address", path.to_string())]),
    };
    Fact { kind, fields }
}

fn header_edit(edit: &HeaderEdit) -> Fact {
    let shown = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let (kind, fields) = match edit {
        HeaderEdit::Add { at, name, value } => {
            let mut fields = Vec::new();
            fields.extend(at.map(|at| ("at", at.to_string())));
            fields.extend([("name", name.clone()), ("value", shown(value))]);
            ("add-header", fields)
        }
        HeaderEdit::Drop { name, nth } => {
            ("drop-header", vec![("name", name.clone()), ("nth", nth.to_string())])
        }
        HeaderEdit::Set { name, nth, value } => (
            "set-header",
            vec![("name", name.clone()), ("nth", nth.to_string()), ("value", shown(value))],
        ),
    };
    Fact { kind, fields }
}
