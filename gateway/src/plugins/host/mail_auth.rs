//! The `mail-auth` interface.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::Resource;

use super::{MessageHandle, SessionHandle, TransactionHandle, printable};
use crate::authenticity::{self, Received, Sender};
use crate::config::Grant;
use crate::message::{self, Envelope};
use crate::plugins::bindings::mail_auth::{AuthError, Finding, Host};
use crate::plugins::state::{Call, State};
use crate::policy::{Found, Hook};

impl Host for State {
    async fn sender(
        &mut self,
        _: Resource<SessionHandle>,
        _: Resource<TransactionHandle>,
    ) -> Result<std::result::Result<Vec<Finding>, AuthError>> {
        if !self.granted(Grant::MailAuth) {
            return Ok(Err(AuthError::Denied));
        }
        let deadline = self.patience();
        let Some((sender, found)) = self.about_sender()? else {
            return Ok(Err(AuthError::TooEarly));
        };
        let findings = found.wait(deadline).await;
        let findings = findings.unwrap_or_else(|| sender.unknown(TOO_SLOW).into());
        Ok(Ok(findings.iter().map(finding).collect()))
    }

    async fn content(
        &mut self,
        _: Resource<SessionHandle>,
        _: Resource<TransactionHandle>,
        _: Resource<MessageHandle>,
    ) -> Result<std::result::Result<Vec<Finding>, AuthError>> {
        if !self.granted(Grant::MailAuth) {
            return Ok(Err(AuthError::Denied));
        }
        let deadline = self.patience();
        let Some(found) = self.about_content()? else { return Ok(Err(AuthError::TooEarly)) };
        let findings = found.wait(deadline).await;
        let findings = findings.unwrap_or_else(|| authenticity::unknown(TOO_SLOW).into());
        Ok(Ok(findings.iter().map(finding).collect()))
    }
}

impl State {
    /// Begins to find out about the client and the sender, if that was not done already.
    fn about_sender(&self) -> Result<Option<(Sender, Found)>> {
        let call = self.call()?;
        let Some(envelope) = &call.given.envelope else { return Ok(None) };
        let sender = sender(call, envelope);
        let (authenticator, asked) = (self.facts.services.authenticator.clone(), sender.clone());
        let search = || async move { authenticator.sender(asked).await };
        Ok(Some((sender, call.given.findings.sender().begin(search))))
    }

    /// Begins to find out about the complete message, as the client sent it.
    fn about_content(&self) -> Result<Option<Found>> {
        let Some((sender, about_sender)) = self.about_sender()? else { return Ok(None) };
        let call = self.call()?;
        let (Hook::Message, Some(message)) = (call.given.hook, &call.given.message) else {
            return Ok(None);
        };
        let originals = call.given.findings.originals();
        let header = originals.header.unwrap_or_else(|| message.header.clone());
        let body = originals.body.unwrap_or_else(|| message.body.clone());
        let authenticator = self.facts.services.authenticator.clone();
        let search = || async move {
            let known = about_sender.wait(authenticity::deadline()).await;
            let sender = known.unwrap_or_else(|| Arc::from(sender.unknown(TOO_SLOW)));
            authenticator.content(Received { header, body, sender }).await
        };
        Ok(Some(call.given.findings.content().begin(search)))
    }
}

/// Who sends, as the client said.
fn sender(call: &Call, envelope: &Envelope) -> Sender {
    let given = &call.given;
    let said = given.findings.originals().sender;
    let path = said.as_ref().unwrap_or(&envelope.reverse_path);
    Sender {
        address: given.session.client.ip(),
        helo: given.session.helo.clone().unwrap_or_default(),
        reverse_path: path.mailbox().map(|mailbox| mailbox.as_str().to_owned()),
    }
}

fn finding(finding: &message::Finding) -> Finding {
    let shown = |text: &str| printable(text, TEXT_OCTETS);
    let properties = finding.properties.iter();
    Finding {
        method: finding.method.to_owned(),
        outcome: finding.outcome.label().to_owned(),
        reason: finding.reason.as_deref().map(shown),
        properties: properties.map(|(name, value)| ((*name).to_owned(), shown(value))).collect(),
    }
}

/// Why, where a plugin's time ends before the search.
const TOO_SLOW: &str = "not found out within the plugin's time";

/// Of a reason or a property.
const TEXT_OCTETS: usize = 1 << 10;
