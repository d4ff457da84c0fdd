//! What the gateway found out about one message.

use portcullis_plugin::mail_auth::Finding;
use terms::folded;

use crate::arc::domain_of;
use crate::domain::is_within;

/// All findings.
#[derive(Debug)]
pub(crate) struct Found {
    /// iprev and SPF.
    pub(crate) sender: Vec<Finding>,
    /// DKIM, ARC and DMARC.
    pub(crate) content: Vec<Finding>,
}

impl Found {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Finding> {
        self.sender.iter().chain(&self.content)
    }

    fn one(&self, method: &str) -> Option<&Finding> {
        self.all().find(|finding| finding.method == method)
    }

    pub(crate) fn outcome(&self, method: &str) -> &str {
        self.one(method).map_or("none", |finding| &finding.outcome)
    }

    pub(crate) fn dmarc(&self) -> Option<&Finding> {
        self.one("dmarc")
    }

    pub(crate) fn chain(&self) -> Option<&Finding> {
        self.one("arc")
    }

    /// The domain of the author.
    pub(crate) fn author(&self) -> Option<&str> {
        self.dmarc()?.property("header.from")
    }

    pub(crate) fn signatures(&self) -> impl Iterator<Item = &Finding> {
        self.content.iter().filter(|finding| finding.method == "dkim")
    }

    /// Domains whose signature, or whose SPF, passes.
    pub(crate) fn passing(&self) -> impl Iterator<Item = &str> {
        let spf = self.one("spf").filter(|spf| spf.outcome == "pass").and_then(spf_domain);
        let passing = self.signatures().filter(|signature| signature.outcome == "pass");
        passing.filter_map(|signature| signature.property("header.d")).chain(spf)
    }

    /// Whether something that passes is the author's, or of a domain above it.
    pub(crate) fn is_aligned(&self, author: &str) -> bool {
        self.passing().any(|domain| domain.contains('.') && is_within(author, domain))
    }

    /// Whether an answer that name servers owe us could show that the mail is the author's.
    pub(crate) fn is_in_doubt(&self, author: &str) -> bool {
        let unknown = self.all().filter(|finding| finding.outcome == "temperror");
        let about = unknown.filter_map(|finding| match &*finding.method {
            "dkim" => finding.property("header.d"),
            "spf" => spf_domain(finding),
            _ => None,
        });
        let author = folded(author);
        let mut about = about;
        about.any(|domain| end(&folded(domain)) == end(&author))
    }
}

/// Of whom SPF was asked.
pub(crate) fn spf_domain(spf: &Finding) -> Option<&str> {
    spf.property("smtp.mailfrom").or_else(|| spf.property("smtp.helo")).map(domain_of)
}

/// The last two labels. Domains that differ there are not aligned; the others might be.
fn end(name: &str) -> &str {
    let dot = name.rmatch_indices('.').nth(1);
    dot.map_or(name, |(at, _)| &name[at + 1..])
}
