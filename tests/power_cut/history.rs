//! What must be, may be and must not be in the store after a power cut, by what was acknowledged before.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::log::{Mark, Record, What};

/// What users are promised, by `--durability`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    Close,
    Relaxed,
}

impl Durability {
    pub fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Relaxed => "relaxed",
        }
    }
}

/// What is promised after a second is asked for after this time.
pub const SECOND: Duration = Duration::from_millis(1200);

/// What may be found of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Allowed {
    pub present: bool,
    pub absent: bool,
}

/// One storing or removing of a block. Those of one block follow each other.
#[derive(Debug, Clone, Copy)]
struct Change {
    stores: bool,
    /// Position in the log and time of the acknowledgement.
    acknowledged: Option<(usize, Duration)>,
    fsynced: bool,
}

impl Change {
    fn begun(stores: bool) -> Self {
        Self { stores, acknowledged: None, fsynced: false }
    }
}

/// What happened to each block, and when everything was synced.
#[derive(Debug, Default)]
struct History {
    blocks: BTreeMap<u64, Vec<Change>>,
    /// From where to where in the log.
    syncs: Vec<(usize, usize)>,
}

impl History {
    fn new(records: &[Record]) -> Self {
        let mut history = Self::default();
        let mut syncing = BTreeMap::new();
        for (position, record) in records.iter().enumerate() {
            let What::Mark(mark, number) = record.what else { continue };
            let changes = history.blocks.entry(number);
            match mark {
                Mark::PutBegun => changes.or_default().push(Change::begun(true)),
                Mark::UnlinkBegun => changes.or_default().push(Change::begun(false)),
                Mark::Closed | Mark::Unlinked => {
                    let change = changes.or_default().last_mut().unwrap();
                    change.acknowledged = Some((position, record.time));
                }
                Mark::Fsynced => changes.or_default().last_mut().unwrap().fsynced = true,
                Mark::RootSyncBegun | Mark::UnmountBegun => {
                    syncing.insert(number, position);
                }
                Mark::RootSynced | Mark::Unmounted => {
                    history.syncs.push((syncing.remove(&number).unwrap(), position));
                }
                Mark::DiskReady | Mark::Mounted => {}
            }
        }
        history
    }

    fn is_durable(&self, change: &Change, durability: Durability, now: Duration) -> bool {
        if change.fsynced {
            return true;
        }
        let Some((position, time)) = change.acknowledged else { return false };
        let at_once = change.stores && durability == Durability::Close;
        at_once || time + SECOND <= now || self.syncs.iter().any(|(begun, _)| *begun > position)
    }
}

/// What may be found of every block that was ever named, when the power was cut at time `now`, after
/// these records.
pub fn allowed(records: &[Record], durability: Durability, now: Duration) -> BTreeMap<u64, Allowed> {
    let history = History::new(records);
    let of = |changes: &Vec<Change>| {
        let certain = changes.iter().rposition(|change| history.is_durable(change, durability, now));
        let mut allowed = Allowed { present: false, absent: certain.is_none() };
        for change in &changes[certain.unwrap_or(0)..] {
            allowed.present |= change.stores;
            allowed.absent |= !change.stores;
        }
        allowed
    };
    history.blocks.iter().map(|(number, changes)| (*number, of(changes))).collect()
}
