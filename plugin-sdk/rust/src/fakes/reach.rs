//! What a plugin reaches beyond the mail, for this thread and so for this test.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::dns::{Answer, Kind};
use crate::http::{HttpError, Request, Response};
use crate::mail_auth::Finding;
use crate::upstreams::UpstreamError;
use crate::{Refusal, Reply};

/// All of it.
#[derive(Default)]
struct Reach {
    names: Option<BTreeMap<(String, u8), Answer>>,
    responses: Option<BTreeMap<String, Result<Response, HttpError>>>,
    requests: Vec<Request>,
    findings: Option<Vec<Finding>>,
    now: Option<u64>,
    upstreams: BTreeMap<String, Upstream>,
    verified: Vec<String>,
}

/// One upstream that is granted.
#[derive(Default)]
struct Upstream {
    answers: BTreeMap<String, Reply>,
    failure: Option<UpstreamError>,
    state: Vec<(String, u64)>,
}

thread_local! {
    static REACH: RefCell<Reach> = RefCell::default();
}

/// Grants `dns`, and answers one query. Names that no test has answered do not exist.
pub fn answer_dns(name: &str, kind: Kind, answer: Answer) {
    REACH.with_borrow_mut(|reach| {
        let names = reach.names.get_or_insert_default();
        names.insert((dns::key(name), kind as u8), answer);
    });
}

/// Grants the origin of this URL, and answers requests to it.
pub fn answer_http(url: &str, answer: Result<Response, HttpError>) {
    REACH.with_borrow_mut(|reach| {
        reach.responses.get_or_insert_default().insert(url.to_owned(), answer);
    });
}

/// The requests that were sent so far.
pub fn requested() -> Vec<Request> {
    REACH.with_borrow(|reach| reach.requests.clone())
}

/// Grants `mail-auth`, and tells these findings: those of SPF and iprev at `sender`, the others at
/// `content`.
pub fn find(findings: &[Finding]) {
    REACH.with_borrow_mut(|reach| reach.findings = Some(findings.to_vec()));
}

/// Grants an upstream, which refuses this recipient as in `550 5.1.1 no such user`. Of whom no test
/// has said anything it takes mail.
///
/// # Panics
///
/// If that is no refusal.
pub fn answer_upstream(upstream: &str, recipient: &str, refusal: &str) {
    let refusal: Refusal = refusal.parse().expect("a refusal");
    with_upstream(upstream, |known| {
        known.answers.insert(recipient.to_owned(), refusal.reply().clone());
    });
}

/// Grants an upstream, to ask which comes to this failure; none mends it.
pub fn fail_upstream(upstream: &str, failure: Option<UpstreamError>) {
    with_upstream(upstream, |known| known.failure = failure);
}

/// Grants an upstream, whose numbers these are.
pub fn set_upstream(upstream: &str, state: &[(&str, u64)]) {
    let state = state.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect();
    with_upstream(upstream, |known| known.state = state);
}

/// The recipients that upstreams were asked for so far.
pub fn verified() -> Vec<String> {
    REACH.with_borrow(|reach| reach.verified.clone())
}

fn with_upstream(name: &str, change: impl FnOnce(&mut Upstream)) {
    REACH.with_borrow_mut(|reach| change(reach.upstreams.entry(name.to_owned()).or_default()));
}

/// Stops the clock at so many milliseconds since 1970-01-01T00:00:00Z.
pub fn stop_clock(now: u64) {
    REACH.with_borrow_mut(|reach| reach.now = Some(now));
}

pub(crate) mod clock {
    use std::sync::OnceLock;
    use std::time::{Instant, SystemTime, UNIX_EPOCH};

    pub(crate) fn now() -> u64 {
        super::REACH.with_borrow(|reach| reach.now).unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }

    pub(crate) fn monotonic() -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

pub(crate) mod random {
    use std::hash::{BuildHasher, Hasher, RandomState};

    pub(crate) fn bytes(count: u32) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count as usize + 8);
        while bytes.len() < count as usize {
            bytes.extend(RandomState::new().build_hasher().finish().to_le_bytes());
        }
        bytes.truncate(count as usize);
        bytes
    }
}

pub(crate) mod dns {
    use crate::dns::{Answer, LookupError, Query};

    pub(super) fn key(name: &str) -> String {
        name.trim_end_matches('.').to_ascii_lowercase()
    }

    pub(crate) fn lookup(queries: &[Query]) -> Result<Vec<Answer>, LookupError> {
        super::REACH.with_borrow(|reach| {
            let names = reach.names.as_ref().ok_or(LookupError::Denied)?;
            if queries.len() > MAX_QUERIES {
                return Err(LookupError::TooMany);
            }
            let answer = |query: &Query| {
                let known = names.get(&(key(&query.name), query.kind as u8));
                known.cloned().unwrap_or(Answer::NoSuchName)
            };
            Ok(queries.iter().map(answer).collect())
        })
    }

    const MAX_QUERIES: usize = 100;
}

pub(crate) mod http {
    use crate::Reader;
    use crate::http::{HttpError, Request, Response};

    pub(crate) fn send(requests: &[Request]) -> Vec<Result<Response, HttpError>> {
        requests.iter().map(one).collect()
    }

    pub(crate) fn send_content(request: &Request, content: &Reader) -> Result<Response, HttpError> {
        let mut body = Vec::new();
        loop {
            let chunk = content.read(u32::MAX);
            if chunk.is_empty() {
                return one(&Request { body, ..request.clone() });
            }
            body.extend(chunk);
        }
    }

    fn one(request: &Request) -> Result<Response, HttpError> {
        super::REACH.with_borrow_mut(|reach| {
            let known = reach.responses.as_ref().and_then(|all| all.get(&request.url));
            let answer = known.cloned().unwrap_or(Err(HttpError::Denied));
            reach.requests.push(request.clone());
            answer
        })
    }
}

pub(crate) mod upstreams {
    use crate::Reply;
    use crate::upstreams::UpstreamError;

    pub(crate) fn verify(
        upstream: &str,
        _: Option<&str>,
        recipients: &[String],
    ) -> Result<Vec<Reply>, UpstreamError> {
        super::REACH.with_borrow_mut(|reach| {
            let known = reach.upstreams.get(upstream).ok_or(UpstreamError::Denied)?;
            if recipients.len() > MAX_RECIPIENTS {
                return Err(UpstreamError::TooMany);
            }
            reach.verified.extend(recipients.iter().cloned());
            if let Some(failure) = &known.failure {
                return Err(failure.clone());
            }
            let ok = Reply { code: 250, status: Some((2, 1, 5)), text: "ok".to_owned() };
            let answer = |one: &String| known.answers.get(one).unwrap_or(&ok).clone();
            Ok(recipients.iter().map(answer).collect())
        })
    }

    pub(crate) fn state(upstream: &str) -> Result<Vec<(String, u64)>, UpstreamError> {
        super::REACH.with_borrow(|reach| {
            let known = reach.upstreams.get(upstream).ok_or(UpstreamError::Denied)?;
            Ok(known.state.clone())
        })
    }

    const MAX_RECIPIENTS: usize = 100;
}

pub(crate) mod mail_auth {
    use crate::mail_auth::{AuthError, Finding};
    use crate::{Message, Session, Transaction};

    pub(crate) fn sender(_: &Session, _: &Transaction) -> Result<Vec<Finding>, AuthError> {
        found(true)
    }

    pub(crate) fn content(
        _: &Session,
        _: &Transaction,
        _: &Message,
    ) -> Result<Vec<Finding>, AuthError> {
        found(false)
    }

    fn found(of_the_sender: bool) -> Result<Vec<Finding>, AuthError> {
        super::REACH.with_borrow(|reach| {
            let all = reach.findings.as_ref().ok_or(AuthError::Denied)?;
            let wanted =
                |finding: &&Finding| matches!(&*finding.method, "spf" | "iprev") == of_the_sender;
            Ok(all.iter().filter(wanted).cloned().collect())
        })
    }
}
