//! A store under test: an engine in a scratch directory of its own.

use std::ops::Deref;
use std::path::PathBuf;

use ipfs_persist_mount::block::{Block, Key};
use ipfs_persist_mount::datastore::{Backend, Datastore, ListedKey, OpenRequest, Sync};
use tempfile::TempDir;

/// More than any case puts into memory.
const MEMORY_LIMIT_BYTES: u64 = 256 << 20;

/// An open engine.
pub struct Store {
    engine: Box<dyn Datastore>,
    files: Files,
}

/// The files of an engine, whether it is open or not.
pub struct Files {
    pub backend: &'static Backend,
    scratch: TempDir,
}

impl Store {
    /// A new, empty store.
    pub fn new(backend: &'static Backend) -> Self {
        Files { backend, scratch: tempfile::tempdir().unwrap() }.open()
    }

    /// Closes the engine.
    pub fn close(self) -> Files {
        self.engine.close().unwrap();
        self.files
    }

    /// Closes the engine and opens it again.
    pub fn reopen(self) -> Self {
        self.close().open()
    }

    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Stores one block durably.
    pub fn put_one(&self, block: &Block) {
        self.put(std::slice::from_ref(block), Sync::Now).unwrap();
    }

    /// Removes one block; says whether it was there.
    pub fn remove_one(&self, key: &Key) -> bool {
        self.remove(std::slice::from_ref(key), Sync::Now).unwrap() == 1
    }

    /// A whole listing, in pages of `limit` keys, with what every page promises checked.
    pub fn list_all(&self, limit: usize) -> Vec<ListedKey> {
        let mut all: Vec<ListedKey> = Vec::new();
        let mut after = None;
        loop {
            let page = self.list(after, limit).unwrap();
            let positions = page.iter().map(|listed| self.position(&listed.key)).collect::<Vec<_>>();
            assert!(positions.is_sorted(), "positions go back within a page");
            let begins_behind =
                positions.first().is_none_or(|first| after.is_none_or(|after| *first > after));
            assert!(begins_behind, "a page begins at or before the last one's end");
            let Some(last) = positions.last() else { return all };
            assert!(*last < 1 << 62);
            after = Some(*last);
            all.extend(page);
        }
    }

    /// The keys of a whole listing.
    pub fn keys(&self, limit: usize) -> Vec<Key> {
        self.list_all(limit).into_iter().map(|listed| listed.key).collect()
    }
}

impl Deref for Store {
    type Target = dyn Datastore;

    fn deref(&self) -> &Self::Target {
        self.engine.as_ref()
    }
}

impl Files {
    pub fn path(&self) -> PathBuf {
        self.scratch.path().join(self.backend.directory)
    }

    /// How a store that may be made is opened.
    pub fn request(&self) -> OpenRequest {
        OpenRequest {
            path: self.path(),
            beside: self.scratch.path().to_owned(),
            store_id: "2f6b3c1e-store-under-test".into(),
            foreign: false,
            create: true,
            read_only: false,
            after_failure: false,
            memory_limit_bytes: MEMORY_LIMIT_BYTES,
        }
    }

    pub fn open(self) -> Store {
        let request = self.request();
        self.open_as(&request)
    }

    pub fn open_as(self, request: &OpenRequest) -> Store {
        Store { engine: (self.backend.open)(request).unwrap(), files: self }
    }
}
