//! The message: its signatures, and what its author's domain wants.
//!
//! The library wants a message in one piece. It gets the header section only; bodies are hashed
//! here, piece by piece, wherever they lie.

mod body;
mod outcome;

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use mail_auth::common::cache::NoCache;
use mail_auth::common::headers::Header;
use mail_auth::common::to_a_label;
use mail_auth::common::verify::VerifySignature;
use mail_auth::dmarc::Policy;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{
    ArcOutput, AuthenticatedMessage, DkimOutput, DmarcOutput, Error, MX, Parameters, RecordSet,
    SpfOutput, SpfResult,
};

use super::known::Known;
use super::{Names, Received, Shared, unknown};
use crate::message::{Finding, Outcome};
use crate::resolver::{Answer, Kind, Query};

/// DKIM, ARC and DMARC of a message.
pub(super) async fn findings(shared: &Arc<Shared>, received: Received) -> Vec<Finding> {
    let received = Arc::new(received);
    let reading = received.clone();
    let small = received.is_small();
    let wanted = match shared.work(small, move || Wanted::read(&reading)).await {
        Some(Ok(wanted)) => wanted,
        Some(Err(error)) => return unknown(&format!("the message cannot be read: {error}")),
        None => return unknown(PANICKED),
    };
    let looked_up = wanted.look_up(&Names::new(&shared.resolver)).await;
    if small && wanted.is_soon_verified {
        let mut verified = pin!(looked_up.verify(shared, &received, &wanted));
        let found = poll_fn(|context| {
            let polled = catch_unwind(AssertUnwindSafe(|| verified.as_mut().poll(context)));
            polled.map_or(Poll::Ready(None), |polled| polled.map(Some))
        });
        return found.await.unwrap_or_else(|| unknown(PANICKED));
    }
    let (verifying, runtime) = (shared.clone(), tokio::runtime::Handle::current());
    let found = shared.work(false, move || {
        let verified = looked_up.verify(&verifying, &received, &wanted);
        // It waits for nothing: all that it asks for is known, or nobody is there to be asked.
        runtime.block_on(verified)
    });
    found.await.unwrap_or_else(|| unknown(PANICKED))
}

impl Shared {
    /// Work that takes a processor for a while. None if it panics. Who gives up waiting for it does
    /// not end it, and it has its processor to its end. What is over sooner than another thread would
    /// begin is done `here`.
    async fn work<T: Send + 'static>(
        &self,
        here: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if here {
            return catch_unwind(AssertUnwindSafe(work)).ok();
        }
        let processor = self.processors.clone().acquire_owned().await;
        let work = move || {
            let _processor = processor;
            work()
        };
        let done = tokio::task::spawn_blocking(work).await;
        done.inspect_err(|error| tracing::warn!(%error, "a message was not authenticated")).ok()
    }
}

impl Received {
    /// Whether to read it all takes less time than a plugin may have a thread for itself.
    fn is_small(&self) -> bool {
        self.header.as_bytes().len() <= SMALL_HEADER
            && self.body.octets() <= SMALL_BODY
            && self.body.segments().is_some()
    }
}

/// What a message makes it necessary to know.
struct Wanted {
    /// Names of keys.
    keys: Vec<String>,
    /// Names of policies.
    policies: Vec<String>,
    /// The domain of the author.
    author: Option<String>,
    /// Of the body, for each way of hashing that signatures name.
    hashes: Vec<Vec<u8>>,
    /// Whether to verify it all takes no longer than to read it.
    is_soon_verified: bool,
}

impl Wanted {
    fn read(received: &Received) -> std::io::Result<Self> {
        let Some(message) = parse(received) else {
            let (keys, policies, hashes) = Default::default();
            let is_soon_verified = true;
            return Ok(Self { keys, policies, author: None, hashes, is_soon_verified });
        };
        let author = message.from.iter().find_map(|from| from.rsplit_once('@'));
        let author = author.map(|(_, domain)| to_a_label(domain).into_owned());
        let signatures = message.dkim_headers.iter().map(|header| header.header.domain_key());
        let sets = message.ams_headers.iter().map(|header| header.header.domain_key());
        let seals = message.as_headers.iter().map(|header| header.header.domain_key());
        let signers = message.dkim_headers.iter().map(|header| &*header.header.d);
        let spf = spf_domain(&received.sender);
        let domains = author.as_deref().into_iter().chain(signers).chain(spf);
        let policies = match &author {
            Some(author) => {
                domains.filter(|domain| may_align(domain, author)).flat_map(walk).collect()
            }
            None => Vec::new(),
        };
        Ok(Self {
            keys: distinct(signatures.chain(sets).chain(seals).collect()),
            policies: distinct(policies),
            hashes: body::hashes(&message, &received.body)?,
            is_soon_verified: is_soon_verified(&message),
            author,
        })
    }

    async fn look_up(&self, names: &Names<'_>) -> LookedUp {
        let asked = self.keys.iter().chain(&self.policies);
        let query = |name: &String| Query { name: name.clone(), kind: Kind::Txt };
        let answers = names.ask_all(asked.map(query).collect()).await;
        let mut known = Known::default();
        let (keys, policies) = answers.split_at(self.keys.len().min(answers.len()));
        self.keys.iter().zip(keys).for_each(|(name, answer)| known.keep_key(name, answer));
        for (name, answer) in self.policies.iter().zip(policies) {
            known.keep_policy(name, answer);
        }
        let own = self.author.as_ref().is_none_or(|author| known.has_policy(&policy_name(author)));
        // RFC 9989 section 4.10.1: what is said of names that are not there.
        let author_exists = match &self.author {
            Some(author) if !own => names.ask(author, Kind::A).await != Answer::NoSuchName,
            _ => true,
        };
        LookedUp { known, author_exists }
    }
}

/// What is known when a message is verified.
struct LookedUp {
    known: Known,
    author_exists: bool,
}

impl LookedUp {
    async fn verify(&self, shared: &Shared, received: &Received, wanted: &Wanted) -> Vec<Finding> {
        let Some(mut message) = parse(received) else {
            return ["dkim", "arc", "dmarc"].map(nothing).into();
        };
        for ((.., known), hash) in message.body_hashes.iter_mut().zip(&wanted.hashes) {
            known.clone_from(hash);
        }
        let library = &shared.library;
        let dkim = library.verify_dkim(self.parameters(&message)).await;
        let arc = library.verify_arc(self.parameters(&message)).await;
        let (domain, spf) = spf_output(&received.sender);
        let strong = outcome::strong(&dkim);
        let about = DmarcParameters::new(&message, &strong, &domain, &spf);
        let dmarc = library.verify_dmarc(self.parameters(about)).await;
        let mut findings: Vec<_> = dkim.iter().map(dkim_finding).collect();
        findings.extend(unreadable(&message));
        findings.truncate(SIGNATURES);
        if findings.is_empty() {
            findings.push(nothing("dkim"));
        }
        findings.push(arc_finding(&arc));
        findings.push(self.dmarc_finding(&dmarc, &message));
        findings
    }

    fn parameters<P>(&self, about: P) -> Asking<'_, P> {
        Parameters {
            params: about,
            cache_txt: Some(&self.known),
            cache_mx: None,
            cache_ptr: None,
            cache_ipv4: None,
            cache_ipv6: None,
        }
    }

    fn dmarc_finding(&self, output: &DmarcOutput, message: &AuthenticatedMessage<'_>) -> Finding {
        let (outcome, reason) = outcome::dmarc(&output.result());
        let mut finding = Finding { reason, ..Finding::new("dmarc", outcome) };
        if output.domain().is_empty() {
            let reason = match message.from.len() {
                0 => "there is no author",
                _ => "there are several authors, or one without a domain",
            };
            return finding.because(reason);
        }
        finding = finding.with("header.from", output.domain());
        let Some(record) = output.dmarc_record() else {
            let unknown = outcome == Outcome::TemporaryError;
            return if unknown { finding } else { finding.because("the domain has no policy") };
        };
        let policy = match (self.author_exists, record.t) {
            (true, _) => output.policy(),
            (false, false) => record.np,
            (false, true) => outcome::lowered(record.np),
        };
        let policy = if policy == Policy::Unspecified { output.policy() } else { policy };
        finding.with("policy.published", policy.to_string())
    }
}

/// What the library asks by: nothing but TXT records is looked up for it.
type Asking<'a, P> =
    Parameters<'a, P, Known, Unknown<MX>, Unknown<Ipv4Addr>, Unknown<Ipv6Addr>, UnknownHosts>;
type Unknown<T> = NoCache<Box<str>, RecordSet<T>>;
type UnknownHosts = NoCache<IpAddr, RecordSet<Box<str>>>;

/// A message's header section, taken apart. What is malformed beyond use is none.
fn parse(received: &Received) -> Option<AuthenticatedMessage<'_>> {
    let mut message = AuthenticatedMessage::parse(received.header.as_bytes())?;
    set_aside(&mut message);
    message.dkim_headers.truncate(SIGNATURES);
    message.errors.truncate(SIGNATURES);
    for header in &mut message.dkim_headers {
        // Neither reports (RFC 6651) nor signatures of third parties (RFC 6541).
        header.header.r = false;
        header.header.atps = None;
    }
    Some(message)
}

/// The library goes through all fields for each name that a signature covers, and through all names
/// for each name: a large header section of nothing but names takes it seconds.
fn set_aside(message: &mut AuthenticatedMessage<'_>) {
    let covers_much = |names: &[String]| names.len() > SIGNED_FIELDS;
    let much = message.dkim_headers.extract_if(.., |header| covers_much(&header.header.h));
    let wrong = || Error::Io("the signature covers too many fields".to_owned());
    message.errors.extend(much.map(|header| Header::new(header.name, header.value, wrong())));
    // A chain of which a part is missing is a broken one.
    message.ams_headers.retain(|header| !covers_much(&header.header.h));
}

/// Whether signatures are few, whatever their keys, and cover few fields: each name that one covers is
/// compared with those of all fields, and with all others that it covers.
fn is_soon_verified(message: &AuthenticatedMessage<'_>) -> bool {
    let names = message.dkim_headers.iter().map(|header| header.header.h.len());
    let names: usize = names.chain(message.ams_headers.iter().map(|set| set.header.h.len())).sum();
    let sets = message.ams_headers.len() + message.as_headers.len();
    message.dkim_headers.len() + sets <= FEW_SIGNATURES
        && names * (names + message.headers.len()) <= FEW_COMPARISONS
}

fn dkim_finding(output: &DkimOutput<'_>) -> Finding {
    let signature = output.signature();
    let (outcome, reason) = outcome::dkim(output.result(), signature);
    let finding = Finding { reason, ..Finding::new("dkim", outcome) };
    let Some(signature) = signature else { return finding };
    let identity = match &*signature.i {
        "" => format!("@{}", signature.d),
        identity => identity.to_owned(),
    };
    finding
        .with("header.d", &*signature.d)
        .with("header.i", identity)
        .with("header.s", &*signature.s)
        .with("header.a", outcome::algorithm(signature.a))
        .with("header.b", outcome::start(&signature.b))
}

/// Signatures that the library finds nothing in, and says nothing about.
fn unreadable(message: &AuthenticatedMessage<'_>) -> impl Iterator<Item = Finding> {
    let signature = |name: &[u8]| name.eq_ignore_ascii_case(b"DKIM-Signature");
    let errors = message.errors.iter().filter(move |header| signature(header.name));
    errors.filter(|header| !matches!(header.header, Error::Dkim(_))).map(|header| {
        let reason = outcome::reason(&header.header);
        Finding::new("dkim", Outcome::Neutral).because(reason)
    })
}

fn arc_finding(output: &ArcOutput<'_>) -> Finding {
    let (outcome, reason) = outcome::arc(output.result());
    let finding = Finding { reason, ..Finding::new("arc", outcome) };
    let Some(newest) = output.sets().last() else { return finding };
    let seal = newest.seal.header;
    finding
        .with("header.d", &*seal.d)
        .with("header.s", &*seal.s)
        .with("header.i", seal.i.to_string())
}

fn nothing(method: &'static str) -> Finding {
    Finding::new(method, Outcome::None)
}

/// The domain that SPF was asked about.
fn spf_domain(sender: &[Finding]) -> Option<&str> {
    let spf = sender.iter().find(|finding| finding.method == "spf")?;
    let identity = spf.property("smtp.mailfrom").or_else(|| spf.property("smtp.helo"))?;
    Some(identity.rsplit_once('@').map_or(identity, |(_, domain)| domain))
}

/// What SPF said, as the library has it.
fn spf_output(sender: &[Finding]) -> (String, SpfOutput) {
    let domain = spf_domain(sender).unwrap_or_default().to_owned();
    let outcome = sender.iter().find(|finding| finding.method == "spf");
    let result = match outcome.map(|finding| finding.outcome) {
        Some(Outcome::Pass) => SpfResult::Pass,
        Some(Outcome::TemporaryError) => SpfResult::TempError,
        _ => SpfResult::None,
    };
    let output = SpfOutput::new(domain.clone()).with_result(result);
    (domain, output)
}

/// Whether a domain could be the author's, or have one above it in common: then it has the same
/// last label.
fn may_align(domain: &str, author: &str) -> bool {
    let last = |domain: &str| domain.rsplit('.').next().map(str::to_ascii_lowercase);
    last(domain) == last(author)
}

/// The names at which the policy of a domain may be (RFC 9989 section 4.10).
fn walk(domain: &str) -> Vec<String> {
    let domain = to_a_label(domain);
    let labels: Vec<_> = domain.split('.').filter(|label| !label.is_empty()).collect();
    let (total, mut names) = (labels.len(), Vec::new());
    if total < 2 {
        return names;
    }
    let mut count = total;
    while count > 0 {
        names.push(policy_name(&labels[total - count..].join(".")));
        count = if count >= WALK { WALK - 1 } else { count - 1 };
    }
    names
}

fn policy_name(domain: &str) -> String {
    format!("_dmarc.{domain}.")
}

fn distinct(mut names: Vec<String>) -> Vec<String> {
    names.iter_mut().for_each(|name| name.make_ascii_lowercase());
    names.sort_unstable();
    names.dedup();
    names.truncate(NAMES);
    names
}

/// Why, where the library gave up.
const PANICKED: &str = "the message is too odd to be looked at";

/// Octets of a header section and of a body that are read where they are: a third of a millisecond.
const SMALL_HEADER: usize = 16 << 10;
const SMALL_BODY: u64 = 64 << 10;

/// Signatures that are verified where they are: with 4096 bits each takes a tenth of a millisecond. A
/// message by way of a list, with two sets of ARC, has seven.
const FEW_SIGNATURES: usize = 7;

/// And the names that are compared for them, at some nanoseconds each. With seven signatures that cover
/// twenty fields each, of a hundred, these are 34,000.
const FEW_COMPARISONS: usize = 50_000;

/// Signatures that are looked at: RFC 6376 section 8.4 wants a bound. Mailing lists make three.
const SIGNATURES: usize = 10;

/// Fields that one signature may cover. Those that name all there are, and twice, name some fifty.
const SIGNED_FIELDS: usize = 300;

/// Labels of the longest name of a walk but for the first.
const WALK: usize = 8;

/// Look-ups of one message: ten signatures, fifty sets of ARC with two keys each, and walks.
const NAMES: usize = 200;

#[cfg(test)]
mod tests;
