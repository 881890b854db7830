//! Processes: their identity across restarts and reboots, waiting for their end, and the limits of
//! our own.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{AccessFlags, access, getegid, geteuid, getgid, getuid};

use crate::{Error, Result};

/// How often a process is looked at where the kernel cannot tell us of its end.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// When the process started, in clock ticks since boot; `None` if there is no such process, or only
/// its remains wait for its parent. Together with the pid and the boot id this names one process.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_start_time(&String::from_utf8_lossy(&stat))
}

/// Field 22 of proc_pid_stat(5). Field 2, the name, is in brackets and may hold anything.
fn parse_start_time(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?;
    let threads: u32 = fields.nth(16)?.parse().ok()?;
    // The first thread may be gone while others still close files.
    if matches!(state, "Z" | "X") && threads <= 1 {
        return None;
    }
    fields.nth(1)?.parse().ok()
}

/// The supplementary groups of a process or thread; none if it is gone or cannot be seen from here.
pub fn groups_of(pid: u32) -> Vec<u32> {
    let groups = status_field(&pid.to_string(), "Groups:");
    groups.split_ascii_whitespace().filter_map(|group| group.parse().ok()).collect()
}

/// A line of proc_pid_status(5) behind its name; empty if there is none.
pub(super) fn status_field(process: &str, name: &str) -> String {
    let status = std::fs::read(format!("/proc/{process}/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
}

/// How many threads of this process have a name that begins so.
pub fn threads_named(prefix: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter(|task| {
            std::fs::read(task.path().join("comm")).is_ok_and(|name| name.starts_with(prefix.as_bytes()))
        })
        .count()
}

/// The kernel's random id of this boot; empty where it cannot be read.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

/// The name of this host; empty where it cannot be read.
pub(super) fn host_name() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The answer of a file system whose daemon may hang: it is asked on a thread of its own, which is left
/// behind if there is none within `wait` ([`io::ErrorKind::TimedOut`]).
pub fn answer_within<T: Send + 'static>(
    wait: Duration,
    ask: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::Builder::new().name("asking".to_owned()).spawn(move || {
        // Nobody listens any more if it took too long.
        let _ = sender.send(ask());
    })?;
    receiver.recv_timeout(wait).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Waits until the process with this pid and start time has ended; `false` if it has not after
/// `timeout`. A process that got the same pid later counts as ended.
pub fn wait_for_exit(pid: u32, start: u64, timeout: Duration) -> Result<bool> {
    let deadline = Instant::now() + timeout;
    let handle = pidfd_open(pid);
    // Looked at after the handle was made, so that the handle is known to be of this process.
    while start_time(pid) == Some(start) {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        match &handle {
            Ok(fd) => {
                let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
                let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
                match poll(&mut fds, wait) {
                    Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                    Ok(_) => return Ok(true),
                    Err(errno) => return Err(Error::io(format!("wait for process {pid}"), errno.into())),
                }
            }
            Err(_) => std::thread::sleep(left.min(POLL_INTERVAL)),
        }
    }
    Ok(true)
}

fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    let pid = libc::pid_t::try_from(pid).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: pidfd_open(2) takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match i32::try_from(fd) {
        // SAFETY: the kernel has just made this descriptor for us, and nobody else knows it.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Allows as many open files as the hard limit does, and returns that number.
pub fn raise_nofile_limit() -> Result<u64> {
    let failed = |errno: nix::errno::Errno| Error::io("raise the limit of open files", errno.into());
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(failed)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(failed)?;
    }
    Ok(hard)
}

/// Sets the mode bits that new files of this process never get, and returns those of before.
pub fn set_umask(mask: u32) -> u32 {
    umask(Mode::from_bits_truncate(mask)).bits()
}

/// The user and group that this process acts as.
pub fn effective_ids() -> (u32, u32) {
    (geteuid().as_raw(), getegid().as_raw())
}

/// The user and group that started this process.
pub fn real_ids() -> (u32, u32) {
    (getuid().as_raw(), getgid().as_raw())
}

/// Whether the user who started this process may create files in the directory.
pub fn may_write(dir: &Path) -> bool {
    access(dir, AccessFlags::W_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn start_time_is_found_behind_any_name() {
        let tail = "S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 1 21 4242 23";
        assert_eq!(parse_start_time(&format!("7 (sh) {tail}")), Some(4242));
        assert_eq!(parse_start_time(&format!("7 (a) b) (c) {tail}")), Some(4242));
        let zombie = tail.replacen('S', "Z", 1);
        assert_eq!(parse_start_time(&format!("7 (sh) {zombie}")), None);
        let with_threads = zombie.replace(" 1 21", " 3 21");
        assert_eq!(parse_start_time(&format!("7 (sh) {with_threads}")), Some(4242));
        assert_eq!(parse_start_time("7 (sh"), None);
    }

    #[test]
    fn a_process_is_waited_for_and_a_later_one_is_not_mistaken_for_it() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let start = start_time(child.id()).unwrap();
        assert!(!wait_for_exit(child.id(), start, Duration::ZERO).unwrap());
        assert!(wait_for_exit(child.id(), start + 1, Duration::ZERO).unwrap());
        drop(child.stdin.take());
        assert!(wait_for_exit(child.id(), start, Duration::from_secs(60)).unwrap(), "ended, not yet reaped");
        child.wait().unwrap();
        assert!(wait_for_exit(child.id(), start, Duration::ZERO).unwrap());
    }

    #[test]
    fn this_boot_and_host_have_names() {
        assert_eq!(boot_id().len(), 36);
        assert!(!host_name().is_empty());
    }
}
