//! The operating system: locks, free space, durable files, the mount table, processes, signals.
//!
//! Invariant: the only home of `libc` calls, `nix` and `unsafe`; what leaves it is safe and in
//! the crate's own types, and nothing here knows what a block is.

mod daemon;
mod durable;
pub mod errno;
pub mod files;
mod holders;
mod lock;
mod memory;
mod mount_table;
mod mounting;
pub mod open_flags;
mod process;
mod record_lock;
mod scratch;
mod service;
mod signals;
mod space;
mod utab;

pub use daemon::{Forked, Report, Starting, daemonize};
pub use durable::{
    allocate_file, create_dir_all_private, replace_file, sync_dir, sync_file_system, write_file,
};
pub use files::{close, is_pipe};
pub use holders::{Process, fuse_server, holders_elsewhere, holders_of};
pub use lock::{FileLock, Holder, lock_within};
pub use memory::{address_space_left, save_address_space};
pub use mount_table::{
    FS_SUBTYPE, FS_TYPE, MountEntry, Standing, file_system_of, find, mount_of_ours, mounts_like, resolve,
    standing,
};
pub use mounting::{
    MountRequest, detach_exactly, mount_fuse, open_fuse_device, receive_fd, socket_pair, umount,
};
pub use process::{
    answer_within, boot_id, effective_ids, groups_of, may_write, raise_nofile_limit, real_ids, set_umask,
    start_time, threads_named, wait_for_exit,
};
pub use record_lock::{RecordHolder, RecordLock};
pub use scratch::{ScratchDir, allocated_bytes, unnamed_file};
pub use service::{ServiceState, tell_service_manager};
pub use signals::{SignalListener, expect_signals, listen};
pub use space::{Space, space_of, space_of_open};
pub use utab::{forget_mount, note_mount};
