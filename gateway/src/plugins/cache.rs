//! What is kept on disk, so that a restart neither compiles nor configures anything again.
//!
//! Compiled code is native code: it is read back only from a directory that nobody else can write
//! to. Snapshots are plain wasm and stay in the sandbox.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use wasmtime::{Cache, CacheConfig};

use super::engine::EngineError;

/// A directory of our own below the one that was configured.
pub(super) struct CacheDirectory {
    compiled: Cache,
    snapshots: Snapshots,
}

impl CacheDirectory {
    /// None if it cannot be used; that is logged.
    pub(super) fn open(parent: &Path) -> Result<Option<Self>, EngineError> {
        let directory = parent.join("plugins");
        match Self::try_open(&directory) {
            Ok(Some(cache)) => Ok(Some(cache)),
            Ok(None) => Err(EngineError::CacheExposed(directory)),
            Err(error) => {
                let directory = directory.display();
                tracing::warn!(%directory, %error, "no cache: plugins are compiled at each start");
                Ok(None)
            }
        }
    }

    /// None if others could write to it.
    fn try_open(directory: &Path) -> io::Result<Option<Self>> {
        let (compiled, snapshots) = (directory.join("compiled"), directory.join("snapshots"));
        for part in [directory, &compiled, &snapshots] {
            DirBuilder::new().recursive(true).mode(0o700).create(part)?;
            if !is_private(part)? {
                return Ok(None);
            }
        }
        let mut config = CacheConfig::new();
        config.with_directory(fs::canonicalize(compiled)?);
        let compiled = Cache::new(config).map_err(io::Error::other)?;
        Ok(Some(Self { compiled, snapshots: Snapshots { directory: snapshots } }))
    }

    /// For the engine. It names what it writes by wasm, engine version and settings.
    pub(super) fn compiled(&self) -> Cache {
        self.compiled.clone()
    }

    pub(super) fn snapshots(self) -> Snapshots {
        self.snapshots
    }
}

/// Configured components, by what they were made of.
#[derive(Clone, Debug)]
pub(super) struct Snapshots {
    directory: PathBuf,
}

impl Snapshots {
    /// The name of what `component` with `settings` becomes.
    pub(super) fn key(component: &[u8], settings: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(FORMAT);
        hash.update((settings.len() as u64).to_be_bytes());
        hash.update(settings);
        hash.update(component);
        hex(&hash.finalize())
    }

    /// The hooks to skip and the component, if they are there and whole.
    pub(super) fn read(&self, key: &str) -> Option<(Vec<String>, Vec<u8>)> {
        let octets = fs::read(self.directory.join(key)).ok()?;
        let rest = octets.strip_prefix(FORMAT)?;
        let (digest, rest) = rest.split_at_checked(64)?;
        if digest != hex(&Sha256::digest(rest)).as_bytes() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest)?;
        let skip = serde_json::from_slice(&rest[..end]).ok()?;
        Some((skip, rest[end + 1..].to_vec()))
    }

    /// Keeps a snapshot. If that fails, the next start takes longer, and that is all.
    pub(super) fn write(&self, key: &str, skip: &[String], component: &[u8]) {
        let mut rest = serde_json::json!(skip).to_string().into_bytes();
        rest.push(b'\n');
        rest.extend_from_slice(component);
        if let Err(error) = self.try_write(key, &rest) {
            tracing::warn!(%error, "a configured plugin cannot be kept");
        }
    }

    fn try_write(&self, key: &str, rest: &[u8]) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.directory)?;
        file.write_all(FORMAT)?;
        file.write_all(hex(&Sha256::digest(rest)).as_bytes())?;
        file.write_all(rest)?;
        file.persist(self.directory.join(key))?;
        self.drop_oldest()
    }

    fn drop_oldest(&self) -> io::Result<()> {
        let mut all: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.directory)?
            .filter_map(|entry| {
                let entry = entry.ok()?;
                Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
            })
            .collect();
        all.sort();
        for (_, path) in all.iter().rev().skip(KEPT) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// Whether the directory is ours and nobody else's to write to.
fn is_private(directory: &Path) -> io::Result<bool> {
    let found = fs::symlink_metadata(directory)?;
    let own = NamedTempFile::new_in(directory)?.as_file().metadata()?.uid();
    Ok(found.is_dir() && found.uid() == own && found.mode() & 0o022 == 0)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The first line of a snapshot's file. Another version of the gateway writes another one, since
/// it may offer plugins something else to configure themselves with.
const FORMAT: &[u8] = concat!("portcullis ", env!("CARGO_PKG_VERSION"), " snapshot 1\n").as_bytes();

/// Snapshots that are kept: those in use, and those of the last changes.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_is_damaged_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CacheDirectory::open(directory.path()).unwrap().unwrap().snapshots();
        let key = Snapshots::key(b"wasm", "{}");
        assert_ne!(key, Snapshots::key(b"wasm", "{} "));
        assert_eq!(cache.read(&key), None);
        cache.write(&key, &["helo".into()], b"frozen\n");
        assert_eq!(cache.read(&key), Some((vec!["helo".into()], b"frozen\n".to_vec())));
        let path = cache.directory.join(&key);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let mut octets = fs::read(&path).unwrap();
        octets.pop();
        fs::write(&path, octets).unwrap();
        assert_eq!(cache.read(&key), None);
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("plugins");
        fs::create_dir(&own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
        let opened = CacheDirectory::open(directory.path());
        assert!(matches!(opened, Err(EngineError::CacheExposed(path)) if path == own));
    }

    #[test]
    fn old_snapshots_make_room() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CacheDirectory::open(directory.path()).unwrap().unwrap().snapshots();
        for n in 0..KEPT + 10 {
            cache.write(&format!("{n}"), &[], b"x");
        }
        assert_eq!(fs::read_dir(&cache.directory).unwrap().count(), KEPT);
    }
}
