//! Temporary files that were closed and not renamed yet: their bytes are in staging memory only.
//!
//! Invariant: together they take at most half of the staging memory, and none waits longer than
//! the mount's `leftover_age_max` (looked at when a file is created or closed, and from time to
//! time); but whoever closed one last finds it again when it renames it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::core::Shared;
use super::file::File;
use super::types::Ino;
use crate::metrics::Count;

/// The longest time between two looks for leftovers that are too old.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Waiting {
    file: Arc<File>,
    bytes: u64,
    since: Instant,
}

/// What waits, oldest first.
#[derive(Debug, Default)]
pub struct Leftovers {
    waiting: BTreeMap<u64, Waiting>,
    place: HashMap<Ino, u64>,
    next: u64,
    bytes: u64,
}

impl Leftovers {
    /// A file was closed with so many bytes in memory.
    pub fn closed(&mut self, file: &Arc<File>, bytes: u64, now: Instant) {
        self.forget(file.ino);
        self.next += 1;
        self.bytes += bytes;
        self.place.insert(file.ino, self.next);
        self.waiting.insert(self.next, Waiting { file: Arc::clone(file), bytes, since: now });
    }

    /// A file is used again, or has gone.
    pub fn forget(&mut self, ino: Ino) {
        if let Some(waiting) = self.place.remove(&ino).and_then(|place| self.waiting.remove(&place)) {
            self.bytes -= waiting.bytes;
        }
    }

    /// The file that has to go: the oldest, if all take more than `bytes_max` or it is older than
    /// `age_max`.
    pub fn overdue(&self, now: Instant, bytes_max: u64, age_max: Duration) -> Option<Arc<File>> {
        let (_, oldest) = self.waiting.first_key_value()?;
        let too_many = self.bytes > bytes_max && self.waiting.len() > 1;
        let too_old = now.saturating_duration_since(oldest.since) > age_max;
        (too_many || too_old).then(|| Arc::clone(&oldest.file))
    }
}

impl Shared {
    /// How often to look for leftovers that are too old.
    pub(super) fn look_interval(&self) -> Duration {
        LOOK_INTERVAL_MAX.min(self.options.leftover_age_max)
    }

    /// Drops temporary files that nobody came to rename.
    pub(super) fn drop_leftovers(&self) {
        let mut tables = self.tables.lock();
        let (bytes_max, age_max) = (self.options.staging_bytes_max / 2, self.options.leftover_age_max);
        while let Some(file) = tables.leftovers.overdue(Instant::now(), bytes_max, age_max) {
            tables.leftovers.forget(file.ino);
            let name = file.state.lock().name.clone();
            let (Some(name), Some(writer)) = (name, file.shared_writer()) else {
                continue;
            };
            let mut state = writer.state.lock();
            if state.committing {
                // It is being renamed.
                continue;
            }
            let bytes = state.len();
            state.discard();
            drop(state);
            tables.detach(&file, &name);
            self.metrics().add(Count::LeftoversDropped, 1);
            warn!(name = %name.display(), bytes, "a temporary file that nobody has renamed was dropped");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::Naming;
    use super::super::staging::{Charge, Staging};
    use super::super::writer::{Content, Writer};
    use super::*;

    fn file(ino: Ino) -> Arc<File> {
        let writer = Writer::new(ino, Charge::new(&Staging::new(0)), Content::Empty, 0x12, 32);
        File::new(ino, Naming::Plain(writer), ".name.tmp".into(), 0o644, 0, 0)
    }

    const AGE_MAX: Duration = Duration::from_secs(3600);

    fn overdue(leftovers: &Leftovers, now: Instant) -> Option<Ino> {
        leftovers.overdue(now, 100, AGE_MAX).map(|file| file.ino)
    }

    /// > A file under a temporary name that was closed and that nobody renames is dropped: the
    /// > oldest first, when all of them take half of `--max-staging`, and each after
    /// > `--staging-timeout` (one hour).
    #[test]
    fn the_oldest_goes_when_they_take_too_much() {
        let (mut leftovers, now) = (Leftovers::default(), Instant::now());
        leftovers.closed(&file(1), 150, now);
        assert_eq!(overdue(&leftovers, now), None, "whoever closed it is about to rename it");
        leftovers.closed(&file(2), 40, now);
        assert_eq!(overdue(&leftovers, now), Some(1));
        leftovers.closed(&file(1), 50, now);
        assert_eq!(overdue(&leftovers, now), None, "it was written again");
        leftovers.closed(&file(3), 40, now);
        assert_eq!(overdue(&leftovers, now), Some(2));
        leftovers.forget(1);
        assert_eq!(overdue(&leftovers, now), None);
        leftovers.forget(1);
        leftovers.forget(2);
        leftovers.forget(3);
        assert_eq!((leftovers.bytes, leftovers.waiting.len(), leftovers.place.len()), (0, 0, 0));
    }

    /// > A file under a temporary name that was closed and that nobody renames is dropped: the
    /// > oldest first, when all of them take half of `--max-staging`, and each after
    /// > `--staging-timeout` (one hour).
    #[test]
    fn a_file_goes_when_it_is_too_old() {
        let (mut leftovers, now) = (Leftovers::default(), Instant::now());
        leftovers.closed(&file(1), 1, now);
        leftovers.closed(&file(2), 1, now + Duration::from_secs(10));
        let later = now + AGE_MAX;
        assert_eq!(overdue(&leftovers, later), None);
        assert_eq!(overdue(&leftovers, later + Duration::from_secs(1)), Some(1));
        leftovers.forget(1);
        assert_eq!(overdue(&leftovers, later + Duration::from_secs(1)), None);
        assert_eq!(overdue(&leftovers, later + Duration::from_secs(11)), Some(2));
    }
}
