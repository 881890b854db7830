//! A data directory that is not mounted, opened here.

use bytes::Bytes;

use super::{Blocks, Facts, Listed, StoreFacts, Visit};
use crate::block::{Block, Cid, Key, Meta, canonical};
use crate::blockstore::Blockstore;
use crate::{Error, Result};

/// How many names of a listing are fetched at once.
const PAGE_KEYS: usize = 1024;

impl From<Meta> for Facts {
    fn from(meta: Meta) -> Self {
        Self { size_bytes: meta.size_bytes, mtime: meta.mtime }
    }
}

/// The opened store. Its lock keeps others out.
pub struct Direct(pub Blockstore);

impl Direct {
    /// Whether there is room for a block beside those that are about to be stored with it. One that is
    /// there already needs none.
    fn check_space(&self, block: &Block, others_bytes: &mut u64) -> Result<()> {
        if self.0.stat(block.key())?.is_none() {
            let bytes = others_bytes.saturating_add(block.bytes().len() as u64);
            self.0.check_space(bytes)?;
            *others_bytes = bytes;
        }
        Ok(())
    }
}

impl Blocks for Direct {
    fn put(&self, blocks: Vec<Block>) -> Vec<Result<()>> {
        let mut others_bytes = 0;
        let mut accepted = Vec::with_capacity(blocks.len());
        let mut answers = Vec::with_capacity(blocks.len());
        for block in blocks {
            if block.key().is_identity() {
                // It holds its own bytes: there is nothing to store.
                answers.push(Some(Ok(())));
                continue;
            }
            match self.check_space(&block, &mut others_bytes) {
                Ok(()) => {
                    accepted.push(block);
                    answers.push(None);
                }
                Err(error) => answers.push(Some(Err(error))),
            }
        }
        let mut stored = self.0.put_all(accepted).into_iter();
        let unanswered = || Err(Error::Internal { what: "a write was not answered".into() });
        let answer = |answer: Option<Result<()>>| {
            answer.unwrap_or_else(|| stored.next().map_or_else(unanswered, |stored| stored.map(|_| ())))
        };
        answers.into_iter().map(answer).collect()
    }

    fn get(&self, cid: &Cid) -> Result<Option<Bytes>> {
        self.0.read_checked(cid.key())
    }

    fn facts(&self, cid: &Cid) -> Result<Option<Facts>> {
        Ok(self.0.stat(cid.key())?.map(Facts::from))
    }

    fn names(&self, keys: &[&Key]) -> Result<Vec<Option<String>>> {
        let name = |key: &&Key| Ok(self.0.stat(key)?.map(|meta| canonical(key, meta.cid_form)));
        keys.iter().map(name).collect()
    }

    fn list(&self, facts: bool, visit: &mut Visit<'_>) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.0.list(after, PAGE_KEYS)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(self.0.position(&last.key));
            for entry in &page {
                let facts = if facts {
                    // A store that another program changes may have lost it since.
                    let Some(meta) = self.0.stat(&entry.key)? else { continue };
                    Some(Facts::from(meta))
                } else {
                    None
                };
                if !visit(Listed { cid: canonical(&entry.key, entry.cid_form), facts })? {
                    return Ok(());
                }
            }
        }
    }

    fn remove(&self, key: &Key, _cid: &str) -> Result<bool> {
        self.0.remove(key)
    }

    fn sync(&self) -> Result<()> {
        self.0.sync()
    }

    fn describe(&self) -> Result<StoreFacts> {
        let (info, usage) = (self.0.info(), self.0.usage()?);
        Ok(StoreFacts {
            backend: info.backend.name.to_owned(),
            durable: info.backend.durable,
            data_path: info.data_path.as_ref().map(|path| path.display().to_string()),
            store_id: info.store_id.clone(),
            mount_point: None,
            blocks: usage.blocks,
            disk_bytes: Some(usage.disk_bytes),
            free_bytes: self.0.space()?.free_bytes,
        })
    }

    fn keeps_others_out(&self) -> bool {
        true
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.0.close()
    }
}
