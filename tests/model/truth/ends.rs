//! The ends of mounts: what stays, and what may come back.

use std::collections::BTreeSet;

use super::{Time, Truth};

impl Truth {
    /// Names and staging end with the mount; blocks stay, unless they were in memory only.
    fn end_mount(&mut self) {
        self.plain.clear();
        self.staged.clear();
        self.files.clear();
        self.writers.clear();
        self.descs.clear();
        self.fds.clear();
        self.maps.clear();
        self.blocks.values_mut().for_each(|block| block.claimed_by = None);
        if !self.durable {
            self.blocks.clear();
        }
    }

    pub(super) fn remount(&mut self) {
        self.end_mount();
        self.unsynced.clear();
    }

    /// What a listing shows after a SIGKILL: what was stored is there; what was removed or changed since
    /// the last fsync of the root may be as it was.
    pub(super) fn kill(&mut self, listing: &BTreeSet<String>) {
        self.end_mount();
        for (key, before) in std::mem::take(&mut self.unsynced) {
            match self.blocks.get_mut(&key) {
                Some(block) => block.mtime = Time::either(&block.mtime, &before.mtime),
                None if before.listed.iter().any(|listed| listing.contains(listed)) => {
                    self.blocks.insert(key, before);
                }
                None => {}
            }
        }
        self.blocks.values_mut().for_each(|block| block.claimed_by = None);
    }

    /// R2: each block once, and nothing else.
    pub(super) fn list(&mut self, names: &[String]) -> Result<(), String> {
        let mut left: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        if left.len() != names.len() {
            return Err(format!("something is listed twice: {names:?}"));
        }
        let mut missing = Vec::new();
        for block in self.blocks.values_mut() {
            match block.listed.iter().find(|listed| left.contains(listed.as_str())).cloned() {
                Some(listed) => {
                    left.remove(listed.as_str());
                    block.listed = BTreeSet::from([listed]);
                }
                None => missing.push(block.listed.clone()),
            }
        }
        if missing.is_empty() && left.is_empty() {
            return Ok(());
        }
        Err(format!("missing in the listing: {missing:?}; wrongly listed: {left:?}"))
    }
}
