//! Unix sockets that are files.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::{Domain, SockAddr, Socket, Type};
use tracing::{info, warn};

use super::socket::{BACKLOG, Bound};
use crate::config::UnixSocket;

/// The file of a socket. Dropped, it is removed, unless it is another one by now.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
    /// Whether it is somebody else's now.
    is_kept: AtomicBool,
}

impl SocketFile {
    /// One that is there.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = fs::symlink_metadata(path)?;
        let (device, inode) = (file.dev(), file.ino());
        Ok(Self { path: path.to_owned(), device, inode, is_kept: AtomicBool::new(false) })
    }

    /// One that is somebody else's until it is [taken](Self::take).
    pub(super) fn of_another(path: &Path) -> io::Result<Self> {
        let file = Self::of(path)?;
        file.keep();
        Ok(file)
    }

    /// It is not removed.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }

    /// It is removed in the end.
    pub(super) fn take(&self) {
        self.is_kept.store(false, Ordering::Relaxed);
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = |file: fs::Metadata| (file.dev(), file.ino()) == (self.device, self.inode);
        if !self.is_kept.load(Ordering::Relaxed)
            && fs::symlink_metadata(&self.path).is_ok_and(same)
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!(path = %self.path.display(), %error, "the socket's file stays behind");
        }
    }
}

/// Binds a Unix socket. What a dead gateway left behind is removed first.
pub(super) fn bind(at: &UnixSocket) -> io::Result<(Bound, SocketFile)> {
    remove_stale(&at.path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(&at.path)?)?;
    let file = SocketFile::of(&at.path)?;
    // Before `listen` nobody can connect, so nobody does before the mode is right.
    admit(at)?;
    socket.listen(BACKLOG)?;
    Ok((Bound::Unix(socket.into()), file))
}

/// Lets those connect to a Unix socket who may.
pub(super) fn admit(at: &UnixSocket) -> io::Result<()> {
    if at.group.is_some() {
        chown(&at.path, None, at.group).map_err(|error| explain(error, "socket_group"))?;
    }
    let mode = fs::Permissions::from_mode(at.mode);
    fs::set_permissions(&at.path, mode).map_err(|error| explain(error, "socket_mode"))
}

/// A socket that nobody listens at is the rest of a process that was killed.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(file) if !file.file_type().is_socket() => {
            let text = "there is a file that is no socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        Ok(_) => {}
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // One whose queue is full would hold us otherwise.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?).map_err(|error| (error.kind(), error)) {
        Err((io::ErrorKind::ConnectionRefused, _)) => {
            info!(path = %path.display(), "removing a socket that nobody listens at");
            fs::remove_file(path)
        }
        Err((io::ErrorKind::NotFound, _)) => Ok(()),
        Ok(()) | Err((io::ErrorKind::WouldBlock, _)) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there already"))
        }
        Err((_, error)) => Err(error),
    }
}

fn explain(error: io::Error, key: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{key}: {error}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn socket(folder: &tempfile::TempDir) -> UnixSocket {
        UnixSocket { path: folder.path().join("lmtp.sock"), mode: 0o640, group: None }
    }

    #[test]
    fn it_has_its_mode_and_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let at = socket(&folder);
        let (bound, file) = bind(&at).unwrap();
        assert_eq!(fs::metadata(&at.path).unwrap().permissions().mode() & 0o777, 0o640);
        UnixStream::connect(&at.path).unwrap();
        drop((bound, file));
        assert!(!at.path.exists());
    }

    #[test]
    fn what_a_dead_process_left_behind_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = socket(&folder);
        drop(UnixListener::bind(&at.path).unwrap());
        assert!(at.path.exists());
        let (_bound, _file) = bind(&at).unwrap();
        UnixStream::connect(&at.path).unwrap();
    }

    #[test]
    fn a_socket_that_somebody_listens_at_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = socket(&folder);
        let _other = UnixListener::bind(&at.path).unwrap();
        let error = bind(&at).unwrap_err();
        assert_eq!(error.to_string(), "somebody listens there already");
        UnixStream::connect(&at.path).unwrap();
    }

    #[test]
    fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = socket(&folder);
        fs::write(&at.path, "mail").unwrap();
        assert_eq!(bind(&at).unwrap_err().to_string(), "there is a file that is no socket");
        assert_eq!(fs::read(&at.path).unwrap(), b"mail");
    }

    #[test]
    fn a_file_that_was_handed_over_is_removed_only_by_who_goes_on_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = socket(&folder);
        let (_bound, file) = bind(&at).unwrap();
        drop(SocketFile::of_another(&at.path).unwrap());
        UnixStream::connect(&at.path).unwrap();
        let successor = SocketFile::of_another(&at.path).unwrap();
        file.keep();
        successor.take();
        drop(file);
        UnixStream::connect(&at.path).unwrap();
        drop(successor);
        assert!(!at.path.exists());
    }

    #[test]
    fn the_file_of_a_successor_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        let at = socket(&folder);
        let (_bound, file) = bind(&at).unwrap();
        fs::rename(&at.path, folder.path().join("old.sock")).unwrap();
        let _successor = UnixListener::bind(&at.path).unwrap();
        drop(file);
        assert!(at.path.exists());
    }
}
