//! How RocksDB is set up, and why.
//!
//! Invariant: nothing here may trade an acknowledged block for speed.

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType, DBRecoveryMode, InfoLogger,
    LogLevel, Options, SstFileManager,
};
use tracing::{debug, error, warn};

use super::Flavour;
use super::{BLOCKS, META};

/// One memtable: blocks on their way into files. There may be two at a time, as much may have to be
/// read back from the log after a crash, and as much room on the disk is needed for moving them.
const MEMTABLE_BYTES: u64 = 64 << 20;
const MEMTABLE_BYTES_MIN: u64 = 1 << 20;
/// A small disk gets small memtables: so many of them would fill it.
const MEMTABLES_PER_DISK: u64 = 32;
/// Memory for what was read from files. The kernel keeps the blocks themselves.
const CACHE_BYTES: usize = 48 << 20;
/// Files that are open at once: many systems allow a process 1024.
const OPEN_FILES_MAX: i32 = 256;
/// Room on the disk that merging files must leave.
const COMPACTION_LEAVES_BYTES: u64 = 4 << 20;
/// Of bloom filters, per key: one in a hundred absent keys is looked for in vain.
const BLOOM_BITS: f64 = 10.0;
/// From this length on a value is kept outside of the sorted files.
const BLOB_BYTES_MIN: u64 = 4 << 10;
/// Length at which a blob file is closed.
const BLOB_FILE_BYTES: u64 = 128 << 20;
/// Of this many keys in a row, so many deleted ones have a file compacted.
const DELETED_WINDOW: usize = 1024;
const DELETED_TRIGGER: usize = 256;

/// The length of a memtable on a file system of this size.
pub(super) fn memtable_bytes(disk_bytes: u64) -> usize {
    let bytes = (disk_bytes / MEMTABLES_PER_DISK).clamp(MEMTABLE_BYTES_MIN, MEMTABLE_BYTES);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Options of the whole database.
pub(super) fn database(create: bool, memtable_bytes: usize) -> Options {
    let mut options = Options::default();
    options.create_if_missing(create);
    options.create_missing_column_families(create);
    // The default drops everything behind a damaged record of the log without a word. This refuses it;
    // `torn` knows which damage a power cut may have done.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // A log that is gone is an error instead of blocks that are gone.
    options.set_track_and_verify_wals_in_manifest(true);
    // What a full disk has stopped must be able to open on the full disk.
    options.set_avoid_flush_during_recovery(true);
    // Blocks and records reach their files together.
    options.set_atomic_flush(true);
    options.set_db_write_buffer_size(2 * memtable_bytes);
    // Room is taken when it is needed: a small disk is not filled by a log of one block.
    options.set_allow_fallocate(false);
    options.set_manifest_preallocation_size(0);
    // Compaction leaves this much, and what a full disk has stopped goes on when there is room.
    let files = SstFileManager::new();
    files.set_compaction_buffer_size(COMPACTION_LEAVES_BYTES);
    options.set_sst_file_manager(&files);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1 << 20);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    // Read-only too, RocksDB would write a log of its own into the directory.
    options.set_info_logger(InfoLogger::new_callback_logger(LogLevel::Warn, |level, message| match level {
        LogLevel::Error | LogLevel::Fatal => error!(engine = "RocksDB", "{}", message.trim_end()),
        LogLevel::Warn => warn!(engine = "RocksDB", "{}", message.trim_end()),
        _ => debug!(engine = "RocksDB", "{}", message.trim_end()),
    }));
    options
}

/// The tables, each with its options.
pub(super) fn column_families(flavour: Flavour, memtable_bytes: usize) -> Vec<ColumnFamilyDescriptor> {
    let cache = Cache::new_lru_cache(CACHE_BYTES);
    let mut blocks = match flavour {
        Flavour::Plain => plain_blocks(),
        Flavour::Blobs => separated_blocks(),
    };
    blocks.set_write_buffer_size(memtable_bytes);
    blocks.set_max_write_buffer_number(3);
    // Merging needs room for what it merges: small steps on a small disk.
    blocks.set_target_file_size_base(memtable_bytes as u64);
    blocks.set_max_bytes_for_level_base(4 * memtable_bytes as u64);
    blocks.add_compact_on_deletion_collector_factory(DELETED_WINDOW, DELETED_TRIGGER, 0.0);
    blocks.set_block_based_table_factory(&table(&cache, 16 << 10));
    let mut meta = Options::default();
    meta.set_write_buffer_size(memtable_bytes);
    meta.set_compression_type(DBCompressionType::Lz4);
    meta.add_compact_on_deletion_collector_factory(DELETED_WINDOW, DELETED_TRIGGER, 0.0);
    meta.set_block_based_table_factory(&table(&cache, 4 << 10));
    vec![
        ColumnFamilyDescriptor::new(BLOCKS, blocks),
        ColumnFamilyDescriptor::new(META, meta),
        ColumnFamilyDescriptor::new(rocksdb::DEFAULT_COLUMN_FAMILY_NAME, Options::default()),
    ]
}

/// Everything in sorted files: quick to write, compressed where data has settled.
fn plain_blocks() -> Options {
    use DBCompressionType::{Lz4, None};
    let mut options = Options::default();
    options.set_compression_per_level(&[None, None, Lz4, Lz4, Lz4, Lz4, Lz4]);
    options
}

/// Long values in files of their own, which are never sorted again, all compressed.
fn separated_blocks() -> Options {
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Zstd);
    options.set_enable_blob_files(true);
    options.set_min_blob_size(BLOB_BYTES_MIN);
    options.set_blob_file_size(BLOB_FILE_BYTES);
    options.set_blob_compression_type(DBCompressionType::Zstd);
    // Half of a file being garbage is enough to have the rest moved, however young it is.
    options.set_enable_blob_gc(true);
    options.set_blob_gc_age_cutoff(0.25);
    options.set_blob_gc_force_threshold(0.5);
    options
}

fn table(cache: &Cache, block_bytes: usize) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(block_bytes);
    table.set_bloom_filter(BLOOM_BITS, false);
    // Otherwise the memory for them grows with the store.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table
}
