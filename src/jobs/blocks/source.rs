//! The files that blocks are made of.
//!
//! Invariant: no more is read than a block may have, and waiting for a pipe ends when the job is to
//! end.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use crate::jobs::{Progress, go_on};
use crate::{Error, Result};

/// How much of a pipe is read at once.
const READ_BYTES: usize = 64 << 10;
/// How many such pieces may wait.
const PIECES_MAX: usize = 4;
/// How long to wait for a pipe before looking whether the job is to end.
const PATIENCE: Duration = Duration::from_millis(50);

/// Where the bytes of a block come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Standard input, to its end.
    Stdin,
    /// A file, or a pipe with a name.
    File(PathBuf),
}

impl Source {
    /// All bytes.
    ///
    /// # Errors
    /// [`Error::TooBig`] for more than `limit_bytes`, [`Error::Stopped`], and what the system says.
    pub fn read(&self, limit_bytes: u64, progress: &mut dyn Progress) -> Result<Vec<u8>> {
        let bytes = match self {
            Source::Stdin => read_pipe(|| Ok(Box::new(io::stdin())), limit_bytes, progress)?,
            Source::File(path) => {
                let found = fs::metadata(path).map_err(|source| Error::io("open", source))?;
                if found.is_dir() {
                    return Err(Error::io("read", io::Error::from_raw_os_error(crate::sys::errno::EISDIR)));
                }
                if found.is_file() {
                    read_file(path, limit_bytes)?
                } else {
                    let path = path.clone();
                    read_pipe(move || Ok(Box::new(File::open(path)?)), limit_bytes, progress)?
                }
            }
        };
        if bytes.len() as u64 > limit_bytes {
            return Err(Error::TooBig { limit_bytes });
        }
        Ok(bytes)
    }
}

/// At most one byte more than the limit.
fn read_file(path: &Path, limit_bytes: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(|source| Error::io("open", source))?;
    let mut bytes = Vec::new();
    file.take(limit_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| Error::io("read", source))?;
    Ok(bytes)
}

type Open = dyn FnOnce() -> io::Result<Box<dyn Read>> + Send;

/// Reads on a thread of its own, which is left behind if the job is to end before the pipe does.
fn read_pipe(
    open: impl FnOnce() -> io::Result<Box<dyn Read>> + Send + 'static,
    limit_bytes: u64,
    progress: &mut dyn Progress,
) -> Result<Vec<u8>> {
    let (sender, pieces) = mpsc::sync_channel(PIECES_MAX);
    let open: Box<Open> = Box::new(open);
    thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || send_pieces(open, &sender))
        .map_err(|source| Error::io("start reading", source))?;
    let mut bytes = Vec::new();
    while bytes.len() as u64 <= limit_bytes {
        go_on(progress, "reading", 0, 0)?;
        match pieces.recv_timeout(PATIENCE) {
            Ok(piece) => bytes.extend(piece.map_err(|source| Error::io("read", source))?),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    // What ended the pipe may be what ends the job.
    go_on(progress, "reading", 0, 0)?;
    Ok(bytes)
}

/// The end of the input, and that nobody takes it any more, end the thread.
fn send_pieces(open: Box<Open>, sender: &SyncSender<io::Result<Vec<u8>>>) {
    let mut input = match open() {
        Ok(input) => input,
        Err(error) => {
            let _ = sender.send(Err(error));
            return;
        }
    };
    loop {
        let mut piece = vec![0; READ_BYTES];
        let read = match input.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) => return,
            read => read,
        };
        let failed = read.is_err();
        let sent = sender.send(read.map(|count| {
            piece.truncate(count);
            piece
        }));
        if failed || sent.is_err() {
            return;
        }
    }
}
