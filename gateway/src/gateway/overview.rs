//! What of a configuration can be looked at over HTTP, and in the terminal.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use portcullis_smtp::server::Protocol;

use super::stand::Stand;
use super::standing::Standing;
use super::{Parts, StartError};
use crate::admin::{Listening, Serving};
use crate::config::{Mistakes, TlsMode};
use crate::policy::{Hook, Plugin as _};
use crate::upstream::Upstreams;

impl Standing {
    /// Shows what is served from now on, and of history what it says.
    pub(super) fn show(&self, file: Option<&Path>) {
        let foundation = &self.parts.foundation;
        foundation.live.keep(self.parts.config.history);
        let serving = self.parts.serving(file, &self.stands, &self.upstreams);
        foundation.overview.serve(serving);
        foundation.inquiries.serve(self.parts.rehearsals());
    }

    /// Shows what came of a reload.
    pub(super) fn show_reload(&self, reloaded: &Result<Mistakes, StartError>) {
        self.parts.foundation.overview.reloaded(match reloaded {
            Ok(warnings) => Ok(warnings.to_string()),
            Err(error) => Err(error.to_string()),
        });
    }
}

impl Parts {
    fn serving(
        &self,
        file: Option<&Path>,
        stands: &[Stand],
        upstreams: &[Arc<Upstreams>],
    ) -> Serving {
        let listening = |listener: &crate::config::Listener| {
            let stand = stands.iter().find(|stand| stand.listener.name == listener.name);
            Listening {
                name: listener.name.clone(),
                addresses: stand.map(|stand| stand.sockets.places().collect()).unwrap_or_default(),
                protocol: match listener.protocol {
                    Protocol::Lmtp => "lmtp",
                    Protocol::Smtp => "smtp",
                },
                tls: listener.tls.as_ref().map(|tls| match tls.mode {
                    TlsMode::Implicit => "implicit",
                    TlsMode::Starttls => "starttls",
                }),
                plugins: listener.plugins.clone(),
                metrics: self.foundation.metrics.listener(&listener.name),
                certificates: stand.and_then(|stand| stand.certificates.clone()),
            }
        };
        let limits = &self.config.limits;
        Serving {
            configuration: self.config.effective.clone(),
            file: file.map(Path::to_owned),
            loaded: Timestamp::now(),
            hostname: self.config.hostname.clone(),
            connections_limit: limits.connections,
            listeners: self.config.listeners.iter().map(listening).collect(),
            upstreams: upstreams.to_vec(),
            plugins: self
                .plugins
                .iter()
                .map(|plugin| {
                    let hooks = Hook::ALL.into_iter().filter(|hook| plugin.answers(*hook));
                    (plugin.name().to_owned(), hooks.map(Hook::label).collect())
                })
                .collect(),
            budget: self.foundation.budget.clone(),
            budget_limits: (limits.content_memory_octets, limits.content_disk_octets),
        }
    }
}
