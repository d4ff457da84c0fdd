//! The domains that a message leads to, each once.

use std::net::Ipv4Addr;

use crate::host::{Host, hosts};
use crate::scan::Place;

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Links {
    found: Vec<Found>,
    /// Whether there was more than is kept.
    pub(crate) flooded: bool,
}

/// Something to ask about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    place: Place,
    pub(crate) target: Target,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    Address(Ipv4Addr),
    /// What is registered, and the whole name of it that came first.
    Domain {
        registered: String,
        host: String,
    },
}

impl Links {
    /// Takes a link in; `silent` are domains that nobody is asked about, sorted.
    pub(crate) fn add(&mut self, place: Place, link: &[u8], silent: &[String]) {
        hosts(link, |host| {
            let target = match host {
                Host::Address(address) if is_public(address) => Target::Address(address),
                Host::Address(_) => return,
                Host::Domain(host) => {
                    let registered = registered(&host, link);
                    let Some(registered) = registered else { return };
                    if is_silent(registered, &host, silent) {
                        return;
                    }
                    Target::Domain { registered: registered.to_owned(), host }
                }
            };
            self.keep(Found { place, target });
        });
    }

    fn keep(&mut self, new: Found) {
        let known = self.found.iter().position(|known| known.target.is_same(&new.target));
        if let Some(at) = known {
            self.found[at].place = self.found[at].place.min(new.place);
            return;
        }
        if self.found.len() < MOST {
            self.found.push(new);
            return;
        }
        self.flooded = true;
        // What is to be followed is not hidden behind what is only written.
        let less = self.found.iter().rposition(|known| known.place > new.place);
        if let Some(at) = less {
            self.found[at] = new;
        }
    }

    /// At most so many of them: those that somebody is to follow first, and where there are too many,
    /// some of the beginning, the middle and the end.
    pub(crate) fn chosen(mut self, most: usize) -> (Vec<Target>, bool) {
        self.found.sort_by_key(|found| found.place);
        let all = self.found.len();
        if all <= most {
            let targets = self.found.into_iter().map(|found| found.target);
            return (targets.collect(), self.flooded);
        }
        let links = self.found.iter().take_while(|found| found.place == Place::Link).count();
        let chosen = (0..most).map(|at| {
            let at = if links > most { at * links / most } else { at };
            self.found[at].target.clone()
        });
        (chosen.collect(), true)
    }
}

impl Target {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Domain { registered, .. }, Self::Domain { registered: other, .. }) => {
                registered == other
            }
            (one, other) => one == other,
        }
    }
}

/// What somebody has registered. A suffix that nobody knows is believed of what is meant as a link,
/// not of a word with a dot in it.
fn registered<'a>(host: &'a str, link: &[u8]) -> Option<&'a str> {
    let domain = psl::domain(host.as_bytes())?;
    let known = domain.suffix().is_known() || !link.starts_with(b"//");
    let domain = str::from_utf8(domain.as_bytes()).ok()?;
    known.then_some(domain)
}

fn is_silent(registered: &str, host: &str, silent: &[String]) -> bool {
    let has = |name: &str| silent.binary_search_by(|known| known.as_str().cmp(name)).is_ok();
    let mut rest = host;
    loop {
        if has(rest) {
            return true;
        }
        match rest.split_once('.') {
            Some((_, above)) if rest != registered => rest = above,
            _ => return false,
        }
    }
}

fn is_public(address: Ipv4Addr) -> bool {
    let inside = address.is_private() || address.is_loopback() || address.is_link_local();
    !(inside || address.is_unspecified() || address.is_multicast() || address.is_broadcast())
}

/// Domains that are kept to choose from.
const MOST: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn names(links: Links, most: usize) -> String {
        let names = links.chosen(most).0.into_iter().map(|target| match target {
            Target::Address(address) => address.to_string(),
            Target::Domain { registered, .. } => registered,
        });
        names.collect::<Vec<_>>().join(" ")
    }

    fn found(all: &[&str], silent: &[&str]) -> String {
        let silent: Vec<_> = silent.iter().map(ToString::to_string).collect();
        let mut links = Links::default();
        for link in all {
            links.add(Place::Link, link.as_bytes(), &silent);
        }
        names(links, 9)
    }

    #[test]
    fn what_is_registered_is_what_is_asked_about() {
        for (link, name) in [
            ("http://a.b.spam.co.uk", "spam.co.uk"),
            ("http://x.spam.example", "spam.example"),
            ("http://me.github.io", "me.github.io"),
            ("http://co.uk", ""),
            ("http://192.0.2.1", "192.0.2.1"),
            ("http://127.0.0.1", ""),
            ("http://10.1.2.3", ""),
            ("//www.spam.example", ""),
            ("//www.spam.com", "spam.com"),
        ] {
            assert_eq!(found(&[link], &[]), name, "{link}");
        }
    }

    #[test]
    fn nobody_is_asked_about_domains_that_are_named() {
        let silent = ["a.com", "www.c.com"];
        let links = ["http://x.a.com", "http://b.com", "http://www.c.com", "http://d.c.com"];
        assert_eq!(found(&links, &silent), "b.com c.com");
    }

    #[test]
    fn decoys_do_not_hide_what_is_to_be_followed() {
        let mut links = Links::default();
        for number in 0..1_000 {
            links.add(Place::Text, format!("http://decoy{number}.com").as_bytes(), &[]);
        }
        links.add(Place::Link, b"http://spam.com", &[]);
        let (chosen, flooded) = links.chosen(5);
        assert!(flooded && chosen.len() == 5);
        assert!(
            matches!(&chosen[0], Target::Domain { registered, .. } if registered == "spam.com")
        );
    }
}
