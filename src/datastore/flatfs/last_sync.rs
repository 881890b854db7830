//! `last-sync`: since when blocks may have names and not be on the disk, for a process that is killed or
//! loses its power to leave behind.
//!
//! The file is one line of 39 bytes: seconds since 1970 in 20 digits, a dot, nanoseconds in 9, a space,
//! and the CRC-32 of what stands before it in 8 hexadecimal digits. One that cannot be read stands for
//! the beginning of time.
//!
//! Invariant: while there are names whose bytes were not synced the file is on the disk, and every such
//! name was given later than it says, by the clock of the file system.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::sys::files::read_head;
use crate::sys::write_file;
use crate::{Error, Result};

const MODE: u32 = 0o600;
const LINE_BYTES: usize = 39;
/// File systems keep times in steps of up to two seconds, and their clock may be a tick behind ours.
const CLOCK_MARGIN: Duration = Duration::from_secs(2);

/// The file, and what it says.
#[derive(Debug)]
pub(super) struct LastSync {
    path: PathBuf,
    noted: Mutex<Option<Noted>>,
}

#[derive(Debug)]
struct Noted {
    file: File,
    at: SystemTime,
    /// A sync has failed: what it was to make durable may be lost, although a later one succeeds.
    failed: bool,
}

impl LastSync {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, noted: Mutex::default() }
    }

    /// What an earlier process has left: since when names may have no bytes, or `None`.
    pub(super) fn left_behind(&self) -> Result<Option<SystemTime>> {
        let failed = |error| Error::io_at("read", &self.path, error);
        match read_head(&self.path, LINE_BYTES + 1).map_err(failed)? {
            Some(line) => Ok(Some(parse(&line).unwrap_or(UNIX_EPOCH))),
            None if self.path.exists() => Err(Error::StoreDamaged {
                path: self.path.clone(),
                what: "it is no file; the program makes one while blocks are not synced, so remove it".into(),
            }),
            None => Ok(None),
        }
    }

    /// Before a name is given to bytes that are not synced. A clock that was set back would make it seem
    /// older than the last sync, so then everything is suspect until the next one.
    pub(super) fn begin(&self) -> Result<()> {
        let now = SystemTime::now();
        let mut noted = self.noted.lock();
        let at = match &*noted {
            None => now,
            Some(noted) if now < noted.at => UNIX_EPOCH,
            Some(_) => return Ok(()),
        };
        write_file(&self.path, line(at).as_bytes(), MODE)?;
        let opened = OpenOptions::new().write(true).open(&self.path);
        let file = opened.map_err(|error| Error::io_at("open", &self.path, error))?;
        let failed = noted.as_ref().is_some_and(|noted| noted.failed);
        *noted = Some(Noted { file, at, failed });
        Ok(())
    }

    /// Everything that had a name at this time is on the disk. Need not be durable itself: what is noted
    /// too early is only looked at once more.
    pub(super) fn advance(&self, at: SystemTime) {
        let mut noted = self.noted.lock();
        let Some(noted) = &mut *noted else { return };
        noted.failed = false;
        match noted.file.write_all_at(line(at).as_bytes(), 0) {
            Ok(()) => noted.at = at,
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "the time of a sync was not noted")
            }
        }
    }

    /// A sync has failed.
    pub(super) fn note_failure(&self) {
        if let Some(noted) = &mut *self.noted.lock() {
            noted.failed = true;
        }
    }

    /// Since when blocks may be lost because a sync has failed; `None` if none has since the last one that
    /// succeeded.
    pub(super) fn failed_since(&self) -> Option<SystemTime> {
        self.noted.lock().as_ref().filter(|noted| noted.failed).map(|noted| noted.at)
    }

    /// Everything is on the disk, and nothing more will be named before it is.
    pub(super) fn end(&self) {
        *self.noted.lock() = None;
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "blocks are checked once more at the next start");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

/// Whether what was changed at this time may not have been on the disk at the other.
pub(super) fn is_newer(changed: SystemTime, synced: SystemTime) -> bool {
    synced.checked_sub(CLOCK_MARGIN).is_none_or(|synced| changed >= synced)
}

fn line(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = format!("{:020}.{:09}", since.as_secs(), since.subsec_nanos());
    format!("{time} {:08x}", crc32fast::hash(time.as_bytes()))
}

fn parse(bytes: &[u8]) -> Option<SystemTime> {
    let text = str::from_utf8(bytes).ok().filter(|text| text.len() == LINE_BYTES)?;
    let (time, sum) = text.split_once(' ')?;
    if u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(time.as_bytes()) {
        return None;
    }
    let (secs, nanos) = time.split_once('.')?;
    UNIX_EPOCH.checked_add(Duration::new(secs.parse().ok()?, nanos.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_noted_and_a_damaged_one_nothing() {
        let at = UNIX_EPOCH + Duration::new(1_764_132_000, 5);
        let good = line(at);
        assert_eq!(good.len(), LINE_BYTES);
        assert_eq!(parse(good.as_bytes()), Some(at));
        let digits = |line: &str| line.replace("1764", "1765");
        for bad in [digits(&good), good[..38].to_owned(), String::new(), "\0".repeat(LINE_BYTES)] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn the_file_is_there_as_long_as_something_may_be_lost() {
        let scratch = tempfile::tempdir().unwrap();
        let note = LastSync::new(scratch.path().join("last-sync"));
        assert_eq!(note.left_behind().unwrap(), None);
        note.advance(SystemTime::now());
        assert_eq!(note.left_behind().unwrap(), None, "nothing is owed");

        let before = SystemTime::now();
        note.begin().unwrap();
        assert!(note.left_behind().unwrap().is_some_and(|at| at >= before));
        let later = before + Duration::from_secs(1000);
        note.advance(later);
        assert_eq!(note.left_behind().unwrap(), Some(later));
        note.begin().unwrap();
        assert_eq!(note.left_behind().unwrap(), Some(UNIX_EPOCH), "the clock was set back");
        note.end();
        assert_eq!(note.left_behind().unwrap(), None);

        let path = scratch.path().join("last-sync");
        for torn in ["torn".to_owned(), "0".repeat(1 << 20)] {
            fs::write(&path, torn).unwrap();
            assert_eq!(note.left_behind().unwrap(), Some(UNIX_EPOCH));
        }
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(matches!(note.left_behind(), Err(Error::StoreDamaged { .. })), "nothing of ours");
    }

    #[test]
    fn a_failed_sync_is_remembered_until_one_succeeds() {
        let scratch = tempfile::tempdir().unwrap();
        let note = LastSync::new(scratch.path().join("last-sync"));
        note.note_failure();
        assert_eq!(note.failed_since(), None, "every name had its bytes");
        note.begin().unwrap();
        note.note_failure();
        assert!(note.failed_since().is_some());
        note.advance(SystemTime::now());
        assert_eq!(note.failed_since(), None);
    }
}
