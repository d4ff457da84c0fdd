//! The certificates of one listener: which client gets which, and how new ones take their places.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{info, warn};

use super::TlsError;
use super::pair::{CertificateFacts, Pair, Stamp};
use crate::config::{CertificateFiles, Place};
use crate::metrics::ListenerMetrics;
use crate::shutdown::Watcher;

/// The certificates of one listener.
#[derive(Debug)]
pub struct Certificates {
    /// Never empty.
    pairs: ArcSwap<Vec<Arc<Pair>>>,
}

impl Certificates {
    pub(super) fn new(pairs: Vec<Arc<Pair>>) -> Arc<Self> {
        Arc::new(Self { pairs: ArcSwap::from_pointee(pairs) })
    }

    /// What each says of itself, in the order of the configuration.
    #[must_use]
    pub fn facts(&self) -> Vec<CertificateFacts> {
        self.pairs.load().iter().map(|pair| pair.facts.clone()).collect()
    }

    fn replace(&self, index: usize, pair: Pair) {
        let mut pairs = Vec::clone(&self.pairs.load());
        if let Some(old) = pairs.get_mut(index) {
            *old = Arc::new(pair);
        }
        self.pairs.store(Arc::new(pairs));
    }

    /// The first that has the name, or has a wildcard for it, or is there at all; of several for the
    /// same name (RSA and ECDSA, say) the first that the client can verify.
    fn choose(
        &self,
        name: Option<&str>,
        fits: impl Fn(&Pair) -> bool,
    ) -> Option<Arc<CertifiedKey>> {
        let pairs = self.pairs.load();
        let name = name.map(str::to_ascii_lowercase);
        let first = |named: &dyn Fn(&CertificateFacts) -> bool| {
            pairs.iter().find(|pair| named(&pair.facts) && fits(pair))
        };
        let named = name.and_then(|name| {
            let exact = first(&|facts| facts.names(&name));
            exact.or_else(|| first(&|facts| facts.covers_by_wildcard(&name)))
        });
        let chosen = named.or_else(|| first(&|_| true)).or_else(|| pairs.first());
        chosen.map(|pair| pair.certified.clone())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        self.choose(hello.server_name(), |pair| pair.certified.key.choose_scheme(schemes).is_some())
    }
}

/// Looks after the files of one listener's certificates.
#[derive(Debug)]
pub struct Renewal {
    certificates: Arc<Certificates>,
    watched: Vec<Watched>,
    metrics: Arc<ListenerMetrics>,
    listener: String,
}

/// A pair of files.
#[derive(Debug)]
struct Watched {
    files: CertificateFiles,
    /// What was last read, whatever came of it.
    read: Stamp,
    /// What was there when we looked last. Files are read when they have come to rest, so that a
    /// pair is not read when one of them is new.
    seen: Stamp,
}

impl Renewal {
    /// Reads all pairs for the first time.
    ///
    /// # Errors
    ///
    /// What is wrong with them, each with its place in the configuration.
    pub fn begin(
        listener: &str,
        files: &[CertificateFiles],
        metrics: Arc<ListenerMetrics>,
    ) -> Result<Self, Vec<(Place, TlsError)>> {
        let (mut pairs, mut watched, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for files in files {
            let read = Stamp::of(files);
            match Pair::read(files) {
                Ok(pair) => pairs.push(Arc::new(pair)),
                Err(error) => errors.push((files.place.clone(), error)),
            }
            watched.push(Watched { files: files.clone(), read, seen: read });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let certificates = Certificates::new(pairs);
        let listener = listener.to_owned();
        let renewal = Self { certificates, watched, metrics, listener };
        renewal.tell_ends();
        Ok(renewal)
    }

    /// What the listener shows its clients.
    #[must_use]
    pub fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// Looks at the files now and then, until the shutdown begins. Waits for the disk, so it is not
    /// for a thread that serves clients.
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
        for (index, watched) in self.watched.iter_mut().enumerate() {
            let now = Stamp::of(&watched.files);
            let at_rest = std::mem::replace(&mut watched.seen, now) == now;
            if !at_rest || now == watched.read {
                continue;
            }
            watched.read = now;
            let (listener, file) = (&self.listener, watched.files.certificate.display());
            match Pair::read(&watched.files) {
                Ok(pair) => {
                    let names = pair.facts.names.join(" ");
                    info!(listener, %file, names, "certificate reloaded");
                    self.certificates.replace(index, pair);
                    self.metrics.certificate_reloaded(true);
                }
                Err(error) => {
                    warn!(listener, %error, "the new certificate is refused, the old one stays");
                    self.metrics.certificate_reloaded(false);
                }
            }
        }
        self.tell_ends();
    }

    fn tell_ends(&self) {
        for facts in self.certificates.facts() {
            self.metrics.certificate_ends(&facts.file.to_string_lossy(), facts.not_after);
        }
    }
}

/// Short enough that nobody waits for it, long enough to cost nothing.
const PERIOD: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::metrics::{Metrics, Names};
    use crate::tls::{SelfSigned, self_signed};

    fn write(folder: &Path, name: &str, made: &SelfSigned) -> CertificateFiles {
        let files = CertificateFiles {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
            place: Place::default(),
        };
        fs::write(&files.certificate, &made.certificate).unwrap();
        fs::write(&files.key, &made.key).unwrap();
        files
    }

    fn begin(files: &[CertificateFiles]) -> (Renewal, Metrics) {
        let metrics = Metrics::new(&Names::default());
        let renewal = Renewal::begin("mx", files, metrics.listener("mx")).unwrap();
        (renewal, metrics)
    }

    fn shown(renewal: &Renewal, name: Option<&str>) -> Vec<String> {
        let chosen = renewal.certificates.choose(name, |_| true).unwrap();
        let pairs = renewal.certificates.pairs.load();
        let pair = pairs.iter().find(|pair| Arc::ptr_eq(&pair.certified, &chosen)).unwrap();
        pair.facts.names.clone()
    }

    #[test]
    fn who_asks_for_a_name_gets_its_certificate_and_others_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<_> = [&["a.example"][..], &["*.b.example"], &["x.b.example"]]
            .iter()
            .enumerate()
            .map(|(n, names)| write(folder.path(), &n.to_string(), &self_signed(names).unwrap()))
            .collect();
        let (renewal, _) = begin(&files);
        for (asked, given) in [
            (None, "a.example"),
            (Some("a.example"), "a.example"),
            (Some("nobody.example"), "a.example"),
            (Some("Y.b.example"), "*.b.example"),
            (Some("x.b.example"), "x.b.example"),
            (Some("b.example"), "a.example"),
        ] {
            assert_eq!(shown(&renewal, asked), [given], "{asked:?}");
        }
        let none_fits = renewal.certificates.choose(Some("x.b.example"), |_| false).unwrap();
        assert!(Arc::ptr_eq(&none_fits, &renewal.certificates.pairs.load()[0].certified));
    }

    #[test]
    fn new_files_take_their_place_when_they_have_come_to_rest() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path(), "one", &self_signed(&["old.example"]).unwrap());
        let (mut renewal, metrics) = begin(std::slice::from_ref(&files));
        renewal.look();
        let new = self_signed(&["new.example", "other.example"]).unwrap();
        fs::write(&files.certificate, &new.certificate).unwrap();
        renewal.look();
        fs::write(&files.key, &new.key).unwrap();
        renewal.look();
        assert_eq!(shown(&renewal, None), ["old.example"], "the key is just being written");
        renewal.look();
        assert_eq!(shown(&renewal, None), ["new.example", "other.example"]);
        let reloads = "portcullis_tls_certificate_reloads_total{listener=\"mx\",result=\"ok\"} 1";
        assert!(metrics.render().contains(reloads), "{}", metrics.render());
    }

    #[test]
    fn a_broken_pair_is_refused_once_and_the_old_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let files = write(folder.path(), "one", &self_signed(&["old.example"]).unwrap());
        let (mut renewal, metrics) = begin(std::slice::from_ref(&files));
        let other = self_signed(&["new.example", "other.example"]).unwrap();
        fs::write(&files.certificate, other.certificate).unwrap();
        for _ in 0..5 {
            renewal.look();
        }
        assert_eq!(shown(&renewal, None), ["old.example"], "the key is not its");
        fs::remove_file(&files.key).unwrap();
        for _ in 0..5 {
            renewal.look();
        }
        assert_eq!(shown(&renewal, None), ["old.example"], "there is no key");
        let text = metrics.render();
        let refused =
            "portcullis_tls_certificate_reloads_total{listener=\"mx\",result=\"failed\"} 2";
        assert!(text.contains(refused), "{text}");
        fs::write(&files.key, other.key).unwrap();
        renewal.look();
        renewal.look();
        assert_eq!(shown(&renewal, None), ["new.example", "other.example"]);
    }
}
