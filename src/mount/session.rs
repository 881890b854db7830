//! A mount from its beginning to its end.
//!
//! Order at the end: requests in flight finish, the store is closed, its lock released. Invariant:
//! nothing is ever unmounted here but the mount that was made here.

use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::adapter::Adapter;
use super::attach::attach;
use super::backing::Backings;
use super::gate::Gate;
use super::loops;
use super::notifier::Notifier;
use super::options::ServeOptions;
use super::own::OwnMount;
use super::point;
use crate::fs::Filesystem;
use crate::sys::{self, ServiceState};
use crate::{Error, Result};

/// How often it is looked whether the loops have begun, which takes a millisecond.
const BEGIN_POLL_INTERVAL: Duration = Duration::from_micros(200);

enum Event {
    /// The kernel has ended the session: it was unmounted.
    Ended(std::io::Result<()>),
    /// SIGTERM or SIGINT, for the n-th time.
    Signal(&'static str, u32),
}

/// Mounts, calls `ready` once the mount can be used, serves it until it is unmounted or the process
/// is told to stop, and closes the store. If `ready` fails, nobody knows of the mount, and it ends.
///
/// # Errors
/// What mounting and `ready` say; the store is closed then too. Afterwards, what closing says.
pub fn serve(
    filesystem: Filesystem,
    options: &ServeOptions,
    ready: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let passthrough = filesystem.store_info().backend.file_per_block && sys::effective_ids().0 == 0;
    let gate = Gate::new(filesystem);
    let served = start(&gate, options, passthrough).and_then(|running| match ready() {
        Ok(()) => running.wait(&gate, options),
        Err(error) => {
            running.mount.detach();
            Err(error)
        }
    });
    let staged_bytes = gate.staged_bytes();
    if staged_bytes > 0 {
        warn!(staged_bytes, "bytes that were written and not closed are lost");
    }
    let closed = gate.shut().and_then(Filesystem::close);
    info!(mount_point = %options.mount_point.display(), "unmounted");
    served.and(closed)
}

struct Running {
    events: mpsc::Receiver<Event>,
    mount: OwnMount,
    _signals: sys::SignalListener,
}

/// Signals are listened for before there is a mount: one that comes in between would else end the
/// process and leave a dead mount.
fn start(gate: &Arc<Gate>, options: &ServeOptions, passthrough: bool) -> Result<Running> {
    let (sender, events) = mpsc::channel();
    let (on_signal, again) = (sender.clone(), sender.clone());
    let signals = sys::listen(move |name, count| {
        // Nobody listens any more once the mount is going down.
        let _ = on_signal.send(Event::Signal(name, count));
    })?;
    let loops = loops::count()?;
    let claim = point::claim(&options.mount_point, options.allow_non_empty)?;
    let device = attach(options)?;
    drop(claim);
    let mount = OwnMount::new(options)?;
    mount.note();
    let started = start_session(gate, options, (passthrough, loops), device, sender);
    match started.and_then(|()| wait_for_loops(loops, &events, &again)) {
        Ok(()) => Ok(Running { events, mount, _signals: signals }),
        Err(error) => {
            mount.detach();
            Err(error)
        }
    }
}

fn start_session(
    gate: &Arc<Gate>,
    options: &ServeOptions,
    (passthrough, loops): (bool, usize),
    device: OwnedFd,
    sender: mpsc::Sender<Event>,
) -> Result<()> {
    let mut config = fuser::Config::default();
    config.n_threads = Some(loops);
    config.clone_fd = true;
    let adapter = Adapter { gate: Arc::clone(gate), backings: Backings::default(), passthrough };
    // Who may ask is decided by the kernel (allow_other) and by the file system itself.
    let session =
        fuser::Session::from_fd(adapter, device, fuser::SessionACL::All, config).map_err(|error| {
            let why = format!("the kernel did not agree on a protocol: {error}");
            Error::MountFailed { path: options.mount_point.clone(), why, hint: String::new() }
        })?;
    gate.connect(Box::new(Notifier::new(session.notifier())));
    let run = move || {
        // Nobody listens any more if the wait has ended before.
        let _ = sender.send(Event::Ended(session.run()));
    };
    std::thread::Builder::new()
        .name("session".into())
        .spawn(run)
        .map_err(|error| Error::io("start the session thread", error))?;
    Ok(())
}

/// A loop for which there is no thread ends the session.
fn wait_for_loops(count: usize, events: &mpsc::Receiver<Event>, again: &mpsc::Sender<Event>) -> Result<()> {
    while !loops::have_begun(count) {
        match events.recv_timeout(BEGIN_POLL_INTERVAL) {
            Ok(Event::Ended(Err(source))) => return Err(Error::io("begin to serve the mount", source)),
            Ok(event) => {
                // A signal, or an unmount: the wait that follows sees to it. We have the other end.
                let _ = again.send(event);
                return Ok(());
            }
            Err(_) => {}
        }
    }
    Ok(())
}

impl Running {
    /// Waits until the mount has ended, or until the time to let open files be is over.
    fn wait(self, gate: &Gate, options: &ServeOptions) -> Result<()> {
        let mut deadline: Option<Instant> = None;
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let patience = gate.look_after().min(left.unwrap_or(Duration::MAX));
            match self.events.recv_timeout(patience) {
                Ok(Event::Ended(result)) => {
                    sys::tell_service_manager(ServiceState::Stopping("unmounted; closing the store"));
                    match result {
                        // After an aborted connection the dead mount would stay.
                        Ok(()) => self.mount.detach_dead(),
                        Err(error) => {
                            warn!(%error, "the connection to the kernel ended with an error");
                            self.mount.detach();
                        }
                    }
                    return Ok(());
                }
                Ok(Event::Signal(name, 1)) => {
                    info!(signal = name, "stopping");
                    sys::tell_service_manager(ServiceState::Stopping("serving files that are still open"));
                    gate.open_nothing();
                    self.name_holders(gate);
                    self.mount.detach();
                    deadline = Some(Instant::now() + options.stop_timeout);
                }
                Ok(Event::Signal(name, _)) => {
                    warn!(signal = name, "a second signal: open files are no longer served");
                    return Ok(());
                }
                Err(mpsc::RecvTimeoutError::Timeout) if left.is_none_or(|left| left > patience) => {}
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    warn!("files are still open after --stop-timeout; they are no longer served");
                    return Ok(());
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    return Err(Error::Internal { what: "the session ended without a word".into() });
                }
            }
        }
    }

    fn name_holders(&self, gate: &Gate) {
        for holder in self.mount.holders() {
            warn!(pid = holder.pid, command = %holder.command, "has files open in the mount");
        }
        let staged_bytes = gate.staged_bytes();
        if staged_bytes > 0 {
            warn!(staged_bytes, "bytes are written and not closed yet");
        }
    }
}
