//! Being called by mount(8) and umount(8), directly or through mount.fuse3.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::datastore;
use crate::{Error, Result};

/// The command line, with the command that the program's own name stands for: a link named
/// `umount.fuse.ipfs-persist-mount` in /sbin makes umount(8) wait for the store.
pub(super) fn as_command(mut words: Vec<OsString>) -> Vec<OsString> {
    let name = words.first().and_then(|program| Path::new(program).file_name()).unwrap_or_default();
    if name.as_bytes().starts_with(b"umount.") {
        words.insert(1, "unmount".into());
    }
    words
}

/// What a source in front of the mount point says, as flags: `BACKEND:PATH`, `BACKEND:`, or a
/// path. A helper returns when the mount is ready, so it also means `--background`.
pub(super) fn flags_of_source(places: &[PathBuf]) -> Result<Vec<OsString>> {
    let [source, _] = places else { return Ok(Vec::new()) };
    let bytes = source.as_os_str().as_bytes();
    let mut parts = bytes.splitn(2, |byte| *byte == b':');
    let head = parts.next().unwrap_or_default();
    let (backend, path) = match parts.next() {
        _ if head.contains(&b'/') || head.starts_with(b".") => (None, bytes),
        Some(path) => (Some(head), path),
        None => (Some(head), &b""[..]),
    };
    let mut flags = vec![OsString::from("--background")];
    if let Some(name) = backend {
        let name = String::from_utf8_lossy(name);
        flags.push(format!("--backend={}", known_backend(&name, source)?).into());
    }
    if !path.is_empty() {
        flags.push([OsStr::new("--data-path="), OsStr::from_bytes(path)].into_iter().collect());
    }
    Ok(flags)
}

fn known_backend(name: &str, source: &Path) -> Result<&'static str> {
    datastore::backend(name).map(|row| row.name).map_err(|error| match error {
        // Two places may also be a command that is typed wrong, and then nothing must be made.
        Error::BackendUnknown { .. } if !source.as_os_str().as_bytes().contains(&b':') => Error::Usage {
            what: format!("{} is neither a command nor the source of a mount", source.display()),
            hint: "`ipfs-persist-mount --help` lists the commands; a source is BACKEND:PATH, or a path with a slash"
                .to_owned(),
        },
        other => other,
    })
}
