//! How a benchmark fails: in words, with what was being done.

use std::fmt::Display;

/// What went wrong.
#[derive(Debug)]
pub struct Failure(pub String);

/// A result of the benchmarks.
pub type Outcome<T> = Result<T, Failure>;

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.to_string())
    }
}

/// Says what was being done when something failed.
pub trait During<T> {
    /// The same result, with what was being done in front of the error.
    fn during(self, what: impl Display) -> Outcome<T>;
}

impl<T, E: Into<Failure>> During<T> for Result<T, E> {
    fn during(self, what: impl Display) -> Outcome<T> {
        self.map_err(|error| Failure(format!("{what}: {}", error.into().0)))
    }
}

/// A failure of our own.
pub fn fail<T>(what: impl Display) -> Outcome<T> {
    Err(Failure(what.to_string()))
}
