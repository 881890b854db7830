//! Whoever waits for a job: a line on the terminal that says how far it is, and the signals that
//! end it.

use std::io::{self, IsTerminal};
use std::process::exit;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::output;
use crate::Result;
use crate::error::ExitCode;
use crate::jobs::Progress;
use crate::sys::{self, SignalListener};

/// How often the line is written.
const INTERVAL: Duration = Duration::from_millis(100);

/// Takes a line of the terminal back.
const CLEAR_LINE: &str = "\r\x1b[K";

/// Shows how far the job is, where standard error is a terminal.
pub(super) struct Watcher {
    name: &'static str,
    /// When the line was last written; `None` where there is none to write.
    written: Option<Instant>,
    signal: Arc<OnceLock<&'static str>>,
    _listener: SignalListener,
}

impl Watcher {
    /// From now on the first signal asks the job to end, which takes back what it has made. The
    /// second ends the program at once, for an engine that does not return.
    pub(super) fn start(quiet: bool) -> Result<Self> {
        let signal = Arc::new(OnceLock::new());
        let heard = Arc::clone(&signal);
        let listener = sys::listen(move |name, count| {
            if count > 1 {
                exit(ExitCode::Failure as i32);
            }
            // The first one is kept.
            let _ = heard.set(name);
        })?;
        let written = (!quiet && io::stderr().is_terminal()).then(Instant::now);
        Ok(Self { name: "", written, signal, _listener: listener })
    }

    /// What comes now is about this backend.
    pub(super) fn of(&mut self, name: Option<&'static str>) -> &mut Self {
        self.name = name.unwrap_or("the store");
        self
    }

    /// Makes room for something else.
    pub(super) fn clear(&self) {
        if self.written.is_some() {
            output::to_stderr(CLEAR_LINE);
        }
    }
}

impl Progress for Watcher {
    fn at(&mut self, step: &'static str, done: u64, total: u64) {
        if self.written.is_some_and(|written| written.elapsed() > INTERVAL) {
            self.written = Some(Instant::now());
            output::to_stderr(&format!("{CLEAR_LINE}{}: {step}, {done} of {total} blocks", self.name));
        }
    }

    fn stopped_by(&self) -> Option<&'static str> {
        self.signal.get().copied()
    }
}
