//! Maps that change while the gateway runs.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info};

use super::{CurrentRoutes, Routes};
use crate::config::{Config, Map, MapFile, Stamp, Target};
use crate::metrics::Metrics;
use crate::shutdown::Watcher;

/// Looks after the map files of one configuration.
#[derive(Debug)]
pub struct Renewal {
    routes: Arc<CurrentRoutes>,
    maps: Vec<Arc<Map>>,
    watched: Vec<Watched>,
    metrics: Arc<Metrics>,
}

/// A file.
#[derive(Debug)]
struct Watched {
    file: MapFile,
    /// What was last read, whatever came of it.
    read: Stamp,
    /// What was there when we looked last. Files are read when they have come to rest, so that none is
    /// read while it is written.
    seen: Stamp,
}

impl Renewal {
    /// For the routes of a configuration; none if there are no maps.
    #[must_use]
    pub fn of(config: &Config, routes: Arc<CurrentRoutes>, metrics: Arc<Metrics>) -> Option<Self> {
        let maps = config.routes.iter().filter_map(|route| match &route.target {
            Target::Map(map) => Some(map),
            Target::Upstream(_) => None,
        });
        let watched: Vec<_> = maps
            .clone()
            .map(|map| {
                let read = map.map.stamp();
                Watched { file: map.file.clone(), read, seen: read }
            })
            .collect();
        let maps: Vec<_> = maps.map(|map| map.map.clone()).collect();
        for map in &maps {
            metrics.route_map_entries(&map.path().to_string_lossy(), map.len());
        }
        (!maps.is_empty()).then_some(Self { routes, maps, watched, metrics })
    }

    /// Looks at the files now and then, until the shutdown begins.
    pub async fn run(mut self, mut shutdown: Watcher) {
        loop {
            tokio::select! {
                () = shutdown.begun() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            let looked = tokio::task::spawn_blocking(move || {
                self.look();
                self
            });
            match looked.await {
                Ok(renewal) => self = renewal,
                Err(_) => return,
            }
        }
    }

    fn look(&mut self) {
        let mut changed = false;
        for (map, watched) in self.maps.iter_mut().zip(&mut self.watched) {
            let now = Stamp::of(&watched.file.path);
            let at_rest = std::mem::replace(&mut watched.seen, now) == now;
            if !at_rest || now == watched.read {
                continue;
            }
            watched.read = now;
            let path = watched.file.path.to_string_lossy();
            match watched.file.read() {
                Ok(read) => {
                    info!(map = %path, entries = read.len(), "map of routes reloaded");
                    self.metrics.route_map_reloaded(&path, true);
                    self.metrics.route_map_entries(&path, read.len());
                    (*map, changed) = (Arc::new(read), true);
                }
                Err(mistakes) => {
                    for mistake in &mistakes {
                        error!(place = %mistake.place, help = mistake.help, "{}", mistake.text);
                    }
                    let count = mistakes.len();
                    error!(map = %path, mistakes = count, "the new map is refused, the old one stays");
                    self.metrics.route_map_reloaded(&path, false);
                }
            }
        }
        if changed {
            let routes = Routes::with(&self.routes.load(), self.maps.clone());
            self.routes.store(Arc::new(routes));
        }
    }
}

/// Short enough that nobody waits for it, long enough to cost nothing.
const PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::tests::{Question, config};
    use super::*;
    use crate::metrics::Names;

    /// Routes of which the first is a map, with what looks after it.
    fn begin(map: &str) -> (tempfile::TempDir, Renewal) {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("map"), map).expect("a file");
        let config = config(folder.path(), "  - map: map\n");
        let routes = Arc::new(CurrentRoutes::from_pointee(Routes::new(&config)));
        let metrics = Arc::new(Metrics::new(&Names::default()));
        let renewal = Renewal::of(&config, routes, metrics).expect("there is a map");
        (folder, renewal)
    }

    #[test]
    fn a_changed_map_takes_its_place_when_it_has_come_to_rest() {
        let (folder, mut renewal) = begin("a.example one\n");
        let before = renewal.routes.load_full();
        fs::write(folder.path().join("map"), "a.example two\nb.example two\n").expect("a file");
        renewal.look();
        let asked = Question::to("x@a.example");
        assert_eq!(asked.upstream(&renewal.routes.load()), "one", "it is just being written");
        renewal.look();
        assert_eq!(asked.upstream(&renewal.routes.load()), "two");
        assert_eq!(asked.upstream(&before), "one", "who began before keeps the routes");
        let told = renewal.metrics.render();
        assert!(told.contains("result=\"ok\"} 1\n"), "{told}");
        let file = folder.path().join("map").to_string_lossy().into_owned();
        let entries = format!("portcullis_route_map_entries{{map=\"{file}\"}} 2\n");
        assert!(told.contains(&entries), "{told}");
    }

    #[test]
    fn a_broken_map_is_refused_once_and_the_old_one_stays() {
        let (folder, mut renewal) = begin("a.example one\n");
        for text in ["a.example none\nb.example\n", ""] {
            fs::write(folder.path().join("map"), text).expect("a file");
            for _ in 0..5 {
                renewal.look();
            }
        }
        fs::remove_file(folder.path().join("map")).expect("it was there");
        for _ in 0..5 {
            renewal.look();
        }
        let asked = Question::to("x@a.example");
        assert_eq!(asked.upstream(&renewal.routes.load()), "one");
        let told = renewal.metrics.render();
        assert!(told.contains("result=\"failed\"} 3\n"), "{told}");
        fs::write(folder.path().join("map"), "a.example two\n").expect("a file");
        renewal.look();
        renewal.look();
        assert_eq!(asked.upstream(&renewal.routes.load()), "two");
    }
}
