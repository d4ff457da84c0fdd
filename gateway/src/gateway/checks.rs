//! What an operator should look at although mail is taken: head-room, certificates.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::admin::{Checks, Note};
use crate::config::Config;
use crate::message::Budget;
use crate::tls::Certificates;

use super::certificates::{days_left, ends_soon};

/// What one configuration is looked at for.
#[derive(Debug)]
struct Watched {
    budget: Arc<Budget>,
    /// Octets in memory and in files that it may have.
    bounds: (u64, u64),
    /// What it is for, and where it is.
    disks: Vec<(&'static str, PathBuf)>,
    /// By listener.
    certificates: Vec<(String, Arc<Certificates>)>,
}

/// The checks of a configuration.
pub(super) fn of(
    config: &Config,
    budget: Arc<Budget>,
    certificates: Vec<(String, Arc<Certificates>)>,
) -> Checks {
    let spool = config.spool.as_ref().map(|spool| ("spool", spool.directory.clone()));
    let content = ("temporary files", std::env::temp_dir());
    let cache = ("cache_directory", config.cache_directory.clone());
    let disks = spool.into_iter().chain([content, cache]).collect();
    let limits = &config.limits;
    let bounds = (limits.content_memory_octets, limits.content_disk_octets);
    let watched = Watched { budget, bounds, disks, certificates };
    Checks::new(move || watched.notes())
}

impl Watched {
    fn notes(&self) -> Vec<Note> {
        let (memory, disk) = self.budget.used();
        let mut notes = Vec::new();
        for (used, bound, key) in
            [(memory, self.bounds.0, "content_memory"), (disk, self.bounds.1, "content_disk")]
        {
            if used > bound / 100 * SPENT {
                let text = format!("{} % of limits.{key} is used", used / (bound / 100).max(1));
                notes.push(Note { what: "memory", text });
            }
        }
        for (what, directory) in &self.disks {
            notes.extend(low(directory).map(|free| {
                let text = format!(
                    "the disk of {what} ({}) has {} MiB left",
                    directory.display(),
                    free >> 20
                );
                Note { what: "disk", text }
            }));
        }
        for (listener, certificates) in &self.certificates {
            for facts in certificates.facts() {
                let days = days_left(&facts);
                let file = facts.file.display();
                let text = match days {
                    ..0 => format!("{listener}: {file} ended {} days ago", -days),
                    _ => format!("{listener}: {file} ends in {days} days"),
                };
                notes.extend(ends_soon(days).then_some(Note { what: "certificate", text }));
            }
        }
        notes
    }
}

/// What is free, if that is little. What is not there yet, or cannot be asked, has nothing to say.
fn low(directory: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    let (free, all) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    (free < FREE && free < all / 10).then_some(free)
}

/// Per cent of what there may be of content.
const SPENT: u64 = 90;

/// Octets; less is little, if it is less than a tenth of the disk, too.
const FREE: u64 = 1 << 30;
