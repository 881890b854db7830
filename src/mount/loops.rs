//! The event loops that take requests from the kernel: how many there are, and whether they have begun.
//!
//! Invariant: a mount that is announced has all its loops. A loop that cannot have its buffer would end
//! the process, so that is made sure of before.

use crate::sys;
use crate::{Error, Result};

/// One loop serves one client best, more help as many clients; beyond the processors they bring
/// nothing, but one may be busy with a slow disk.
const COUNT_MIN: usize = 2;
/// See [`COUNT_MIN`].
const COUNT_MAX: usize = 4;

/// Address space of a loop: a buffer of 16 MiB, which fuser does not let us choose, and a stack.
const LOOP_BYTES: u64 = 19 << 20;

/// Address space for everything else that is still to come: stacks of other threads, bytes that are
/// written, what an engine keeps in memory.
const REST_BYTES: u64 = 32 << 20;

/// How fuser names the threads of its loops, in front of a number.
const THREAD_PREFIX: &str = "fuser-";

/// Makes sure that a mount can have what it needs, before anything is begun: engines do not all take it well
/// when there is no memory.
pub fn check_memory() -> Result<()> {
    count().map(|_| ())
}

/// How many loops there are to be: fewer where the address space is limited, and an error where there is
/// not enough for one.
pub fn count() -> Result<usize> {
    let processors = std::thread::available_parallelism().map_or(COUNT_MIN, usize::from);
    let wanted = processors.clamp(COUNT_MIN, COUNT_MAX);
    sys::address_space_left().map_or(Ok(wanted), |left| count_in(left, wanted))
}

fn count_in(left: u64, wanted: usize) -> Result<usize> {
    let fit = usize::try_from(left.saturating_sub(REST_BYTES) / LOOP_BYTES).unwrap_or(wanted);
    if fit == 0 {
        return Err(Error::AddressSpace { left_bytes: left, needed_bytes: REST_BYTES + LOOP_BYTES });
    }
    Ok(wanted.min(fit))
}

/// Whether this many loops have begun.
pub fn have_begun(count: usize) -> bool {
    sys::threads_named(THREAD_PREFIX) >= count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_loops_as_fit() {
        assert_eq!(count_in(1 << 30, 4).unwrap(), 4);
        assert_eq!(count_in(REST_BYTES + 2 * LOOP_BYTES, 4).unwrap(), 2);
        assert_eq!(count_in(REST_BYTES + 2 * LOOP_BYTES - 1, 4).unwrap(), 1);
        assert!(matches!(count_in(REST_BYTES, 4), Err(Error::AddressSpace { .. })));
        assert!(count_in(0, 4).is_err());
    }
}
