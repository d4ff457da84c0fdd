//! What becomes of a transaction's parameters at an upstream: they go on, they stay behind, or they
//! are the reason of a refusal. The table stands in the gateway's README.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis_smtp::client::Extensions;
use portcullis_smtp::parameter::{has, value_of};
use portcullis_smtp::{Mailbox, Parameter, Reply, ReversePath};
use tracing::warn;

use crate::config::UpstreamTls;
use crate::message::{Outbound, Recipient};

/// What one upstream can be asked to keep.
#[derive(Debug)]
pub(super) struct Promises<'a> {
    /// Its name in the configuration.
    pub(super) upstream: &'a str,
    /// What it offers on this connection.
    pub(super) extensions: &'a Extensions,
    /// How it is reached.
    pub(super) tls: &'a UpstreamTls,
    /// What its operator was told.
    pub(super) cautions: &'a Cautions,
}

/// What the operator of an upstream is told once.
#[derive(Debug)]
pub(super) struct Cautions {
    deliver_by: Once,
    dsn: Once,
    pub(super) no_xclient: Once,
    pub(super) no_xforward: Once,
    /// Whether NOTIFY went on to it the last time.
    keeps_dsn: AtomicBool,
}

impl Cautions {
    pub(super) fn keeps_dsn(&self) -> bool {
        self.keeps_dsn.load(Ordering::Relaxed)
    }
}

impl Default for Cautions {
    fn default() -> Self {
        Self {
            deliver_by: Once::new(),
            dsn: Once::new(),
            no_xclient: Once::new(),
            no_xforward: Once::new(),
            keeps_dsn: AtomicBool::new(false),
        }
    }
}

impl Promises<'_> {
    /// The parameters of MAIL for a message that came `elapsed` ago, or why it cannot go this way.
    pub(super) fn mail(
        &self,
        sender: &ReversePath,
        parameters: &[Parameter],
        international: bool,
        elapsed: Duration,
    ) -> Result<Vec<Parameter>, Reply> {
        if let Some(mailbox) = sender.mailbox() {
            self.check_address(mailbox, "sender")?;
        }
        let mut carried = Vec::new();
        for parameter in parameters {
            carried.extend(self.mail_parameter(parameter, elapsed)?);
        }
        // A plugin may have set an address that nobody had announced.
        if international && !has(&carried, "SMTPUTF8") && self.extensions.permit("SMTPUTF8") {
            carried.push(Parameter { keyword: "SMTPUTF8".to_owned(), value: None });
        }
        Ok(carried)
    }

    /// The parameters of RCPT, or why this recipient cannot be reached this way.
    pub(super) fn rcpt(&self, recipient: &Recipient) -> Result<Vec<Parameter>, Reply> {
        self.check_address(&recipient.address, "recipient")?;
        let parameters = &recipient.parameters;
        // RFC 7293 section 3.1: without a wish, it is not delivered.
        let continues = |since: &str| since.ends_with(";C");
        if value_of(parameters, "RRVS").is_some_and(|since| !continues(since))
            && !self.extensions.permit("RRVS")
        {
            return Err(self.refusal(550, (5, 7, 19), "cannot tell since when a mailbox is whose"));
        }
        let notify = value_of(parameters, "NOTIFY").is_some();
        if notify {
            self.cautions.keeps_dsn.store(self.extensions.permit("NOTIFY"), Ordering::Relaxed);
        }
        if notify && !self.extensions.permit("NOTIFY") {
            self.cautions.dsn.call_once(|| {
                let upstream = self.upstream;
                warn!(upstream, "no DSN here: nobody will send the reports that clients ask for");
            });
        }
        let permitted = |parameter: &&Parameter| self.extensions.permit(&parameter.keyword);
        Ok(parameters.iter().filter(permitted).cloned().collect())
    }

    /// Why a message cannot go this way, whatever its envelope (RFC 6531 section 3.2).
    pub(super) fn header(&self, parameters: &[Parameter], message: &Outbound) -> Option<Reply> {
        let header = message.message.header.as_bytes();
        let plain = message.prefix.is_ascii() && header.is_ascii();
        let wanted = has(parameters, "SMTPUTF8");
        if !wanted || plain || self.extensions.permit("SMTPUTF8") {
            return None;
        }
        Some(self.refusal(554, (5, 6, 9), "takes no header fields beyond ASCII"))
    }

    fn mail_parameter(
        &self,
        parameter: &Parameter,
        elapsed: Duration,
    ) -> Result<Option<Parameter>, Reply> {
        let permitted = self.extensions.permit(&parameter.keyword);
        let value = parameter.value.as_deref().unwrap_or_default();
        let carried = match parameter.keyword.as_str() {
            // RFC 4954 section 5: if the gateway has logged in here, it was as itself, so that nobody
            // would believe its word for somebody else's identity.
            "AUTH" => Some("<>".to_owned()),
            // RFC 3030 section 3: convert it or refuse it. Converting would break signatures.
            "BODY" if value == "BINARYMIME" && !self.extensions.binary() => {
                return Err(self.refusal(554, (5, 6, 3), "takes no binary content"));
            }
            "BY" => Some(self.time_left(value, permitted, elapsed)?),
            "HOLDFOR" | "HOLDUNTIL" if !permitted => {
                return Err(self.refusal(554, (5, 3, 3), "cannot hold messages"));
            }
            // The gateway's own client has one reply for all, or LMTP.
            "PRDR" => return Ok(None),
            // RFC 8689 section 4.2.1: a certificate that nobody has looked at does not count.
            "REQUIRETLS" if !permitted || !self.tls.is_verified() => {
                return Err(self.refusal(550, (5, 7, 30), "does not keep REQUIRETLS"));
            }
            _ => parameter.value.clone(),
        };
        let keyword = parameter.keyword.clone();
        Ok(permitted.then_some(Parameter { keyword, value: carried }))
    }

    /// RFC 2852 section 4.1.4: what is left of the time for delivery.
    fn time_left(&self, value: &str, permitted: bool, elapsed: Duration) -> Result<String, Reply> {
        let (seconds, mode) = value.split_once(';').unwrap_or((value, "N"));
        let returned = mode.starts_with('R');
        if !permitted && returned {
            return Err(self.refusal(554, (5, 3, 3), "does not deliver by a time"));
        }
        if !permitted {
            self.cautions.deliver_by.call_once(|| {
                let upstream = self.upstream;
                warn!(upstream, "no DELIVERBY here: nobody will tell clients that mail is late");
            });
        }
        let elapsed = i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX);
        let left = seconds.parse::<i64>().unwrap_or_default().saturating_sub(elapsed);
        if returned && left <= 0 {
            return Err(Reply::fixed(550, (5, 4, 7), "the time for delivery is over"));
        }
        Ok(format!("{};{mode}", left.max(-MOST_SECONDS)))
    }

    fn check_address(&self, mailbox: &Mailbox, whose: &str) -> Result<(), Reply> {
        if mailbox.is_ascii() || self.extensions.permit("SMTPUTF8") {
            return Ok(());
        }
        let text = format!("takes ASCII only, and the {whose} address is not");
        Err(self.refusal(553, (5, 6, 7), &text))
    }

    fn refusal(&self, code: u16, status: (u8, u16, u16), text: &str) -> Reply {
        Reply::fixed(code, status, &format!("upstream {} {text}", self.upstream))
    }
}

/// Whether a transaction needs SMTPUTF8: the client said so, or a path of it is beyond ASCII.
pub(super) fn is_international<'a>(
    sender: &ReversePath,
    parameters: &[Parameter],
    mut recipients: impl Iterator<Item = &'a Recipient>,
) -> bool {
    has(parameters, "SMTPUTF8")
        || sender.mailbox().is_some_and(|mailbox| !mailbox.is_ascii())
        || recipients.any(|recipient| !recipient.address.is_ascii())
}

/// The size to announce while the announced one is all that is known: the gateway adds its own
/// fields, but that alone shall be no reason for a refusal.
pub(super) fn estimated_size(parameters: &[Parameter], extensions: &Extensions) -> Option<u64> {
    let size: u64 = value_of(parameters, "SIZE")?.parse().ok()?;
    let most = extensions.size_limit().unwrap_or(u64::MAX);
    Some(size.saturating_add(ADDED_OCTETS).min(most.max(size)))
}

/// The client's parameters, with this size instead of its own.
pub(super) fn with_size(parameters: &[Parameter], size: Option<u64>) -> Vec<Parameter> {
    let size = size.map(|size| Parameter { keyword: "SIZE".into(), value: Some(size.to_string()) });
    let others = parameters.iter().filter(|parameter| parameter.keyword != "SIZE").cloned();
    size.into_iter().chain(others).collect()
}

/// Room for the fields that the gateway adds to a message whose size was announced.
const ADDED_OCTETS: u64 = 1024;
/// Nine digits (RFC 2852 section 4).
const MOST_SECONDS: i64 = 999_999_999;
