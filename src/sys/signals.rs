//! SIGTERM, SIGINT and SIGHUP, delivered to a callback on a thread of their own.
//!
//! Invariant: after the listener is dropped the callback is not called any more, and a SIGHUP that
//! the process was started to ignore (nohup) stays ignored.

use std::thread::{self, JoinHandle};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::{Error, Result};

/// Listens until it is dropped. The signals keep being ignored afterwards: whoever listened is
/// on the way out.
#[derive(Debug)]
pub struct SignalListener {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// Calls `on_signal` with the name of each SIGTERM, SIGINT and SIGHUP (the terminal has gone), and how many there have been with
/// this one: the second may mean more than the first.
pub fn listen(mut on_signal: impl FnMut(&'static str, u32) + Send + 'static) -> Result<SignalListener> {
    let failed = |source| Error::io("listen for signals", source);
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(failed)?;
    if !is_ignored(SIGHUP) {
        signals.add_signal(SIGHUP).map_err(failed)?;
    }
    let handle = signals.handle();
    let wait = move || {
        for (signal, count) in signals.forever().zip(1..) {
            on_signal(signal_hook::low_level::signal_name(signal).unwrap_or("a signal"), count);
        }
    };
    let thread = thread::Builder::new().name("signals".to_owned()).spawn(wait).map_err(failed)?;
    Ok(SignalListener { handle, thread: Some(thread) })
}

/// Whether this process ignores a signal, by the mask in /proc (proc_pid_status(5)).
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}

impl Drop for SignalListener {
    fn drop(&mut self) {
        self.handle.close();
        let Some(thread) = self.thread.take() else { return };
        // Dropped by the callback itself, there is nothing to wait for.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the signal handler panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn signals_are_counted_and_the_callback_goes_with_the_listener() {
        let (sender, receiver) = mpsc::channel();
        let listener = listen(move |name, count| sender.send((name, count)).unwrap()).unwrap();
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert_eq!(receiver.recv().unwrap(), ("SIGTERM", 1));
        signal_hook::low_level::raise(SIGINT).unwrap();
        assert_eq!(receiver.recv().unwrap(), ("SIGINT", 2));
        drop(listener);
        assert!(receiver.recv().is_err(), "the callback, and its sender, are gone");
    }
}
