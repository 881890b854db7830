//! The set-user-id helper of the package fuse3, by which ordinary users mount and unmount.
//!
//! Invariant: what the helper says is shown to people and never parsed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::sys;
use crate::{Error, Result};

/// The names of the helper, the current one first.
const PROGRAMS: &[&str] = &["fusermount3", "fusermount"];

/// Names the descriptor of the socket over which the helper hands out the FUSE device.
const SOCKET_VARIABLE: &str = "_FUSE_COMMFD";

/// Mounts with these `-o` options. The inner error is what the helper said.
pub(super) fn mount(path: &Path, options: &str) -> Result<Result<OwnedFd, String>> {
    run(|program| {
        let (ours, theirs) = sys::socket_pair()?;
        let mut command = Command::new(program);
        command.args(["-o", options, "--"]).arg(path).stdout(Stdio::null()).stderr(Stdio::piped());
        // The socket goes to the helper as its standard input, which it does not use otherwise: so
        // no descriptor has to be made inheritable while other threads may start programs.
        command.env(SOCKET_VARIABLE, "0").stdin(OwnedFd::from(theirs));
        let child = command.spawn()?;
        // The command still holds the helper's end, and we would wait for ourselves.
        drop(command);
        let device = sys::receive_fd(&ours)?;
        let output = child.wait_with_output()?;
        Ok(device.ok_or_else(|| said(&output)))
    })
}

/// Unmounts. The inner error is what the helper said.
pub(super) fn unmount(path: &Path, lazy: bool) -> Result<Result<(), String>> {
    run(|program| {
        let mut command = Command::new(program);
        command
            .args(if lazy { &["-u", "-z", "--"][..] } else { &["-u", "--"] })
            .arg(path)
            .stdin(Stdio::null());
        let output = command.output()?;
        Ok(if output.status.success() { Ok(()) } else { Err(said(&output)) })
    })
}

/// Runs `with` for the first of the helpers that is installed.
fn run<T>(with: impl Fn(&str) -> io::Result<T>) -> Result<T> {
    for program in PROGRAMS {
        match with(program) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other.map_err(|source| Error::io(format!("run {program}"), source)),
        }
    }
    Err(Error::io("run fusermount3", io::ErrorKind::NotFound.into()))
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    if text.is_empty() { format!("the mount helper failed ({})", output.status) } else { text }
}
