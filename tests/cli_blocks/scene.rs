//! A store, and a way to it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::common::{Bench, Mounted, program, run, text};

/// How a command gets to the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The data directory is not mounted.
    Direct,
    /// It is mounted, and the command is told the data directory.
    ByItself,
    /// It is told the mount point.
    Mount,
}

pub const WAYS: [Way; 3] = [Way::Direct, Way::ByItself, Way::Mount];

/// A store, with a directory of files beside it.
pub struct Scene {
    // Ends before its directory goes, as the order of the fields has it.
    pub mounted: Option<Mounted>,
    pub bench: Bench,
    pub way: Way,
}

impl Scene {
    pub fn new(backend: &'static str, way: Way) -> Self {
        Self::with(backend, way, &[])
    }

    /// With some more flags for the mount, if there is one.
    pub fn with(backend: &'static str, way: Way, more: &[&str]) -> Self {
        let bench = Bench::new(backend);
        fs::create_dir(bench.path().join("files")).unwrap();
        let mounted = (way != Way::Direct).then(|| bench.mount_with(more));
        Self { bench, way, mounted }
    }

    /// The directory in which commands run.
    pub fn files(&self) -> PathBuf {
        self.bench.path().join("files")
    }

    pub fn file(&self, name: impl AsRef<Path>, content: &[u8]) {
        fs::write(self.files().join(name), content).unwrap();
    }

    /// A command, with what says where the store is behind its name.
    pub fn command<S: AsRef<OsStr>>(&self, args: &[S]) -> Command {
        let mut command = program();
        command.arg(&args[0]).current_dir(self.files());
        match self.way {
            Way::Direct => {
                command.args(["--backend", self.bench.backend, "--data-path"]).arg(self.bench.data())
            }
            Way::ByItself => command.arg("--data-path").arg(self.bench.data()),
            Way::Mount => command.arg("--mount").arg(self.bench.mnt()),
        };
        command.args(&args[1..]);
        command
    }

    pub fn run<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        run(&mut self.command(args))
    }

    /// It must succeed; gives what it printed.
    pub fn ok<S: AsRef<OsStr>>(&self, args: &[S]) -> Vec<u8> {
        let output = self.run(args);
        assert!(output.status.success(), "{:?}: {}", self.way, text(&output));
        assert!(output.stderr.is_empty(), "{:?}: {}", self.way, text(&output));
        output.stdout
    }

    pub fn ok_text<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        String::from_utf8(self.ok(args)).unwrap()
    }

    /// It must fail with this code and say this; gives what it printed.
    pub fn fails<S: AsRef<OsStr>>(&self, args: &[S], code: i32, says: &str) -> Vec<u8> {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{:?}: {}", self.way, text(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(says), "{:?}: {says} is not in {}", self.way, text(&output));
        output.stdout
    }

    /// The objects that a command prints, one in each line, whatever its exit code.
    pub fn objects<S: AsRef<OsStr>>(&self, args: &[S]) -> Vec<Value> {
        let output = self.run(args);
        let lines = std::str::from_utf8(&output.stdout).unwrap().lines();
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{}", text(&output)))).collect()
    }

    /// Stores bytes from standard input and gives their CID.
    pub fn put(&self, content: &[u8], more: &[&str]) -> String {
        let mut child = self
            .command(&[&["put", "-"], more].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), content).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let line = String::from_utf8(output.stdout).unwrap();
        line.strip_suffix("  -\n").unwrap().to_owned()
    }

    /// All CIDs, sorted.
    pub fn listed(&self) -> Vec<String> {
        let mut listed: Vec<String> = self.ok_text(&["ls"]).lines().map(str::to_owned).collect();
        listed.sort();
        listed
    }
}
