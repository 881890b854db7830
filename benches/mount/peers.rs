//! Other programs that show a directory: bindfs and rclone, where they are installed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::outcome::Outcome;
use crate::run::{Contender, Run};
use crate::served::Served;

/// The peers in the order of the tables, with the argument that makes them say their version.
pub const PEERS: [(&str, &str); 2] = [("bindfs", "--version"), ("rclone", "version")];

/// The first line that a program says of its version; `None` if it is not installed.
pub fn version(program: &str, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

/// A mount of a peer over a directory; also says how long that took. `None` if it is not installed.
pub fn mount(
    run: &mut Run,
    name: &str,
    topic: &str,
    source: &Path,
) -> Outcome<Option<(Contender, Duration)>> {
    let argument = PEERS.iter().find(|(peer, _)| *peer == name).map_or("--version", |(_, argument)| argument);
    if version(name, argument).is_none() {
        run.results.miss(name, "not found");
        return Ok(None);
    }
    let dir = run.place(topic, name)?;
    let mut command = Command::new(name);
    match name {
        "bindfs" => command.arg("-f").arg(source).arg(&dir),
        _ => {
            let cache = run.place(topic, "rclone.cache")?;
            command.args(["mount", "--config", "/dev/null", "--vfs-cache-mode", "writes", "--cache-dir"]);
            command.arg(cache).arg(source).arg(&dir)
        }
    };
    let (served, took) = Served::foreground(command, &dir)?;
    Ok(Some((Contender::mount(name, dir, served), took)))
}

/// Mounts of all peers that are installed, over one directory, or each over an empty one of its own.
pub fn mounts(run: &mut Run, topic: &str, source: Option<&Path>) -> Outcome<Vec<Contender>> {
    let mut found = Vec::new();
    for (name, _) in PEERS {
        let own = run.place(topic, &format!("{name}.below"))?;
        let source = source.unwrap_or(&own);
        found.extend(mount(run, name, topic, source)?.map(|(contender, _)| contender));
    }
    Ok(found)
}
