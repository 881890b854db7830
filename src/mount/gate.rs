//! The way from a kernel request to the file system, and its closing.
//!
//! Invariant: while a request runs the file system is there; once [`Gate::shut`] has returned it,
//! no request runs and none will. A panic in a request ends that request alone. Once a signal has come
//! nothing is opened any more, wherever it is asked for from.

use std::ffi::{OsStr, OsString};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tracing::{error, info, warn};

use crate::fs::{Filesystem, Ino, KernelCache, Refusals};
use crate::metrics::{Count, Metrics, Op};
use crate::sys::errno::EIO;
use crate::{Error, Result};

/// Writes that wait for staging memory on threads of their own; more are refused at once.
const PARKED_WRITES_MAX: usize = 32;

/// See the module.
pub struct Gate {
    filesystem: RwLock<Option<Filesystem>>,
    metrics: Arc<Metrics>,
    refusals: Arc<Refusals>,
    parked: AtomicUsize,
    opens_nothing: AtomicBool,
}

/// What a request is about, for the record of refusals.
#[derive(Debug, Clone, Copy)]
pub enum About<'a> {
    /// A name.
    Name(&'a OsStr),
    /// An inode, which may have a name.
    Inode(Ino),
}

/// Who asked what.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The operation.
    pub op: Op,
    /// The asking thread.
    pub pid: u32,
    /// What it is about.
    pub about: About<'a>,
}

impl Asked<'_> {
    /// The name it is about, as far as there is one.
    pub fn name(&self, filesystem: &Filesystem) -> OsString {
        match self.about {
            About::Name(name) => name.to_owned(),
            About::Inode(ino) => filesystem.name_of(ino),
        }
    }
}

impl Gate {
    /// An open gate.
    pub fn new(filesystem: Filesystem) -> Arc<Self> {
        Arc::new(Self {
            metrics: Arc::clone(filesystem.metrics()),
            refusals: Arc::clone(filesystem.refusals()),
            filesystem: RwLock::new(Some(filesystem)),
            parked: AtomicUsize::new(0),
            opens_nothing: AtomicBool::new(false),
        })
    }

    /// Runs a request. The request holds the means to answer, and whoever drops them unanswered
    /// answers EIO: that is what a panic and a shut gate come to.
    pub fn pass(&self, op: Op, request: impl FnOnce(&Filesystem)) {
        self.metrics.request(op);
        let filesystem = self.filesystem.read();
        let Some(filesystem) = &*filesystem else {
            return;
        };
        if catch_unwind(AssertUnwindSafe(|| request(filesystem))).is_err() {
            self.metrics.add(Count::Panics, 1);
            error!(operation = ?op, "a request panicked; it was answered EIO, the mount goes on");
        }
    }

    /// From here on serves what is open and opens nothing. A detached mount can still be reached by who
    /// stands in it.
    pub fn open_nothing(&self) {
        self.opens_nothing.store(true, Ordering::Release);
    }

    /// Refuses what would open something after [`Gate::open_nothing`].
    pub fn admit(&self, op: Op) -> Result<()> {
        let opens = matches!(op, Op::Open | Op::Create | Op::Opendir);
        if opens && self.opens_nothing.load(Ordering::Acquire) { Err(Error::Stopping) } else { Ok(()) }
    }

    /// Runs a write that waits for memory on a thread of its own; gives `refused` back if too many
    /// wait already.
    pub fn park<R: Send + 'static>(
        self: &Arc<Self>,
        carried: R,
        write: impl FnOnce(&Filesystem, R) + Send + 'static,
    ) -> Option<R> {
        if self.parked.fetch_add(1, Ordering::AcqRel) >= PARKED_WRITES_MAX {
            self.parked.fetch_sub(1, Ordering::AcqRel);
            return Some(carried);
        }
        let gate = Arc::clone(self);
        let waiting = move || {
            if let Some(filesystem) = &*gate.filesystem.read()
                && catch_unwind(AssertUnwindSafe(|| write(filesystem, carried))).is_err()
            {
                gate.metrics.add(Count::Panics, 1);
                error!("a waiting write panicked; it was answered EIO");
            }
            gate.parked.fetch_sub(1, Ordering::AcqRel);
        };
        if let Err(failure) = std::thread::Builder::new().name("parked-write".into()).spawn(waiting) {
            // The closure is dropped, and with it the means to answer: EIO.
            error!(error = %failure, "no thread for a waiting write");
            self.parked.fetch_sub(1, Ordering::AcqRel);
        }
        None
    }

    /// Notes a refusal and gives its errno. What tools ask all the time is not noted.
    pub fn refuse(&self, asked: &Asked<'_>, filesystem: &Filesystem, error: &Error) -> fuser::Errno {
        let name = if is_worth_noting(error) { asked.name(filesystem) } else { OsString::new() };
        self.refuse_named(asked.op, asked.pid, &name, error)
    }

    /// As [`Gate::refuse`], where the name is known already.
    pub fn refuse_named(&self, op: Op, pid: u32, name: &OsStr, error: &Error) -> fuser::Errno {
        if is_worth_noting(error) {
            let operation = op.system_call();
            self.metrics.add(Count::Refusals, 1);
            self.refusals.add(pid, operation, name, error);
            if error.errno() == EIO {
                // Nobody has done anything wrong: something is broken.
                warn!(operation, name = %name.display(), pid, %error, "failed");
            } else {
                info!(operation, name = %name.display(), pid, %error, "refused");
            }
        }
        fuser::Errno::from_i32(error.errno())
    }

    /// Does what is to be done from time to time; says after which time again.
    pub fn look_after(&self) -> Duration {
        match &*self.filesystem.read() {
            Some(filesystem) => {
                filesystem.drop_leftovers();
                filesystem.look_interval()
            }
            None => Duration::MAX,
        }
    }

    /// Connects the kernel's caches.
    pub fn connect(&self, kernel: Box<dyn KernelCache>) {
        if let Some(filesystem) = &*self.filesystem.read() {
            filesystem.set_kernel_cache(kernel);
        }
    }

    /// Whether the file system is still there, and its staged bytes if it is.
    pub fn staged_bytes(&self) -> u64 {
        self.filesystem.read().as_ref().map_or(0, Filesystem::staged_bytes)
    }

    /// Waits for running requests, lets no more in, and gives the file system back.
    pub fn shut(&self) -> Result<Filesystem> {
        let gone = || Error::Internal { what: "the mount was shut down twice".into() };
        self.filesystem.write().take().ok_or_else(gone)
    }
}

fn is_worth_noting(error: &Error) -> bool {
    !matches!(error, Error::NotFound | Error::Stale | Error::Exists | Error::AttributeMissing)
}
