//! In a build without RocksDB, what opening one of its backends says.

use super::Flavour;
use crate::datastore::{Datastore, OpenRequest, backend};
use crate::{Error, Result};

/// Says how to get the engine.
pub(super) fn open(_request: &OpenRequest, flavour: Flavour) -> Result<Box<dyn Datastore>> {
    let name = match flavour {
        Flavour::Plain => "pebble",
        Flavour::Blobs => "badger",
    };
    backend(name)?.require_built_in()?;
    Err(Error::Internal { what: "the table of backends says that RocksDB is in this build".into() })
}
