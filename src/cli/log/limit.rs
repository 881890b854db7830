//! How often the same line may be logged.
//!
//! Invariant: each place in the program logs at most [`LINES_MAX`] lines in each [`WINDOW`], and says
//! when it leaves some out and how many. What only `-vv` shows is not limited.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::{Event, Level, Subscriber, warn};
use tracing_subscriber::layer::{Context, Layer};

/// Most lines of one place in the program in one window.
const LINES_MAX: u32 = 100;
/// How long one window lasts.
const WINDOW: Duration = Duration::from_secs(10);

/// The lines of one place in its present window.
#[derive(Debug)]
struct Window {
    begun: Instant,
    lines: u32,
    left_out: u64,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It is logged, and before it that so many were not.
    Logged {
        left_out: u64,
    },
    /// It is logged, and those behind it will not be for a while.
    Last,
    LeftOut,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { begun: now, lines: 0, left_out: 0 }
    }

    fn line(&mut self, now: Instant) -> Fate {
        let mut left_out = 0;
        if now.saturating_duration_since(self.begun) >= WINDOW {
            left_out = self.left_out;
            *self = Self::new(now);
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines > LINES_MAX {
            self.left_out += 1;
            return Fate::LeftOut;
        }
        if self.lines == LINES_MAX { Fate::Last } else { Fate::Logged { left_out } }
    }
}

/// The limit, as a layer of the log.
#[derive(Debug, Default)]
pub(super) struct RateLimit {
    windows: Mutex<HashMap<Identifier, Window>>,
}

impl<S: Subscriber> Layer<S> for RateLimit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        // The lines of this file say that others are missing.
        if *metadata.level() > Level::INFO || metadata.target() == module_path!() {
            return true;
        }
        let now = Instant::now();
        let fate = {
            let mut windows = self.windows.lock();
            windows.entry(metadata.callsite()).or_insert_with(|| Window::new(now)).line(now)
        };
        match fate {
            Fate::Logged { left_out: 0 } => {}
            Fate::Logged { left_out } => warn!(left_out, "lines like the next one were left out"),
            Fate::Last => warn!("lines like the next one are left out for some seconds: there are too many"),
            Fate::LeftOut => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_takes_so_many_lines_and_the_next_says_how_many_were_left_out() {
        let begun = Instant::now();
        let mut window = Window::new(begun);
        for _ in 1..LINES_MAX {
            assert_eq!(window.line(begun), Fate::Logged { left_out: 0 });
        }
        assert_eq!(window.line(begun), Fate::Last);
        for _ in 0..7 {
            assert_eq!(window.line(begun + WINDOW - Duration::from_millis(1)), Fate::LeftOut);
        }
        assert_eq!(window.line(begun + WINDOW), Fate::Logged { left_out: 7 });
        assert_eq!(window.line(begun + WINDOW), Fate::Logged { left_out: 0 });
        assert_eq!(window.line(begun + WINDOW * 3), Fate::Logged { left_out: 0 }, "nothing was missing");
    }
}
