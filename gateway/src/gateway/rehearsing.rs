//! Dry runs: a conversation with everything that serves, of which nothing stays.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Parts;
use crate::admin::{Answer, Ask, Route, Status};
use crate::config;
use crate::connection::Terms;
use crate::explain::{ExplainError, Explanation, Inquiry, Notes, Stage};
use crate::metrics::{Metrics, Names};
use crate::pipeline::{House, Site};
use crate::plugins::WasmPlugin;
use crate::queue::Keeping;
use crate::upstream::Rehearsal;

/// Dry runs with what serves one configuration. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rehearsals(Arc<Parts>);

impl Parts {
    /// Dry runs with what this configuration is served by: the same plugins, routes, maps and stores, with
    /// metrics that nobody sees.
    #[must_use]
    pub fn rehearsals(&self) -> Rehearsals {
        let metrics = Arc::new(Metrics::new(&Names::default()));
        Rehearsals(Arc::new(Self {
            config: self.config.clone(),
            in_use: Arc::new(metrics.configuration_in_use()),
            foundation: self.foundation.rehearsed(metrics),
            routes: self.routes.clone(),
            upstreams: self.upstreams.clone(),
            plugins: self.plugins.clone(),
            secured: Vec::new(),
            admissions: self.admissions.clone(),
            admittance: None,
            watched: Vec::new(),
        }))
    }

    /// For one dry run, of which the next one is to find nothing.
    fn rehearsed(&self, rehearsal: &Arc<Rehearsal>) -> Self {
        let (foundation, services) = (&self.foundation, self.foundation.rehearsed_services());
        let double = |plugin: &Arc<WasmPlugin>| plugin.double(&services, &foundation.metrics);
        Self {
            config: self.config.clone(),
            foundation: foundation.rehearsed(foundation.metrics.clone()),
            routes: self.routes.clone(),
            upstreams: Arc::new(self.upstreams.rehearsed(rehearsal)),
            plugins: self.plugins.iter().map(double).collect(),
            secured: Vec::new(),
            admissions: self.admissions.clone(),
            admittance: None,
            watched: Vec::new(),
            in_use: self.in_use.clone(),
        }
    }

    /// The house of a listener, in which nothing is delivered and somebody looks on.
    fn rehearsed_house(
        &self,
        listener: &config::Listener,
        rehearsal: &Arc<Rehearsal>,
        notes: &Notes,
    ) -> House {
        let house = self.house(listener, &self.upstreams, None);
        let spool = self.config.spool.as_ref().map(|_| Keeping::Rehearsed {
            rehearsal: rehearsal.clone(),
            spool: self.foundation.spool.clone(),
        });
        let chain = house.chain.witnessed(Arc::new(notes.clone()));
        // What is only tried is nothing that went on.
        House { chain, spool, live: Arc::default(), traces: None, ..house }
    }

    /// As clients hear it at a listener, at once and without a handshake.
    fn rehearsed_terms(&self, listener: &config::Listener) -> Terms {
        let terms = self.terms(listener, None);
        Terms { implicit_tls: false, greeting_delay: Duration::ZERO, ..terms }
    }
}

impl Rehearsals {
    /// The configuration that they are about.
    #[must_use]
    pub fn config(&self) -> &config::Config {
        &self.0.config
    }

    /// What would become of a message.
    ///
    /// # Errors
    ///
    /// If the inquiry cannot be answered.
    pub async fn explain(&self, inquiry: &Inquiry) -> Result<Explanation, ExplainError> {
        let config = &self.0.config;
        let listener = inquiry.listener_of(config)?;
        let (rehearsal, notes) = (Arc::new(Rehearsal::default()), Notes::default());
        let parts = self.0.rehearsed(&rehearsal);
        let stage = Stage {
            config,
            listener,
            site: Arc::new(Site::new(parts.rehearsed_house(listener, &rehearsal, &notes))),
            terms: parts.rehearsed_terms(listener),
            rehearsal,
            notes,
        };
        Ok(stage.play(inquiry).await)
    }
}

/// Where dry runs are asked for of a gateway that runs: always with what is served now.
#[derive(Debug)]
pub(super) struct Inquiries {
    /// None before the first one is served.
    current: ArcSwapOption<Rehearsals>,
    /// One permit for each that runs.
    places: Semaphore,
}

impl Default for Inquiries {
    fn default() -> Self {
        Self { current: ArcSwapOption::empty(), places: Semaphore::new(AT_ONCE) }
    }
}

impl Inquiries {
    /// This is served from now on.
    pub(super) fn serve(&self, rehearsals: Rehearsals) {
        self.current.store(Some(Arc::new(rehearsals)));
    }

    /// For writers: plugins run, and ask name servers and others.
    pub(super) fn route(self: &Arc<Self>) -> Route {
        let inquiries = self.clone();
        let handler = move |ask| {
            let inquiries = inquiries.clone();
            async move { inquiries.answer(ask).await }
        };
        Route::post("/api/explain", handler).with_body(INQUIRY_OCTETS).unhurried()
    }

    async fn answer(&self, ask: Ask) -> Answer {
        let inquiry: Inquiry = match ask.json() {
            Ok(inquiry) => inquiry,
            Err(refusal) => return refusal,
        };
        if inquiry.recipients.len() > RECIPIENTS {
            let why = format!("\"to\" may have {RECIPIENTS} recipients");
            return Answer::refusal(Status::UNPROCESSABLE_ENTITY, why);
        }
        let (Ok(_place), Some(rehearsals)) = (self.places.try_acquire(), self.current.load_full())
        else {
            let why = format!("{AT_ONCE} inquiries are answered at a time, try again");
            return Answer::refusal(Status::SERVICE_UNAVAILABLE, why);
        };
        match timeout(PATIENCE, Box::pin(rehearsals.explain(&inquiry))).await {
            Ok(Ok(explanation)) => Answer::json(&explanation),
            Ok(Err(error)) => Answer::refusal(Status::UNPROCESSABLE_ENTITY, error.to_string()),
            Err(_) => Answer::refusal(Status::GATEWAY_TIMEOUT, "the plugins took too long"),
        }
    }
}

/// Inquiries that are answered at a time: mail goes first.
const AT_ONCE: usize = 2;

/// For all that plugins do about one message.
const PATIENCE: Duration = Duration::from_secs(30);

/// Of an inquiry: a message of a megabyte, or more than that in characters that JSON escapes.
const INQUIRY_OCTETS: usize = 2 << 20;

/// Of one inquiry.
const RECIPIENTS: usize = 100;

#[cfg(test)]
mod tests;
