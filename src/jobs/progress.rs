//! How far a job has come, and whether it should end.

use crate::{Error, Result};

/// Whoever waits for a job. It is asked on the thread that runs the job, often, and must not wait.
pub trait Progress {
    /// The job is in this step, and `done` of its `total` blocks are done.
    fn at(&mut self, step: &'static str, done: u64, total: u64);

    /// The signal that asks the job to end soon, if there was one.
    fn stopped_by(&self) -> Option<&'static str>;
}

/// Nobody waits, and nothing ends the job.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn at(&mut self, _step: &'static str, _done: u64, _total: u64) {}

    fn stopped_by(&self) -> Option<&'static str> {
        None
    }
}

/// Tells how far the job is.
///
/// # Errors
/// [`Error::Stopped`] if it is to end.
pub fn go_on(progress: &mut dyn Progress, step: &'static str, done: u64, total: u64) -> Result<()> {
    progress.at(step, done, total);
    match progress.stopped_by() {
        Some(signal) => Err(Error::Stopped { signal }),
        None => Ok(()),
    }
}
