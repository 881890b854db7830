//! An engine that fails when it is told to, and a mount of it in this process.
//!
//! Every mount has a watchdog that aborts its connection, and at its end the engine must have been
//! closed exactly once, last.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use ::bytes::Bytes;
use ipfs_persist_mount::block::{Block, Cid, Key, Meta};
use ipfs_persist_mount::blockstore::{Blockstore, StoreOptions};
use ipfs_persist_mount::datastore::memory::Memory;
use ipfs_persist_mount::datastore::{Datastore, ListedKey, MetaChange, Position, Sync, Usage, backend};
use ipfs_persist_mount::fs::{Filesystem, FsOptions};
use ipfs_persist_mount::metrics::{Count, Metrics};
use ipfs_persist_mount::mount::{self, ServeOptions};
use ipfs_persist_mount::{Error, Result, sys};

use super::common::{abort_connection, cid_of, unique};

/// How long one mount may take before its connection is aborted.
const WATCHDOG: Duration = Duration::from_secs(60);

/// The calls of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Get,
    Stat,
    Put,
    SetMeta,
    Remove,
    List,
    Usage,
    Sync,
    Close,
}

/// What happens instead of the call, or before it.
#[derive(Debug, Clone)]
pub enum Fault {
    Panic,
    /// It fails with this errno.
    Errno(i32),
    /// It fails as engines do that give no errno.
    Engine,
    /// It waits until the fault is taken away, and then goes on.
    Hold,
}

#[derive(Debug, Default)]
struct State {
    /// The call, the key it must be about (any if `None`), and what then happens.
    faults: Vec<(Call, Option<Key>, Fault)>,
    calls: Vec<Call>,
    /// How many calls are held.
    held: usize,
}

/// Faults and calls of one engine, from outside.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
    changed: Condvar,
}

impl Faults {
    /// From now on, these calls (about the block with this CID, if given) meet this fault.
    pub fn set(&self, call: Call, cid: Option<&str>, fault: Fault) {
        let key = cid.map(|cid| Cid::parse(cid).unwrap().key().clone());
        self.state.lock().unwrap().faults.push((call, key, fault));
    }

    /// Takes all faults away and sets another one, with no call in between.
    pub fn replace(&self, call: Call, cid: &str, fault: Fault) {
        let key = Cid::parse(cid).unwrap().key().clone();
        self.state.lock().unwrap().faults = vec![(call, Some(key), fault)];
        self.changed.notify_all();
    }

    /// Takes all faults away.
    pub fn clear(&self) {
        self.state.lock().unwrap().faults.clear();
        self.changed.notify_all();
    }

    /// Waits until a call is held.
    pub fn wait_until_held(&self) {
        let mut state = self.state.lock().unwrap();
        while state.held == 0 {
            let (next, timeout) = self.changed.wait_timeout(state, WATCHDOG).unwrap();
            state = next;
            assert!(!timeout.timed_out(), "no call is held");
        }
    }

    /// How often this has been called.
    pub fn count(&self, call: Call) -> usize {
        self.state.lock().unwrap().calls.iter().filter(|made| **made == call).count()
    }

    /// Notes a call and gives it its fault.
    fn meet(&self, call: Call, keys: &[&Key]) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        assert!(!state.calls.contains(&Call::Close), "{call:?} after close");
        state.calls.push(call);
        let fault_of = |state: &State| {
            let applies = |key: &Option<Key>| key.as_ref().is_none_or(|key| keys.contains(&key));
            let found = state.faults.iter().find(|(of, key, _)| *of == call && applies(key));
            found.map(|(.., fault)| fault.clone())
        };
        match fault_of(&state) {
            None => Ok(()),
            Some(Fault::Errno(errno)) => {
                Err(Error::io(format!("{call:?}"), std::io::Error::from_raw_os_error(errno)))
            }
            Some(Fault::Engine) => {
                Err(Error::EngineFailed { path: "engine".into(), what: format!("{call:?}") })
            }
            Some(Fault::Panic) => {
                drop(state);
                panic!("{call:?} was told to panic");
            }
            Some(Fault::Hold) => {
                state.held += 1;
                self.changed.notify_all();
                while matches!(fault_of(&state), Some(Fault::Hold)) {
                    state = self.changed.wait(state).unwrap();
                }
                state.held -= 1;
                Ok(())
            }
        }
    }
}

/// The engine: memory, with faults in front of it.
struct Faulty {
    inner: Memory,
    faults: Arc<Faults>,
}

impl Datastore for Faulty {
    fn get(&self, key: &Key) -> Result<Option<Bytes>> {
        self.faults.meet(Call::Get, &[key])?;
        self.inner.get(key)
    }

    fn stat(&self, key: &Key) -> Result<Option<Meta>> {
        self.faults.meet(Call::Stat, &[key])?;
        self.inner.stat(key)
    }

    fn put(&self, blocks: &[Block], sync: Sync) -> Result<()> {
        let keys: Vec<&Key> = blocks.iter().map(Block::key).collect();
        self.faults.meet(Call::Put, &keys)?;
        self.inner.put(blocks, sync)
    }

    fn set_meta(&self, key: &Key, change: MetaChange) -> Result<bool> {
        self.faults.meet(Call::SetMeta, &[key])?;
        self.inner.set_meta(key, change)
    }

    fn remove(&self, keys: &[Key], sync: Sync) -> Result<u64> {
        self.faults.meet(Call::Remove, &keys.iter().collect::<Vec<_>>())?;
        self.inner.remove(keys, sync)
    }

    fn position(&self, key: &Key) -> Position {
        self.inner.position(key)
    }

    fn list(&self, after: Option<Position>, limit: usize) -> Result<Vec<ListedKey>> {
        self.faults.meet(Call::List, &[])?;
        self.inner.list(after, limit)
    }

    fn usage(&self) -> Result<Usage> {
        self.faults.meet(Call::Usage, &[])?;
        self.inner.usage()
    }

    fn pending_bytes(&self) -> u64 {
        self.inner.pending_bytes()
    }

    fn file(&self, key: &Key) -> Result<Option<File>> {
        self.inner.file(key)
    }

    fn settle(&self) -> Result<()> {
        self.inner.settle()
    }

    fn sync(&self) -> Result<()> {
        self.faults.meet(Call::Sync, &[])?;
        self.inner.sync()
    }

    fn close(self: Box<Self>) -> Result<()> {
        let Self { inner, faults } = *self;
        let result = faults.meet(Call::Close, &[]);
        Box::new(inner).close()?;
        result
    }
}

/// A mount of a faulty engine, served by threads of this process.
pub struct FaultyMount {
    dir: tempfile::TempDir,
    pub faults: Arc<Faults>,
    metrics: Arc<Metrics>,
    served: Option<JoinHandle<Result<()>>>,
    watchdog: Option<mpsc::Sender<()>>,
}

impl FaultyMount {
    pub fn new() -> Self {
        log();
        let dir = tempfile::Builder::new().prefix("ipm-faults-").tempdir().unwrap();
        let (faults, metrics) = (Arc::<Faults>::default(), Arc::<Metrics>::default());
        let engine = Faulty { inner: Memory::new(1 << 30), faults: Arc::clone(&faults) };
        let row = backend("memory").unwrap();
        let store = StoreOptions { backend: Some(row), ..StoreOptions::default() };
        let store = Blockstore::with_datastore(Box::new(engine), row, &store, Arc::clone(&metrics)).unwrap();
        let (uid, gid) = sys::real_ids();
        let options =
            FsOptions { staging_bytes_max: 64 << 20, uid, mounter_uid: uid, gid, ..FsOptions::default() };
        let filesystem = Filesystem::new(store, options);
        let serve = ServeOptions {
            mount_point: dir.path().canonicalize().unwrap(),
            source: format!("faulty-{}", unique()),
            read_only: false,
            allow_other: false,
            allow_non_empty: false,
            flags: Vec::new(),
            stop_timeout: Duration::from_secs(10),
        };
        let (ready, is_ready) = mpsc::channel();
        let serving = move || {
            mount::serve(filesystem, &serve, || {
                ready.send(()).unwrap();
                Ok(())
            })
        };
        let served = std::thread::spawn(serving);
        is_ready.recv_timeout(WATCHDOG).expect("the mount becomes ready");
        let watchdog = Some(watch(dir.path()));
        Self { dir, faults, metrics, served: Some(served), watchdog }
    }

    pub fn mnt(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, content: &[u8]) -> PathBuf {
        self.mnt().join(cid_of(content))
    }

    pub fn count(&self, count: Count) -> u64 {
        self.metrics.get(count)
    }

    /// Unmounts, and gives what serving came to. The engine must have been closed once, last.
    pub fn finish(mut self) -> Result<()> {
        mount::detach(self.mnt(), false).unwrap();
        self.served()
    }

    /// As [`FaultyMount::finish`], where files may be open: `then` lets them go.
    pub fn finish_lazily(mut self, then: impl FnOnce(&Faults)) -> Result<()> {
        mount::detach(self.mnt(), true).unwrap();
        then(&self.faults);
        self.served()
    }

    fn served(&mut self) -> Result<()> {
        let result = self.served.take().unwrap().join().expect("serving does not panic");
        drop(self.watchdog.take());
        let state = self.faults.state.lock().unwrap();
        assert_eq!(state.calls.iter().filter(|call| **call == Call::Close).count(), 1);
        assert_eq!(state.calls.last(), Some(&Call::Close));
        result
    }
}

impl Drop for FaultyMount {
    fn drop(&mut self) {
        if self.served.is_some() {
            // A test has failed: let everything go.
            if let Ok(mut state) = self.faults.state.lock() {
                state.faults.clear();
            }
            self.faults.changed.notify_all();
            let _ = mount::detach(self.mnt(), true);
        }
    }
}

fn watch(mnt: &Path) -> mpsc::Sender<()> {
    let (sender, receiver) = mpsc::channel::<()>();
    let minor = sys::find(mnt).unwrap().unwrap().device.1;
    std::thread::spawn(move || {
        if receiver.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("WATCHDOG: a mount hangs; aborting its connection");
            abort_connection(minor);
        }
    });
    sender
}

#[derive(Clone)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn log() -> &'static Log {
    static LOG: std::sync::OnceLock<Log> = std::sync::OnceLock::new();
    LOG.get_or_init(|| {
        let log = Log(Arc::default());
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    })
}

/// What all mounts of this process have logged.
pub fn logged() -> String {
    String::from_utf8(log().0.lock().unwrap().clone()).unwrap()
}
