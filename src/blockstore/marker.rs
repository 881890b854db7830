//! The marker file that makes a directory one of ours: `ipfs-persist.json`.
//!
//! Invariant: a directory whose marker says `complete` has held an opened engine; without that
//! word an interrupted creation may be taken up again.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::sys::write_file;
use crate::{Error, Result};

/// The newest format of a data directory that this program knows.
pub const FORMAT_VERSION: u32 = 1;

/// The name of the marker in a data directory.
pub const MARKER_NAME: &str = "ipfs-persist.json";

/// A marker has a few hundred bytes.
const MARKER_BYTES_MAX: u64 = 64 << 10;

/// What the marker says, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Format of the data directory.
    pub format_version: u32,
    /// Name of the backend that made it.
    pub backend: String,
    /// A random identifier of this store.
    pub store_id: String,
    /// When it was made, in seconds since 1970.
    pub created_unix_secs: u64,
    /// Whether the engine has been opened once.
    pub complete: bool,
    /// Whether the engine's files are another program's store, which lies beside this directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_place: bool,
}

impl Marker {
    /// A marker for a store that is being made now.
    pub fn new(backend: &str) -> Result<Self> {
        let id_path = Path::new("/proc/sys/kernel/random/uuid");
        let store_id = std::fs::read_to_string(id_path).map_err(|e| Error::io_at("read", id_path, e))?;
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self {
            format_version: FORMAT_VERSION,
            backend: backend.to_owned(),
            store_id: store_id.trim().to_owned(),
            created_unix_secs: created.as_secs(),
            complete: false,
            in_place: false,
        })
    }

    /// Reads the marker of a data directory; `None` if it has none.
    pub fn read(data_path: &Path) -> Result<Option<Self>> {
        /// What every format has in common.
        #[derive(Deserialize)]
        struct Versioned {
            format_version: u32,
        }
        let path = data_path.join(MARKER_NAME);
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() && found.len() <= MARKER_BYTES_MAX => {}
            Ok(_) => {
                let what = format!("{MARKER_NAME} is not the small regular file that it was made as");
                return Err(Error::StoreDamaged { path: data_path.to_owned(), what });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io_at("read", &path, error)),
        }
        let text = std::fs::read(&path).map_err(|error| Error::io_at("read", &path, error))?;
        let damaged = |why: serde_json::Error| Error::StoreDamaged {
            path: data_path.to_owned(),
            what: format!("{MARKER_NAME} cannot be read: {why}"),
        };
        let versioned: Versioned = serde_json::from_slice(&text).map_err(damaged)?;
        if versioned.format_version > FORMAT_VERSION {
            return Err(Error::FormatNewer {
                path: data_path.to_owned(),
                found: versioned.format_version,
                known: FORMAT_VERSION,
            });
        }
        serde_json::from_slice(&text).map(Some).map_err(damaged)
    }

    /// Writes the marker durably.
    pub fn write(&self, data_path: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::Internal { what: format!("the marker cannot be encoded: {error}") })?;
        text.push(b'\n');
        write_file(&data_path.join(MARKER_NAME), &text, 0o600)
    }
}
