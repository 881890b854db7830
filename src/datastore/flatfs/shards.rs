//! The names of the shard directories, kept between pages.
//!
//! Invariant: the names are those in the root directory; they are read again when it has changed,
//! or may have without its time telling.

use std::collections::BinaryHeap;
use std::ffi::CStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::sharding::Sharding;
use crate::sys::files::{Dir, Kind};
use crate::{Error, Result};

/// How many names are kept. The default sharding has at most 1,089.
const NAMES_MAX: usize = 16_384;
/// A directory changed so shortly before it was read may have been changed again within the same
/// tick of the file system's clock.
const CLOCK_TICK_MAX: Duration = Duration::from_millis(100);

/// Remembers the last window.
#[derive(Debug, Default)]
pub(super) struct ShardWindows {
    last: Mutex<Option<Arc<Window>>>,
}

/// Some of the names, without gaps.
#[derive(Debug)]
pub(super) struct Window {
    start: String,
    names: Vec<Box<str>>,
    /// Whether there are none behind.
    is_last: bool,
    stamp: Stamp,
    may_be_kept: bool,
}

/// What the root directory looked like when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    mtime: SystemTime,
    /// Grows when this process makes a shard.
    generation: u64,
}

impl ShardWindows {
    /// A window with the names from `from` on. `generation` grows when this process makes a shard.
    pub(super) fn at(
        &self,
        root: &Dir,
        from: &str,
        sharding: Sharding,
        generation: u64,
    ) -> Result<Arc<Window>> {
        let failed = |error| Error::io_at("read", root.path(), error);
        let stamp = Stamp { mtime: root.info().map_err(failed)?.mtime, generation };
        let mut last = self.last.lock();
        if let Some(window) = last.as_ref().filter(|window| window.covers(from, stamp)) {
            return Ok(Arc::clone(window));
        }
        // All of them, if they are not too many.
        let mut window = Window::read(root, "", sharding, stamp).map_err(failed)?;
        if !window.covers(from, stamp) {
            window = Window::read(root, from, sharding, stamp).map_err(failed)?;
        }
        let window = Arc::new(window);
        *last = window.may_be_kept.then(|| Arc::clone(&window));
        Ok(window)
    }
}

impl Window {
    fn read(root: &Dir, start: &str, sharding: Sharding, stamp: Stamp) -> std::io::Result<Self> {
        let age = SystemTime::now().duration_since(stamp.mtime);
        let mut heap: BinaryHeap<Box<str>> = BinaryHeap::new();
        let mut is_last = true;
        root.for_each(".", |name: &CStr, kind: Kind| {
            let name = name.to_str().unwrap_or_default();
            if kind.may_be_dir() && sharding.is_shard(name) && name >= start {
                heap.push(name.into());
            }
            if heap.len() > NAMES_MAX {
                heap.pop();
                is_last = false;
            }
        })?;
        let may_be_kept = age.is_ok_and(|age| age > CLOCK_TICK_MAX);
        Ok(Self { start: start.to_owned(), names: heap.into_sorted_vec(), is_last, stamp, may_be_kept })
    }

    fn covers(&self, from: &str, stamp: Stamp) -> bool {
        let ends_behind = || self.names.last().is_some_and(|last| from <= &**last);
        self.stamp == stamp && self.start.as_str() <= from && (self.is_last || ends_behind())
    }

    /// The names from `from` on, in order.
    pub(super) fn from(&self, from: &str) -> impl Iterator<Item = &str> {
        let skipped = self.names.partition_point(|name| &**name < from);
        self.names.iter().skip(skipped).map(|name| &**name)
    }

    /// Where the next window starts; `None` if this was the last one.
    pub(super) fn behind(&self) -> Option<String> {
        // All names have one length, so nothing lies between.
        self.names.last().filter(|_| !self.is_last).map(|last| format!("{last}2"))
    }
}
