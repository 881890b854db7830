//! Where the blocks are: in a data directory, or behind a mount.
//!
//! Invariant: a data directory that a mount of this machine holds is worked on through that mount,
//! never beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{debug, info};

use super::Blocks;
use super::direct::Direct;
use super::mounted::Mounted;
use crate::blockstore::{Blockstore, StoreOptions, backend_of, holder_of};
use crate::jobs::{Progress, go_on};
use crate::sys::Holder;
use crate::{Error, Result};

/// How long to wait for a lock before looking again whether its holder is a mount by now.
const LOCK_SLICE: Duration = Duration::from_millis(200);

/// Where the blocks are.
#[derive(Debug, Clone)]
pub enum Place {
    /// Behind the mount at this directory.
    Mount(PathBuf),
    /// In a data directory. Whether it is opened read-only and may be made is not looked at: the
    /// purpose decides.
    Store(StoreOptions),
}

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To look: nothing is written, where the backend can do that.
    Read,
    /// To change a store that is there.
    Change,
    /// To add blocks: a store that is not there is made.
    Add,
}

/// Opens the store, or finds its mount.
///
/// # Errors
/// Those of [`Blockstore::open`]; [`Error::Usage`] for a backend that has no store outside of a
/// mount; [`Error::NotMounted`] and [`Error::MountDead`].
pub fn open(place: &Place, purpose: Purpose, progress: &mut dyn Progress) -> Result<Box<dyn Blocks>> {
    match place {
        Place::Mount(path) => Ok(Box::new(Mounted::open(path)?)),
        Place::Store(options) => open_store(options.clone(), purpose, progress),
    }
}

fn open_store(
    mut options: StoreOptions,
    purpose: Purpose,
    progress: &mut dyn Progress,
) -> Result<Box<dyn Blocks>> {
    let row = backend_of(&options)?;
    row.require_built_in()?;
    if row.default_path.is_none() {
        return Err(Error::Usage {
            what: format!("the backend {} has no blocks outside of its mount", row.name),
            hint: "say where it is mounted: --mount MOUNTPOINT".to_owned(),
        });
    }
    options.read_only = purpose == Purpose::Read && row.read_only;
    options.existing = purpose != Purpose::Add;
    let deadline = Instant::now() + options.lock_wait;
    loop {
        if let Some(mounted) = mount_of(&options)? {
            return Ok(Box::new(mounted));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        options.lock_wait = left.min(LOCK_SLICE);
        match Blockstore::open(&options, Arc::default()) {
            // Each try has waited; the holder may be a mount that is only just starting.
            Err(Error::Locked { .. } | Error::LockedByProgram { .. }) if !left.is_zero() => {
                go_on(progress, "waiting for the store", 0, 0)?;
            }
            opened => return Ok(Box::new(Direct(opened?))),
        }
    }
}

/// The mount that holds a store, if it is one of this machine that answers.
fn mount_of(options: &StoreOptions) -> Result<Option<Mounted>> {
    let holder = holder_of(options)?.filter(Holder::is_here);
    let Some((holder, path)) =
        holder.and_then(|holder| holder.mount_point.clone().map(|path| (holder, path)))
    else {
        return Ok(None);
    };
    match Mounted::open(Path::new(&path)) {
        Ok(mounted) if mounted.is_of(&holder) => {
            info!(mount_point = path, "the store is mounted: going through its mount");
            Ok(Some(mounted))
        }
        Ok(_) => Ok(None),
        Err(error) => {
            debug!(mount_point = path, %error, "the mount that holds the store cannot be used");
            Ok(None)
        }
    }
}
