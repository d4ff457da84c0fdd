//! Knows which recipients exist, and where their mail goes; see README.md.

mod domains;
mod settings;

use std::collections::HashMap;

use portcullis_plugin::{EditError, Recipient, Refusal, Transaction, Verdict, plugin};

use crate::domains::{Domain, Domains};
use crate::settings::{Address, Settings};

/// The recipients, indexed by address and by domain.
#[derive(Debug)]
pub struct Recipients {
    /// By the whole address in small letters.
    addresses: HashMap<Box<str>, Address>,
    domains: Domains,
    separator: Option<char>,
    rewrite: bool,
    unknown: Refusal,
    relay_denied: Refusal,
}

#[plugin]
impl Recipients {
    fn configure(settings: Settings) -> Result<Self, String> {
        let mut addresses = HashMap::with_capacity(settings.addresses.len());
        for (address, entry) in settings.addresses {
            let key = address.to_ascii_lowercase();
            check_address(&key, &entry)
                .map_err(|mistake| format!("addresses.{address}: {mistake}"))?;
            if addresses.insert(key.into_boxed_str(), entry).is_some() {
                return Err(format!("addresses.{address}: this address is there twice"));
            }
        }
        Ok(Self {
            addresses,
            domains: Domains::new(settings.domains)?,
            separator: settings.subaddress.separator,
            rewrite: settings.subaddress.rewrite,
            unknown: settings.unknown,
            relay_denied: settings.relay_denied,
        })
    }

    fn rcpt(&self, to: &Recipient, transaction: &Transaction) -> Result<Verdict, EditError> {
        let (local_part, name) =
            (to.local_part().to_ascii_lowercase(), to.domain().to_ascii_lowercase());
        if name.is_empty() && local_part == POSTMASTER {
            return Ok(Verdict::Next);
        }
        let domain = self.domains.find(&name);
        let plain = self.plain(&local_part);
        let known = self.address(&local_part, &name).or_else(|| self.address(plain, &name));
        match (known, domain) {
            (Some(Address { refuse: Some(refusal), .. }), _) => return Ok(refusal.verdict()),
            (Some(Address { route: Some(upstream), .. }), _) => {
                transaction.route(upstream, Some(to.index))?;
            }
            (None, None) => return Ok(self.relay_denied.verdict()),
            (None, Some(domain)) if !domain.knows(&local_part) && !domain.knows(plain) => {
                return Ok(self.unknown.verdict());
            }
            (_, Some(Domain { route: Some(upstream), .. })) => {
                transaction.route(upstream, Some(to.index))?;
            }
            _ => {}
        }
        if self.rewrite && plain.len() < local_part.len() {
            // As the client wrote it: only the host of an address may know what its case means.
            let plain = to.local_part().get(..plain.len()).unwrap_or(plain);
            transaction.set_recipient(to.index, &format!("{plain}@{}", to.domain()))?;
        }
        Ok(Verdict::Next)
    }
}

impl Recipients {
    /// The local part without the sub-address; not of a quoted one, where nothing is special.
    fn plain<'a>(&self, local_part: &'a str) -> &'a str {
        match self.separator.and_then(|separator| local_part.split_once(separator)) {
            Some((plain, _)) if !plain.is_empty() && !plain.starts_with('"') => plain,
            _ => local_part,
        }
    }

    fn address(&self, local_part: &str, domain: &str) -> Option<&Address> {
        if self.addresses.is_empty() {
            return None;
        }
        self.addresses.get(format!("{local_part}@{domain}").as_str())
    }
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
