//! Makes durable within a second, in the background, what was acknowledged before it was: deletions,
//! changed times, and blocks where durability is relaxed.
//!
//! Invariant: after [`Syncer::wake`] a sync of the engine begins within [`SYNC_INTERVAL`];
//! without a change the thread sleeps.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing::warn;

use super::store::Engine;
use crate::{Error, Result};

/// How long a change may wait for its sync: half of the second that users are promised.
const SYNC_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Default)]
struct State {
    changed: bool,
    stopping: bool,
}

#[derive(Default)]
struct Signal {
    state: Mutex<State>,
    condvar: Condvar,
}

/// The thread and how to reach it.
pub struct Syncer {
    signal: Arc<Signal>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread.
    pub fn start(engine: &Arc<Engine>) -> Result<Self> {
        let signal = Arc::new(Signal::default());
        let thread = std::thread::Builder::new()
            .name("syncer".into())
            .spawn({
                let (engine, signal) = (Arc::clone(engine), Arc::clone(&signal));
                move || run(&engine, &signal)
            })
            .map_err(|error| Error::io("start the sync thread", error))?;
        Ok(Self { signal, thread: Some(thread) })
    }

    /// Something has changed that must become durable.
    pub fn wake(&self) {
        let mut state = self.signal.state.lock();
        if !state.changed {
            state.changed = true;
            self.signal.condvar.notify_one();
        }
    }

    /// Ends the thread; what has changed since is left to the engine's close.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.signal.state.lock().stopping = true;
        self.signal.condvar.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the sync thread panicked");
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(engine: &Engine, signal: &Signal) {
    let mut state = signal.state.lock();
    loop {
        while !state.changed && !state.stopping {
            signal.condvar.wait(&mut state);
        }
        // Gather what else changes meanwhile; being told to stop ends the wait.
        if !state.stopping {
            signal.condvar.wait_while_for(&mut state, |state| !state.stopping, SYNC_INTERVAL);
        }
        if state.stopping {
            return;
        }
        state.changed = false;
        drop(state);
        let failed = engine.sync().err();
        state = signal.state.lock();
        if let Some(error) = failed {
            warn!(%error, "sync failed; trying again");
            state.changed = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As much again is left for the sync itself. That nobody need ask for it is tested with real mounts.
    ///
    /// > `unlink` returned 0 | survives a power cut after one second | survives SIGKILL after one second |
    /// > gone
    #[test]
    fn a_sync_begins_within_half_of_the_second_that_is_promised() {
        assert!(SYNC_INTERVAL * 2 <= Duration::from_secs(1));
    }
}
