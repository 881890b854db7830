//! Other programs that show a directory: bindfs and rclone, where they are installed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::outcome::Outcome;
use crate::run::{Contender, Run};
use crate::served::{Served, in_session_of_its_own};

/// The peers in the order of the tables, with the argument that makes them say their version.
pub const PEERS: [(&str, &str); 2] = [("bindfs", "--version"), ("rclone", "version")];

/// The first line that a program says of its version; `None` if it is not installed.
pub fn version(program: &str, argument: &str) -> Option<String> {
    let mut command = Command::new(program);
    // rclone would make a directory for its configuration.
    command.arg(argument).env("RCLONE_CONFIG", "/dev/null").stdin(Stdio::null());
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

/// The peers that are installed; of the others the results say that they were not found.
pub fn installed(run: &mut Run) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (name, argument) in PEERS {
        if version(name, argument).is_some() {
            found.push(name);
        } else {
            run.results.miss(name, "not found");
        }
    }
    found
}

/// A mount of a peer that is installed over a directory; also says how long that took.
pub fn start(run: &Run, name: &str, topic: &str, source: &Path) -> Outcome<(Contender, Duration)> {
    let dir = run.place(topic, name)?;
    let mut command = in_session_of_its_own(name);
    if name == "bindfs" {
        command.arg("-f");
    } else {
        let cache = run.place(topic, &format!("{name}.cache"))?;
        command
            .args(["mount", "--config", "/dev/null", "--vfs-cache-mode", "writes", "--cache-dir"])
            .arg(cache);
    }
    command.arg(source).arg(&dir);
    let (served, took) = Served::foreground(command, &dir)?;
    Ok((Contender::mount(name, dir, served), took))
}

/// Mounts of all peers that are installed, over one directory, or each over an empty one of its own.
pub fn mounts(run: &mut Run, topic: &str, source: Option<&Path>) -> Outcome<Vec<Contender>> {
    let mut found = Vec::new();
    for name in installed(run) {
        let own = run.place(topic, &format!("{name}.below"))?;
        let source = source.unwrap_or(&own);
        found.push(start(run, name, topic, source)?.0);
    }
    Ok(found)
}
