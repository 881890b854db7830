//! Files in `.temp/` on their way to a name.
//!
//! Invariant: a file that gets no name is removed again.

use std::fs::{File, FileTimes};
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::disk::Disk;
use super::layout::TEMP_DIR;
use super::place::Place;
use crate::sys::files::Dir;

/// Mode of a block's file.
const FILE_MODE: u32 = 0o600;

/// Numbers the files of this process.
#[derive(Debug, Default)]
pub(super) struct TempNames(AtomicU64);

impl TempNames {
    fn next(&self) -> String {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        format!("{TEMP_DIR}/put-{}-{number}", std::process::id())
    }
}

/// A block's bytes and time in a file without a name of its own yet.
#[derive(Debug)]
pub(super) struct TempFile<'a> {
    root: &'a Dir,
    name: String,
    file: File,
    named: bool,
}

impl<'a> TempFile<'a> {
    /// Writes bytes.
    pub(super) fn write(
        root: &'a Dir,
        names: &TempNames,
        bytes: &[u8],
        mtime: SystemTime,
    ) -> io::Result<Self> {
        let name = names.next();
        let file = root.create_new(&name, FILE_MODE)?;
        let mut temp = Self { root, name, file, named: false };
        temp.file.write_all(bytes)?;
        temp.file.set_times(FileTimes::new().set_modified(mtime))?;
        Ok(temp)
    }

    /// The open file.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, replacing what has it.
    pub(super) fn rename(&mut self, disk: &dyn Disk, place: &Place) -> io::Result<()> {
        disk.rename(self.root, &self.name, place.path())?;
        self.named = true;
        Ok(())
    }
}

impl Drop for TempFile<'_> {
    fn drop(&mut self) {
        if !self.named {
            let _wiped_at_the_next_open = self.root.unlink(&self.name);
        }
    }
}
