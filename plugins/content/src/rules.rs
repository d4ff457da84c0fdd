//! Rules of the operator's own, about parts: looked at before the checks.

use terms::Addresses;

use crate::action::{Action, Decision};
use crate::examine::Seen;
use crate::kind::Kind;
use crate::name::{self, fits};
use crate::settings::{RuleSettings, SizeSettings, Words};

/// Conditions that all have to hold, and what is done.
#[derive(Debug)]
pub(crate) struct Rule {
    names: Option<Vec<String>>,
    extensions: Option<Vec<String>>,
    kinds: Option<Vec<Kind>>,
    declared: Option<Vec<String>>,
    larger_than: Option<u64>,
    pub(crate) recipients: Option<Addresses>,
    senders: Option<Addresses>,
    pub(crate) symbol: String,
    pub(crate) deed: Deed,
}

/// What a rule does.
#[derive(Debug)]
pub(crate) enum Deed {
    /// The part is let be.
    Allow,
    Act(Action),
}

impl Rule {
    pub(crate) fn new(settings: RuleSettings) -> Result<Self, String> {
        let RuleSettings { name, extension, kind, declared, larger_than, .. } = &settings;
        if name.is_none()
            && extension.is_none()
            && kind.is_none()
            && declared.is_none()
            && larger_than.is_none()
        {
            return Err("a rule has at least one of `name`, `extension`, `kind`, `declared` and \
                        `larger_than`"
                .to_owned());
        }
        let deed = deed(&settings)?;
        let symbol = settings.symbol.unwrap_or_else(|| "ATTACHMENT_RULE".to_owned());
        check_symbol(&symbol)?;
        let small = |words: Words| words.0.iter().map(|word| word.to_ascii_lowercase()).collect();
        let bare = |words: Words| {
            words.0.iter().map(|one| one.trim_start_matches('.').to_ascii_lowercase()).collect()
        };
        Ok(Self {
            names: settings.name.map(|words| words.0),
            extensions: settings.extension.map(bare),
            kinds: settings.kind.map(|kinds| kinds.0),
            declared: settings.declared.map(small),
            larger_than: settings.larger_than.map(|size| size.0),
            recipients: settings.recipients,
            senders: settings.senders,
            symbol,
            deed,
        })
    }

    /// Whether it is about this part, or about something in this archive; recipients apart.
    pub(crate) fn fits(&self, seen: &Seen<'_>, sender: impl Fn() -> Option<String>) -> bool {
        let by_kind = self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&seen.kind));
        let declared = seen.part.content_type.as_str();
        let by_type =
            self.declared.as_ref().is_none_or(|types| types.iter().any(|one| fits(one, declared)));
        let by_size = self.larger_than.is_none_or(|size| seen.part.size > size);
        by_kind
            && by_type
            && by_size
            && self.fits_a_name(seen)
            && self.senders.as_ref().is_none_or(|senders| senders.contain(sender().as_deref()))
    }

    fn fits_a_name(&self, seen: &Seen<'_>) -> bool {
        let named = |name: &str| {
            let by_name =
                self.names.as_ref().is_none_or(|patterns| patterns.iter().any(|p| fits(p, name)));
            let by_extension = self
                .extensions
                .as_ref()
                .is_none_or(|extensions| extensions.contains(&name::extension(name)));
            by_name && by_extension
        };
        named(seen.name()) || seen.names.iter().any(|inner| named(inner))
    }
}

fn deed(settings: &RuleSettings) -> Result<Deed, String> {
    let points = settings.score.filter(|points| *points != 0.0);
    if points.is_some_and(|points| !points.is_finite() || points.abs() > 10_000.0) {
        return Err("score: points are from -10000 to 10000".to_owned());
    }
    let mut decisions = [
        settings.refuse.clone().map(|reply| Decision::Refuse(Some(reply))),
        settings.quarantine.clone().map(|text| Decision::Quarantine(Some(text))),
        settings.strip.clone().map(|text| Decision::Strip(Some(text))),
        settings.tag.clone().map(|text| Decision::Tag(Some(text))),
    ]
    .into_iter()
    .flatten();
    let decision = decisions.next();
    let several = decisions.next().is_some();
    match (settings.allow, decision, points) {
        (true, None, None) => Ok(Deed::Allow),
        (false, decision, points) if !several && (decision.is_some() || points.is_some()) => {
            Ok(Deed::Act(Action { decision, points }))
        }
        _ => Err("a rule has `allow: true`, or one of `refuse`, `quarantine`, `strip` and `tag`, \
                  or `score`"
            .to_owned()),
    }
}

/// What the contract takes as a symbol.
fn check_symbol(symbol: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if symbol.is_empty() || symbol.len() > 64 || !symbol.bytes().all(fits) {
        return Err("symbol: up to 64 letters, digits, `_`, `-` and `.`".to_owned());
    }
    Ok(())
}

/// How large a message may be.
#[derive(Debug)]
pub(crate) struct SizeRule {
    pub(crate) larger_than: u64,
    pub(crate) recipients: Option<Addresses>,
    pub(crate) refusal: portcullis_plugin::Refusal,
}

impl SizeRule {
    pub(crate) fn new(settings: SizeSettings) -> Result<Self, String> {
        let refusal = match settings.refuse {
            Some(refusal) => refusal,
            None => "552 5.3.4 the message is too large for this recipient".parse()?,
        };
        Ok(Self { larger_than: settings.larger_than.0, recipients: settings.recipients, refusal })
    }
}
