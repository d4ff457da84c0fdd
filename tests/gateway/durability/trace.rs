//! What strace saw of the gateway.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Runs another command under strace, which stands aside: the process id is the command's.
pub(super) fn command<'a>(strace: &'a str, file: &'a str) -> [&'a str; 12] {
    let calls = "trace=fsync,fdatasync,rename,renameat,renameat2,write,writev,sendto,sendmsg";
    [strace, "-D", "-f", "-q", "--seccomp-bpf", "-y", "-s", "200", "-e", calls, "-o", file]
}

/// The calls in the order in which they began and ended.
#[derive(Debug, Default)]
pub(super) struct Trace {
    calls: Vec<Call>,
}

/// A call that was good.
#[derive(Debug)]
struct Call {
    text: String,
    began: usize,
    ended: usize,
}

impl Trace {
    /// As far as it is written.
    pub(super) fn read(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let mut trace = Self::default();
        let mut open: HashMap<&str, (usize, &str)> = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let (thread, rest) = line.split_once(' ')?;
            let rest = rest.trim_start();
            if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
                open.insert(thread, (at, begun));
            } else if let Some(resumed) = rest.strip_prefix("<... ") {
                let Some((began, begun)) = open.remove(thread) else { continue };
                trace.note(format!("{begun}{resumed}"), began, at);
            } else {
                trace.note(rest.to_owned(), at, at);
            }
        }
        // Calls that were never seen to end did begin.
        for (began, begun) in open.into_values() {
            trace.calls.push(Call { text: begun.to_owned(), began, ended: usize::MAX });
        }
        Some(trace)
    }

    fn note(&mut self, text: String, began: usize, ended: usize) {
        let failed = text.rsplit_once(" = ").is_none_or(|(_, result)| result.starts_with('-'));
        if !failed {
            self.calls.push(Call { text, began, ended });
        }
    }

    /// Whether a client was told this name.
    pub(super) fn has_told(&self, id: &str) -> bool {
        self.told(id).is_some()
    }

    /// What is wrong with the order in which things happened to this message.
    pub(super) fn complaint(&self, id: &str) -> Option<String> {
        let told = self.told(id)?;
        let incoming = format!("/incoming/{id}");
        let Some(file) = self.sync_of(|path| path.ends_with(&incoming)) else {
            return Some(format!("{id}: no fsync of the file"));
        };
        let moved = self.calls.iter().find(|call| {
            call.text.starts_with("rename") && call.text.contains(&format!("{incoming}\""))
        });
        let Some(moved) = moved else { return Some(format!("{id}: it was not moved")) };
        let target = moved.text.rsplit('"').nth(1).unwrap_or_default();
        let directory = target.rsplit_once('/').map_or("", |(directory, _)| directory);
        let synced = self.calls.iter().any(|call| {
            call.synced().is_some_and(|path| path == directory)
                && call.began > moved.ended
                && call.ended < told.began
        });
        match (file.ended < moved.began, moved.ended < told.began, synced) {
            (true, true, true) => None,
            (false, ..) => Some(format!("{id}: moved before its fsync")),
            (_, false, _) => Some(format!("{id}: told before it was moved")),
            _ => Some(format!("{id}: told before the fsync of {directory}")),
        }
    }

    fn told(&self, id: &str) -> Option<&Call> {
        let text = format!("queued as {id}");
        self.calls.iter().find(|call| !call.text.starts_with("fsync") && call.text.contains(&text))
    }

    fn sync_of(&self, fits: impl Fn(&str) -> bool) -> Option<&Call> {
        self.calls.iter().find(|call| call.synced().is_some_and(&fits))
    }
}

impl Call {
    /// The path of what was synced, if that is what it did.
    fn synced(&self) -> Option<&str> {
        let rest =
            self.text.strip_prefix("fsync(").or_else(|| self.text.strip_prefix("fdatasync("))?;
        Some(rest.split_once('<')?.1.split_once('>')?.0)
    }
}
