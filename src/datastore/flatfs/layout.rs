//! The fixed files of a flatfs directory: `SHARDING`, `_README`, `.temp/`.
//!
//! Invariant: a directory with a `SHARDING` file is a complete store; one that was being made when
//! the machine stopped has none, and is made again.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use super::place::{is_block_file, key_of_file};
use super::sharding::Sharding;
use crate::sys::files::{Dir, read_head};
use crate::{Error, Result};

/// Names the sharding function.
pub(super) const SHARDING_FILE: &str = "SHARDING";
/// Its line is shorter.
const SHARDING_BYTES_MAX: usize = 4096;
/// Explains the directory to people.
const README_FILE: &str = "_README";
/// Its text, which is part of the format; Kubo writes it into stores with the default sharding.
const README_TEXT: &[u8] = include_bytes!("readme.txt");
/// Where files are written before they get their names.
pub(super) const TEMP_DIR: &str = ".temp";
/// Mode of all directories of the format.
pub(super) const DIR_MODE: u32 = 0o755;

/// Whether a directory is a flatfs. Only looks.
pub fn probe(path: &Path) -> bool {
    let text = read_sharding(path).ok().flatten();
    text.is_some_and(|text| Sharding::parse(&text).is_some())
}

/// The text of the `SHARDING` file; `None` if there is no such file.
fn read_sharding(path: &Path) -> io::Result<Option<String>> {
    let head = read_head(&path.join(SHARDING_FILE), SHARDING_BYTES_MAX)?;
    Ok(head.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Opens the directory of a store and reads its sharding function; makes the store first, if that
/// is asked for and there is none.
pub(super) fn open(path: &Path, create: bool) -> Result<(Dir, Sharding)> {
    match read_sharding(path) {
        Ok(Some(text)) => match Sharding::parse(&text) {
            Some(sharding) => Ok((open_dir(path)?, sharding)),
            None => Err(damaged(
                path,
                format!("its {SHARDING_FILE} file names no known function: {:?}", text.trim()),
            )),
        },
        Ok(None) => match state_of(path)? {
            State::Empty if create => Ok((make(path)?, Sharding::DEFAULT)),
            State::Empty => Err(Error::StoreMissing { path: path.to_path_buf() }),
            State::Other => Err(damaged(path, format!("it has files but no {SHARDING_FILE} file"))),
        },
        Err(error) => Err(Error::io_at("read", &path.join(SHARDING_FILE), error)),
    }
}

/// Empties `.temp/` of what an earlier process left there, and makes it if it is missing.
pub(super) fn wipe_temp(path: &Path) -> Result<()> {
    let temp = path.join(TEMP_DIR);
    let entries = match fs::read_dir(&temp) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return make_dir(&temp),
        other => other.map_err(|error| Error::io_at("read", &temp, error))?,
    };
    for entry in entries {
        let entry = entry.map_err(|error| Error::io_at("read", &temp, error))?;
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_dir { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        removed.map_err(|error| Error::io_at("remove", &entry.path(), error))?;
    }
    Ok(())
}

enum State {
    /// Missing, or with nothing in it but what [`make`] writes before `SHARDING`.
    Empty,
    Other,
}

fn state_of(path: &Path) -> Result<State> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::Empty),
        other => other.map_err(|error| Error::io_at("read", path, error))?,
    };
    for entry in entries {
        let entry = entry.map_err(|error| Error::io_at("read", path, error))?;
        if entry.file_name() != TEMP_DIR && entry.file_name() != README_FILE {
            return Ok(State::Other);
        }
    }
    Ok(State::Empty)
}

/// Whether the first block that is found lies where this function would not put it.
pub(super) fn is_misplaced(path: &Path, sharding: Sharding) -> Result<bool> {
    let read_dir = |path: &Path| fs::read_dir(path).map_err(|error| Error::io_at("list", path, error));
    for shard in read_dir(path)? {
        let shard = shard.map_err(|error| Error::io_at("list", path, error))?;
        if shard.file_name().as_encoded_bytes().starts_with(b".") || !shard.path().is_dir() {
            continue;
        }
        for file in read_dir(&shard.path())?.filter_map(io::Result::ok) {
            let name = CString::new(file.file_name().into_encoded_bytes()).unwrap_or_default();
            if is_block_file(&name) {
                let shard = shard.file_name();
                return Ok(key_of_file(sharding, &shard.to_string_lossy(), &name).is_none());
            }
        }
    }
    Ok(false)
}

/// Makes an empty store with the default sharding; `SHARDING` gets its name last.
fn make(path: &Path) -> Result<Dir> {
    make_dir(path)?;
    make_dir(&path.join(TEMP_DIR))?;
    write_fixed(path, README_FILE, README_TEXT, 0o444)?;
    write_fixed(path, SHARDING_FILE, format!("{}\n", Sharding::DEFAULT).as_bytes(), 0o644)?;
    let dir = open_dir(path)?;
    dir.sync().map_err(|error| Error::io_at("sync", path, error))?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        open_dir(parent)?.sync().map_err(|error| Error::io_at("sync", parent, error))?;
    }
    Ok(dir)
}

/// Makes a directory (and its parents) if it is missing, with the format's mode whatever the umask.
fn make_dir(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .and_then(|()| fs::set_permissions(path, Permissions::from_mode(DIR_MODE)))
        .map_err(|error| Error::io_at("make the directory", path, error))
}

/// Writes a file of the format through `.temp/`, so that it is whole or missing.
fn write_fixed(path: &Path, name: &str, content: &[u8], mode: u32) -> Result<()> {
    let temp = path.join(TEMP_DIR).join(name);
    let write = || -> io::Result<()> {
        let mut file = File::create(&temp)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&temp, path.join(name))
    };
    write().map_err(|error| Error::io_at("write", &path.join(name), error))
}

fn open_dir(path: &Path) -> Result<Dir> {
    Dir::open(path).map_err(|error| Error::io_at("open", path, error))
}

fn damaged(path: &Path, what: String) -> Error {
    let what = format!(
        "{what}; if it is a flatfs, write the line of the program that made it into {} (Kubo's is {})",
        path.join(SHARDING_FILE).display(),
        Sharding::DEFAULT
    );
    Error::StoreDamaged { path: path.to_path_buf(), what }
}
