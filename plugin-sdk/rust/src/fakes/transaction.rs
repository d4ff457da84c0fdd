//! An envelope that nobody sent.

use std::cell::RefCell;

use super::{Grant, require};
use crate::{EditError, Parameter, Recipient, Reply};

/// One mail transaction: the envelope.
#[derive(Clone, Debug)]
pub struct Transaction {
    id: String,
    sender: Option<String>,
    parameters: Vec<Parameter>,
    recipients: Vec<Recipient>,
    grants: Vec<Grant>,
    upstreams: Option<Vec<String>>,
    edits: RefCell<Vec<Edit>>,
    scores: RefCell<Vec<(String, f64)>>,
}

/// A staged edit of the envelope.
#[derive(Clone, Debug, PartialEq)]
pub enum Edit {
    /// A new recipient.
    AddRecipient(String),
    /// One recipient less.
    DropRecipient(u32),
    /// One recipient refused after the message was seen.
    RefuseRecipient(u32, Reply),
    /// One recipient, or all, to an upstream.
    Route(String, Option<u32>),
    /// Another address for a recipient.
    SetRecipient(u32, String),
    /// Another sender; none is `<>`.
    SetSender(Option<String>),
}

impl Recipient {
    /// The recipient that a client names now, the first of its transaction.
    pub fn fake(address: &str) -> Self {
        Self { index: 0, address: address.to_owned(), parameters: Vec::new() }
    }
}

impl Transaction {
    /// From `sender@example.org`, without recipients.
    pub fn fake() -> Self {
        Self {
            id: "transaction-1".to_owned(),
            sender: Some("sender@example.org".to_owned()),
            parameters: Vec::new(),
            recipients: Vec::new(),
            grants: Vec::new(),
            upstreams: None,
            edits: RefCell::new(Vec::new()),
            scores: RefCell::new(Vec::new()),
        }
    }

    /// Another transaction.
    pub fn with_id(mut self, id: &str) -> Self {
        id.clone_into(&mut self.id);
        self
    }

    /// Another sender.
    pub fn with_sender(mut self, address: &str) -> Self {
        self.sender = Some(address.to_owned());
        self
    }

    /// The null reverse-path `<>`.
    pub fn with_null_sender(mut self) -> Self {
        self.sender = None;
        self
    }

    /// A parameter of MAIL.
    pub fn with_parameter(mut self, keyword: &str, value: Option<&str>) -> Self {
        let value = value.map(str::to_owned);
        self.parameters.push(Parameter { keyword: keyword.to_owned(), value });
        self
    }

    /// One more accepted recipient.
    pub fn with_recipient(mut self, address: &str) -> Self {
        let index = self.next_index();
        self.recipients.push(Recipient { index, ..Recipient::fake(address) });
        self
    }

    /// One more right.
    pub fn with_grant(mut self, grant: Grant) -> Self {
        self.grants.push(grant);
        self
    }

    /// The upstreams of the configuration; without this call every name is one.
    pub fn with_upstreams(mut self, names: &[&str]) -> Self {
        self.upstreams = Some(names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// The edits that the plugin has staged, in order.
    pub fn edits(&self) -> Vec<Edit> {
        self.edits.borrow().clone()
    }

    /// Unique; the same in logs, replies and `Received`.
    pub fn id(&self) -> String {
        self.id.clone()
    }

    /// None is the null reverse-path `<>`.
    pub fn sender(&self) -> Option<String> {
        self.sender.clone()
    }

    /// The parameters of MAIL.
    pub fn parameters(&self) -> Vec<Parameter> {
        self.parameters.clone()
    }

    /// The recipients accepted so far.
    pub fn recipients(&self) -> Vec<Recipient> {
        self.recipients.clone()
    }

    /// Grant `rewrite-envelope`, as the next three.
    pub fn set_sender(&self, address: Option<&str>) -> Result<(), EditError> {
        require(&self.grants, Grant::RewriteEnvelope)?;
        address.map_or(Ok(()), well_formed)?;
        self.stage(Edit::SetSender(address.map(str::to_owned)));
        Ok(())
    }

    /// The index of the new recipient. From the hook `data` on.
    pub fn add_recipient(&self, address: &str) -> Result<u32, EditError> {
        require(&self.grants, Grant::RewriteEnvelope)?;
        well_formed(address)?;
        self.stage(Edit::AddRecipient(address.to_owned()));
        let edits = self.edits.borrow();
        let added = edits.iter().filter(|edit| matches!(edit, Edit::AddRecipient(_))).count();
        Ok(self.next_index() + u32::try_from(added).unwrap_or(u32::MAX) - 1)
    }

    /// Another address for a recipient.
    pub fn set_recipient(&self, index: u32, address: &str) -> Result<(), EditError> {
        require(&self.grants, Grant::RewriteEnvelope)?;
        self.known(index)?;
        well_formed(address)?;
        self.stage(Edit::SetRecipient(index, address.to_owned()));
        Ok(())
    }

    /// One recipient less.
    pub fn drop_recipient(&self, index: u32) -> Result<(), EditError> {
        require(&self.grants, Grant::RewriteEnvelope)?;
        self.known(index)?;
        self.stage(Edit::DropRecipient(index));
        Ok(())
    }

    /// Refuse one recipient after the message was seen. Hooks `headers` and `message`; no grant
    /// needed.
    pub fn refuse_recipient(&self, index: u32, answer: &Reply) -> Result<(), EditError> {
        self.known(index)?;
        self.stage(Edit::RefuseRecipient(index, answer.clone()));
        Ok(())
    }

    /// Send one recipient, or all, to a named upstream of the configuration. Grant `route`.
    pub fn route(&self, upstream: &str, index: Option<u32>) -> Result<(), EditError> {
        require(&self.grants, Grant::Route)?;
        index.map_or(Ok(()), |index| self.known(index))?;
        if self.upstreams.as_ref().is_some_and(|names| !names.iter().any(|name| name == upstream)) {
            return Err(EditError::OutOfRange);
        }
        self.stage(Edit::Route(upstream.to_owned(), index));
        Ok(())
    }

    /// Adds to the score under the name of a symbol, or replaces what this plugin has added before.
    pub fn score(&self, symbol: &str, points: f64) -> Result<(), EditError> {
        let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if symbol.is_empty() || symbol.len() > MAX_SYMBOL || !symbol.bytes().all(named) {
            return Err(EditError::Malformed);
        }
        if !points.is_finite() || points.abs() > MAX_POINTS {
            return Err(EditError::OutOfRange);
        }
        let mut scores = self.scores.borrow_mut();
        match scores.iter().position(|(known, _)| known == symbol) {
            Some(at) => scores[at].1 = points,
            None if scores.len() < MAX_SYMBOLS => scores.push((symbol.to_owned(), points)),
            None => return Err(EditError::OutOfRange),
        }
        Ok(())
    }

    /// All symbols so far.
    pub fn scores(&self) -> Vec<(String, f64)> {
        self.scores.borrow().clone()
    }

    fn stage(&self, edit: Edit) {
        self.edits.borrow_mut().push(edit);
    }

    /// In `rcpt`, the recipient that is judged has the next index.
    fn known(&self, index: u32) -> Result<(), EditError> {
        let edits = self.edits.borrow();
        let added = edits.iter().filter(|edit| matches!(edit, Edit::AddRecipient(_))).count();
        let added = u32::try_from(added).unwrap_or(u32::MAX);
        if index <= self.next_index().saturating_add(added) {
            Ok(())
        } else {
            Err(EditError::OutOfRange)
        }
    }

    fn next_index(&self) -> u32 {
        u32::try_from(self.recipients.len()).unwrap_or(u32::MAX)
    }
}

const MAX_SYMBOL: usize = 64;
const MAX_SYMBOLS: usize = 100;
const MAX_POINTS: f64 = 10_000.0;

fn well_formed(address: &str) -> Result<(), EditError> {
    let odd = |c: char| c.is_control() || matches!(c, '<' | '>' | ' ');
    if address.is_empty() || address.contains(odd) { Err(EditError::Malformed) } else { Ok(()) }
}
