//! The log: where it goes and how much of it.
//!
//! Invariant: results and errors of commands do not go through the log, so turning it down hides
//! none of them.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::args::Args;
use crate::{Error, Result};

/// Starts logging to standard error. A mount in the foreground with `--log-file` logs to that file
/// instead; one in the background has its standard error turned to the file when it is ready.
pub(super) fn start(args: &Args) -> Result<()> {
    let background = args.command.is_none() && args.mount.background;
    let (writer, colours) = match &args.mount.log_file {
        Some(path) if !background => (BoxMakeWriter::new(Mutex::new(open(path)?)), false),
        _ => (BoxMakeWriter::new(io::stderr), !background && wants_colours()),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level(args.log.verbose, args.log.quiet))
        .with_ansi(colours)
        .with_target(args.log.verbose > 1)
        .with_writer(writer)
        // A log that cannot be written is no reason to end: complaining about it on standard error would be.
        .log_internal_errors(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Error::Internal { what: format!("start the log: {error}") })
}

/// Opens a log file to append to, private to the user if it is new.
pub(super) fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| Error::io_at("open", path, source))
}

fn wants_colours() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn level(verbose: u8, quiet: bool) -> LevelFilter {
    match (quiet, verbose) {
        (true, _) => LevelFilter::ERROR,
        (false, 0) => LevelFilter::WARN,
        (false, 1) => LevelFilter::INFO,
        (false, 2) => LevelFilter::DEBUG,
        (false, _) => LevelFilter::TRACE,
    }
}
