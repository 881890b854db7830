//! One file per command: what it does from top to bottom.

pub(super) mod backends;
pub(super) mod cid;
pub(super) mod demo;
pub(super) mod mount;
pub(super) mod unmount;
