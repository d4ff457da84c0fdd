//! Knows which recipients exist, who gets mail for others, and where it goes; see README.md.

mod aliases;
mod domains;
mod settings;
mod verification;

use std::collections::HashMap;

use portcullis_plugin::{
    EditError, Hook, Recipient, Refusal, Session, Transaction, Verdict, log, plugin, split_address,
};
use terms::Addresses;

use crate::aliases::Aliases;
use crate::domains::{Domain, Domains};
use crate::settings::{Address, Limits, Settings, Verify};

/// The recipients, indexed by address and by domain.
#[derive(Debug)]
pub struct Recipients {
    /// By the whole address in small letters.
    addresses: HashMap<Box<str>, Address>,
    domains: Domains,
    aliases: Aliases,
    separator: Option<char>,
    rewrite: bool,
    unknown: Refusal,
    relay_denied: Refusal,
    verify: Option<Verify>,
    limits: Limits,
    never_send: Addresses,
    no_reports: Refusal,
}

/// What becomes of a recipient.
enum Fate<'a> {
    Refused(Verdict),
    /// It stays as it is, but for its sub-address, and goes where this says.
    Taken(Option<&'a str>),
    /// These get its mail.
    Given(Vec<String>),
}

#[plugin]
impl Recipients {
    fn configure(mut settings: Settings) -> Result<Self, String> {
        let addresses = addresses(&mut settings)?;
        let aliases = Aliases::new(&mut settings)?;
        let domains = Domains::new(&mut settings)?;
        if domains.is_empty() && settings.domains_from.is_none() && addresses.is_empty() {
            return Err("missing field `domains`".to_owned());
        }
        let mut never_send = settings.never_send;
        if let Some(file) = &never_send.from {
            for (line, pattern, _) in settings.files.pairs(file)? {
                never_send
                    .addresses
                    .insert(pattern)
                    .map_err(|mistake| format!("files.{file}: line {line}: {mistake}"))?;
            }
        }
        Ok(Self {
            addresses,
            domains,
            aliases,
            separator: settings.subaddress.separator,
            rewrite: settings.subaddress.rewrite,
            unknown: settings.unknown,
            relay_denied: settings.relay_denied,
            verify: settings.verify,
            limits: settings.limits,
            never_send: never_send.addresses,
            no_reports: never_send.refusal,
        })
    }

    /// One becomes several only once there is DATA.
    fn skip(&self) -> Vec<Hook> {
        if self.aliases.multiply() { Vec::new() } else { vec![Hook::Data] }
    }

    fn rcpt(
        &self,
        to: &Recipient,
        session: &Session,
        transaction: &Transaction,
    ) -> Result<Verdict, EditError> {
        let (local_part, name) =
            (to.local_part().to_ascii_lowercase(), to.domain().to_ascii_lowercase());
        if name.is_empty() && local_part == POSTMASTER {
            let Some(targets) = self.aliases.of(POSTMASTER, "", true) else {
                return Ok(Verdict::Next);
            };
            let targets = self.aliases.resolve(targets, POSTMASTER, |name| self.is_ours(name));
            return self.give(to, &targets, session, transaction);
        }
        if let Some(refusal) = self.bounds(to, &local_part, transaction) {
            return Ok(refusal.verdict());
        }
        match self.fate(to, &local_part, &name) {
            Fate::Refused(verdict) => return Ok(verdict),
            Fate::Given(targets) => return self.give(to, &targets, session, transaction),
            Fate::Taken(route) => {
                if let Some(upstream) = route {
                    transaction.route(upstream, Some(to.index))?;
                }
                if let Some(plain) = self.rewritten(to) {
                    transaction.set_recipient(to.index, &plain)?;
                }
            }
        }
        Ok(Verdict::Next)
    }

    /// Adds those who get the mail of an alias beside the first of them.
    fn data(&self, session: &Session, transaction: &Transaction) -> Result<Verdict, EditError> {
        let saved = session.load().unwrap_or_default();
        let saved = String::from_utf8_lossy(&saved);
        let mut lines = saved.lines();
        if lines.next() != Some(&*transaction.id()) {
            return Ok(Verdict::Next);
        }
        let there = transaction.recipients();
        let mut there: Vec<_> =
            there.into_iter().map(|one| one.address.to_ascii_lowercase()).collect();
        for target in lines {
            let key = target.to_ascii_lowercase();
            if there.contains(&key) {
                continue;
            }
            let index = transaction.add_recipient(target)?;
            if let Some(upstream) = self.route(&key) {
                transaction.route(upstream, Some(index))?;
            }
            there.push(key);
        }
        Ok(Verdict::Next)
    }
}

impl Recipients {
    /// Why there may be no more recipients, or no report for this one.
    fn bounds(
        &self,
        to: &Recipient,
        local_part: &str,
        transaction: &Transaction,
    ) -> Option<&Refusal> {
        let limits = &self.limits;
        let is_report = transaction.sender().is_none();
        let most = if is_report { limits.null_sender } else { limits.recipients };
        // Postmaster is never refused for good (RFC 5321 4.5.1).
        let counts = most > 0 && !(is_report && local_part == POSTMASTER);
        if counts && transaction.recipients().len() >= most {
            let refusal = if is_report { &limits.null_sender_too_many } else { &limits.too_many };
            return Some(refusal);
        }
        let never =
            is_report && local_part != POSTMASTER && self.never_send.contain(Some(&to.address));
        if never {
            log::info("a report for an address that sends no mail", &[("recipient", &to.address)]);
        }
        never.then_some(&self.no_reports)
    }

    fn fate(&self, to: &Recipient, local_part: &str, name: &str) -> Fate<'_> {
        let domain = self.domains.find(name);
        let plain = self.plain(local_part);
        let known = self.address(local_part, name).or_else(|| self.address(plain, name));
        if let Some(Address { refuse: Some(refusal), .. }) = known {
            return Fate::Refused(refusal.verdict());
        }
        let ours = |name: &str| self.is_ours(name);
        let alias = |local_part| self.aliases.of(local_part, name, domain.is_some());
        if let Some(targets) = alias(local_part).or_else(|| alias(plain)) {
            return Fate::Given(self.aliases.resolve(targets, plain, ours));
        }
        if let Some(Address { route: Some(upstream), .. }) = known {
            return Fate::Taken(Some(upstream));
        }
        let route = domain.and_then(|domain| domain.route.as_deref());
        if known.is_some() || domain.is_some() && local_part == POSTMASTER {
            return Fate::Taken(route);
        }
        let others = self.aliases.of_domain(name);
        let others = others.map(|targets| self.aliases.resolve(targets, plain, ours));
        match (domain, others) {
            (Some(domain), others) if !domain.knows(local_part) && !domain.knows(plain) => {
                let catch_all = || domain.catch_all.clone().map(|address| vec![address]);
                match others.or_else(catch_all) {
                    Some(targets) => Fate::Given(targets),
                    None => Fate::Refused(self.unknown.verdict()),
                }
            }
            (Some(domain), None) => match self.verified(domain, to) {
                None => Fate::Taken(route),
                Some(Verdict::Reject(_)) if domain.catch_all.is_some() => {
                    Fate::Given(domain.catch_all.iter().cloned().collect())
                }
                Some(verdict) => Fate::Refused(verdict),
            },
            (Some(domain), Some(_)) if !domain.takes_any() => Fate::Taken(route),
            (_, Some(targets)) => Fate::Given(targets),
            (None, None) => Fate::Refused(self.relay_denied.verdict()),
        }
    }

    /// What the upstream says against a recipient, if it is asked.
    fn verified(&self, domain: &Domain, to: &Recipient) -> Option<Verdict> {
        let verify = self.verify.as_ref()?;
        let rewritten = self.rewritten(to);
        verify.refusal(domain, rewritten.as_deref().unwrap_or(&to.address))
    }

    /// The first of the targets takes the place of the recipient now, so that its upstream is heard;
    /// the others come with DATA. They are remembered with the session, for any isolation.
    fn give(
        &self,
        to: &Recipient,
        targets: &[String],
        session: &Session,
        transaction: &Transaction,
    ) -> Result<Verdict, EditError> {
        let Some((first, others)) = targets.split_first() else { return Ok(Verdict::Next) };
        if !others.is_empty() && !remember(others, session, transaction)? {
            // The client sends them the message again.
            return Ok(self.limits.too_many.verdict());
        }
        if !first.eq_ignore_ascii_case(&to.address) {
            transaction.set_recipient(to.index, first)?;
        }
        if let Some(upstream) = self.route(&first.to_ascii_lowercase()) {
            transaction.route(upstream, Some(to.index))?;
        }
        Ok(Verdict::Next)
    }

    /// Where an address goes that stands for another one; in small letters.
    fn route(&self, address: &str) -> Option<&str> {
        let (local_part, name) = split_address(address);
        let name = name.unwrap_or_default();
        let own = self.address(local_part, name).and_then(|known| known.route.as_deref());
        own.or_else(|| self.domains.find(name)?.route.as_deref())
    }

    /// The address without its sub-address, if it is to lose that.
    fn rewritten(&self, to: &Recipient) -> Option<String> {
        let plain = self.plain(to.local_part());
        // As the client wrote it: only the host of an address may know what its case means.
        let shorter = self.rewrite && plain.len() < to.local_part().len();
        shorter.then(|| format!("{plain}@{}", to.domain()))
    }

    /// The local part without the sub-address; not of a quoted one, where nothing is special.
    fn plain<'a>(&self, local_part: &'a str) -> &'a str {
        match self.separator.and_then(|separator| local_part.split_once(separator)) {
            Some((plain, _)) if !plain.is_empty() && !plain.starts_with('"') => plain,
            _ => local_part,
        }
    }

    fn is_ours(&self, domain: &str) -> bool {
        self.domains.find(domain).is_some()
    }

    fn address(&self, local_part: &str, domain: &str) -> Option<&Address> {
        if self.addresses.is_empty() {
            return None;
        }
        self.addresses.get(format!("{local_part}@{domain}").as_str())
    }
}

/// Keeps recipients for DATA; whoever names an alias again and again adds nothing. Whether there is
/// room for them.
fn remember(
    others: &[String],
    session: &Session,
    transaction: &Transaction,
) -> Result<bool, EditError> {
    let id = transaction.id();
    let saved = session.load().and_then(|saved| String::from_utf8(saved).ok());
    let saved = saved.filter(|saved| saved.lines().next() == Some(&*id));
    let mut saved = saved.unwrap_or(id);
    for other in others {
        if !saved.lines().skip(1).any(|known| known.eq_ignore_ascii_case(other)) {
            saved.push('\n');
            saved.push_str(other);
        }
    }
    match session.save(saved.as_bytes()) {
        Err(EditError::OutOfRange) => Ok(false),
        kept => kept.map(|()| true),
    }
}

/// Those of the settings, and of the file that they name: `address`, or `address` and what becomes of
/// it, where `route:archive` is a route.
fn addresses(settings: &mut Settings) -> Result<HashMap<Box<str>, Address>, String> {
    let mut addresses = HashMap::with_capacity(settings.addresses.len());
    let mut add = |address: &str, entry: Address| {
        let key = address.to_ascii_lowercase();
        check_address(&key, &entry)?;
        match addresses.insert(key.into_boxed_str(), entry) {
            None => Ok(()),
            Some(_) => Err("this address is there twice".to_owned()),
        }
    };
    for (address, entry) in std::mem::take(&mut settings.addresses) {
        add(&address, entry).map_err(|mistake| format!("addresses.{address}: {mistake}"))?;
    }
    if let Some(file) = &settings.addresses_from {
        for (line, address, what) in settings.files.pairs(file)? {
            Address::of_line(what)
                .and_then(|entry| add(address, entry))
                .map_err(|mistake| format!("files.{file}: line {line}: {address}: {mistake}"))?;
        }
    }
    Ok(addresses)
}

fn check_address(address: &str, entry: &Address) -> Result<(), String> {
    match address.rsplit_once('@') {
        Some((local_part, domain)) if !local_part.is_empty() && !domain.is_empty() => {
            if local_part == POSTMASTER && entry.refuse.is_some() {
                return Err("mail to postmaster has to be accepted (RFC 5321 4.5.1)".to_owned());
            }
            Ok(())
        }
        _ => Err("not an address".to_owned()),
    }
}

const POSTMASTER: &str = "postmaster";
