//! Whether a batch waits for those who will most likely want to be in it.
//!
//! Writers that were answered together come back together, one shortly after the other. Without waiting
//! the first of them would have a sync of its own, and the others the next one.
//!
//! Invariant: nobody waits longer than half of what the last write took, and a writer that is alone waits
//! at most once.

use std::time::Duration;

/// Longest wait.
const WAIT_MAX: Duration = Duration::from_millis(2);
/// A disk for which half a write is shorter is quicker than the round trips of those who are waited for:
/// they had better come while it works.
const WAIT_MIN: Duration = Duration::from_micros(150);

/// What the last batches were like.
#[derive(Debug, Default)]
pub(super) struct Grouping {
    /// How many writers there seem to be.
    writers: usize,
    /// How long the last write took.
    last_write: Duration,
}

impl Grouping {
    /// How long a batch may wait for more than `waiting` blocks; `None` if they are as many as are expected.
    pub(super) fn patience(&self, waiting: usize) -> Option<Duration> {
        let patience = (self.last_write / 2).min(WAIT_MAX);
        (waiting < self.writers && patience >= WAIT_MIN).then_some(patience)
    }

    /// The others did not come.
    pub(super) fn waited_in_vain(&mut self, waiting: usize) {
        self.writers = waiting;
    }

    /// A batch was written, and meanwhile others came who are not the same.
    pub(super) fn written(&mut self, blocks: usize, came_meanwhile: usize, took: Duration) {
        self.writers = blocks + came_meanwhile;
        self.last_write = took;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SYNC: Duration = Duration::from_millis(1);

    #[test]
    fn writers_that_come_in_turn_are_brought_together() {
        let mut grouping = Grouping::default();
        assert_eq!(grouping.patience(1), None, "nothing is known");
        grouping.written(1, 3, SYNC);
        assert_eq!(grouping.patience(3), Some(SYNC / 2), "the first one will be back");
        assert_eq!(grouping.patience(4), None);
        grouping.written(4, 0, SYNC);
        assert_eq!(grouping.patience(1), Some(SYNC / 2));
    }

    #[test]
    fn a_writer_that_is_alone_waits_at_most_once() {
        let mut grouping = Grouping::default();
        grouping.written(1, 0, SYNC);
        assert_eq!(grouping.patience(1), None);
        grouping.written(4, 0, SYNC);
        assert!(grouping.patience(1).is_some());
        grouping.waited_in_vain(1);
        assert_eq!(grouping.patience(1), None);
        grouping.written(1, 0, SYNC);
        assert_eq!(grouping.patience(1), None);
    }

    #[test]
    fn waiting_is_bounded_and_not_for_a_quick_engine() {
        let mut grouping = Grouping::default();
        grouping.written(4, 0, Duration::from_micros(5));
        assert_eq!(grouping.patience(1), None);
        grouping.written(4, 0, Duration::from_secs(5));
        assert_eq!(grouping.patience(1), Some(WAIT_MAX));
    }
}
