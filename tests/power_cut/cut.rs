//! Power cuts: a point in the log, and which of the writes that were not flushed by then were made.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use crate::log::{Log, What};
use crate::random::Random;

/// Of so many flushes the one is taken that has most to do.
const FLUSHES: usize = 4;
/// What a disk writes in one step.
const SECTOR: usize = 512;

/// Where the power is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Right behind an acknowledgement, with all that was not flushed lost: what was acknowledged
    /// too early is gone.
    AcknowledgedAndNothingMore,
    /// Right behind an acknowledgement.
    Acknowledged,
    /// When a flush comes that has much to do.
    Flush,
    Anywhere,
}

pub const PLACES: [Place; 4] =
    [Place::AcknowledgedAndNothingMore, Place::Flush, Place::Acknowledged, Place::Anywhere];

/// One power cut.
#[derive(Debug)]
pub struct Cut {
    pub place: Place,
    /// So many records came before it.
    pub position: usize,
    pub time: Duration,
    /// Everything before this position was flushed.
    flushed: usize,
    /// Positions of the writes that were not flushed and yet made, and how many bytes of each.
    made: Vec<(usize, usize)>,
    /// How many writes were not flushed, and their bytes.
    pub unflushed: (usize, usize),
}

impl Cut {
    /// Chooses one at such a place, behind the record at `from`.
    pub fn choose(log: &Log, from: usize, place: Place, numbers: &mut Random) -> Self {
        let records = &log.records;
        let fits = |position: &usize| match (place, records[*position].what) {
            (Place::Anywhere, _) | (Place::Flush, What::Flush) => true,
            (Place::Acknowledged | Place::AcknowledgedAndNothingMore, _) => {
                matches!(records[*position - 1].what, What::Mark(mark, _) if mark.acknowledges())
            }
            _ => false,
        };
        let positions: Vec<usize> = (from + 1..records.len()).filter(fits).collect();
        let (flushed, position) = if place == Place::Flush {
            let some: Vec<usize> = (0..FLUSHES).map(|_| *numbers.pick(&positions)).collect();
            let between = some.into_iter().map(|position| (log.flushed_before(position), position));
            between.max_by_key(|(flushed, position)| log.written(*flushed..*position)).unwrap()
        } else {
            let position = *numbers.pick(&positions);
            (log.flushed_before(position), position)
        };
        let pending: Vec<(usize, usize)> = (flushed..position)
            .filter_map(|at| match records[at].what {
                What::Write { length, .. } => Some((at, length)),
                _ => None,
            })
            .collect();
        let unflushed = (pending.len(), log.written(flushed..position));
        let made =
            if place == Place::AcknowledgedAndNothingMore { Vec::new() } else { some_of(pending, numbers) };
        Self { place, position, time: records[position].time, flushed, made, unflushed }
    }

    /// Writes what is on the disk then into a new file.
    pub fn image(&self, log: &Log, size: u64, path: &Path) {
        let image = File::create_new(path).unwrap();
        image.set_len(size).unwrap();
        let all = (0..self.flushed).map(|at| (at, usize::MAX));
        for (at, most) in all.chain(self.made.iter().copied()) {
            if let What::Write { offset, length, at } = log.records[at].what {
                image.write_all_at(&log.bytes(at, length.min(most)), offset).unwrap();
            }
        }
    }

    /// How many of the writes that were not flushed were made.
    pub fn made(&self) -> usize {
        self.made.len()
    }
}

/// Some of the writes, in their order, one of them perhaps only in part.
fn some_of(pending: Vec<(usize, usize)>, numbers: &mut Random) -> Vec<(usize, usize)> {
    let percent = *numbers.pick(&[10, 50, 90, 100]);
    let mut made: Vec<_> = pending.into_iter().filter(|_| numbers.chance(percent)).collect();
    let long: Vec<usize> = (0..made.len()).filter(|index| made[*index].1 > SECTOR).collect();
    if !long.is_empty() {
        let torn = &mut made[*numbers.pick(&long)].1;
        *torn = SECTOR * (1 + numbers.below(*torn / SECTOR));
    }
    made
}
