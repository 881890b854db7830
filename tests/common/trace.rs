//! The system calls of a daemon, seen by strace, or failing by it.

use super::*;

/// What the daemon asks of the disk, as strace tells it.
pub struct Trace {
    strace: Child,
    file: PathBuf,
}

impl Trace {
    /// Begins to look at the system calls by which bytes reach the disk; `None`, loudly, without strace.
    pub fn begin(bench: &Bench, mount: &Mounted) -> Option<Self> {
        Self::with(bench, mount, &["-e", "trace=fsync,fdatasync"])
    }

    /// Every sync of the daemon fails with EIO for as long as this lasts; `None`, loudly, without strace.
    pub fn failing_syncs(bench: &Bench, mount: &Mounted) -> Option<Self> {
        let calls = "fsync,fdatasync,sync_file_range,msync,syncfs";
        Self::with(
            bench,
            mount,
            &["-e", &format!("trace={calls}"), "-e", &format!("inject={calls}:error=EIO")],
        )
    }

    fn with(bench: &Bench, mount: &Mounted, arguments: &[&str]) -> Option<Self> {
        if !need("strace") {
            return None;
        }
        let file = bench.path().join("trace");
        let strace = Command::new("strace")
            .args(["-f", "-qq"])
            .args(arguments)
            .args(["-e", "signal=none", "-o"])
            .arg(&file)
            .args(["-p", &mount.pid().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let trace = Self { strace, file };
        let traced = format!("/proc/{}/task", mount.pid());
        eventually("every thread is traced", || {
            fs::read_dir(&traced).unwrap().flatten().all(|task| {
                fs::read_to_string(task.path().join("status"))
                    .is_ok_and(|status| status.contains(&format!("TracerPid:\t{}\n", trace.strace.id())))
            })
        });
        Some(trace)
    }

    /// Syncs that have succeeded so far: a thread that is traced goes on when its line was written.
    pub fn syncs(&self) -> usize {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let is_sync = |line: &&str| {
            ["fsync(", "fdatasync(", "fdatasync resumed", "fsync resumed"]
                .iter()
                .any(|call| line.contains(call))
        };
        text.lines().filter(is_sync).filter(|line| line.ends_with("= 0")).count()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // It lets go of the daemon, which goes on.
        let _ = Command::new("kill").args(["-TERM", &self.strace.id().to_string()]).status();
        wait_for(&mut self.strace);
    }
}
