//! What the program counts: one table of counters with their names and help texts.
//!
//! Invariant: a counter exists if and only if it has a row in [`Count::ROWS`] or an [`Op`].

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Events that are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Blocks stored that were not there before.
    BlocksStored,
    /// Blocks written again that were stored already.
    BlocksRewritten,
    /// Damaged blocks replaced by right bytes.
    BlocksHealed,
    /// Blocks deleted.
    BlocksRemoved,
    /// Bytes of newly stored blocks.
    BytesStored,
    /// Bytes answered to reads (kernel passthrough and cache are not seen).
    BytesRead,
    /// Batches written, each with one sync.
    CommitBatches,
    /// Writes refused because the bytes do not hash to the name.
    Mismatches,
    /// Reads that met a damaged block.
    DamagedReads,
    /// Requests refused with an error.
    Refusals,
    /// Panics caught in a request.
    Panics,
    /// Files whose last bytes came through a mapping after the last close and could not be stored.
    MappedWritesLost,
    /// Temporary files that were closed, never renamed, and dropped.
    LeftoversDropped,
}

impl Count {
    /// Every counter with its name (without prefix) and help text.
    pub const ROWS: &'static [(Count, &'static str, &'static str)] = &[
        (Count::BlocksStored, "blocks_stored", "Blocks stored that were not there before"),
        (Count::BlocksRewritten, "blocks_rewritten", "Blocks written again that were stored already"),
        (Count::BlocksHealed, "blocks_healed", "Damaged blocks replaced by right bytes"),
        (Count::BlocksRemoved, "blocks_removed", "Blocks deleted"),
        (Count::BytesStored, "stored_bytes", "Bytes of newly stored blocks"),
        (Count::BytesRead, "read_bytes", "Bytes answered to reads, without kernel cache and passthrough"),
        (Count::CommitBatches, "commit_batches", "Batches written, each with one sync"),
        (Count::Mismatches, "mismatches", "Writes refused because the bytes do not hash to the name"),
        (Count::DamagedReads, "damaged_reads", "Reads that met a damaged block"),
        (Count::Refusals, "refusals", "Requests refused with an error"),
        (Count::Panics, "panics", "Panics caught in a request"),
        (Count::MappedWritesLost, "mapped_writes_lost", "Mapped writes after the last close that were lost"),
        (Count::LeftoversDropped, "leftovers_dropped", "Temporary files closed, never renamed and dropped"),
    ];
}

/// Kernel requests, as they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Op {
    Lookup,
    Forget,
    Getattr,
    Setattr,
    Readlink,
    Create,
    Open,
    Read,
    Write,
    Flush,
    Fsync,
    Release,
    Opendir,
    Readdir,
    Readdirplus,
    Releasedir,
    Fsyncdir,
    Unlink,
    Rename,
    Statfs,
    Access,
    Fallocate,
    Ioctl,
    Xattr,
    Lseek,
    CopyFileRange,
    Mknod,
    Mkdir,
    Symlink,
    Link,
    Rmdir,
}

impl Op {
    /// The system call that people know it by.
    pub fn system_call(self) -> &'static str {
        match self {
            Op::Flush => "close",
            Op::Fsyncdir => "fsync",
            other => other.name(),
        }
    }

    /// The name it is counted under.
    pub fn name(self) -> &'static str {
        Self::ROWS.get(self as usize).map_or("unknown", |row| row.1)
    }

    /// Every request with the name it is counted under.
    pub const ROWS: &'static [(Op, &'static str)] = &[
        (Op::Lookup, "lookup"),
        (Op::Forget, "forget"),
        (Op::Getattr, "getattr"),
        (Op::Setattr, "setattr"),
        (Op::Readlink, "readlink"),
        (Op::Create, "create"),
        (Op::Open, "open"),
        (Op::Read, "read"),
        (Op::Write, "write"),
        (Op::Flush, "flush"),
        (Op::Fsync, "fsync"),
        (Op::Release, "release"),
        (Op::Opendir, "opendir"),
        (Op::Readdir, "readdir"),
        (Op::Readdirplus, "readdirplus"),
        (Op::Releasedir, "releasedir"),
        (Op::Fsyncdir, "fsyncdir"),
        (Op::Unlink, "unlink"),
        (Op::Rename, "rename"),
        (Op::Statfs, "statfs"),
        (Op::Access, "access"),
        (Op::Fallocate, "fallocate"),
        (Op::Ioctl, "ioctl"),
        (Op::Xattr, "xattr"),
        (Op::Lseek, "lseek"),
        (Op::CopyFileRange, "copy_file_range"),
        (Op::Mknod, "mknod"),
        (Op::Mkdir, "mkdir"),
        (Op::Symlink, "symlink"),
        (Op::Link, "link"),
        (Op::Rmdir, "rmdir"),
    ];
}

/// The counters of one mount.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    counts: Vec<Counter>,
    requests: Vec<Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("ipfs_persist_mount");
        let counts = Count::ROWS
            .iter()
            .map(|(_, name, help)| {
                let counter = Counter::default();
                registry.register(*name, *help, counter.clone());
                counter
            })
            .collect();
        let family = Family::<[(&'static str, &'static str); 1], Counter>::default();
        let requests =
            Op::ROWS.iter().map(|(_, name)| family.get_or_create(&[("operation", *name)]).clone()).collect();
        registry.register("requests", "Requests of the kernel", family);
        Self { registry, counts, requests }
    }
}

impl Metrics {
    /// Adds `amount` to an event counter.
    pub fn add(&self, count: Count, amount: u64) {
        if let Some(counter) = self.counts.get(count as usize) {
            counter.inc_by(amount);
        }
    }

    /// Counts one kernel request.
    pub fn request(&self, op: Op) {
        if let Some(counter) = self.requests.get(op as usize) {
            counter.inc();
        }
    }

    /// The value of an event counter.
    pub fn get(&self, count: Count) -> u64 {
        self.counts.get(count as usize).map_or(0, Counter::get)
    }

    /// All counters as JSON: `{"counters": {name: n}, "requests": {operation: n}}`.
    pub fn to_json(&self) -> serde_json::Value {
        let named = |names: Vec<&'static str>, values: &[Counter]| -> serde_json::Map<String, _> {
            names
                .into_iter()
                .zip(values)
                .map(|(name, counter)| (name.to_owned(), counter.get().into()))
                .collect()
        };
        serde_json::json!({
            "counters": named(Count::ROWS.iter().map(|row| row.1).collect(), &self.counts),
            "requests": named(Op::ROWS.iter().map(|row| row.1).collect(), &self.requests),
        })
    }

    /// All counters in the Prometheus text format.
    pub fn to_prometheus(&self) -> String {
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            Err(error) => format!("# encoding failed: {error}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_enums() {
        for (index, row) in Count::ROWS.iter().enumerate() {
            assert_eq!(row.0 as usize, index, "{}", row.1);
        }
        for (index, row) in Op::ROWS.iter().enumerate() {
            assert_eq!(row.0 as usize, index, "{}", row.1);
        }
    }

    #[test]
    fn counters_reach_both_formats() {
        let metrics = Metrics::default();
        metrics.add(Count::BytesStored, 7);
        metrics.request(Op::Lookup);
        assert_eq!(metrics.get(Count::BytesStored), 7);
        assert_eq!(metrics.to_json()["counters"]["stored_bytes"], 7);
        assert_eq!(metrics.to_json()["requests"]["lookup"], 1);
        let text = metrics.to_prometheus();
        assert!(text.contains("ipfs_persist_mount_stored_bytes_total 7"), "{text}");
        assert!(text.contains("ipfs_persist_mount_requests_total{operation=\"lookup\"} 1"), "{text}");
    }
}
