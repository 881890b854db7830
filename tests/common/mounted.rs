//! A mount that a process of its own serves, and the directory for it.

use ipfs_persist_mount::blockstore::{Blockstore, Marker, StoreOptions};
use ipfs_persist_mount::datastore::{Datastore, OpenRequest, backend};

use super::*;

/// A temporary directory with a mount point and a data directory in it, and what is mounted there.
pub struct Bench {
    pub dir: TempDir,
    pub backend: &'static str,
}

impl Bench {
    pub fn new(backend: &'static str) -> Self {
        let dir = tempfile::Builder::new().prefix("ipm-").tempdir().unwrap();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        Self { dir, backend }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn mnt(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The command that mounts this bench, with some more arguments.
    pub fn command(&self, more: &[&str]) -> Command {
        let mut command = program();
        command.args(["--backend", self.backend, "--lock-wait", "5"]);
        if backend(self.backend).unwrap().default_path.is_some() {
            command.arg("--data-path").arg(self.data());
        }
        command.args(more).arg(self.mnt());
        command
    }

    /// The engine of the data directory, past everything that is above it; the store is made if it is
    /// missing.
    pub fn engine(&self) -> Box<dyn Datastore> {
        let row = backend(self.backend).unwrap();
        let options =
            StoreOptions { backend: Some(row), data_path: Some(self.data()), ..StoreOptions::default() };
        Blockstore::open(&options, std::sync::Arc::default()).unwrap().close().unwrap();
        let marker = Marker::read(&self.data()).unwrap().unwrap();
        let request = OpenRequest {
            path: self.data().join(row.directory),
            beside: self.data(),
            store_id: marker.store_id,
            ..OpenRequest::default()
        };
        (row.open)(&request).unwrap()
    }

    pub fn mount(&self) -> Mounted {
        self.mount_with(&[])
    }

    pub fn mount_with(&self, more: &[&str]) -> Mounted {
        Mounted::start(self.command(more), self.mnt())
    }
}

/// A mount that a process of its own serves.
pub struct Mounted {
    pub mnt: PathBuf,
    child: Option<Child>,
    log: PathBuf,
    watchdog: Option<mpsc::Sender<()>>,
}

impl Mounted {
    /// Starts the command in the foreground and waits until the mount answers.
    pub fn start(mut command: Command, mnt: PathBuf) -> Self {
        let log = mnt.with_extension(format!("log-{}", unique()));
        let log_file = fs::File::create(&log).unwrap();
        command.stdout(log_file.try_clone().unwrap()).stderr(log_file);
        let mut child = command.spawn().unwrap();
        let begun = Instant::now();
        while !is_mounted(&mnt) || !mnt.join(".ipfs-persist/status.json").exists() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{command:?} ended with {status}: {}", fs::read_to_string(&log).unwrap());
            }
            assert!(begun.elapsed() < PATIENCE, "not mounted: {}", fs::read_to_string(&log).unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
        let watchdog = Some(watch(&mnt, child.id()));
        Self { mnt, child: Some(child), log, watchdog }
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// What the process has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.mnt.join(name)
    }

    /// The listing of the root, sorted.
    pub fn ls(&self) -> Vec<String> {
        let mut listed = names(&self.mnt);
        listed.sort();
        listed
    }

    pub fn stats(&self) -> serde_json::Value {
        serde_json::from_slice(&fs::read(self.path(".ipfs-persist/stats.json")).unwrap()).unwrap()
    }

    pub fn errors(&self) -> String {
        fs::read_to_string(self.path(".ipfs-persist/errors")).unwrap()
    }

    /// Sends a signal by its name to the process.
    pub fn signal(&self, name: &str) {
        let sent = run(Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()));
        assert!(sent.status.success(), "{}", text(&sent));
    }

    /// Waits until the process has ended.
    pub fn wait(mut self) -> ExitStatus {
        let status = wait_for(&mut self.child.take().unwrap());
        drop(self.watchdog.take());
        status
    }

    /// Unmounts as root or owner would, and waits until the process has ended with success.
    pub fn unmount(self) {
        // A test beside this one that is just starting a process holds copies of all files of this
        // program until that process has begun.
        eventually("umount", || {
            let output = if is_root() {
                run(Command::new("umount").arg(&self.mnt))
            } else {
                run(Command::new("fusermount3").arg("-u").arg(&self.mnt))
            };
            assert!(output.status.success() || text(&output).contains("busy"), "{}", text(&output));
            output.status.success()
        });
        let log = self.log.clone();
        let status = self.wait();
        assert!(status.success(), "{status}: {}", fs::read_to_string(log).unwrap());
    }

    /// Kills the process with SIGKILL and detaches nothing: what a crash leaves.
    pub fn crash(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        drop(self.watchdog.take());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(self.watchdog.take());
        let Some(mut child) = self.child.take() else {
            return;
        };
        detach(&self.mnt);
        if std::thread::panicking() {
            eprintln!("log of the mount:\n{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if child.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Mounted {
    /// Where the process writes what it says; the file stays when it has ended.
    pub fn log_path(&self) -> PathBuf {
        self.log.clone()
    }
}

impl Mounted {
    /// The value of a counter.
    pub fn count(&self, name: &str) -> u64 {
        self.stats()["counters"][name].as_u64().unwrap_or_else(|| panic!("no counter {name}"))
    }

    /// The CID that an alias stands for.
    pub fn alias(&self, name: &str) -> std::io::Result<String> {
        let link = self.path(".ipfs-persist/names").join(name);
        fs::read_link(link).map(|target| target.into_os_string().into_string().unwrap())
    }

    /// Nothing was stored and no panic happened: the root lists exactly these blocks.
    pub fn assert_blocks(&self, cids: &[&str]) {
        let mut wanted: Vec<&str> = cids.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        assert_eq!(self.ls(), wanted);
        assert_eq!(self.count("panics"), 0, "{}", self.log());
    }
}
