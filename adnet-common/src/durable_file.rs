//! Files that are there whole or not at all, whatever dies and whenever.
//!
//! The bytes go to a temporary file beside the place, they are on the disk before the file gets its
//! name, and so is the name before [`write`] returns. The temporary file's name ends with the process's
//! id: two processes never write the same one.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What may be at the place already.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing: what is there stays, and is an error.
    Nothing,
    /// Anything: it is replaced.
    Anything,
}

/// Writes a file with this mode.
///
/// # Errors
/// `AlreadyExists`, or what the file system says. The temporary file, which may hold a secret, does not
/// stay behind.
pub fn write(path: &Path, bytes: &[u8], mode: u32, before: Before) -> io::Result<()> {
    let name = path.file_name();
    let name = name
        .ok_or(io::ErrorKind::InvalidFilename)?
        .to_string_lossy();
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = folder.join(format!(".{name}.{}.tmp", std::process::id()));
    let flags = match before {
        Before::Nothing => RenameFlags::NOREPLACE,
        Before::Anything => RenameFlags::empty(),
    };
    let written = fill(&temporary, bytes, mode)
        .and_then(|()| Ok(renameat_with(CWD, &temporary, CWD, path, flags)?));
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

fn fill(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // A file of this name can only be left over from a process of the same id that died here.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_made_or_replaced_and_nothing_else_stays() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.key");
        write(&path, b"one", 0o600, Before::Nothing).expect("nothing is there");
        let refused = write(&path, b"two", 0o600, Before::Nothing).expect_err("it is there");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("a file"), b"one");
        write(&path, b"three", 0o640, Before::Anything).expect("it is replaced");
        assert_eq!(fs::read(&path).expect("a file"), b"three");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
        let nowhere = folder.path().join("no").join("a.key");
        assert!(write(&nowhere, b"x", 0o600, Before::Anything).is_err());
    }
}
