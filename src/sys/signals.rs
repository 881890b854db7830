//! SIGTERM, SIGINT and SIGHUP, delivered to a callback on a thread of their own.
//!
//! Invariant: no signal is lost: it ends the process, or reaches the callback. After the listener is
//! dropped the callback is not called any more, and a SIGHUP that the process was started to ignore
//! (nohup) stays ignored.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;
use signal_hook::iterator::{Handle, Signals};

use super::process::status_field;
use crate::{Error, Result};

/// Listens until it is dropped. The signals keep being ignored afterwards: whoever listened is
/// on the way out.
#[derive(Debug)]
pub struct SignalListener {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// Whether a signal ends the process: until somebody listens. Set once the handlers are there.
static ENDS: Mutex<Option<Arc<AtomicBool>>> = Mutex::new(None);

/// Has signals end the process until [`listen`] is called, as they would anyway.
///
/// To be called while there is one thread. signal-hook loses a signal that comes between the making of
/// its handler and the noting of what that has to do; later there are threads which would take it then.
pub fn expect_signals() -> Result<()> {
    whether_they_end().map(|_| ())
}

fn whether_they_end() -> Result<Arc<AtomicBool>> {
    let mut known = ENDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(ends) = &*known {
        return Ok(Arc::clone(ends));
    }
    let before = SigSet::all()
        .thread_swap_mask(SigmaskHow::SIG_BLOCK)
        .map_err(|errno| Error::io("block signals", errno.into()))?;
    let ends = known.insert(Arc::new(AtomicBool::new(true)));
    let register = |signal| register_conditional_default(signal, Arc::clone(ends)).map(|_| ());
    let registered = heeded().into_iter().try_for_each(register);
    before.thread_set_mask().map_err(|errno| Error::io("unblock signals", errno.into()))?;
    registered.map_err(|source| Error::io("listen for signals", source))?;
    Ok(Arc::clone(ends))
}

/// The signals that mean something here.
fn heeded() -> Vec<i32> {
    let hangup = (!is_ignored(SIGHUP)).then_some(SIGHUP);
    [SIGTERM, SIGINT].into_iter().chain(hangup).collect()
}

/// Calls `on_signal` with the name of each SIGTERM, SIGINT and SIGHUP (the terminal has gone), and how many there have been with
/// this one: the second may mean more than the first.
pub fn listen(mut on_signal: impl FnMut(&'static str, u32) + Send + 'static) -> Result<SignalListener> {
    let failed = |source| Error::io("listen for signals", source);
    let ends = whether_they_end()?;
    let mut signals = Signals::new(heeded()).map_err(failed)?;
    ends.store(false, Ordering::SeqCst);
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
    let mask = u64::from_str_radix(&status_field("self", "SigIgn:"), 16).unwrap_or_default();
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
