//! On which processors the benchmark and the servers run.
//!
//! A request of one client is a ride from the client to the server and back. Where the two run on
//! different processors, the time in which a sleeping processor wakes up is most of it, and whether they
//! do is chance: samples then differ by a factor of four. So what one client does is measured with both on
//! one processor, for all contenders; what several do is measured on all processors.

use std::process::{Command, Stdio};

use crate::outcome::{During as _, Outcome, fail};
use crate::run::Contender;

/// The processors that this process may use, as the kernel writes them: `0-3,8`.
pub fn allowed() -> Outcome<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map_or_else(|| fail("the allowed processors cannot be read"), |list| Ok(list.trim().to_owned()))
}

/// While it is there, this process and some mounts' servers use one processor.
#[derive(Debug)]
pub struct OnOneProcessor {
    before: String,
    pids: Vec<u32>,
}

impl OnOneProcessor {
    /// The last of the allowed processors, because the first is where interrupts arrive.
    pub fn new<'a>(contenders: impl IntoIterator<Item = &'a Contender>) -> Outcome<Self> {
        let before = allowed()?;
        let last = before.rsplit([',', '-']).next().unwrap_or("0").to_owned();
        let servers = contenders.into_iter().filter_map(Contender::pid);
        let pids: Vec<u32> = servers.chain([std::process::id()]).collect();
        for pid in &pids {
            move_to(*pid, &last)?;
        }
        Ok(Self { before, pids })
    }
}

impl Drop for OnOneProcessor {
    fn drop(&mut self) {
        for pid in &self.pids {
            // A server that has ended meanwhile needs no processor.
            let _ = move_to(*pid, &self.before);
        }
    }
}

/// All threads of a process.
fn move_to(pid: u32, list: &str) -> Outcome<()> {
    let mut command = Command::new("taskset");
    command.args(["--all-tasks", "--cpu-list", "--pid", list]).arg(pid.to_string());
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.during("taskset (package util-linux)")?;
    if status.success() { Ok(()) } else { fail(format!("process {pid} cannot be moved to processor {list}")) }
}
