//! Mounts that the benchmark makes, of whichever program.
//!
//! Invariant: whoever lets go of one leaves neither the mount nor the process behind.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ipfs_persist_mount::sys;

use crate::outcome::{During as _, Outcome, fail};

/// How long a mount may take to be there, and a process to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked whether a mount is there.
const POLL_INTERVAL: Duration = Duration::from_micros(200);

/// A mount, and the process that serves it.
#[derive(Debug)]
pub struct Served {
    dir: PathBuf,
    pid: u32,
    start_time: Option<u64>,
    child: Option<Child>,
    /// Whether it is told to end, because it has no mount whose end it would see.
    ends_by_signal: bool,
}

impl Served {
    /// Starts the program in the background, as a user does; also says how long that took.
    pub fn program(mut command: Command, dir: &Path) -> Outcome<(Self, Duration)> {
        fs::create_dir_all(dir)?;
        command.arg("--background").arg(dir).stdin(Stdio::null()).process_group(0);
        let begun = Instant::now();
        let output = command.output().during(format!("start {command:?}"))?;
        let took = begun.elapsed();
        if !output.status.success() {
            return fail(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)));
        }
        let status = control(dir, "status.json")?;
        let pid = status.get("pid").and_then(serde_json::Value::as_u64).unwrap_or_default() as u32;
        let served = Self {
            dir: dir.to_owned(),
            pid,
            start_time: sys::start_time(pid),
            child: None,
            ends_by_signal: false,
        };
        Ok((served, took))
    }

    /// Starts the floor, which says when it is there.
    pub fn floor(dir: &Path, source: &Path) -> Outcome<Self> {
        fs::create_dir_all(dir)?;
        let mut command = in_session_of_its_own(std::env::current_exe()?);
        command.arg("floor").arg(dir).arg(source).stdout(Stdio::piped());
        let mut served = Self::spawn(command, dir)?;
        let output = served.child.as_mut().and_then(|child| child.stdout.take());
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line)?;
        }
        if line.trim() == "ready" { Ok(served) } else { fail("the floor did not start") }
    }

    /// Starts a program that stays in the foreground, and waits until its mount is there; also says how
    /// long that took.
    pub fn foreground(mut command: Command, dir: &Path) -> Outcome<(Self, Duration)> {
        fs::create_dir_all(dir)?;
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let begun = Instant::now();
        let shown = format!("{command:?}");
        let mut served = Self::spawn(command, dir)?;
        while !is_mounted(dir) {
            if let Some(child) = &mut served.child
                && let Some(status) = child.try_wait()?
            {
                let mut said = String::new();
                if let Some(mut errors) = child.stderr.take() {
                    errors.read_to_string(&mut said)?;
                }
                return fail(format!("{shown} ended with {status}: {said}"));
            }
            if begun.elapsed() > PATIENCE {
                return fail(format!("{shown} did not mount"));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok((served, begun.elapsed()))
    }

    /// Starts a server without a mount, and waits for the line with which it says that it is there; gives
    /// the lines up to that.
    pub fn process(
        mut command: Command,
        dir: &Path,
        is_ready: impl Fn(&str) -> bool,
    ) -> Outcome<(Self, Vec<String>)> {
        command.stdout(Stdio::piped());
        let mut served = Self::spawn(command, dir)?;
        served.ends_by_signal = true;
        let mut lines = Vec::new();
        if let Some(output) = served.child.as_mut().and_then(|child| child.stdout.take()) {
            let mut output = BufReader::new(output);
            loop {
                let mut line = String::new();
                if output.read_line(&mut line)? == 0 {
                    return fail(format!("a server ended at once, and said {lines:?}"));
                }
                let ready = is_ready(&line);
                lines.push(line);
                if ready {
                    // What else it says is read to the end, so that it never waits for a reader.
                    std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
                    break;
                }
            }
        }
        Ok((served, lines))
    }

    fn spawn(mut command: Command, dir: &Path) -> Outcome<Self> {
        let child = command.stdin(Stdio::null()).spawn().during(format!("start {command:?}"))?;
        let pid = child.id();
        let start_time = sys::start_time(pid);
        Ok(Self { dir: dir.to_owned(), pid, start_time, child: Some(child), ends_by_signal: false })
    }

    /// The process that serves it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// A counter of requests, where the mount is of our program.
    pub fn requests(&self, operation: &str) -> Outcome<u64> {
        let stats = control(&self.dir, "stats.json")?;
        let count = stats.get("requests").and_then(|requests| requests.get(operation));
        Ok(count.and_then(serde_json::Value::as_u64).unwrap_or_default())
    }

    /// Processor time of the server so far, in seconds.
    pub fn cpu_secs(&self) -> Outcome<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
        // Fields 14 and 15 of proc_pid_stat(5); these begin with the third. USER_HZ is 100 everywhere.
        match (ticks(11), ticks(12)) {
            (Some(user), Some(system)) => Ok((user + system) / 100.0),
            _ => fail("the processor time of the server cannot be read"),
        }
    }

    /// A line of the server's /proc/PID/status in MB, such as `VmRSS`.
    pub fn memory_mb(&self, field: &str) -> Outcome<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
        kib.map_or_else(|| fail(format!("{field} cannot be read")), |kib| Ok(kib * 1024.0 / 1e6))
    }

    /// Kills the server, as a power cut would, and takes the dead mount away.
    pub fn kill(mut self) -> Outcome<()> {
        self.signal("-KILL")?;
        self.wait_for_end()?;
        detach(&self.dir);
        Ok(())
    }

    /// Unmounts, and waits until the store is closed.
    pub fn end(mut self) -> Outcome<()> {
        detach(&self.dir);
        self.wait_for_end()
    }

    fn wait_for_end(&mut self) -> Outcome<()> {
        if let Some(child) = &mut self.child {
            let begun = Instant::now();
            while child.try_wait()?.is_none() {
                if begun.elapsed() > PATIENCE {
                    return fail(format!("process {} did not end", self.pid));
                }
                std::thread::sleep(POLL_INTERVAL);
            }
        } else if let Some(start_time) = self.start_time
            && !sys::wait_for_exit(self.pid, start_time, PATIENCE)?
        {
            return fail(format!("process {} did not end", self.pid));
        }
        self.start_time = None;
        Ok(())
    }

    fn signal(&self, signal: &str) -> Outcome<()> {
        if self.start_time.is_some() && sys::start_time(self.pid) == self.start_time {
            Command::new("kill").arg(signal).arg(self.pid.to_string()).status()?;
        }
        Ok(())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.start_time.is_none() && !is_mounted(&self.dir) {
            return;
        }
        detach(&self.dir);
        if self.ends_by_signal {
            // If it cannot be told, it is killed below.
            let _ = self.signal("-TERM");
        }
        if self.wait_for_end().is_err() {
            // Nothing more can be done for a process that does not end.
            let _ = self.signal("-KILL");
            let _ = self.wait_for_end();
        }
    }
}

/// A command that runs in a new session, as daemons do: the kernel schedules sessions beside each other,
/// and a server in the session of its client is woken up later.
pub fn in_session_of_its_own(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setsid");
    command.arg(program);
    command
}

/// A file of the control directory of our program's mount.
fn control(dir: &Path, name: &str) -> Outcome<serde_json::Value> {
    let path = dir.join(".ipfs-persist").join(name);
    let text = fs::read(&path).during(format!("read {}", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// Whether something is mounted there, dead or alive.
pub fn is_mounted(dir: &Path) -> bool {
    sys::find(dir).is_ok_and(|found| found.is_some())
}

/// Takes away what is mounted there, whoever uses it.
fn detach(dir: &Path) {
    if !is_mounted(dir) {
        return;
    }
    let (program, arguments): (&str, &[&str]) =
        if sys::effective_ids().0 == 0 { ("umount", &["-i", "--lazy"]) } else { ("fusermount3", &["-uz"]) };
    let mut command = Command::new(program);
    command.args(arguments).arg(dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // If it did not work, what is there can be seen in the mount table.
    let _ = command.status();
}
