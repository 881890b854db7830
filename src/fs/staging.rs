//! Memory for bytes that are not stored yet.
//!
//! Invariant: all writers together never hold more than the cap; what a writer was given it gives
//! back when it drops its [`Charge`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::block::Pool;
use crate::{Error, Result};

/// How long a writer waits for memory before it is refused.
pub const STAGING_WAIT: Duration = Duration::from_secs(5);
/// Capacity of idle buffers that is kept for the next writers.
const POOL_BYTES_MAX: usize = 16 << 20;

#[derive(Debug, Default)]
struct Memory {
    used_bytes: u64,
    given_back: u64,
}

/// The memory of all writers of one mount.
#[derive(Debug)]
pub struct Staging {
    limit_bytes: u64,
    memory: Mutex<Memory>,
    freed: Condvar,
    pool: Arc<Pool>,
}

impl Staging {
    /// Memory with a cap.
    pub fn new(limit_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes,
            memory: Mutex::default(),
            freed: Condvar::new(),
            pool: Pool::new(POOL_BYTES_MAX),
        })
    }

    /// Recycled buffers.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Bytes that are staged now.
    pub fn used_bytes(&self) -> u64 {
        self.memory.lock().used_bytes
    }

    /// How often memory was given back so far: to be asked before trying, for
    /// [`Staging::wait_for_more`].
    pub fn given_back(&self) -> u64 {
        self.memory.lock().given_back
    }

    /// Waits until memory was given back once more than `seen`, or the deadline has passed; says
    /// whether it was. What is free may still not be enough, or another writer faster.
    pub fn wait_for_more(&self, seen: u64, deadline: Instant) -> bool {
        let mut memory = self.memory.lock();
        while memory.given_back == seen {
            if self.freed.wait_until(&mut memory, deadline).timed_out() {
                return false;
            }
        }
        true
    }

    fn take(&self, bytes: u64) -> Result<()> {
        let mut memory = self.memory.lock();
        if memory.used_bytes.saturating_add(bytes) > self.limit_bytes {
            return Err(Error::StagingFull { limit_bytes: self.limit_bytes });
        }
        memory.used_bytes += bytes;
        Ok(())
    }

    fn give_back(&self, bytes: u64) {
        if bytes > 0 {
            let mut memory = self.memory.lock();
            memory.used_bytes = memory.used_bytes.saturating_sub(bytes);
            memory.given_back += 1;
            self.freed.notify_all();
        }
    }
}

/// What one writer holds of the memory.
#[derive(Debug)]
pub struct Charge {
    staging: Arc<Staging>,
    bytes: u64,
}

impl Charge {
    /// Nothing yet.
    pub fn new(staging: &Arc<Staging>) -> Self {
        Self { staging: Arc::clone(staging), bytes: 0 }
    }

    /// Makes the charge `bytes` large.
    ///
    /// # Errors
    /// [`Error::StagingFull`] if it would grow and there is no room; it is then left as it was.
    pub fn set(&mut self, bytes: u64) -> Result<()> {
        if bytes > self.bytes {
            self.staging.take(bytes - self.bytes)?;
        } else {
            self.staging.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Gives everything back.
    pub fn clear(&mut self) {
        self.staging.give_back(std::mem::take(&mut self.bytes));
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_share_the_cap_and_give_back() {
        let staging = Staging::new(100);
        let (mut one, mut two) = (Charge::new(&staging), Charge::new(&staging));
        one.set(60).unwrap();
        assert!(matches!(two.set(41), Err(Error::StagingFull { limit_bytes: 100 })));
        two.set(40).unwrap();
        one.set(10).unwrap();
        two.set(90).unwrap();
        drop(two);
        assert_eq!(staging.used_bytes(), 10);
    }

    #[test]
    fn a_waiting_writer_learns_that_another_gave_back() {
        let staging = Staging::new(100);
        let mut one = Charge::new(&staging);
        one.set(100).unwrap();
        let seen = staging.given_back();
        let waiting = std::thread::spawn({
            let staging = Arc::clone(&staging);
            move || staging.wait_for_more(seen, Instant::now() + STAGING_WAIT)
        });
        drop(one);
        assert!(waiting.join().unwrap());
        assert!(staging.wait_for_more(seen, Instant::now()), "also if it came too late to see it");
        assert!(!staging.wait_for_more(staging.given_back(), Instant::now()));
    }
}
