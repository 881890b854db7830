//! Storing files, each as one block.
//!
//! Invariant: files are told in their order, each as stored only when it is durable, and no more than
//! a batch of them is in memory at once. The store is not held while the first batch is read.

use std::time::SystemTime;

use super::{Blocks, Place, Purpose, Source, open};
use crate::block::{Block, Cid, CidOptions, canonical};
use crate::jobs::{Progress, go_on};
use crate::{Error, Result};

/// Most files in a batch.
const BATCH_FILES_MAX: usize = 256;
/// A batch of as many bytes is full.
const BATCH_BYTES_MIN: usize = 16 << 20;

/// What to store, and where.
#[derive(Debug, Clone)]
pub struct Request {
    /// The store.
    pub place: Place,
    /// The CID that each block gets,
    pub cid_options: CidOptions,
    /// or the one that it must have.
    pub cid: Option<Cid>,
    /// Largest block.
    pub block_bytes_max: u64,
}

/// A file that has been stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The CID under which it was.
    pub cid: String,
    /// Its length.
    pub size_bytes: u64,
}

/// Is told what became of each file, by its number in the list.
pub type Told<'a> = dyn FnMut(usize, Result<Put>) + 'a;

/// Stores the files. One that cannot be stored does not keep the others from it.
///
/// # Errors
/// What keeps all from being stored: the store cannot be opened or closed, or [`Error::Stopped`].
pub fn run(
    request: &Request,
    sources: &[Source],
    progress: &mut dyn Progress,
    told: &mut Told<'_>,
) -> Result<()> {
    let mut batch = Batch { request, blocks: None, waiting: Vec::new(), bytes: 0, next: 0 };
    let put = batch.put_all(sources, progress, told);
    let closed = batch.blocks.map_or(Ok(()), Blocks::close);
    put.and(closed)
}

struct Batch<'a> {
    request: &'a Request,
    /// The store, once something is to be stored.
    blocks: Option<Box<dyn Blocks>>,
    waiting: Vec<Result<Block>>,
    bytes: usize,
    /// The number of the first file that waits.
    next: usize,
}

impl Batch<'_> {
    fn put_all(
        &mut self,
        sources: &[Source],
        progress: &mut dyn Progress,
        told: &mut Told<'_>,
    ) -> Result<()> {
        let total = sources.len() as u64;
        for (source, done) in sources.iter().zip(0..) {
            go_on(progress, "storing", done, total)?;
            let block = match self.block_of(source, progress) {
                Err(error @ Error::Stopped { .. }) => return Err(error),
                block => block,
            };
            self.bytes += block.as_ref().map_or(0, |block| block.bytes().len());
            self.waiting.push(block);
            if self.waiting.len() >= BATCH_FILES_MAX || self.bytes >= BATCH_BYTES_MIN {
                self.store(progress, told)?;
            }
        }
        self.store(progress, told)
    }

    fn block_of(&self, source: &Source, progress: &mut dyn Progress) -> Result<Block> {
        let bytes = source.read(self.request.block_bytes_max, progress)?.into();
        let now = SystemTime::now();
        match &self.request.cid {
            Some(cid) => Block::verify(cid, bytes, now),
            None => Block::of(bytes, &self.request.cid_options, now),
        }
    }

    /// Stores what waits and tells what became of it.
    fn store(&mut self, progress: &mut dyn Progress, told: &mut Told<'_>) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        let first = self.next;
        self.next += waiting.len();
        let good: Vec<Block> = waiting.iter().flatten().cloned().collect();
        let answers = if good.is_empty() { Ok(Vec::new()) } else { self.answers(good, progress) };
        let (mut answers, failure) = match answers {
            Ok(answers) => (answers.into_iter(), None),
            Err(error) => (Vec::new().into_iter(), Some(error)),
        };
        for (index, block) in (first..).zip(waiting) {
            let outcome = match block {
                Err(error) => Err(error),
                Ok(block) => match answers.next() {
                    Some(answer) => answer.map(|()| Put::of(&block)),
                    // Said once, for all of them.
                    None => continue,
                },
            };
            told(index, outcome);
        }
        failure.map_or(Ok(()), Err)
    }

    fn answers(&mut self, good: Vec<Block>, progress: &mut dyn Progress) -> Result<Vec<Result<()>>> {
        let blocks = match self.blocks.take() {
            Some(blocks) => blocks,
            None => open(&self.request.place, Purpose::Add, progress)?,
        };
        Ok(self.blocks.insert(blocks).put(good))
    }
}

impl Put {
    fn of(block: &Block) -> Self {
        Self { cid: canonical(block.key(), block.meta().cid_form), size_bytes: block.meta().size_bytes }
    }
}
