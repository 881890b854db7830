//! What was typed, as what it means: the options of the layers below.
//!
//! Invariant: every path in here is absolute, since a daemon leaves the directory it was started
//! in.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::args::{
    CidPartArgs, DemoArgs, DurabilityMode, MountArgs, PutArgs, StoreArgs, VerifyWhen, WhereArgs,
};
use super::mount_options;
use crate::block::{Cid, CidOptions};
use crate::blockstore::{Durability, StoreInfo, StoreOptions, VerifyReads};
use crate::datastore::{self, BACKEND_DEFAULT, BACKENDS, Backend};
use crate::fs::FsOptions;
use crate::jobs::blocks::{Place, put};
use crate::jobs::demo;
use crate::mount::ServeOptions;
use crate::sys;
use crate::{Error, Result};

/// The umask of every command that opens a store: files are private to the user.
pub(super) const UMASK: u32 = 0o077;

/// Everything that mounting needs to know.
#[derive(Debug)]
pub(super) struct MountConfig {
    pub(super) store: StoreOptions,
    pub(super) fs: FsOptions,
    pub(super) serve: ServeOptions,
    pub(super) background: bool,
    pub(super) log_file: Option<PathBuf>,
    /// Check everything and do not mount.
    pub(super) fake: bool,
    /// A data directory that was given, and means nothing to the backend.
    pub(super) unused_data_path: Option<PathBuf>,
}

impl MountConfig {
    /// The meaning of a mount's flags. The mount point is not looked at yet, and the source is known
    /// only when the store has been opened.
    pub(super) fn new(args: MountArgs) -> Result<Self> {
        let cid = &args.cid;
        let cid_options = CidOptions::from_names(
            cid.cid_version.as_deref(),
            cid.cid_codec.as_deref(),
            cid.cid_hash.as_deref(),
        )?;
        let backend = args.backend.as_deref().map(datastore::backend).transpose()?;
        let given = args.data_path.as_deref().map(absolute).transpose()?;
        let (data_path, unused_data_path) = match default_path(backend)? {
            Some(default) => (Some(given.map_or_else(|| absolute(Path::new(default)), Ok)?), None),
            None => (None, given),
        };
        let mount_point = args.places.last().cloned().unwrap_or_default();
        let (uid, gid) = sys::real_ids();
        let fs = FsOptions {
            block_bytes_max: args.max_block_size,
            staging_bytes_max: args.max_staging,
            leftover_age_max: args.staging_timeout,
            cid_options,
            strict: args.strict,
            no_delete: args.no_delete,
            xattr: args.xattr,
            read_only: args.read_only,
            uid: args.owner.uid.unwrap_or(uid),
            mounter_uid: uid,
            gid: args.owner.gid.unwrap_or(gid),
            umask: args.owner.umask,
        };
        let serve = ServeOptions {
            source: String::new(),
            mount_point,
            read_only: args.read_only,
            allow_other: args.allow_other,
            allow_non_empty: args.allow_non_empty,
            flags: mount_options::kernel_flags(&args.options),
            stop_timeout: args.stop_timeout,
        };
        let store = StoreOptions {
            backend,
            data_path,
            read_only: args.read_only,
            verify_reads: verify_reads(args.verify_reads),
            durability: durability(args.durability),
            ..args.store.options()
        };
        Ok(Self {
            store,
            fs,
            serve,
            background: args.background,
            log_file: args.log_file.as_deref().map(absolute).transpose()?,
            fake: args.helper.fake,
            unused_data_path,
        })
    }
}

/// What the demo is to try.
#[derive(Debug)]
pub(super) struct DemoConfig {
    pub(super) data: demo::DataSet,
    /// One demo for each backend, in this order.
    pub(super) requests: Vec<demo::Request>,
    /// Backends that would be tried if they were in this build.
    pub(super) missing: Vec<&'static Backend>,
    /// A data directory that was given, and means nothing to the backend.
    pub(super) unused_data_path: Option<PathBuf>,
}

impl DemoConfig {
    /// The meaning of the flags of `demo`.
    pub(super) fn new(args: &DemoArgs) -> Result<Self> {
        let data = demo::DataSet::new(args.blocks, args.size)?;
        let backend = args.backend.as_deref().map(datastore::backend).transpose()?;
        let given = args.data_path.as_deref().map(absolute).transpose()?;
        let place = match &given {
            Some(path) => demo::Place::Given(path.clone()),
            None => demo::Place::TemporaryIn(std::env::temp_dir()),
        };
        let (mut backends, mut missing) = (vec![backend], Vec::new());
        if backend.is_none() && given.is_none() {
            let (built, other): (Vec<_>, Vec<_>) = BACKENDS.iter().partition(|row| row.built_in);
            backends = built.into_iter().map(Some).collect();
            missing = other;
        }
        let request = |backend| demo::Request {
            store: StoreOptions { backend, ..args.store.options() },
            place: place.clone(),
            data,
        };
        let has_no_files = backend.is_some_and(|row| row.default_path.is_none());
        Ok(Self {
            data,
            requests: backends.into_iter().map(request).collect(),
            missing,
            unused_data_path: given.filter(|_| has_no_files),
        })
    }
}

impl StoreArgs {
    /// How a store is opened with these limits, whichever it is.
    fn options(&self) -> StoreOptions {
        StoreOptions {
            min_free_space_bytes: self.min_free_space,
            memory_limit_bytes: self.memory_limit,
            lock_wait: self.lock_wait,
            ..StoreOptions::default()
        }
    }
}

impl CidPartArgs {
    /// The CID that the files get.
    pub(super) fn cid_options(&self) -> Result<CidOptions> {
        CidOptions::from_names(self.cid_version.as_deref(), self.codec.as_deref(), self.hash.as_deref())
    }
}

/// Where the blocks are that a command works on.
pub(super) fn place(args: &WhereArgs) -> Result<Place> {
    if let Some(mount) = &args.mount {
        return Ok(Place::Mount(absolute(mount)?));
    }
    let backend = args.backend.as_deref().map(datastore::backend).transpose()?;
    let data_path = match (&args.data_path, default_path(backend)?) {
        (Some(given), _) => Some(absolute(given)?),
        (None, default) => default.map(|path| absolute(Path::new(path))).transpose()?,
    };
    Ok(Place::Store(StoreOptions {
        backend,
        data_path,
        lock_wait: args.lock_wait,
        ..StoreOptions::default()
    }))
}

/// What `put` is to store.
pub(super) fn put_request(args: &PutArgs) -> Result<put::Request> {
    let cid_options = args.parts.cid_options()?;
    if args.cid.is_some() && args.files.len() > 1 {
        return Err(Error::Usage {
            what: "--as takes a single file".to_owned(),
            hint: "store the others without it, or one by one".to_owned(),
        });
    }
    let mut place = place(&args.place)?;
    if let Place::Store(options) = &mut place {
        options.min_free_space_bytes = args.min_free_space;
    }
    let cid = args.cid.as_deref().map(cid).transpose()?;
    Ok(put::Request { place, cid_options, cid, block_bytes_max: args.max_block_size })
}

/// The CID that was typed, in any spelling.
pub(super) fn cid(text: &OsStr) -> Result<Cid> {
    match text.to_str() {
        Some(text) => Cid::parse(text),
        None => Err(Error::NameInvalid {
            name: text.to_string_lossy().into_owned(),
            why: "it is not even text".to_owned(),
        }),
    }
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|source| Error::io_at("resolve", path, source))
}

/// The data directory where none is given; `None` for a backend that has none.
fn default_path(backend: Option<&Backend>) -> Result<Option<&'static str>> {
    let row = match backend {
        Some(row) => row,
        None => datastore::backend(BACKEND_DEFAULT)?,
    };
    Ok(row.default_path)
}

/// What the mount table shows as the source of a mount: `file:/srv/blocks`, or `memory`.
pub(super) fn source(store: &StoreInfo) -> String {
    match &store.data_path {
        Some(path) => format!("{}:{}", store.backend.name, path.display()),
        None => store.backend.name.to_owned(),
    }
}

fn durability(mode: DurabilityMode) -> Durability {
    match mode {
        DurabilityMode::Close => Durability::Close,
        DurabilityMode::Relaxed => Durability::Relaxed,
    }
}

fn verify_reads(when: VerifyWhen) -> VerifyReads {
    match when {
        VerifyWhen::First => VerifyReads::First,
        VerifyWhen::Always => VerifyReads::Always,
        VerifyWhen::Never => VerifyReads::Never,
    }
}
