//! One file per command: what it does from top to bottom.

pub(super) mod backends;
pub(super) mod cid;
pub(super) mod demo;
pub(super) mod get;
pub(super) mod ls;
pub(super) mod mount;
pub(super) mod put;
pub(super) mod rm;
pub(super) mod stat;
pub(super) mod unmount;
