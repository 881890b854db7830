//! Buffers that are used again, because getting a fresh one from the system costs more than
//! filling it.
//!
//! Invariant: a pool keeps at most so many bytes of idle capacity, and a buffer comes out of it
//! empty.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use parking_lot::Mutex;

/// Smaller buffers are not kept: the allocator is as fast.
const RETAINED_BUFFER_BYTES_MIN: usize = 4096;

/// Idle buffers.
pub struct Pool {
    retained_bytes_max: usize,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Pool {
    /// A pool that keeps at most `retained_bytes_max` bytes of idle capacity.
    pub fn new(retained_bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { retained_bytes_max, idle: Mutex::default() })
    }

    /// An empty buffer: the one that came back last, whose memory is likeliest to be in the
    /// processor's cache, or a new one.
    pub fn take(self: &Arc<Self>) -> Buffer {
        let mut idle = self.idle.lock();
        let bytes = idle.buffers.pop().unwrap_or_default();
        idle.bytes = idle.bytes.saturating_sub(bytes.capacity());
        drop(idle);
        Buffer { bytes, pool: Arc::clone(self) }
    }

    /// The idle capacity in bytes.
    pub fn retained_bytes(&self) -> usize {
        self.idle.lock().bytes
    }

    fn give_back(&self, mut bytes: Vec<u8>) {
        let capacity = bytes.capacity();
        if capacity < RETAINED_BUFFER_BYTES_MIN {
            return;
        }
        bytes.clear();
        let mut idle = self.idle.lock();
        if idle.bytes.saturating_add(capacity) <= self.retained_bytes_max {
            idle.bytes += capacity;
            idle.buffers.push(bytes);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("retained_bytes", &self.retained_bytes())
            .field("retained_bytes_max", &self.retained_bytes_max)
            .finish()
    }
}

/// A byte vector whose memory goes back to its pool when it is dropped.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    pool: Arc<Pool>,
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.bytes));
    }
}
