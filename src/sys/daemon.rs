//! Going to the background: the command returns when the mount is ready, the daemon stays.
//!
//! Invariant: the parent's exit code and error text are the child's, and until the child has
//! reported it belongs to the terminal like any command, so that Ctrl-C ends both. A child whose parent
//! was killed before ends too: nobody would know of it.

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};

use nix::fcntl::OFlag;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{
    ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, getpid, getppid, pipe2, setsid,
};

use crate::{Error, Result};

/// What the child had to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The child.
    pub pid: u32,
    /// The exit code; 0 means that the daemon is ready.
    pub exit: u8,
    /// The errno of its error.
    pub errno: i32,
    /// The error for stderr; from a daemon that is ready, what it does.
    pub text: String,
}

/// On which side of the fork the caller goes on.
#[derive(Debug)]
pub enum Forked {
    /// In the parent, after the child has reported: all that is left is to exit.
    Parent(Report),
    /// In the child, which must report.
    Child(Starting),
}

/// The child's duty to report. Dropped without a report, the parent says that the child died.
#[derive(Debug)]
pub struct Starting {
    pipe: File,
}

/// Forks. The parent returns only when the child has reported or ended.
///
/// Fails if this process has more than one thread: a fork would lose the others, and whatever
/// they hold locked would stay so.
pub fn daemonize() -> Result<Forked> {
    let failed = |errno: nix::errno::Errno| Error::io("start a background process", errno.into());
    let threads = std::fs::read_dir("/proc/self/task").map(|tasks| tasks.count());
    if !matches!(threads, Ok(1)) {
        return Err(Error::Internal { what: format!("going to the background with {threads:?} threads") });
    }
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(failed)?;
    let parent = getpid();
    // SAFETY: this is the only thread, so that the child's memory is as consistent as ours.
    match unsafe { fork() }.map_err(failed)? {
        ForkResult::Child => {
            drop(read);
            end_with(parent).map_err(failed)?;
            close_inherited();
            Ok(Forked::Child(Starting { pipe: write.into() }))
        }
        ForkResult::Parent { child } => {
            drop(write);
            wait_for_report(read, child).map(Forked::Parent)
        }
    }
}

/// Has this process end with its parent, until that is taken back.
fn end_with(parent: Pid) -> nix::Result<()> {
    set_pdeathsig(Signal::SIGTERM)?;
    // It may have ended before.
    if getppid() == parent { Ok(()) } else { Err(nix::errno::Errno::ESRCH) }
}

/// Closes what the shell has left open in us, such as the lock of a script or the pipe that another
/// program reads to its end. What we have opened ourselves is closed at an exec, and so told apart.
fn close_inherited() {
    let descriptors = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let numbers = descriptors.filter_map(|entry| entry.file_name().to_str()?.parse::<RawFd>().ok());
    for fd in numbers.collect::<Vec<_>>() {
        // SAFETY: F_GETFD touches no memory; a number that is not open is an error of its own.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        if fd > libc::STDERR_FILENO && flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            // SAFETY: the descriptor was there when this program began, so that nothing in it owns it.
            unsafe { libc::close(fd) };
        }
    }
}

fn wait_for_report(read: OwnedFd, child: Pid) -> Result<Report> {
    let mut bytes = Vec::new();
    File::from(read)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::io("read the report of the background process", source))?;
    if let [exit, a, b, c, d, text @ ..] = bytes.as_slice() {
        let text = String::from_utf8_lossy(text).into_owned();
        let errno = i32::from_ne_bytes([*a, *b, *c, *d]);
        return Ok(Report { pid: child.as_raw().unsigned_abs(), exit: *exit, errno, text });
    }
    let end = match waitpid(child, None) {
        Ok(WaitStatus::Signaled(_, signal, _)) => format!("it was killed by {}", signal.as_str()),
        Ok(WaitStatus::Exited(_, code)) => format!("it exited with code {code}"),
        Ok(_) | Err(_) => "how it ended is not known".to_owned(),
    };
    Err(Error::Internal { what: format!("the background process ended before it was ready: {end}") })
}

impl Starting {
    /// Leaves the terminal and reports that the daemon is ready, and what it does. Standard input and
    /// output become /dev/null; standard error, and with it whatever is logged, becomes `log`, or
    /// /dev/null too.
    ///
    /// An error means that nobody has learned of it, and the daemon should end.
    pub fn ready(mut self, log: Option<File>, what: &str) -> Result<()> {
        let failed = |errno: nix::errno::Errno| Error::io("go to the background", errno.into());
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map_err(|source| Error::io("open /dev/null", source))?;
        setsid().map_err(failed)?;
        chdir("/").map_err(failed)?;
        // From here on a parent that is gone is noticed by the report.
        set_pdeathsig(None).map_err(failed)?;
        dup2_stdin(null.as_fd()).map_err(failed)?;
        dup2_stdout(null.as_fd()).map_err(failed)?;
        dup2_stderr(log.as_ref().unwrap_or(&null).as_fd()).map_err(failed)?;
        self.report(0, 0, what)
            .map_err(|source| Error::io("report to the command that started this one", source))
    }

    /// Reports that there will be no daemon. The caller should exit with the same code.
    pub fn failed(mut self, exit: u8, errno: i32, text: &str) {
        if let Err(error) = self.report(exit, errno, text) {
            tracing::error!(%error, text, "nobody waits for the background process any more");
        }
    }

    /// The exit code, the errno, and a text.
    fn report(&mut self, exit: u8, errno: i32, text: &str) -> io::Result<()> {
        let bytes = [&[exit][..], &errno.to_ne_bytes(), text.as_bytes()].concat();
        self.pipe.write_all(&bytes)
    }
}
