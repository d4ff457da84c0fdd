//! Files of plugins that change while the gateway runs: the plugin is configured anew.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tracing::{error, info};

use super::Parts;
use super::standing::Standing;
use crate::config::{self, PluginFile, Stamp};
use crate::metrics::Metrics;
use crate::plugins::{Engine, WasmPlugin};
use crate::policy::{Hook, Plugin as _};
use crate::shutdown::Watcher;

/// Looks after the files of the plugins of one configuration.
#[derive(Debug)]
pub(super) struct PluginFiles {
    engine: Engine,
    metrics: Arc<Metrics>,
    upstreams: Arc<BTreeSet<String>>,
    plugins: Vec<Watched>,
    renewed: mpsc::Sender<Arc<WasmPlugin>>,
}

/// One plugin that has files.
#[derive(Debug)]
struct Watched {
    plugin: config::Plugin,
    /// What was last read of each, whatever came of it.
    read: Vec<Stamp>,
    /// What was there when we looked last. Files are read when they have come to rest, so that none is
    /// read while it is written.
    seen: Vec<Stamp>,
}

impl PluginFiles {
    /// For the plugins of a configuration, with where those come that are configured anew; none if
    /// there are no files.
    pub(super) fn of(parts: &Parts) -> Option<(Self, mpsc::Receiver<Arc<WasmPlugin>>)> {
        let with_files = parts.config.plugins.iter().filter(|plugin| !plugin.files.is_empty());
        let plugins: Vec<_> = with_files.map(Watched::new).collect();
        if plugins.is_empty() {
            return None;
        }
        let (renewed, comes) = mpsc::channel(1);
        let upstreams = parts.config.upstreams.keys().cloned().collect();
        let (engine, metrics) = (parts.foundation.engine.clone(), parts.foundation.metrics.clone());
        Some((Self { engine, metrics, upstreams: Arc::new(upstreams), plugins, renewed }, comes))
    }

    /// Looks at the files now and then, until the shutdown begins.
    pub(super) async fn run(mut self, mut shutdown: Watcher) {
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            let looked = spawn_blocking(move || {
                let changed = self.plugins.iter_mut().map(Watched::has_changed).collect::<Vec<_>>();
                (self, changed)
            });
            let Ok((files, changed)) = looked.await else { return };
            self = files;
            for (place, _) in changed.into_iter().enumerate().filter(|(_, changed)| *changed) {
                let Some(renewed) = self.renew(place).await else { continue };
                if self.renewed.send(renewed).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Configures a plugin anew, with its files as they are now. What is wrong is told, and the one that
    /// is there stays.
    async fn renew(&mut self, place: usize) -> Option<Arc<WasmPlugin>> {
        let watched = self.plugins.get_mut(place)?;
        let (name, metrics) =
            (watched.plugin.name.clone(), self.metrics.plugin(&watched.plugin.name));
        let refused = |file: Option<String>, error: String| {
            error!(plugin = name, file, "the new file is refused, the old one stays: {error}");
            metrics.files_renewed(false);
        };
        let known = watched.plugin.files.clone();
        let again = move || known.iter().map(PluginFile::again).collect::<Vec<_>>();
        let again = spawn_blocking(again).await.ok()?;
        let mut files = Vec::new();
        let stamps = watched.read.iter_mut().zip(&watched.seen);
        for ((file, (read, seen)), again) in watched.plugin.files.iter().zip(stamps).zip(again) {
            match again {
                Ok(file) => {
                    *read = file.stamp;
                    files.push(file);
                }
                Err(error) => {
                    // As it was before it was read: what has come since is read again.
                    *read = *seen;
                    refused(Some(file.path.display().to_string()), error.to_string());
                    return None;
                }
            }
        }
        let plugin = config::Plugin { files, ..watched.plugin.clone() };
        match self.engine.load(&plugin, self.upstreams.clone()).await {
            Ok(loaded) => {
                info!(plugin = name, "files have changed, and the plugin is configured anew");
                metrics.files_renewed(true);
                watched.plugin = plugin;
                Some(loaded)
            }
            Err(error) => {
                refused(None, error.failure.to_string());
                None
            }
        }
    }
}

impl Watched {
    fn new(plugin: &config::Plugin) -> Self {
        let read: Vec<_> = plugin.files.iter().map(|file| file.stamp).collect();
        Self { plugin: plugin.clone(), seen: read.clone(), read }
    }

    /// Whether any file is another one than was read, and all have come to rest.
    fn has_changed(&mut self) -> bool {
        let now = |file: &PluginFile| Stamp::of(&file.path);
        let now: Vec<_> = self.plugin.files.iter().map(now).collect();
        let at_rest = std::mem::replace(&mut self.seen, now.clone()) == now;
        at_rest && now != self.read
    }
}

impl Standing {
    /// The next plugin that was configured anew because its files have changed.
    pub(super) async fn renewed(&mut self) -> Arc<WasmPlugin> {
        if let Some(comes) = &mut self.renewed
            && let Some(plugin) = comes.recv().await
        {
            return plugin;
        }
        std::future::pending().await
    }

    /// Puts it in the place of the one that was there, for transactions that begin from now on.
    pub(super) fn install(&mut self, plugin: Arc<WasmPlugin>) {
        let name = plugin.name().to_owned();
        let hooks = Hook::ALL.into_iter().filter(|hook| plugin.answers(*hook));
        let hooks: Vec<_> = hooks.map(Hook::label).collect();
        self.parts.foundation.metrics.announce_plugin(&name, &hooks);
        for known in self.parts.plugins.iter_mut().filter(|known| known.name() == name) {
            *known = plugin.clone();
        }
        for stand in &self.stands {
            let mut listeners = self.parts.config.listeners.iter();
            let own = listeners.find(|listener| listener.name == stand.listener.name);
            if let Some(listener) = own.filter(|listener| listener.plugins.contains(&name)) {
                stand.rebuild(self.houses(&self.parts, listener).collect());
            }
        }
        self.parts.foundation.inquiries.serve(self.parts.rehearsals());
    }
}

/// Short enough that nobody waits for it, long enough to cost nothing.
const PERIOD: Duration = Duration::from_secs(1);
