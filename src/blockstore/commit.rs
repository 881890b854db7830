//! Group commit: writers enqueue, one of them leads, a batch costs one sync.
//!
//! Invariant: every submitted block gets exactly one answer, after the batch it was in is as
//! durable as the mount promises; whether a block is stored already is asked inside the batch, so
//! nobody is told "stored" on the strength of another's write that is not yet durable.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};
use tracing::error;

use super::grouping::Grouping;
use crate::Result;
use crate::block::Block;

/// Most blocks in one batch.
const BATCH_BLOCKS_MAX: usize = 256;
/// Most bytes in one batch; a single larger block is a batch of its own.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// What a put did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The block was not there before.
    New,
    /// The block was there already, and right.
    Already,
    /// The stored copy was damaged and has been replaced.
    Healed,
}

/// What the answer to a put promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// What the store's [`Durability`](super::Durability) says of a close.
    Close,
    /// That the block survives a power cut.
    Durable,
}

/// Called once with what became of a block, on whichever thread led the batch.
pub type Done = Box<dyn FnOnce(Result<Stored>) + Send>;

/// A block that waits for its batch.
pub struct Pending {
    /// The verified block.
    pub block: Block,
    /// What is promised.
    pub promise: Promise,
    /// Who is told.
    pub done: Done,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Pending>,
    led: bool,
    grouping: Grouping,
}

/// The queue of one store.
#[derive(Default)]
pub struct GroupCommit {
    queue: Mutex<Queue>,
    /// Told when more is waiting.
    arrived: Condvar,
}

impl GroupCommit {
    /// Enqueues blocks. If nobody leads, the calling thread leads until the queue is empty and
    /// hands each batch to `write`, which must answer every block in it.
    pub fn submit(&self, pending: impl IntoIterator<Item = Pending>, write: impl Fn(Vec<Pending>)) {
        let mut queue = self.queue.lock();
        queue.waiting.extend(pending);
        if queue.led {
            self.arrived.notify_one();
            return;
        }
        queue.led = true;
        loop {
            self.gather(&mut queue);
            let batch = take_batch(&mut queue.waiting);
            if batch.is_empty() {
                queue.led = false;
                return;
            }
            drop(queue);
            let (blocks, begun) = (batch.len(), Instant::now());
            // Whoever is not answered then gets EIO; the queue must not be left without a leader.
            if catch_unwind(AssertUnwindSafe(|| write(batch))).is_err() {
                error!("writing a batch panicked; the mount goes on");
            }
            queue = self.queue.lock();
            let came = queue.waiting.len();
            queue.grouping.written(blocks, came, begun.elapsed());
        }
    }

    /// Waits a little for those who are expected, if anybody is there.
    fn gather(&self, queue: &mut MutexGuard<'_, Queue>) {
        let waiting = queue.waiting.len();
        let Some(patience) = queue.grouping.patience(waiting).filter(|_| waiting > 0) else { return };
        let deadline = Instant::now() + patience;
        while queue.grouping.patience(queue.waiting.len()).is_some() {
            if self.arrived.wait_until(queue, deadline).timed_out() {
                let came = queue.waiting.len();
                return queue.grouping.waited_in_vain(came);
            }
        }
    }
}

fn take_batch(waiting: &mut VecDeque<Pending>) -> Vec<Pending> {
    let mut batch = Vec::new();
    let mut bytes = 0;
    while batch.len() < BATCH_BLOCKS_MAX
        && let Some(next) = waiting.front()
    {
        bytes += next.block.bytes().len();
        if !batch.is_empty() && bytes > BATCH_BYTES_MAX {
            break;
        }
        batch.extend(waiting.pop_front());
    }
    batch
}
