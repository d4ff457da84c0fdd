//! Whether a directory is fit to keep mail in.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{Access, access, statfs};

use super::SpoolError;

/// Looks at a directory that is to be used, and changes nothing. What comes back is legal but
/// dangerous.
///
/// # Errors
///
/// If it cannot be used.
pub fn examine(directory: &Path) -> Result<Vec<&'static str>, SpoolError> {
    let unusable = |source: io::Error| SpoolError::Directory { path: directory.to_owned(), source };
    let exists = match fs::metadata(directory) {
        Ok(known) if !known.is_dir() => return Err(unusable(io::ErrorKind::NotADirectory.into())),
        Ok(known) => Some(known),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unusable(error)),
    };
    // Where it would be made.
    let parent = directory.ancestors().find(|path| path.exists()).unwrap_or_else(|| ".".as_ref());
    access(parent, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| unusable(error.into()))?;
    let mut warnings = Vec::new();
    if exists.is_some_and(|known| known.permissions().mode() & 0o077 != 0) {
        warnings.push("others can look into it; chmod 700 keeps mail to its owner");
    }
    if let Ok(system) = statfs(parent) {
        // Their types differ from one architecture to the next, their low half does not.
        let kind = system.f_type as u32;
        warnings.extend(DANGERS.iter().filter(|(of, _)| *of == kind).map(|(_, warning)| *warning));
    }
    Ok(warnings)
}

/// By the number that Linux has for a file system (statfs(2)).
const DANGERS: [(u32, &str); 4] = [
    (0x0102_1994, "it lies in memory (tmpfs), and what waits is gone with the machine"),
    (0x8584_58f6, "it lies in memory (ramfs), and what waits is gone with the machine"),
    (0x794c_7630, "it lies in a layer of a container, and what waits is gone with that"),
    (0x6969, "it lies on NFS, which keeps no promises about locks and names after a failure"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_fit_if_it_can_be_made_and_used() {
        let directory = tempfile::tempdir().expect("a directory");
        let (new, file) = (directory.path().join("a/b"), directory.path().join("file"));
        fs::write(&file, "").expect("writable");
        assert!(examine(&new).is_ok() && !new.exists());
        for path in [&file, &file.join("below")] {
            let error = examine(path).expect_err("a file").to_string();
            assert!(error.contains("cannot be used"), "{error}");
        }
        fs::create_dir_all(&new).expect("writable");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("ours");
        let open = examine(&new).expect("usable");
        assert!(open.iter().any(|warning| warning.contains("others can look")), "{open:?}");
    }

    #[test]
    fn memory_is_no_place_to_keep_mail() {
        let memory = Path::new("/dev/shm");
        if statfs(memory).is_ok_and(|system| system.f_type as u32 == DANGERS[0].0) {
            let warnings = examine(&memory.join("portcullis-spool")).expect("usable");
            assert!(warnings.iter().any(|warning| warning.contains("tmpfs")), "{warnings:?}");
        }
    }
}
