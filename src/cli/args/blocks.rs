//! The flags of `put`, `get`, `ls`, `rm` and `stat`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;

use super::{CidPartArgs, names_of_cid_parts};
use crate::cli::values;

const WHERE_HELP: &str = "\
A data directory that is mounted on this machine is worked on through its mount, by itself. One that
is not mounted is locked meanwhile, as a mount would.";

const AFTER_GET_HELP: &str = "\
A block is written only after all of it was checked against its CID. Files appear whole or not at
all; one that is there is replaced. Several blocks on standard output follow each other.

Exit codes: 1 no such block, 4 the stored block is damaged; of several, that of the first failure.";

/// Which store.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct WhereArgs {
    /// The mount point of the store. --backend and --data-path are not looked at then
    #[arg(long, value_name = "MOUNTPOINT", env = "IPFS_PERSIST_MOUNT_MOUNT")]
    pub(in crate::cli) mount: Option<PathBuf>,
    /// The storage engine. Without it, the one the data directory was made with, or `file`
    #[arg(long, value_name = "B", env = "BACKEND")]
    pub(in crate::cli) backend: Option<String>,
    /// The data directory, mounted or not [default: ./data/BACKEND]
    #[arg(long, value_name = "D", env = "DATA_PATH")]
    pub(in crate::cli) data_path: Option<PathBuf>,
    /// How long to wait for another process to let go of the store
    #[arg(long, value_name = "S", env = "IPFS_PERSIST_MOUNT_LOCK_WAIT", value_parser = values::seconds, default_value = "10")]
    pub(in crate::cli) lock_wait: Duration,
    /// Print a JSON object in each line, one for each file, block or failure
    #[arg(long, env = "IPFS_PERSIST_MOUNT_JSON", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) json: bool,
}

/// The flags of `put`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true, after_help = format!("{WHERE_HELP}\n\n{}", names_of_cid_parts()))]
pub(in crate::cli) struct PutArgs {
    /// The files, each of which becomes one block; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(in crate::cli) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) place: WhereArgs,
    /// The CID that the file, a single one, must have; other bytes are refused
    #[arg(long = "as", value_name = "CID", env = "IPFS_PERSIST_MOUNT_AS")]
    pub(in crate::cli) cid: Option<OsString>,
    #[command(flatten)]
    pub(in crate::cli) parts: CidPartArgs,
    /// Largest block; a mount has a limit of its own beside it
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_MAX_BLOCK_SIZE", value_parser = values::some_size, default_value = "2MiB")]
    pub(in crate::cli) max_block_size: u64,
    /// Free space that new blocks must leave; a mount has its own instead
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_MIN_FREE_SPACE", value_parser = values::size, default_value = "100MiB")]
    pub(in crate::cli) min_free_space: u64,
}

/// The flags of `get`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true, after_help = format!("{AFTER_GET_HELP}\n\n{WHERE_HELP}"))]
pub(in crate::cli) struct GetArgs {
    /// The CIDs of the blocks, in any spelling
    #[arg(required = true, value_name = "CID")]
    pub(in crate::cli) cids: Vec<OsString>,
    #[command(flatten)]
    pub(in crate::cli) place: WhereArgs,
    /// Write the block, a single one, to this file; - is standard output
    #[arg(short, long, value_name = "FILE", env = "IPFS_PERSIST_MOUNT_OUTPUT")]
    pub(in crate::cli) output: Option<PathBuf>,
    /// Write each block to a file in this directory that is named by the CID as it was given
    #[arg(long, value_name = "DIR", env = "IPFS_PERSIST_MOUNT_OUTPUT_DIR")]
    pub(in crate::cli) output_dir: Option<PathBuf>,
}

/// The flags of `ls`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true, after_help = WHERE_HELP)]
pub(in crate::cli) struct LsArgs {
    #[command(flatten)]
    pub(in crate::cli) place: WhereArgs,
    /// Show size in bytes and time (UTC) too
    #[arg(short, long, env = "IPFS_PERSIST_MOUNT_LONG", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) long: bool,
}

/// The flags of `rm`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true, after_help = WHERE_HELP)]
pub(in crate::cli) struct RmArgs {
    /// The CIDs of the blocks, in any spelling
    #[arg(required = true, value_name = "CID")]
    pub(in crate::cli) cids: Vec<OsString>,
    #[command(flatten)]
    pub(in crate::cli) place: WhereArgs,
    /// Pass over blocks that are not there
    #[arg(short, long, env = "IPFS_PERSIST_MOUNT_FORCE", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) force: bool,
}

/// The flags of `stat`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true, after_help = WHERE_HELP)]
pub(in crate::cli) struct StatArgs {
    /// The CIDs of the blocks, in any spelling; none for the store itself
    #[arg(value_name = "CID")]
    pub(in crate::cli) cids: Vec<OsString>,
    #[command(flatten)]
    pub(in crate::cli) place: WhereArgs,
}
