//! `diskUsage.cache`: the bytes that the store takes, as go-ds-flatfs counts them.
//!
//! The count is the sum of the lengths of all files and directories (the root, `.temp/` and the
//! shards included; a directory counts with the length that it had when it was made), but for the
//! cache file itself. It is taken once, when there is no cache file, and kept up from then on.
//!
//! Invariant: the file is replaced as a whole; losing it costs a new count and nothing else, so
//! failing to write it is a warning.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::layout::TEMP_DIR;
use crate::sys::files::Dir;

/// The file's name.
const FILE: &str = "diskUsage.cache";
/// Shortest time between two writes of the file while blocks come and go.
const STORE_INTERVAL: Duration = Duration::from_secs(2);
/// How many files of one directory are measured; the rest are taken to be as long as their average.
const MEASURED_FILES_MAX: u64 = 2_000;
/// Longest time that counting may take, since nobody can use the store meanwhile; what is not
/// reached by then is left out.
const COUNT_TIME_MAX: Duration = Duration::from_secs(30);

/// What the file holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    #[serde(rename = "diskUsage")]
    bytes: i64,
    accuracy: String,
}

/// How well the first count is known, in the format's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Accuracy {
    Exact,
    Approximate,
    TimedOut,
}

impl Accuracy {
    fn text(self) -> &'static str {
        match self {
            Accuracy::Exact => "initial-exact",
            Accuracy::Approximate => "initial-approximate",
            Accuracy::TimedOut => "initial-timed-out",
        }
    }
}

/// The running count.
#[derive(Debug)]
pub(super) struct DiskUsage {
    bytes: AtomicI64,
    accuracy: String,
    /// The count in the file, if there is one, and when it was written.
    stored: Mutex<(Option<i64>, Instant)>,
}

impl DiskUsage {
    /// Reads the file, or counts if there is none that makes sense.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(record) = read(path) {
            let stored = Mutex::new((Some(record.bytes), Instant::now()));
            return Ok(Self { bytes: AtomicI64::new(record.bytes), accuracy: record.accuracy, stored });
        }
        let (bytes, accuracy) = count(path, Instant::now() + COUNT_TIME_MAX)?;
        Ok(Self {
            bytes: AtomicI64::new(i64::try_from(bytes).unwrap_or(i64::MAX)),
            accuracy: accuracy.text().to_owned(),
            stored: Mutex::new((None, Instant::now())),
        })
    }

    /// The count in bytes.
    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Notes that files of these lengths came and went.
    pub(super) fn change(&self, added: u64, removed: u64) {
        let difference =
            i64::try_from(added).unwrap_or(0).saturating_sub(i64::try_from(removed).unwrap_or(0));
        self.bytes.fetch_add(difference, Ordering::Relaxed);
    }

    /// Writes the file if the count has moved by more than one percent, but not too often.
    pub(super) fn store_if_due(&self, root: &Dir) {
        let due = {
            let (stored, at) = *self.stored.lock();
            let difference = self.bytes.load(Ordering::Relaxed).abs_diff(stored.unwrap_or(0));
            at.elapsed() >= STORE_INTERVAL && difference > stored.unwrap_or(0).unsigned_abs() / 100
        };
        if due {
            self.store(root);
        }
    }

    /// Writes the file if the count differs from what it says.
    pub(super) fn store(&self, root: &Dir) {
        let mut stored = self.stored.lock();
        let bytes = self.bytes.load(Ordering::Relaxed);
        if stored.0 == Some(bytes) {
            return;
        }
        match write(root, &Record { bytes, accuracy: self.accuracy.clone() }) {
            Ok(()) => *stored = (Some(bytes), Instant::now()),
            Err(error) => {
                tracing::warn!(path = %root.path().join(FILE).display(), %error, "disk usage was not noted")
            }
        }
    }
}

fn read(path: &Path) -> Option<Record> {
    let text = fs::read(path.join(FILE)).ok()?;
    serde_json::from_slice::<Record>(&text).ok().filter(|record| record.bytes > 0)
}

fn write(root: &Dir, record: &Record) -> io::Result<()> {
    let temp = format!("{TEMP_DIR}/{FILE}");
    let mut line = serde_json::to_string(record)?;
    line.push('\n');
    root.unlink(&temp)?;
    let mut file = root.create_new(&temp, 0o600)?;
    file.write_all(line.as_bytes())?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    root.rename(&temp, FILE)
}

/// Sums up a directory and what is in it. What goes meanwhile, in a store that another program has
/// open, counts nothing.
fn count(path: &Path, deadline: Instant) -> io::Result<(u64, Accuracy)> {
    let (mut sum, mut measured, mut skipped) = (0u64, 0u64, 0u64);
    let mut accuracy = Accuracy::Exact;
    let (entries, own) = match (fs::read_dir(path), fs::metadata(path)) {
        (Err(error), _) | (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok((0, accuracy));
        }
        (entries, own) => (entries?, own?.len()),
    };
    for entry in entries {
        let entry = entry?;
        if Instant::now() > deadline {
            accuracy = Accuracy::TimedOut;
            break;
        }
        if measured >= MEASURED_FILES_MAX {
            accuracy = accuracy.max(Accuracy::Approximate);
            skipped += 1;
            continue;
        }
        measured += 1;
        if entry.file_type()?.is_dir() {
            let (inside, known) = count(&entry.path(), deadline)?;
            sum = sum.saturating_add(inside);
            accuracy = accuracy.max(known);
        } else if let Ok(info) = entry.metadata() {
            sum = sum.saturating_add(info.len());
        }
    }
    let average = sum.checked_div(measured).unwrap_or(0);
    sum = sum.saturating_add(average.saturating_mul(skipped));
    Ok((sum.saturating_add(own), accuracy))
}
