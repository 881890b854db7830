//! The address space of this process, where it is limited (`ulimit -v`).
//!
//! Invariant: nothing here changes a process whose address space is not limited.

#![allow(unsafe_code)]

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

/// How many bytes of address space there still are; `None` if there is no limit.
pub fn address_space_left() -> Option<u64> {
    let (limit, _) = getrlimit(Resource::RLIMIT_AS).ok()?;
    (limit != RLIM_INFINITY).then(|| limit.saturating_sub(address_space_used()))
}

/// Field 1 of proc_pid_statm(5), which is in pages.
fn address_space_used() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = statm.split_ascii_whitespace().next().and_then(|field| field.parse().ok()).unwrap_or(0);
    pages * page_bytes()
}

fn page_bytes() -> u64 {
    // SAFETY: sysconf(3) takes a number and touches no memory of ours.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// Keeps glibc from reserving 64 MiB of address space for each thread, where they count. To be called
/// before there are threads.
pub fn save_address_space() {
    #[cfg(target_env = "gnu")]
    if address_space_left().is_some() {
        // SAFETY: mallopt(3) takes two numbers; nobody allocates meanwhile, for there is one thread.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_in_use_is_more_than_nothing_and_less_than_everything() {
        let used = address_space_used();
        assert!((1 << 20..1 << 46).contains(&used), "{used}");
        assert!(address_space_left().is_none_or(|left| left < u64::MAX - used));
    }
}
