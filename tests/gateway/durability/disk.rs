//! A disk that fails when it is told to.

use std::cell::Cell;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use portcullis_tests::peers::need;
use portcullis_tests::process::run;
use portcullis_tests::{Gateway, repository};

/// A disk that fails when it is told to, for a gateway that has its spool below one folder.
pub(super) struct Disk {
    folder: PathBuf,
    library: PathBuf,
    round: Cell<usize>,
}

impl Disk {
    /// Below this folder. Nothing if there is no C compiler.
    #[track_caller]
    pub(super) fn new(folder: &Path) -> Option<Self> {
        let [cc] = need(["cc"])?;
        let library = folder.join("disk.so");
        let source = repository().join("tests/gateway/durability/disk.c");
        run(Command::new(cc)
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&library)
            .arg(source)
            .arg("-ldl"))
        .expect_success();
        Some(Self { folder: folder.to_owned(), library, round: Cell::new(0) })
    }

    /// Has a gateway use it.
    pub(super) fn below(&self, gateway: Gateway) -> Gateway {
        gateway
            .environment("LD_PRELOAD", self.library.clone())
            .environment("DISK_ROOT", self.folder.join("spool"))
            .environment("DISK_FAULT", self.fault())
            .environment("DISK_FAILED", self.failed())
    }

    /// From now on these calls of this kind fail with this error.
    pub(super) fn fail(&self, kind: &str, calls: RangeInclusive<usize>, error: i32) {
        drop(fs::remove_file(self.failed()));
        self.round.set(self.round.get() + 1);
        let (round, first, last) = (self.round.get(), calls.start(), calls.end());
        // In one step, so that nobody reads half of it.
        let new = self.folder.join("fault.new");
        fs::write(&new, format!("{round} {kind} {first} {last} {error}"))
            .expect("a folder of the test");
        fs::rename(new, self.fault()).expect("a folder of the test");
    }

    /// From now on nothing fails.
    pub(super) fn mend(&self) {
        fs::remove_file(self.fault()).expect("it was written before");
    }

    /// How many calls have failed since it was told.
    pub(super) fn failures(&self) -> u64 {
        fs::metadata(self.failed()).map_or(0, |file| file.len())
    }

    fn fault(&self) -> PathBuf {
        self.folder.join("fault")
    }

    fn failed(&self) -> PathBuf {
        self.folder.join("failed")
    }
}
