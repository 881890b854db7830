//! The control directory `.ipfs-persist/`: what the mount knows of itself, as files.
//!
//! Invariant: every file is made when it is opened, and nothing in it can be changed.

use std::ffi::OsStr;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::json;

use super::core::Shared;
use super::types::{Attr, Entry, Ino, Kind, Validity};
use crate::sys::start_time;

/// Its name in the root directory, where it is resolvable and not listed.
pub const CONTROL_NAME: &str = ".ipfs-persist";

/// The control directory and its fixed content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum ControlNode {
    /// `.ipfs-persist`
    Directory = 2,
    /// Counters as JSON.
    Stats,
    /// Counters as Prometheus text.
    Metrics,
    /// What is mounted, as JSON.
    Status,
    /// The last refusals in words.
    Errors,
    /// A symbolic link for each alias.
    Names,
}

impl ControlNode {
    /// Name in the control directory, for everything that is in it.
    pub const CHILDREN: &'static [(ControlNode, &'static str)] = &[
        (ControlNode::Stats, "stats.json"),
        (ControlNode::Metrics, "metrics"),
        (ControlNode::Status, "status.json"),
        (ControlNode::Errors, "errors"),
        (ControlNode::Names, "names"),
    ];

    /// The inode number, which is fixed.
    pub fn number(self) -> Ino {
        self as Ino
    }

    /// The node with this inode number.
    pub fn from_number(ino: Ino) -> Option<Self> {
        let children = Self::CHILDREN.iter().map(|(node, _)| *node);
        children.chain([ControlNode::Directory]).find(|node| node.number() == ino)
    }

    /// What a name in this directory stands for; nothing in the names directory is fixed.
    pub fn child(self, name: &OsStr) -> Option<Self> {
        let found = Self::CHILDREN.iter().find(|(_, child)| name == *child);
        found.filter(|_| self == ControlNode::Directory).map(|(node, _)| *node)
    }

    /// Its kind.
    pub fn kind(self) -> Kind {
        match self {
            ControlNode::Directory | ControlNode::Names => Kind::Directory,
            ControlNode::Stats | ControlNode::Metrics | ControlNode::Status | ControlNode::Errors => {
                Kind::File
            }
        }
    }
}

impl Shared {
    /// The attributes of a control node. Files show size 0, as in /proc: they are made when opened.
    pub(super) fn control_entry(&self, node: ControlNode) -> Entry {
        let now = SystemTime::now();
        let directory = node.kind() == Kind::Directory;
        let attr = Attr {
            ino: node.number(),
            kind: node.kind(),
            size_bytes: 0,
            mode: if directory { 0o555 } else { 0o444 },
            links: if directory { 2 } else { 1 },
            uid: self.options.uid,
            gid: self.options.gid,
            atime: now,
            mtime: now,
            ctime: now,
        };
        Entry { attr, validity: Validity::None }
    }

    /// The present content of a control file.
    pub(super) fn control_bytes(&self, node: ControlNode) -> Bytes {
        let text = match node {
            ControlNode::Stats => pretty(&self.stats_json()),
            ControlNode::Metrics => self.metrics().to_prometheus(),
            ControlNode::Status => pretty(&self.status_json()),
            ControlNode::Errors => self.refusals.to_text(),
            ControlNode::Directory | ControlNode::Names => String::new(),
        };
        Bytes::from(text)
    }

    fn stats_json(&self) -> serde_json::Value {
        let mut stats = self.metrics().to_json();
        if let Some(stats) = stats.as_object_mut() {
            let gauges = json!({
                "staged_bytes": self.staging.used_bytes(),
                "open_handles": self.handles.len(),
                "known_inodes": self.inodes.lock().len(),
                "names": self.tables.lock().names.len(),
            });
            stats.insert("gauges".to_owned(), gauges);
        }
        stats
    }

    fn status_json(&self) -> serde_json::Value {
        let info = self.store.info();
        let uptime = self.started.elapsed().unwrap_or_default();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "start_time": start_time(std::process::id()),
            "backend": info.backend.name,
            "durable": info.backend.durable,
            "durability": info.durability.name(),
            "data_path": info.data_path.as_ref().map(|path| path.display().to_string()),
            "store_id": info.store_id,
            "locked": info.locked,
            "read_only": self.options.read_only,
            "disk_bytes": self.store.usage().ok().map(|usage| usage.disk_bytes),
            "min_free_space_bytes": self.store.min_free_space_bytes(),
            "max_block_size_bytes": self.options.block_bytes_max,
            "uptime_secs": uptime.as_secs(),
        })
    }
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}
