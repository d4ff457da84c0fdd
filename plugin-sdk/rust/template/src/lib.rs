use portcullis_plugin::{Recipient, Verdict, plugin};

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    domains: Vec<String>,
}

#[plugin]
impl Closed {
    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }

    pub fn rcpt(&self, to: &Recipient) -> Verdict {
        let closed = self.domains.iter().any(|domain| to.domain().eq_ignore_ascii_case(domain));
        if closed { Verdict::reject(550, "5.7.1", "closed for good") } else { Verdict::Next }
    }
}
