//! Times of files: some are known exactly, of others only when they were set.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970.
pub type Instant = i128;

/// The kernel's clock may be behind by one of its ticks, of which there are at least 100 a second.
const TICK: Duration = Duration::from_millis(10);

/// The time at this moment.
pub fn instant() -> Instant {
    since_1970(SystemTime::now())
}

fn since_1970(time: SystemTime) -> Instant {
    time.duration_since(UNIX_EPOCH).unwrap().as_nanos() as Instant
}

/// A time in a range. Whoever took it from another learns with it which one it is.
#[derive(Debug, Clone)]
pub struct Time(Rc<RefCell<(Instant, Instant)>>);

impl Time {
    pub fn exactly(seconds: u32) -> Self {
        let at = Instant::from(seconds) * 1_000_000_000;
        Self::between(at, at)
    }

    pub fn between(from: Instant, to: Instant) -> Self {
        Self(Rc::new(RefCell::new((from, to))))
    }

    /// One of two.
    pub fn either(one: &Time, other: &Time) -> Self {
        let ((a, b), (c, d)) = (*one.0.borrow(), *other.0.borrow());
        Self::between(a.min(c), b.max(d))
    }

    /// Whether it can be this one; from then on it is.
    pub fn is(&self, seen: Instant) -> bool {
        let mut range = self.0.borrow_mut();
        let slack = if range.0 == range.1 { 0 } else { TICK.as_nanos() as Instant };
        let fits = (range.0 - slack..=range.1 + slack).contains(&seen);
        if fits {
            *range = (seen, seen);
        }
        fits
    }
}
