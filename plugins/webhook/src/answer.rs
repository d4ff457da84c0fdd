//! What the service answers.

use std::collections::BTreeMap;

use portcullis_plugin::{Reply, Verdict};
use serde::Deserialize;
use serde_json::Value;
use terms::reply_text;

use crate::settings::Stage;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    pub(crate) action: Action,
    response: Option<Response>,
    /// Each may be one that only others know.
    #[serde(default, deserialize_with = "some")]
    pub(crate) modifications: Vec<Value>,
    /// Ours: points by symbol.
    #[serde(default)]
    pub(crate) scores: BTreeMap<String, f64>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    Accept,
    Discard,
    Reject,
    Quarantine,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    status: Option<u16>,
    enhanced_status: Option<String>,
    message: Option<String>,
    #[serde(default)]
    disconnect: bool,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Modification {
    ChangeFrom { value: String },
    AddRecipient { value: String },
    DeleteRecipient { value: String },
    ReplaceContents { value: String },
    AddHeader { name: String, value: String },
    InsertHeader { index: u32, name: String, value: String },
    ChangeHeader { index: u32, name: String, value: String },
    DeleteHeader { index: u32, name: String },
}

fn some<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Value>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Action {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Discard => "discard",
            Self::Reject => "reject",
            Self::Quarantine => "quarantine",
        }
    }
}

impl Answer {
    pub(crate) fn read(json: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(json).map_err(|error| {
            // The text of a type error has a piece of what came, which may be anything.
            format!("{:?} error in line {}", error.classify(), error.line())
        })
    }

    /// What becomes of it. An error is an answer that there cannot be at this stage.
    pub(crate) fn verdict(&self, stage: Stage) -> Result<Verdict, String> {
        let early = matches!(stage, Stage::Connect | Stage::Ehlo);
        match self.action {
            Action::Accept => Ok(Verdict::Next),
            Action::Reject => Ok(self.refusal()),
            Action::Discard if !early => Ok(Verdict::discard("the service says so")),
            Action::Quarantine if matches!(stage, Stage::Headers | Stage::Data) => {
                Ok(Verdict::quarantine("the service says so"))
            }
            action => Err(format!("{} at stage {}", action.label(), stage.label())),
        }
    }

    fn refusal(&self) -> Verdict {
        let said = self.response.as_ref();
        let code = said.and_then(|said| said.status).filter(|code| (400..600).contains(code));
        let code = code.unwrap_or(550);
        let class = code / 100;
        let status = said.and_then(|said| said.enhanced_status.as_deref());
        let status = status.and_then(Reply::parse_status);
        let status = status.filter(|(first, ..)| u16::from(*first) == class);
        let text = said.and_then(|said| said.message.as_deref()).and_then(reply_text);
        let reply = Reply {
            code,
            status: status.or(Some(if class == 4 { (4, 7, 1) } else { (5, 7, 1) })),
            text: text.unwrap_or_else(|| "refused by policy".to_owned()),
        };
        if said.is_some_and(|said| said.disconnect) {
            return Verdict::Disconnect(reply);
        }
        reply.into()
    }
}
