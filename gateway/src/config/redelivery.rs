//! When what waits in the spool is tried again, and who is told that it was not delivered.

use std::time::Duration;

use portcullis_smtp::Mailbox;

use super::section::Section;

/// What is done with the messages of the spool.
#[derive(Clone, Debug, PartialEq)]
pub struct Redelivery {
    /// The pause after the first attempt.
    pub first: Duration,
    /// How much longer each further pause is.
    pub factor: f64,
    /// No pause is longer.
    pub longest: Duration,
    /// How long after its acceptance a message is given up.
    pub lifetime: Duration,
    /// How long after its acceptance the sender is told that a message still waits.
    pub delay_notice: Option<Duration>,
    /// Transactions with one upstream at the same time.
    pub concurrency: usize,
    /// The upstream of reports; none is left to the routes.
    pub reports: Option<String>,
    /// Who gets reports that cannot be delivered.
    pub postmaster: Option<Mailbox>,
    /// A larger message is not returned whole.
    pub returned_octets: u64,
}

impl Redelivery {
    /// The keys of `spool.retry`.
    pub(super) const RETRY_KEYS: &'static [&'static str] = &["factor", "first", "longest"];

    /// What stands under `spool`, of whose keys others read others.
    pub(super) fn read(section: &Section<'_>, upstreams: &[&str]) -> Self {
        let retry = section.section("retry", Self::RETRY_KEYS);
        let default = Self::default();
        let first = retry.duration("first", SECOND..=DAY, default.first);
        let longest = retry.duration("longest", SECOND..=DAY, default.longest);
        if longest < first {
            let text = "\"longest\" must not be less than \"first\"";
            let help = "pauses begin with \"first\" and grow by \"factor\" up to \"longest\"";
            section.reader.error(retry.mark_of("longest"), text, Some(help));
        }
        let lifetime = section.duration("lifetime", SECOND..=DAY * 30, default.lifetime);
        Self {
            first,
            factor: retry.number_or("factor", 1.0..=10.0, default.factor),
            longest,
            lifetime,
            delay_notice: delay_notice(section, lifetime),
            concurrency: usize::try_from(section.count("concurrency", 1..=1000, CONCURRENCY))
                .unwrap_or(default.concurrency),
            reports: section
                .text("reports")
                .map(|text| section.known_name("upstream", text, upstreams)),
            postmaster: postmaster(section),
            returned_octets: section.size("returned", 0..=MOST_RETURNED, default.returned_octets),
        }
    }
}

impl Default for Redelivery {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(60),
            factor: 2.0,
            longest: Duration::from_hours(1),
            lifetime: DAY * 5,
            delay_notice: None,
            concurrency: CONCURRENCY as usize,
            reports: None,
            postmaster: None,
            returned_octets: 64 << 10,
        }
    }
}

fn delay_notice(section: &Section<'_>, lifetime: Duration) -> Option<Duration> {
    section.or_word("delay_notice", "none");
    section.by_default("delay_notice", "none");
    let given = section.text("delay_notice")?;
    if given.text == "none" {
        return None;
    }
    let notice = section.duration("delay_notice", SECOND..=DAY * 30, Duration::from_hours(4));
    if notice >= lifetime {
        let text = "\"delay_notice\" must be less than \"lifetime\"";
        let help = "after its lifetime a message is returned, and nobody waits for it any more";
        section.reader.error(given.mark, text, Some(help));
    }
    Some(notice)
}

fn postmaster(section: &Section<'_>) -> Option<Mailbox> {
    section.by_default("postmaster", "none");
    let given = section.text("postmaster")?;
    if given.text == "none" {
        return None;
    }
    let mailbox = Mailbox::parse(given.text).filter(Mailbox::is_ascii);
    if mailbox.is_none() {
        let text = format!("\"postmaster\" cannot be \"{}\"", given.text);
        let help = "an address such as postmaster@example.org, or none";
        section.reader.error(given.mark, text, Some(help));
    }
    mailbox
}

const CONCURRENCY: u64 = 20;
const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);
/// Reports are made in memory.
const MOST_RETURNED: u64 = 10 << 20;
