//! What a listener's sessions and connections get of the parts.

use std::sync::Arc;
use std::time::Duration;

use portcullis_smtp::server::{Limits, Settings};
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::Parts;
use super::logins::Admission;
use crate::config::{self, Config, SessionLimits, TlsMode};
use crate::connection::Terms;
use crate::metrics::Bounds;
use crate::pipeline::{House, Login};
use crate::policy::{Chain, Link, Plugin as _, Scoring};
use crate::queue::{Conditions, Keeping, Queue, Spooling};
use crate::routing;
use crate::shutdown::Shutdown;
use crate::spool::Entry;
use crate::upstream::Upstreams;
use crate::worker::Workers;

impl Parts {
    /// The chain of a listener: its plugins, in its order.
    fn chain(&self, listener: &config::Listener) -> Chain {
        let named = listener.plugins.iter().filter_map(|name| {
            let plugin = self.plugins.iter().find(|plugin| plugin.name() == name)?;
            let metrics = self.foundation.metrics.plugin(name);
            Some(Link { plugin: plugin.clone(), metrics })
        });
        let metrics = self.foundation.metrics.listener(&listener.name);
        let scoring = listener.scores.as_ref().map(|scores| Scoring::new(scores, metrics));
        Chain::new(named.collect(), listener.quarantine.is_some()).scored(scoring)
    }

    /// What is made of a listener's `auth`.
    fn admission(&self, listener: &config::Listener) -> Option<&Admission> {
        let own = self.config.listeners.iter().position(|other| other.name == listener.name)?;
        self.admissions.get(own)?.as_ref()
    }

    pub(super) fn house(
        &self,
        listener: &config::Listener,
        upstreams: &Arc<Upstreams>,
        spool: Option<Spooling>,
    ) -> House {
        House {
            listener: listener.name.clone(),
            hostname: self.config.hostname.clone(),
            protocol: listener.protocol,
            chain: self.chain(listener).reaching(upstreams.clone()),
            login: self.admission(listener).map(|admission| admission.login.clone()),
            routes: self.routes.clone(),
            upstreams: upstreams.clone(),
            upstream: listener.upstream.clone(),
            quarantine: listener.quarantine.clone(),
            delivery: listener.delivery,
            mixed: listener.mixed,
            spool: spool.map(Keeping::Spooled),
            receipts: self.foundation.receipts.clone(),
            live: self.foundation.live.clone(),
            duplicates: self.config.duplicates,
            budget: self.foundation.budget.clone(),
            header_octets: listener.limits.header_octets,
            message_octets: listener.limits.message_octets,
            metrics: self.foundation.metrics.listener(&listener.name),
            traces: self.foundation.traces.clone(),
            in_use: self.in_use.clone(),
        }
    }

    /// What attempts to deliver from the spool are made by.
    pub(super) fn conditions(&self) -> Conditions {
        Conditions::new(&self.config, self.routes.clone())
    }

    /// The spool with its queue for each worker; nothing where there is no spool.
    pub(super) fn spooling(
        &self,
        waiting: Vec<Entry>,
        workers: &Workers,
        upstreams: &[Arc<Upstreams>],
        shutdown: &Shutdown,
    ) -> Vec<Spooling> {
        let Some(spool) = &self.foundation.spool else { return Vec::new() };
        let workers = workers.runtimes().cloned().zip(upstreams.iter().cloned()).collect();
        let (metrics, shutdown) = (self.foundation.metrics.clone(), shutdown.clone());
        let conditions = self.conditions();
        let queues = Queue::open(spool.clone(), waiting, conditions, workers, metrics, shutdown);
        queues.into_iter().map(|queue| Spooling { spool: spool.clone(), queue }).collect()
    }

    /// What runs out first, for the metrics.
    pub(super) fn bounds(&self) -> Bounds {
        let limits = &self.config.limits;
        Bounds {
            connections: limits.connections as u64,
            content_disk: limits.content_disk_octets,
            content_memory: limits.content_memory_octets,
            plugin_copies: limits.plugin_copies.into(),
        }
    }

    /// What looks after the maps of the routes, if there are any.
    pub(super) fn maps(&self) -> Option<routing::Renewal> {
        let metrics = self.foundation.metrics.clone();
        routing::Renewal::of(&self.config, self.routes.clone(), metrics)
    }

    /// Takes maps out of the metrics that the next configuration does not name.
    pub(super) fn forget_maps(&self, next: &Config) {
        let stay: Vec<_> = next.maps().collect();
        for gone in self.config.maps().filter(|path| !stay.contains(path)) {
            self.foundation.metrics.route_map_gone(&gone.to_string_lossy());
        }
    }

    /// What is made of the `auth` of a listener of this name.
    pub(super) fn login(&self, listener: &str) -> Option<&Arc<Login>> {
        let listener = self.config.listeners.iter().find(|other| other.name == listener)?;
        self.admission(listener).map(|admission| &admission.login)
    }

    pub(super) fn terms(
        &self,
        listener: &config::Listener,
        certificate: Option<Arc<ServerConfig>>,
    ) -> Terms {
        let mode = listener.tls.as_ref().map(|tls| tls.mode);
        Terms {
            settings: Arc::new(Settings {
                protocol: listener.protocol,
                starttls: mode == Some(TlsMode::Starttls),
                grammar: listener.address_syntax,
                bare_newlines: listener.bare_newlines,
                auth: self.admission(listener).map(|it| it.offer.clone()).unwrap_or_default(),
                offers: listener.extensions,
                future_release: listener.future_release.clone(),
                pipelining: listener.pipelining,
                limits: Limits {
                    auth_failures: failures(listener),
                    ..session_limits(&listener.limits)
                },
                ..Settings::new(&self.config.hostname)
            }),
            timeouts: listener.timeouts.clone(),
            content_rate: listener.limits.content_rate,
            greeting_delay: listener.greeting_delay,
            early_talkers: listener.early_talkers,
            delays: self.foundation.delays.clone(),
            trust: listener.trust.clone(),
            pause: PAUSE,
            acceptor: certificate.map(TlsAcceptor::from),
            implicit_tls: mode == Some(TlsMode::Implicit),
            metrics: self.foundation.metrics.listener(&listener.name),
        }
    }
}

fn session_limits(limits: &SessionLimits) -> Limits {
    Limits {
        command_octets: limits.command_octets,
        parameter_octets: limits.parameter_octets,
        message_octets: limits.message_octets,
        header_octets: limits.header_octets as u64,
        header_fields: limits.header_fields,
        recipients: limits.recipients,
        refused_recipients: limits.refused_recipients,
        transactions: limits.transactions,
        errors: limits.errors,
        unknown_commands: limits.unknown_commands,
        idle_commands: limits.idle_commands,
        received_hops: limits.received_hops,
        ..Limits::default()
    }
}

/// How often a session of a listener may fail to log in.
fn failures(listener: &config::Listener) -> u32 {
    let auth = listener.auth.as_ref();
    auth.map_or_else(|| Limits::default().auth_failures, |auth| auth.failures_per_session)
}

/// Longer than a client needs for its next command over any network; then the connection to the
/// upstream serves somebody else meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
