//! What was typed: the flags of every command.
//!
//! Invariant: every flag has a name in the environment, made of its own; no value is looked at
//! here beyond its spelling.

mod blocks;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Parser, Subcommand, ValueEnum};

use crate::block;
use crate::cli::values;
pub(in crate::cli) use blocks::{GetArgs, LsArgs, PutArgs, RmArgs, StatArgs, WhereArgs};

const ABOUT: &str = "Mount a persistent IPFS blockstore as a directory: files are blocks, named by CID";
const USAGE: &str = "ipfs-persist-mount [OPTIONS] MOUNTPOINT
       ipfs-persist-mount COMMAND ...";
const AFTER_HELP: &str = "\
A mount point that is named like a command is written with a slash, for example ./cid.
Sizes are bytes, or have a unit: 2MiB, 512KiB, 100MB. Times are seconds.
Every flag can be set in the environment, under the name shown with it.
Called with two places (SOURCE MOUNTPOINT -o ...) it is a mount helper for fstab: SOURCE is
BACKEND:PATH or a path, and it goes to the background.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 store in use, 4 store damaged or of another
format, 5 mount failed, 6 no space, 8 not mounted, busy or dead.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "ipfs-persist-mount", version, about = ABOUT, override_usage = USAGE, after_help = AFTER_HELP)]
#[command(subcommand_negates_reqs = true, args_override_self = true)]
#[command(subcommand_value_name = "COMMAND", disable_help_subcommand = true)]
pub(in crate::cli) struct Args {
    #[command(subcommand)]
    pub(in crate::cli) command: Option<Command>,
    #[command(flatten)]
    pub(in crate::cli) mount: MountArgs,
    #[command(flatten)]
    pub(in crate::cli) log: LogArgs,
}

/// The commands besides mounting.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// Unmount, and wait until the store is closed
    Unmount(UnmountArgs),
    /// Try the storage backends: store blocks, read them back, close, open again, and measure
    Demo(DemoArgs),
    /// List the storage backends
    Backends(BackendsArgs),
    /// Print the CID of each file, as a mount would store it in one block
    Cid(CidArgs),
    /// Store files, each as one block, and print their CIDs
    Put(PutArgs),
    /// Write blocks to standard output or into files, checked
    Get(GetArgs),
    /// List the blocks of the store
    Ls(LsArgs),
    /// Remove blocks from the store
    Rm(RmArgs),
    /// Show what is known of blocks, or of the store
    Stat(StatArgs),
}

/// How much is logged.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct LogArgs {
    /// Log more: once for what happens, twice for how
    #[arg(short, long, global = true, action = ArgAction::Count, env = "IPFS_PERSIST_MOUNT_VERBOSE")]
    pub(in crate::cli) verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true, env = "IPFS_PERSIST_MOUNT_QUIET", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) quiet: bool,
    /// How to log: lines for people, or for programs, or to the journal of systemd [default: to the
    /// journal in a service of systemd, otherwise text]
    #[arg(long, global = true, value_name = "FORMAT", env = "IPFS_PERSIST_MOUNT_LOG_FORMAT", value_enum)]
    pub(in crate::cli) log_format: Option<LogFormat>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LogFormat {
    /// A line for people
    Text,
    /// A JSON object in each line
    Json,
    /// To the journal of systemd with each value in a field
    Journald,
}

impl LogArgs {
    pub(in crate::cli) fn is_quiet(&self) -> bool {
        self.quiet
    }
}

/// The flags of mounting.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct MountArgs {
    /// The directory to mount on; as a mount helper, SOURCE and that directory
    #[arg(required = true, num_args = 1..=2, value_name = "MOUNTPOINT")]
    pub(in crate::cli) places: Vec<PathBuf>,

    /// The storage engine; `ipfs-persist-mount backends` lists them. Without it, the one the data
    /// directory was made with, or `file`
    #[arg(long, value_name = "B", env = "BACKEND")]
    pub(in crate::cli) backend: Option<String>,
    /// The data directory [default: ./data/BACKEND]
    #[arg(long, value_name = "D", env = "DATA_PATH")]
    pub(in crate::cli) data_path: Option<PathBuf>,
    /// Return when the mount is ready, and serve it in the background
    #[arg(long, env = "IPFS_PERSIST_MOUNT_BACKGROUND", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) background: bool,
    /// Refuse every change
    #[arg(long, env = "IPFS_PERSIST_MOUNT_READ_ONLY", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) read_only: bool,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// Largest block that may be written
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_MAX_BLOCK_SIZE", value_parser = values::some_size, default_value = "2MiB")]
    pub(in crate::cli) max_block_size: u64,
    /// Most bytes that all unfinished writes together may hold in memory
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_MAX_STAGING", value_parser = values::size, default_value = "256MiB")]
    pub(in crate::cli) max_staging: u64,
    /// How long a temporary file that was closed may wait to be renamed
    #[arg(long, value_name = "S", env = "IPFS_PERSIST_MOUNT_STAGING_TIMEOUT", value_parser = values::some_seconds, default_value = "3600")]
    pub(in crate::cli) staging_timeout: Duration,
    /// Let other users read
    #[arg(long, env = "IPFS_PERSIST_MOUNT_ALLOW_OTHER", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) allow_other: bool,
    #[command(flatten)]
    pub(in crate::cli) owner: OwnerArgs,
    /// Show the CID of every block and alias as the extended attribute ipfs.cid
    #[arg(long, env = "IPFS_PERSIST_MOUNT_XATTR", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) xattr: bool,
    /// Mount over a directory that is not empty
    #[arg(long, env = "IPFS_PERSIST_MOUNT_ALLOW_NON_EMPTY", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) allow_non_empty: bool,
    /// When to check bytes against their CID on reading
    #[arg(long, value_name = "WHEN", env = "IPFS_PERSIST_MOUNT_VERIFY_READS", value_enum, default_value_t = VerifyWhen::First)]
    pub(in crate::cli) verify_reads: VerifyWhen,
    /// What a close promises of a block: that it survives a power cut, or that it survives the end of
    /// this process and within a second a power cut, which is faster
    #[arg(long, value_name = "MODE", env = "IPFS_PERSIST_MOUNT_DURABILITY", value_enum, default_value_t = DurabilityMode::Close)]
    pub(in crate::cli) durability: DurabilityMode,
    /// Refuse to write to names that are not CIDs
    #[arg(long, env = "IPFS_PERSIST_MOUNT_STRICT", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) strict: bool,
    /// Refuse to delete blocks
    #[arg(long, env = "IPFS_PERSIST_MOUNT_NO_DELETE", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) no_delete: bool,
    /// How long to serve files that are still open after SIGTERM or SIGINT
    #[arg(long, value_name = "S", env = "IPFS_PERSIST_MOUNT_STOP_TIMEOUT", value_parser = values::seconds, default_value = "10")]
    pub(in crate::cli) stop_timeout: Duration,
    #[command(flatten)]
    pub(in crate::cli) cid: MountCidArgs,
    /// Options as in fstab, separated by commas: ro, noexec, noatime, and every flag by its name,
    /// such as min_free_space=1GiB
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub(in crate::cli) options: Vec<OsString>,
    /// Append the log to this file: from the start in the foreground, once ready in the background
    #[arg(long, value_name = "F", env = "IPFS_PERSIST_MOUNT_LOG_FILE")]
    pub(in crate::cli) log_file: Option<PathBuf>,

    #[command(flatten)]
    pub(in crate::cli) helper: HelperArgs,
}

/// To whom the files belong.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct OwnerArgs {
    /// The user, by number, to whom the files belong and who may change them [default: who mounts]
    #[arg(long, value_name = "N", env = "IPFS_PERSIST_MOUNT_UID", value_parser = values::id())]
    pub(in crate::cli) uid: Option<u32>,
    /// The group, by number, to which the files belong [default: that of who mounts]
    #[arg(long, value_name = "N", env = "IPFS_PERSIST_MOUNT_GID", value_parser = values::id())]
    pub(in crate::cli) gid: Option<u32>,
    /// Permissions, in octal, that no file has: 007 keeps all but owner and group from reading
    #[arg(long, value_name = "MASK", env = "IPFS_PERSIST_MOUNT_UMASK", value_parser = values::umask, default_value = "0")]
    pub(in crate::cli) umask: u16,
}

/// Limits of a store, for every command that opens one.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct StoreArgs {
    /// Free space that new blocks must leave
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_MIN_FREE_SPACE", value_parser = values::size, default_value = "100MiB")]
    pub(in crate::cli) min_free_space: u64,
    /// Most bytes of blocks that the memory backend holds
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_MEMORY_LIMIT", value_parser = values::size, default_value = "1GiB")]
    pub(in crate::cli) memory_limit: u64,
    /// How long to wait for another process to let go of the store
    #[arg(long, value_name = "S", env = "IPFS_PERSIST_MOUNT_LOCK_WAIT", value_parser = values::seconds, default_value = "10")]
    pub(in crate::cli) lock_wait: Duration,
}

/// What mount(8) passes to its helpers.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct HelperArgs {
    /// Ignore options that are not known
    #[arg(short = 's', hide = true)]
    pub(in crate::cli) sloppy: bool,
    /// Check everything and do not mount
    #[arg(short = 'f', hide = true)]
    pub(in crate::cli) fake: bool,
    #[arg(short = 'n', hide = true)]
    no_mtab: bool,
    #[arg(short = 't', hide = true)]
    fs_type: Option<String>,
    #[arg(short = 'N', hide = true)]
    namespace: Option<String>,
}

/// The CID that files get which are written under other names.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct MountCidArgs {
    /// CID version, 0 or 1, for files written under names that are not CIDs [default: 1]
    #[arg(long, value_name = "V", env = "IPFS_PERSIST_MOUNT_CID_VERSION")]
    pub(in crate::cli) cid_version: Option<String>,
    /// Their codec, by name or number [default: raw]
    #[arg(long, value_name = "C", env = "IPFS_PERSIST_MOUNT_CID_CODEC")]
    pub(in crate::cli) cid_codec: Option<String>,
    /// Their hash function [default: sha2-256]
    #[arg(long, value_name = "H", env = "IPFS_PERSIST_MOUNT_CID_HASH")]
    pub(in crate::cli) cid_hash: Option<String>,
}

/// When to check bytes on reading, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum VerifyWhen {
    /// Before the first open of a mount
    First,
    /// At every open
    Always,
    /// Not at all
    Never,
}

/// What a close promises, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum DurabilityMode {
    /// A block survives a power cut when its close has returned
    Close,
    /// A power cut may cost what was closed in the last second; fsync is durable as ever
    Relaxed,
}

/// The flags of `unmount`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(in crate::cli) struct UnmountArgs {
    /// The directories to unmount
    #[arg(required = true, value_name = "MOUNTPOINT")]
    pub(in crate::cli) mount_points: Vec<PathBuf>,
    /// Detach at once, and leave open files to their users
    #[arg(short = 'l', long, env = "IPFS_PERSIST_MOUNT_LAZY", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) lazy: bool,
    /// How long to wait for open files to be closed, and then for the store to be. Without it,
    /// open files are refused at once, and the store is given 60 seconds
    #[arg(long, value_name = "S", env = "IPFS_PERSIST_MOUNT_TIMEOUT", value_parser = values::seconds)]
    pub(in crate::cli) timeout: Option<Duration>,

    // What umount(8) passes to its helpers.
    #[arg(short = 'f', hide = true)]
    force: bool,
    #[arg(short = 'n', hide = true)]
    no_mtab: bool,
    #[arg(short = 'r', hide = true)]
    remount: bool,
    #[arg(short = 't', hide = true)]
    fs_type: Option<String>,
}

const AFTER_DEMO_HELP: &str = "\
Without --backend and --data-path every backend of this build is tried, each in a new directory
in TMPDIR (/tmp if that is not set), which is removed afterwards.

With --data-path the store there is used, or made. The blocks that it holds stay as they are: the
demo adds its own, which are the same at every run, and removes those that were not there before.
A demo that is killed with SIGKILL leaves what it has added.

Half of the blocks are text as in JSON files, half are random bytes, and no two are the same. Put
times are those of 4 writers at once, each of which waits until its block is durable; get times
are those of one reader and include the check of the hash.";

/// The flags of `demo`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true, after_help = AFTER_DEMO_HELP)]
pub(in crate::cli) struct DemoArgs {
    /// The storage engine to try. Without it, the one the data directory was made with; without a
    /// data directory, every one of this build in turn
    #[arg(long, value_name = "B", env = "BACKEND")]
    pub(in crate::cli) backend: Option<String>,
    /// The data directory [default: a temporary one for each backend]
    #[arg(long, value_name = "D", env = "DATA_PATH")]
    pub(in crate::cli) data_path: Option<PathBuf>,
    /// How many blocks
    #[arg(long, value_name = "N", env = "IPFS_PERSIST_MOUNT_BLOCKS", default_value = "1000")]
    pub(in crate::cli) blocks: u64,
    /// How large each of them is
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_SIZE", value_parser = values::size, default_value = "16KiB")]
    pub(in crate::cli) size: u64,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// Print a JSON object
    #[arg(long, env = "IPFS_PERSIST_MOUNT_JSON", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) json: bool,
}

/// The flags of `backends`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(in crate::cli) struct BackendsArgs {
    /// Print a JSON array
    #[arg(long, env = "IPFS_PERSIST_MOUNT_JSON", value_parser = BoolishValueParser::new())]
    pub(in crate::cli) json: bool,
}

/// The CID that each file gets.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct CidPartArgs {
    /// CID version, 0 or 1 [default: 1]
    #[arg(long, value_name = "V", env = "IPFS_PERSIST_MOUNT_CID_VERSION")]
    pub(in crate::cli) cid_version: Option<String>,
    /// Codec, by name or number [default: raw]
    #[arg(long, alias = "cid-codec", value_name = "C", env = "IPFS_PERSIST_MOUNT_CID_CODEC")]
    pub(in crate::cli) codec: Option<String>,
    /// Hash function [default: sha2-256]
    #[arg(long, alias = "cid-hash", value_name = "H", env = "IPFS_PERSIST_MOUNT_CID_HASH")]
    pub(in crate::cli) hash: Option<String>,
}

/// The flags of `cid`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true, after_help = names_of_cid_parts())]
pub(in crate::cli) struct CidArgs {
    /// The files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(in crate::cli) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(in crate::cli) parts: CidPartArgs,
    /// Refuse files that are larger, because no mount with this limit takes them as one block
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_MAX_BLOCK_SIZE", value_parser = values::some_size, default_value = "2MiB")]
    pub(in crate::cli) max_block_size: u64,
}

fn names_of_cid_parts() -> String {
    let codecs: Vec<&str> = block::codec_names().collect();
    format!(
        "Hash functions: {}.\n\nCodecs: {}, or a number of the multicodec table such as 0x55.",
        block::hash_names_line(),
        codecs.join(", ")
    )
}
