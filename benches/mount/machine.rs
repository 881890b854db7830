//! Where and with what it was measured.

use std::fs;
use std::process::{Command, Stdio};

use ipfs_persist_mount::sys;

use crate::kubo::KUBO;
use crate::outcome::Outcome;
use crate::peers;
use crate::run::Run;

/// Names and values, in the order of showing.
pub fn describe(run: &mut Run) -> Outcome<()> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let gib = kib.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or_default() / f64::from(1 << 20);
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let user = if sys::effective_ids().0 == 0 { "root" } else { "an ordinary user" };
    let file_system = sys::file_system_of(run.work())?.unwrap_or_default();
    let version = said(run.program().arg("--version"));
    let mut machine = vec![
        ("date", said(Command::new("date").args(["-u", "+%Y-%m-%d"]))),
        ("program", version),
        ("processor", model.trim_start_matches([' ', '\t', ':']).to_owned()),
        ("processors", processors.to_string()),
        ("memory", format!("{gib:.0} GiB")),
        ("kernel", said(Command::new("uname").args(["-sr"]))),
        ("ordinary directory", format!("{file_system}, on the disk of the data directories")),
        ("measured as", user.to_owned()),
        ("rounds", if run.options.quick { "a few (--quick)" } else { "all" }.to_owned()),
    ];
    for (name, argument) in peers::PEERS.into_iter().chain([(KUBO, "--version")]) {
        machine.push((name, peers::version(name, argument).unwrap_or_else(|| "not found".to_owned())));
    }
    run.results.machine = machine.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(())
}

/// Says how busy the machine is at a point of the run: what others do is in the figures too.
pub fn note_load(run: &mut Run, when: &str) {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = load.split(' ').next().unwrap_or_default();
    run.results.machine.push((format!("load {when}"), minute.to_owned()));
}

/// The first line that a command says; empty if it cannot be run.
fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}
