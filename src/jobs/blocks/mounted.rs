//! A store that is mounted, by ordinary operations on its mount point.
//!
//! Invariant: every operation goes through the descriptor that was opened first, so that nothing is
//! written into the bare directory below when the mount ends meanwhile.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use tracing::debug;

use super::{Blocks, Facts, Listed, StoreFacts, Visit};
use crate::block::{Block, Cid, Key, bytes_match, canonical};
use crate::blockstore::Durability;
use crate::sys::errno::*;
use crate::sys::{self, Holder};
use crate::{Error, Result};

/// Where the daemon describes itself, below the mount point.
const STATUS_FILE: &str = ".ipfs-persist/status.json";
/// Where it keeps a link for each alias.
const NAMES_DIR: &str = ".ipfs-persist/names";

/// How long the daemon may take to describe itself before it is taken to hang.
const STATUS_WAIT: Duration = Duration::from_secs(5);

/// How many files are written at once, so that the mount can group their syncs: as many as it lets wait.
const WRITERS: usize = 32;

/// What the mount says of itself, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
struct Status {
    pid: u32,
    start_time: Option<u64>,
    backend: String,
    durable: bool,
    data_path: Option<PathBuf>,
    store_id: String,
    max_block_size_bytes: u64,
    /// Mounts of earlier versions do not say these.
    #[serde(default)]
    durability: Option<String>,
    #[serde(default)]
    disk_bytes: Option<u64>,
    #[serde(default)]
    min_free_space_bytes: Option<u64>,
}

/// A mount that answers.
pub struct Mounted {
    directory: File,
    /// The same by a path that leads to it whatever happens to the mount point.
    root: PathBuf,
    mount_point: PathBuf,
    status: Status,
}

impl Mounted {
    /// The mount of ours at a directory.
    ///
    /// # Errors
    /// [`Error::NotMounted`]; [`Error::MountDead`] if nobody serves it any more, or in time.
    pub fn open(path: &Path) -> Result<Self> {
        let mount_point = sys::mount_of_ours(path)?.mount_point;
        let (directory, status) = ask(mount_point.clone()).map_err(|error| match error.raw_os_error() {
            Some(ENOTCONN | ECONNABORTED) => Error::MountDead { path: mount_point.clone() },
            None if error.kind() == io::ErrorKind::TimedOut => Error::MountDead { path: mount_point.clone() },
            // It has been unmounted since it was looked up.
            Some(ENOENT) => {
                debug!(path = %mount_point.display(), %error, "the mount is in the table and has no status");
                Error::NotMounted { path: path.to_owned() }
            }
            _ => Error::io_at("ask the mount at", &mount_point, error),
        })?;
        Ok(Self { root: path_of(&directory), directory, mount_point, status })
    }

    /// Whether it is the mount of the process that holds a store.
    pub fn is_of(&self, holder: &Holder) -> bool {
        (self.status.pid, self.status.start_time) == (holder.pid, Some(holder.start_time))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// An error of an operation on a block, in the words that it has without a mount.
    fn in_words(&self, op: &str, key: &Key, cid: &str, error: io::Error) -> Error {
        let limit_bytes = self.status.max_block_size_bytes;
        match error.raw_os_error() {
            Some(EFBIG) => Error::TooBig { limit_bytes },
            Some(EROFS) => Error::ReadOnly,
            Some(EACCES) => Error::AccessDenied,
            Some(EBUSY) => Error::BlockInUse { name: self.alias_of(key) },
            Some(EIO) if op == "read" => Error::Damaged { cid: cid.to_owned() },
            Some(EPERM) if op == "remove" => {
                Error::NotPermitted { what: "this mount does not delete blocks (--no-delete)" }
            }
            Some(ENOSPC) => self.no_space(error),
            Some(ENOTCONN | ECONNABORTED) => Error::MountDead { path: self.mount_point.clone() },
            _ => Error::io(format!("{op} {cid} in {}", self.mount_point.display()), error),
        }
    }

    fn no_space(&self, error: io::Error) -> Error {
        let place = self.status.data_path.as_ref().zip(self.status.min_free_space_bytes);
        let space = place.and_then(|(path, reserve_bytes)| {
            let free_bytes = sys::space_of(path).ok()?.free_bytes;
            Some(Error::NoSpace { path: path.clone(), free_bytes, reserve_bytes })
        });
        space.unwrap_or_else(|| Error::io_at("write in", &self.mount_point, error))
    }

    /// The name that stands for a block.
    fn alias_of(&self, key: &Key) -> String {
        let stands_for = |entry: &fs::DirEntry| {
            let target = fs::read_link(entry.path()).ok();
            target.and_then(|target| Cid::parse(target.to_str()?).ok()).is_some_and(|cid| cid.key() == key)
        };
        let mut links = fs::read_dir(self.path(NAMES_DIR)).into_iter().flatten().flatten();
        links.find(stands_for).map_or_else(String::new, |entry| entry.file_name().display().to_string())
    }

    /// Whether a close does not make a block durable there.
    fn acknowledges_early(&self) -> bool {
        self.status.durability.as_deref() == Some(Durability::Relaxed.name())
    }

    fn put_one(&self, block: &Block) -> Result<()> {
        let cid = canonical(block.key(), block.meta().cid_form);
        let write = || {
            // As cp does: what is stored already is compared, and healed if it is damaged.
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).open(self.path(&cid))?;
            file.write_all(block.bytes())?;
            sys::close(file)
        };
        write().map_err(|error| self.in_words("write", block.key(), &cid, error))
    }
}

/// The root of a mount and what it says of itself.
fn ask(mount_point: PathBuf) -> io::Result<(File, Status)> {
    sys::answer_within(STATUS_WAIT, move || {
        let directory = File::open(&mount_point)?;
        // Through the descriptor, which proves that it is the mount's.
        let text = fs::read(path_of(&directory).join(STATUS_FILE))?;
        Ok((directory, serde_json::from_slice(&text)?))
    })
}

fn path_of(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

fn facts_of(metadata: &fs::Metadata) -> io::Result<Facts> {
    Ok(Facts { size_bytes: metadata.len(), mtime: metadata.modified()? })
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Blocks for Mounted {
    fn put(&self, blocks: Vec<Block>) -> Vec<Result<()>> {
        let next = AtomicUsize::new(0);
        let answers: Vec<Mutex<Result<()>>> = blocks.iter().map(|_| Mutex::new(Ok(()))).collect();
        thread::scope(|scope| {
            for _ in 0..WRITERS.min(blocks.len()) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let Some((block, answer)) = blocks.get(index).zip(answers.get(index)) else { return };
                        *answer.lock() = self.put_one(block);
                    }
                });
            }
        });
        let answers = answers.into_iter().map(Mutex::into_inner).zip(&blocks);
        // Where unfinished writes may hold little memory, one at a time still finds room.
        let alone = |(answer, block): (Result<()>, &Block)| match answer {
            Err(error) if error.errno() == ENOMEM => self.put_one(block),
            answer => answer,
        };
        let mut answers: Vec<Result<()>> = answers.map(alone).collect();
        if self.acknowledges_early()
            && let Err(error) = self.sync()
        {
            answers
                .iter_mut()
                .filter(|answer| answer.is_ok())
                .for_each(|answer| *answer = Err(error.clone()));
        }
        answers
    }

    fn get(&self, cid: &Cid) -> Result<Option<Bytes>> {
        let name = cid.to_string();
        let read = |mut file: File| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map(|_| bytes)
        };
        let bytes = if_there(File::open(self.path(&name)).and_then(read))
            .map_err(|error| self.in_words("read", cid.key(), &name, error))?;
        match bytes {
            Some(bytes) if bytes_match(cid.key(), &bytes) => Ok(Some(bytes.into())),
            Some(_) => Err(Error::Damaged { cid: name }),
            None => Ok(None),
        }
    }

    fn facts(&self, cid: &Cid) -> Result<Option<Facts>> {
        let name = cid.to_string();
        if_there(fs::symlink_metadata(self.path(&name)).and_then(|metadata| facts_of(&metadata)))
            .map_err(|error| self.in_words("stat", cid.key(), &name, error))
    }

    fn names(&self, keys: &[&Key]) -> Result<Vec<Option<String>>> {
        let mut wanted: HashMap<&Key, Option<String>> = keys.iter().map(|key| (*key, None)).collect();
        let mut left = wanted.len();
        if left > 0 {
            self.list(false, &mut |listed| {
                let cid = Cid::parse(&listed.cid)?;
                if let Some(name) = wanted.get_mut(cid.key()) {
                    *name = Some(listed.cid);
                    left -= 1;
                }
                Ok(left > 0)
            })?;
        }
        Ok(keys.iter().map(|key| wanted.get(key).cloned().flatten()).collect())
    }

    fn list(&self, facts: bool, visit: &mut Visit<'_>) -> Result<()> {
        let failed = |source| Error::io_at("list", &self.mount_point, source);
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let facts = if facts {
                // Removed since it was listed.
                let Some(metadata) = if_there(entry.metadata()).map_err(failed)? else { continue };
                Some(facts_of(&metadata).map_err(failed)?)
            } else {
                None
            };
            // The root lists nothing but CIDs.
            let Ok(cid) = entry.file_name().into_string() else { continue };
            if !visit(Listed { cid, facts })? {
                break;
            }
        }
        Ok(())
    }

    fn remove(&self, key: &Key, cid: &str) -> Result<bool> {
        let removed = if_there(fs::remove_file(self.path(cid)));
        removed.map(|removed| removed.is_some()).map_err(|error| self.in_words("remove", key, cid, error))
    }

    fn sync(&self) -> Result<()> {
        self.directory.sync_all().map_err(|source| Error::io_at("sync", &self.mount_point, source))
    }

    fn describe(&self) -> Result<StoreFacts> {
        let status = &self.status;
        Ok(StoreFacts {
            backend: status.backend.clone(),
            durable: status.durable,
            data_path: status.data_path.as_ref().map(|path| path.display().to_string()),
            store_id: status.store_id.clone(),
            mount_point: Some(self.mount_point.display().to_string()),
            blocks: None,
            disk_bytes: status.disk_bytes,
            free_bytes: sys::space_of(&self.root)?.free_bytes,
        })
    }

    fn keeps_others_out(&self) -> bool {
        false
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
