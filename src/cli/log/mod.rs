//! The log: where it goes, in which form, and how much of it.
//!
//! Invariant: results and errors of commands do not go through the log, so turning it down hides
//! none of them.

mod limit;

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Mutex;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use super::args::{Args, LogFormat};
use crate::{Error, Result};
use limit::RateLimit;

/// What the fields of a line are called in the journal: `journalctl IPFS_PERSIST_CID=...`.
const JOURNAL_PREFIX: &str = "IPFS_PERSIST";

/// Where the journal takes lines (systemd's Journal Native Protocol); the crate has the same path.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// Names the stream to the journal that systemd has opened for a service (systemd.exec(5)).
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

type Output = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging to standard error, or to the journal. A mount in the foreground with `--log-file`
/// logs to that file instead; one in the background has its standard error turned to the file when
/// it is ready.
pub(super) fn start(args: &Args) -> Result<()> {
    let output = match args.log.log_format {
        Some(LogFormat::Journald) => journal()?,
        None if args.mount.log_file.is_none() && stderr_is_the_journal() => {
            journal().or_else(|_| lines(args, LogFormat::Text))?
        }
        format => lines(args, format.unwrap_or(LogFormat::Text))?,
    };
    let level = level(args.log.verbose, args.log.quiet);
    let subscriber = Registry::default().with(output).with(RateLimit::default()).with(level);
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Error::Internal { what: format!("start the log: {error}") })
}

/// Lines for people or for programs.
fn lines(args: &Args, format: LogFormat) -> Result<Output> {
    let background = args.command.is_none() && args.mount.background;
    let (writer, colours) = match &args.mount.log_file {
        Some(path) if !background => (BoxMakeWriter::new(Mutex::new(open(path)?)), false),
        _ => (BoxMakeWriter::new(io::stderr), !background && wants_colours()),
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(colours && format == LogFormat::Text)
        .with_target(args.log.verbose > 1)
        .with_writer(writer)
        // A log that cannot be written is no reason to end: complaining about it on standard error would be.
        .log_internal_errors(false);
    Ok(match format {
        LogFormat::Json => layer.json().flatten_event(true).with_current_span(false).boxed(),
        LogFormat::Text | LogFormat::Journald => layer.boxed(),
    })
}

fn journal() -> Result<Output> {
    let failed = |source| Error::io_at("connect to the journal at", Path::new(JOURNAL_SOCKET), source);
    let layer = tracing_journald::layer().map_err(failed)?;
    let name = env!("CARGO_PKG_NAME").to_owned();
    Ok(layer.with_field_prefix(Some(JOURNAL_PREFIX.to_owned())).with_syslog_identifier(name).boxed())
}

/// Whether what is written to standard error ends in the journal: then it may as well get the fields.
fn stderr_is_the_journal() -> bool {
    let stderr = || -> io::Result<String> {
        let metadata = File::from(io::stderr().as_fd().try_clone_to_owned()?).metadata()?;
        Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
    };
    std::env::var(JOURNAL_STREAM).is_ok_and(|stream| stderr().is_ok_and(|stderr| stderr == stream))
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
