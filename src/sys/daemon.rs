//! Going to the background: the command returns when the mount is ready, the daemon stays.
//!
//! Invariant: the parent's exit code and error text are the child's, and until the child has
//! reported it belongs to the terminal like any command, so that Ctrl-C ends both.

#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::OFlag;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, fork, pipe2, setsid};

use crate::{Error, Result};

/// What the child had to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The exit code; 0 means that the daemon is ready.
    pub exit: u8,
    /// What to print on stderr, if anything.
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
    // SAFETY: this is the only thread, so that the child's memory is as consistent as ours.
    match unsafe { fork() }.map_err(failed)? {
        ForkResult::Child => {
            drop(read);
            Ok(Forked::Child(Starting { pipe: write.into() }))
        }
        ForkResult::Parent { child } => {
            drop(write);
            wait_for_report(read, child).map(Forked::Parent)
        }
    }
}

fn wait_for_report(read: OwnedFd, child: Pid) -> Result<Report> {
    let mut bytes = Vec::new();
    File::from(read)
        .read_to_end(&mut bytes)
        .map_err(|source| Error::io("read the report of the background process", source))?;
    if let Some((exit, text)) = bytes.split_first() {
        return Ok(Report { exit: *exit, text: String::from_utf8_lossy(text).into_owned() });
    }
    let end = match waitpid(child, None) {
        Ok(WaitStatus::Signaled(_, signal, _)) => format!("it was killed by {}", signal.as_str()),
        Ok(WaitStatus::Exited(_, code)) => format!("it exited with code {code}"),
        Ok(_) | Err(_) => "how it ended is not known".to_owned(),
    };
    Err(Error::Internal { what: format!("the background process ended before it was ready: {end}") })
}

impl Starting {
    /// Leaves the terminal and reports that the daemon is ready. Standard input and output become
    /// /dev/null; standard error, and with it whatever is logged, becomes `log`, or /dev/null too.
    pub fn ready(mut self, log: Option<File>) -> Result<()> {
        let failed = |errno: nix::errno::Errno| Error::io("go to the background", errno.into());
        let null = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map_err(|source| Error::io("open /dev/null", source))?;
        setsid().map_err(failed)?;
        chdir("/").map_err(failed)?;
        dup2_stdin(null.as_fd()).map_err(failed)?;
        dup2_stdout(null.as_fd()).map_err(failed)?;
        dup2_stderr(log.as_ref().unwrap_or(&null).as_fd()).map_err(failed)?;
        if let Err(error) = self.report(0, "") {
            tracing::warn!(%error, "nobody waits for the background process any more");
        }
        Ok(())
    }

    /// Reports that there will be no daemon. The caller should exit with the same code.
    pub fn failed(mut self, exit: u8, text: &str) {
        if let Err(error) = self.report(exit, text) {
            tracing::error!(%error, text, "nobody waits for the background process any more");
        }
    }

    fn report(&mut self, exit: u8, text: &str) -> io::Result<()> {
        let mut bytes = vec![exit];
        bytes.extend_from_slice(text.as_bytes());
        self.pipe.write_all(&bytes)
    }
}
