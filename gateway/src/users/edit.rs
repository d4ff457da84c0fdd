//! Changes a users file without disturbing what else is in it, nor who reads it meanwhile.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::book::{Book, Line, NameError, check_name};
use super::secret::{PasswordError, Scheme, Secret};
use crate::config::Mistakes;

/// What is to be changed.
#[derive(Clone, Copy)]
pub enum Change<'a> {
    /// Somebody new, or a new password.
    Put {
        /// How the password is to be kept.
        scheme: Scheme,
        /// The password.
        password: &'a str,
        /// Whether somebody of this name may be there already.
        replace: bool,
    },
    /// Somebody goes.
    Remove,
}

impl std::fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Put { .. } => "Put(..)",
            Self::Remove => "Remove",
        })
    }
}

/// Why a users file was not changed. It is as it was.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The file has mistakes, which a change could make worse.
    #[error("{0}")]
    Broken(Mistakes),
    /// The system's.
    #[error("cannot write {}: {source}", .file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody of this name is there already.
    #[error("there is a user of this name already; --replace gives a new password")]
    Known,
    /// Nobody can have this name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Nobody can have this password.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// Nobody of this name is there.
    #[error("there is no user of this name")]
    Unknown,
}

/// Changes what a file says of one user, or makes the file.
///
/// Comments and the order of users stay. Whoever reads the file has the old or the new one, never
/// a part.
///
/// # Errors
///
/// Why the file is as it was.
pub fn edit(file: &Path, name: &str, change: Change<'_>) -> Result<(), EditError> {
    check_name(name)?;
    let secret = match change {
        Change::Put { scheme, password, .. } => Some(Secret::make(scheme, password)?.to_line()),
        Change::Remove => None,
    };
    let io = |source| EditError::Io { file: file.to_owned(), source };
    let place = Place::of(file).map_err(io)?;
    // Two who change the file at once would undo each other.
    place.lock.lock().map_err(io)?;
    let octets = match fs::read(&place.file) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound && secret.is_some() => Vec::new(),
        Err(error) => return Err(io(error)),
    };
    let book = Book::parse(file, &octets).map_err(EditError::Broken)?;
    match (book.knows(name), change) {
        (true, Change::Put { replace: false, .. }) => return Err(EditError::Known),
        (false, Change::Remove) => return Err(EditError::Unknown),
        (_, Change::Put { .. }) | (true, Change::Remove) => {}
    }
    let line = secret.map(|secret| format!("{name}:{secret}\n"));
    place.write(&changed(&octets, name, line.as_deref())).map_err(io)
}

/// The text with this line in the place of the user's, or behind all others.
fn changed(octets: &[u8], name: &str, line: Option<&str>) -> Vec<u8> {
    let mut text = Vec::with_capacity(octets.len() + line.map_or(0, str::len) + 1);
    let mut left = line;
    for old in octets.split_inclusive(|octet| *octet == b'\n') {
        if Line::all(old).next().and_then(Line::name) == Some(name) {
            text.extend_from_slice(left.take().unwrap_or_default().as_bytes());
        } else {
            text.extend_from_slice(old);
        }
    }
    if let Some(line) = left {
        if text.last().is_some_and(|octet| *octet != b'\n') {
            text.push(b'\n');
        }
        text.extend_from_slice(line.as_bytes());
    }
    text
}

/// Where a file is, and the folder in which it is changed.
struct Place {
    /// Behind all links.
    file: PathBuf,
    folder: PathBuf,
    lock: File,
}

impl Place {
    fn of(file: &Path) -> io::Result<Self> {
        let file = match file.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => file.to_owned(),
            found => found?,
        };
        let folder = match file.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Self { lock: File::open(&folder)?, folder, file })
    }

    /// Whom the file belongs to stays, and so does what its group may: the gateway may be another
    /// user than the one who changes it. What all others may does not.
    fn write(&self, octets: &[u8]) -> io::Result<()> {
        let mut new = tempfile::NamedTempFile::new_in(&self.folder)?;
        new.write_all(octets)?;
        if let Ok(old) = self.file.metadata() {
            let made = new.as_file().metadata()?;
            if (old.uid(), old.gid()) != (made.uid(), made.gid()) {
                chown(new.path(), Some(old.uid()), Some(old.gid()))?;
            }
            let mode = old.mode() & 0o660 | 0o600;
            new.as_file().set_permissions(Permissions::from_mode(mode))?;
        }
        new.as_file().sync_all()?;
        new.persist(&self.file)?;
        self.lock.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: Change<'_> =
        Change::Put { scheme: Scheme::Cleartext, password: "new", replace: false };
    const REPLACE: Change<'_> =
        Change::Put { scheme: Scheme::Cleartext, password: "new", replace: true };

    fn after(before: &str, name: &str, change: Change<'_>) -> Result<String, EditError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        fs::write(&file, before).unwrap();
        let edited = edit(&file, name, change);
        let text = fs::read_to_string(&file).unwrap();
        if edited.is_err() {
            assert_eq!(text, before);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        edited.map(|()| text)
    }

    #[test]
    fn comments_and_order_stay() {
        let before = "# all of us\nalice:{cleartext}a\n\n#bob:{cleartext}x\ncarol:{cleartext}c";
        assert_eq!(after(before, "bob", PUT).unwrap(), format!("{before}\nbob:{{cleartext}}new\n"));
        let expected = before.replace("alice:{cleartext}a", "alice:{cleartext}new");
        assert_eq!(after(before, "alice", REPLACE).unwrap(), expected);
        let expected = before.replace("alice:{cleartext}a\n", "");
        assert_eq!(after(before, "alice", Change::Remove).unwrap(), expected);
        let expected = before.replace("carol:{cleartext}c", "carol:{cleartext}new\n");
        assert_eq!(after(before, "carol", REPLACE).unwrap(), expected);
    }

    #[test]
    fn what_would_be_wrong_is_not_done() {
        let before = "alice:{cleartext}a\n";
        assert!(matches!(after(before, "alice", PUT), Err(EditError::Known)));
        assert!(matches!(after(before, "bob", Change::Remove), Err(EditError::Unknown)));
        assert!(matches!(after("alice:a\n", "bob", PUT), Err(EditError::Broken(_))));
        for name in ["", "a:b", "#a", " a", "a\n", &"a".repeat(256)] {
            assert!(matches!(after(before, name, PUT), Err(EditError::Name(_))), "{name:?}");
        }
        let empty = Change::Put { scheme: Scheme::Argon2id, password: "", replace: false };
        assert!(matches!(after(before, "bob", empty), Err(EditError::Password(_))));
    }

    #[test]
    fn a_new_file_is_its_owners_alone_and_an_old_one_its_groups_still() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        let mode = || file.metadata().unwrap().mode() & 0o777;
        assert!(matches!(edit(&file, "bob", Change::Remove), Err(EditError::Io { .. })));
        edit(&file, "bob", PUT).unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        edit(&file, "carol", PUT).unwrap();
        assert_eq!(mode(), 0o640);
    }

    #[test]
    fn a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("users"), folder.path().join("link"));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink("users", &link).unwrap();
        edit(&link, "bob", PUT).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "bob:{cleartext}new\n");
    }

    #[test]
    fn many_at_once_lose_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("users");
        std::thread::scope(|scope| {
            for number in 0..16 {
                let file = &file;
                scope.spawn(move || edit(file, &format!("user{number}"), PUT).unwrap());
            }
        });
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 16);
    }
}
