//! What was typed: the flags of every command.
//!
//! Invariant: every flag has a name in the environment, made of its own; no value is looked at
//! here beyond its spelling.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Parser, Subcommand, ValueEnum};

use super::values;
use crate::block;

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
format, 5 mount failed, 6 no space, 8 not mounted or busy.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "ipfs-persist-mount", version, about = ABOUT, override_usage = USAGE, after_help = AFTER_HELP)]
#[command(subcommand_negates_reqs = true, args_override_self = true)]
#[command(subcommand_value_name = "COMMAND", disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) mount: MountArgs,
    #[command(flatten)]
    pub(super) log: LogArgs,
}

/// The commands besides mounting.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Unmount, and wait until the store is closed
    Unmount(UnmountArgs),
    /// Try the storage backends: store blocks, read them back, close, open again, and measure
    Demo(DemoArgs),
    /// List the storage backends
    Backends(BackendsArgs),
    /// Print the CID of each file, as a mount would store it in one block
    Cid(CidArgs),
}

/// How much is logged.
#[derive(Debug, clap::Args)]
pub(super) struct LogArgs {
    /// Log more: once for what happens, twice for how
    #[arg(short, long, global = true, action = ArgAction::Count, env = "IPFS_PERSIST_MOUNT_VERBOSE")]
    pub(super) verbose: u8,
    /// Log errors only
    #[arg(short, long, global = true, env = "IPFS_PERSIST_MOUNT_QUIET", value_parser = BoolishValueParser::new())]
    pub(super) quiet: bool,
    /// How to log: lines for people, or for programs, or to the journal of systemd [default: to the
    /// journal in a service of systemd, otherwise text]
    #[arg(long, global = true, value_name = "FORMAT", env = "IPFS_PERSIST_MOUNT_LOG_FORMAT", value_enum)]
    pub(super) log_format: Option<LogFormat>,
}

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// A line for people
    Text,
    /// A JSON object in each line
    Json,
    /// To the journal of systemd with each value in a field
    Journald,
}

impl LogArgs {
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }
}

/// The flags of mounting.
#[derive(Debug, clap::Args)]
pub(super) struct MountArgs {
    /// The directory to mount on; as a mount helper, SOURCE and that directory
    #[arg(required = true, num_args = 1..=2, value_name = "MOUNTPOINT")]
    pub(super) places: Vec<PathBuf>,

    /// The storage engine; `ipfs-persist-mount backends` lists them. Without it, the one the data
    /// directory was made with, or `file`
    #[arg(long, value_name = "B", env = "BACKEND")]
    pub(super) backend: Option<String>,
    /// The data directory [default: ./data/BACKEND]
    #[arg(long, value_name = "D", env = "DATA_PATH")]
    pub(super) data_path: Option<PathBuf>,
    /// Return when the mount is ready, and serve it in the background
    #[arg(long, env = "IPFS_PERSIST_MOUNT_BACKGROUND", value_parser = BoolishValueParser::new())]
    pub(super) background: bool,
    /// Refuse every change
    #[arg(long, env = "IPFS_PERSIST_MOUNT_READ_ONLY", value_parser = BoolishValueParser::new())]
    pub(super) read_only: bool,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Largest block that may be written
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_MAX_BLOCK_SIZE", value_parser = values::some_size, default_value = "2MiB")]
    pub(super) max_block_size: u64,
    /// Most bytes that all unfinished writes together may hold in memory
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_MAX_STAGING", value_parser = values::size, default_value = "256MiB")]
    pub(super) max_staging: u64,
    /// How long a temporary file that was closed may wait to be renamed
    #[arg(long, value_name = "S", env = "IPFS_PERSIST_MOUNT_STAGING_TIMEOUT", value_parser = values::some_seconds, default_value = "3600")]
    pub(super) staging_timeout: Duration,
    /// Let other users read
    #[arg(long, env = "IPFS_PERSIST_MOUNT_ALLOW_OTHER", value_parser = BoolishValueParser::new())]
    pub(super) allow_other: bool,
    #[command(flatten)]
    pub(super) owner: OwnerArgs,
    /// Show the CID of every block and alias as the extended attribute ipfs.cid
    #[arg(long, env = "IPFS_PERSIST_MOUNT_XATTR", value_parser = BoolishValueParser::new())]
    pub(super) xattr: bool,
    /// Mount over a directory that is not empty
    #[arg(long, env = "IPFS_PERSIST_MOUNT_ALLOW_NON_EMPTY", value_parser = BoolishValueParser::new())]
    pub(super) allow_non_empty: bool,
    /// When to check bytes against their CID on reading
    #[arg(long, value_name = "WHEN", env = "IPFS_PERSIST_MOUNT_VERIFY_READS", value_enum, default_value_t = VerifyWhen::First)]
    pub(super) verify_reads: VerifyWhen,
    /// Refuse to write to names that are not CIDs
    #[arg(long, env = "IPFS_PERSIST_MOUNT_STRICT", value_parser = BoolishValueParser::new())]
    pub(super) strict: bool,
    /// Refuse to delete blocks
    #[arg(long, env = "IPFS_PERSIST_MOUNT_NO_DELETE", value_parser = BoolishValueParser::new())]
    pub(super) no_delete: bool,
    /// How long to serve files that are still open after SIGTERM or SIGINT
    #[arg(long, value_name = "S", env = "IPFS_PERSIST_MOUNT_STOP_TIMEOUT", value_parser = values::seconds, default_value = "10")]
    pub(super) stop_timeout: Duration,
    #[command(flatten)]
    pub(super) cid: MountCidArgs,
    /// Options as in fstab, separated by commas: ro, noexec, noatime, and every flag by its name,
    /// such as min_free_space=1GiB
    #[arg(short = 'o', value_name = "OPTIONS")]
    pub(super) options: Vec<OsString>,
    /// Append the log to this file: from the start in the foreground, once ready in the background
    #[arg(long, value_name = "F", env = "IPFS_PERSIST_MOUNT_LOG_FILE")]
    pub(super) log_file: Option<PathBuf>,

    #[command(flatten)]
    pub(super) helper: HelperArgs,
}

/// To whom the files belong.
#[derive(Debug, clap::Args)]
pub(super) struct OwnerArgs {
    /// The user, by number, to whom the files belong and who may change them [default: who mounts]
    #[arg(long, value_name = "N", env = "IPFS_PERSIST_MOUNT_UID")]
    pub(super) uid: Option<u32>,
    /// The group, by number, to which the files belong [default: that of who mounts]
    #[arg(long, value_name = "N", env = "IPFS_PERSIST_MOUNT_GID")]
    pub(super) gid: Option<u32>,
    /// Permissions, in octal, that no file has: 007 keeps all but owner and group from reading
    #[arg(long, value_name = "MASK", env = "IPFS_PERSIST_MOUNT_UMASK", value_parser = values::umask, default_value = "0")]
    pub(super) umask: u16,
}

/// Limits of a store, for every command that opens one.
#[derive(Debug, clap::Args)]
pub(super) struct StoreArgs {
    /// Free space that new blocks must leave
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_MIN_FREE_SPACE", value_parser = values::size, default_value = "100MiB")]
    pub(super) min_free_space: u64,
    /// Most bytes of blocks that the memory backend holds
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_MEMORY_LIMIT", value_parser = values::size, default_value = "1GiB")]
    pub(super) memory_limit: u64,
    /// How long to wait for another process to let go of the store
    #[arg(long, value_name = "S", env = "IPFS_PERSIST_MOUNT_LOCK_WAIT", value_parser = values::seconds, default_value = "10")]
    pub(super) lock_wait: Duration,
}

/// What mount(8) passes to its helpers.
#[derive(Debug, clap::Args)]
pub(super) struct HelperArgs {
    /// Ignore options that are not known
    #[arg(short = 's', hide = true)]
    pub(super) sloppy: bool,
    /// Check everything and do not mount
    #[arg(short = 'f', hide = true)]
    pub(super) fake: bool,
    #[arg(short = 'n', hide = true)]
    no_mtab: bool,
    #[arg(short = 't', hide = true)]
    fs_type: Option<String>,
    #[arg(short = 'N', hide = true)]
    namespace: Option<String>,
}

/// The CID that files get which are written under other names.
#[derive(Debug, clap::Args)]
pub(super) struct MountCidArgs {
    /// CID version, 0 or 1, for files written under names that are not CIDs [default: 1]
    #[arg(long, value_name = "V", env = "IPFS_PERSIST_MOUNT_CID_VERSION")]
    pub(super) cid_version: Option<String>,
    /// Their codec, by name or number [default: raw]
    #[arg(long, value_name = "C", env = "IPFS_PERSIST_MOUNT_CID_CODEC")]
    pub(super) cid_codec: Option<String>,
    /// Their hash function [default: sha2-256]
    #[arg(long, value_name = "H", env = "IPFS_PERSIST_MOUNT_CID_HASH")]
    pub(super) cid_hash: Option<String>,
}

/// When to check bytes on reading, as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum VerifyWhen {
    /// Before the first open of a mount
    First,
    /// At every open
    Always,
    /// Not at all
    Never,
}

/// The flags of `unmount`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(super) struct UnmountArgs {
    /// The directories to unmount
    #[arg(required = true, value_name = "MOUNTPOINT")]
    pub(super) mount_points: Vec<PathBuf>,
    /// Detach at once, and leave open files to their users
    #[arg(short = 'l', long, env = "IPFS_PERSIST_MOUNT_LAZY", value_parser = BoolishValueParser::new())]
    pub(super) lazy: bool,
    /// How long to wait for open files to be closed, and then for the store to be. Without it,
    /// open files are refused at once, and the store is given 60 seconds
    #[arg(long, value_name = "S", env = "IPFS_PERSIST_MOUNT_TIMEOUT", value_parser = values::seconds)]
    pub(super) timeout: Option<Duration>,

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
pub(super) struct DemoArgs {
    /// The storage engine to try. Without it, the one the data directory was made with; without a
    /// data directory, every one of this build in turn
    #[arg(long, value_name = "B", env = "BACKEND")]
    pub(super) backend: Option<String>,
    /// The data directory [default: a temporary one for each backend]
    #[arg(long, value_name = "D", env = "DATA_PATH")]
    pub(super) data_path: Option<PathBuf>,
    /// How many blocks
    #[arg(long, value_name = "N", env = "IPFS_PERSIST_MOUNT_BLOCKS", default_value = "1000")]
    pub(super) blocks: u64,
    /// How large each of them is
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_SIZE", value_parser = values::size, default_value = "16KiB")]
    pub(super) size: u64,
    #[command(flatten)]
    pub(super) store: StoreArgs,
    /// Print a JSON object
    #[arg(long, env = "IPFS_PERSIST_MOUNT_JSON", value_parser = BoolishValueParser::new())]
    pub(super) json: bool,
}

/// The flags of `backends`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true)]
pub(super) struct BackendsArgs {
    /// Print a JSON array
    #[arg(long, env = "IPFS_PERSIST_MOUNT_JSON", value_parser = BoolishValueParser::new())]
    pub(super) json: bool,
}

/// The flags of `cid`.
#[derive(Debug, clap::Args)]
#[command(args_override_self = true, after_help = names_of_cid_parts())]
pub(super) struct CidArgs {
    /// The files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// CID version, 0 or 1 [default: 1]
    #[arg(long, value_name = "V", env = "IPFS_PERSIST_MOUNT_CID_VERSION")]
    pub(super) cid_version: Option<String>,
    /// Codec, by name or number [default: raw]
    #[arg(long, alias = "cid-codec", value_name = "C", env = "IPFS_PERSIST_MOUNT_CID_CODEC")]
    pub(super) codec: Option<String>,
    /// Hash function [default: sha2-256]
    #[arg(long, alias = "cid-hash", value_name = "H", env = "IPFS_PERSIST_MOUNT_CID_HASH")]
    pub(super) hash: Option<String>,
    /// Refuse files that are larger, because no mount with this limit takes them as one block
    #[arg(long, value_name = "SIZE", env = "IPFS_PERSIST_MOUNT_MAX_BLOCK_SIZE", value_parser = values::some_size, default_value = "2MiB")]
    pub(super) max_block_size: u64,
}

fn names_of_cid_parts() -> String {
    let codecs: Vec<&str> = block::codec_names().collect();
    format!(
        "Hash functions: {}.\n\nCodecs: {}, or a number of the multicodec table such as 0x55.",
        block::hash_names_line(),
        codecs.join(", ")
    )
}
