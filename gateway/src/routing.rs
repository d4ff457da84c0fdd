//! Which upstream a recipient goes to.

use std::collections::HashMap;

use crate::config::Config;
use crate::message::Recipient;

/// The routes of one configuration, ready to be asked.
#[derive(Clone, Debug)]
pub struct Routes {
    /// Domains, `.suffixes` and `*`, each with the place of its rule: the first that fits counts.
    patterns: HashMap<String, usize>,
    /// The upstream of each rule.
    upstreams: Vec<String>,
    default_upstream: Option<String>,
    /// The domain of a postmaster who has none (RFC 5321 section 4.5.1).
    hostname: String,
}

impl Routes {
    /// The routes of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let mut patterns = HashMap::new();
        for (place, route) in config.routes.iter().enumerate() {
            for domain in &route.domains {
                patterns.entry(domain.to_ascii_lowercase()).or_insert(place);
            }
        }
        Self {
            patterns,
            upstreams: config.routes.iter().map(|route| route.upstream.clone()).collect(),
            default_upstream: config.default_upstream.clone(),
            hostname: config.hostname.to_ascii_lowercase(),
        }
    }

    /// The upstream of a recipient: the one that a plugin named, else the first route that fits,
    /// else the listener's, else the default.
    #[must_use]
    pub fn upstream<'a>(
        &'a self,
        recipient: &'a Recipient,
        listener_upstream: Option<&'a str>,
    ) -> Option<&'a str> {
        let domain = recipient.address.ascii_domain();
        recipient
            .route
            .as_deref()
            .or_else(|| self.route(domain.as_deref().unwrap_or(&self.hostname)))
            .or(listener_upstream)
            .or(self.default_upstream.as_deref())
    }

    fn route(&self, domain: &str) -> Option<&str> {
        let suffixes = domain.match_indices('.').map(|(at, _)| &domain[at..]);
        let candidates = [domain, "*"].into_iter().chain(suffixes);
        let place = candidates.filter_map(|pattern| self.patterns.get(pattern)).min()?;
        self.upstreams.get(*place).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use portcullis_smtp::Mailbox;

    use super::*;

    fn routes(rules: &[(&[&str], &str)]) -> Routes {
        let mut patterns = HashMap::new();
        for (place, (domains, _)) in rules.iter().enumerate() {
            for domain in *domains {
                patterns.entry((*domain).to_owned()).or_insert(place);
            }
        }
        let upstreams = rules.iter().map(|(_, upstream)| (*upstream).to_owned()).collect();
        let default_upstream = Some("default".to_owned());
        Routes { patterns, upstreams, default_upstream, hostname: "gw.example".into() }
    }

    fn to(address: &str, route: Option<&str>) -> Recipient {
        Recipient {
            index: 0,
            address: Mailbox::parse(address).expect("a mailbox"),
            parameters: Vec::new(),
            route: route.map(str::to_owned),
        }
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let routes = routes(&[
            (&["a.example", "gw.example"], "one"),
            (&["xn--bcher-kva.example"], "five"),
            (&[".example"], "two"),
            (&["c.example", "c.test"], "three"),
            (&[".sub.test"], "four"),
        ]);
        for (address, want, why) in [
            ("x@a.example", "one", "a domain itself"),
            ("x@A.Example", "one", "in any case"),
            ("x@b.example", "two", "a name below a suffix"),
            ("x@d.b.example", "two", "any name below it"),
            ("x@c.example", "two", "the suffix comes first"),
            ("x@c.test", "three", "one domain of a rule's two"),
            ("x@sub.test", "default", "a suffix does not fit itself"),
            ("x@a.sub.test", "four", "another suffix"),
            ("x@notsub.test", "default", "a suffix begins at a label"),
            ("postmaster", "one", "the gateway's own postmaster"),
            ("x@[192.0.2.1]", "default", "an address literal"),
            ("x@B\u{fc}cher.example", "five", "a domain beyond ASCII, whatever its capitals"),
            ("x@XN--bcher-kva.example", "five", "the same as DNS has it"),
        ] {
            assert_eq!(routes.upstream(&to(address, None), None), Some(want), "{why}");
        }
    }

    #[test]
    fn a_plugin_goes_before_routes_before_the_listener_before_the_default() {
        let some = routes(&[(&["a.example"], "one")]);
        let all = routes(&[(&["a.example"], "one"), (&["*"], "rest")]);
        for (routes, address, route, listener, want) in [
            (&some, "x@a.example", Some("plugin"), Some("listener"), "plugin"),
            (&some, "x@a.example", None, Some("listener"), "one"),
            (&some, "x@b.example", None, Some("listener"), "listener"),
            (&some, "x@b.example", None, None, "default"),
            (&all, "x@a.example", None, Some("listener"), "one"),
            (&all, "x@b.example", None, Some("listener"), "rest"),
        ] {
            assert_eq!(routes.upstream(&to(address, route), listener), Some(want));
        }
    }
}
