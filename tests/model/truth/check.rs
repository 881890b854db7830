//! What an operation has to answer, compared with what it has answered.

use super::time::Instant;
use super::{Errno, Occasion, Time, Truth};
use crate::op::Op;

/// What a system call gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Nothing,
    Number(u64),
    Bytes(Vec<u8>),
    Seen(Seen),
    Text(String),
    /// A listing of the root.
    Names(Vec<String>),
}

pub type Observed = Result<Answer, Errno>;

/// Attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub size: u64,
    pub regular: bool,
    pub mode: u32,
    pub links: u64,
    pub mtime: Instant,
    pub blocks: u64,
}

/// Attributes as they have to be, where that is known.
#[derive(Debug, Clone)]
pub struct Shape {
    pub size: u64,
    pub mode: Option<u32>,
    pub links: Option<u64>,
    pub mtime: Option<Time>,
}

impl Shape {
    fn fits(&self, seen: &Seen) -> bool {
        seen.regular
            && seen.size == self.size
            && seen.blocks == self.size.div_ceil(512)
            && self.mode.is_none_or(|mode| mode == seen.mode)
            && self.links.is_none_or(|links| links == seen.links)
            && self.mtime.as_ref().is_none_or(|mtime| mtime.is(seen.mtime))
    }
}

/// What has to be answered.
#[derive(Debug, Clone)]
pub enum Expected {
    Nothing,
    Errno(Errno),
    Number(u64),
    Bytes(Vec<u8>),
    Shape(Shape),
    Text(String),
    AnyOf(Vec<Expected>),
}

impl Expected {
    fn fits(&self, observed: &Observed) -> bool {
        match (self, observed) {
            (Expected::AnyOf(several), _) => several.iter().any(|one| one.fits(observed)),
            (Expected::Errno(errno), Err(seen)) => errno == seen,
            (Expected::Nothing, Ok(Answer::Nothing)) => true,
            (Expected::Number(number), Ok(Answer::Number(seen))) => number == seen,
            (Expected::Bytes(bytes), Ok(Answer::Bytes(seen))) => bytes == seen,
            (Expected::Shape(shape), Ok(Answer::Seen(seen))) => shape.fits(seen),
            (Expected::Text(text), Ok(Answer::Text(seen))) => text == seen,
            _ => false,
        }
    }
}

impl From<Result<(), Errno>> for Expected {
    fn from(result: Result<(), Errno>) -> Self {
        result.map_or_else(Expected::Errno, |()| Expected::Nothing)
    }
}

impl From<Result<u64, Errno>> for Expected {
    fn from(result: Result<u64, Errno>) -> Self {
        result.map_or_else(Expected::Errno, Expected::Number)
    }
}

impl From<Result<Vec<u8>, Errno>> for Expected {
    fn from(result: Result<Vec<u8>, Errno>) -> Self {
        result.map_or_else(Expected::Errno, Expected::Bytes)
    }
}

impl Truth {
    /// Makes an operation, which has taken place in this span of time, and says whether what it has
    /// answered is right.
    pub fn judge_answer(
        &mut self,
        op: &Op,
        observed: &Observed,
        span: (Instant, Instant),
    ) -> Result<(), String> {
        self.span = span;
        self.counted = match observed {
            Ok(Answer::Number(count)) => Some(*count),
            _ => None,
        };
        match (op, observed) {
            (Op::List, Ok(Answer::Names(names))) => return self.list(names),
            (Op::Kill, Ok(Answer::Names(names))) => {
                self.kill(&names.iter().cloned().collect());
                return self.list(names);
            }
            _ => {}
        }
        let expected = self.expect(op);
        if expected.fits(observed) {
            return Ok(());
        }
        Err(format!("expected {}, observed {}", short(&expected), short(observed)))
    }

    fn expect(&mut self, op: &Op) -> Expected {
        let data = match op {
            Op::Write { data, .. }
            | Op::Pwrite { data, .. }
            | Op::MapWrite { data, .. }
            | Op::MapPrivate { data, .. } => self.world.bytes(*data),
            _ => Vec::new(),
        };
        match op {
            Op::Open { fd, name, how, mode } => self.open(*fd, name, *how, *mode).into(),
            Op::Dup { from, to } => {
                self.dup(*from, *to);
                Expected::Nothing
            }
            Op::Close(fd) => self.close(*fd).into(),
            Op::Write { fd, .. } => self.write(*fd, &data).into(),
            Op::Pwrite { fd, at, .. } => self.pwrite(*fd, *at, &data).into(),
            Op::Read { fd, length } => self.read(*fd, *length).into(),
            Op::Pread { fd, at, length } => self.pread(*fd, *at, *length).into(),
            Op::Seek { fd, at, whence } => self.seek(*fd, *at, *whence).into(),
            Op::Ftruncate { fd, length } => self.ftruncate(*fd, *length).into(),
            Op::Truncate { name, length } => self.truncate(name, *length).into(),
            Op::Fallocate { fd, keep_size, at, length } => {
                self.fallocate(*fd, *keep_size, *at, *length).into()
            }
            Op::Fsync(fd) => self.verdict(*fd, Occasion::Fsync).into(),
            Op::SyncRoot => {
                self.unsynced.clear();
                Expected::Nothing
            }
            Op::MapWrite { fd, at, end, .. } => self.map_write(*fd, *at, &data, *end).into(),
            Op::MapPrivate { fd, at, .. } => self.map_private(*fd, *at, &data).into(),
            Op::Hold { fd, slot } => {
                self.hold(*fd, *slot);
                Expected::Nothing
            }
            Op::Look(slot) => Expected::Bytes(self.look(*slot)),
            Op::Unmap(slot) => {
                self.unmap(*slot);
                Expected::Nothing
            }
            Op::Remount => {
                self.remount();
                Expected::Nothing
            }
            Op::List | Op::Kill => Expected::AnyOf(Vec::new()),
            _ => self.expect_by_name(op),
        }
    }

    fn expect_by_name(&mut self, op: &Op) -> Expected {
        match op {
            Op::Stat(name) => self.stat(name),
            Op::Fstat(fd) => self.fstat(*fd),
            Op::Readlink(name) => self.readlink(name),
            Op::Chmod { name, mode } => self.chmod(name, *mode).into(),
            Op::Fchmod { fd, mode } => self.fchmod(*fd, *mode),
            Op::Utimes { name, seconds } => self.utimes(name, *seconds).into(),
            Op::Futimes { fd, seconds } => self.futimes(*fd, *seconds),
            Op::Unlink(name) => self.unlink(name).into(),
            Op::Rename { from, to, exclusive } => self.rename(from, to, *exclusive),
            other => unreachable!("{other} is not by name"),
        }
    }
}

/// For people: bytes are many.
fn short(what: &impl std::fmt::Debug) -> String {
    let text = format!("{what:?}");
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}... ({} characters)", &text[..end], text.len()),
        None => text,
    }
}
