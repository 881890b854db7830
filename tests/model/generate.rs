//! Which operation comes next. It looks at the model, so that most operations find something to do
//! and many writers come to the right bytes.

use std::rc::Rc;

use super::names::{Data, Key, LIMIT, NameRef, World};
use super::op::{Fd, How, MapEnd, Op, Whence};
use super::random::Random;
use super::truth::{Outlook, Truth};

/// What a run leaves out.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    /// Whether the mount is this run's alone: it lists the root, and mounts again.
    pub alone: bool,
}

pub struct Generator {
    random: Random,
    world: Rc<World>,
    mix: Mix,
}

#[derive(Clone, Copy)]
enum Group {
    Open,
    Descriptor,
    Name,
    Map,
    Root,
}

const MODES: [u32; 3] = [0o644, 0o600, 0o755];

impl Generator {
    pub fn new(seed: u64, world: Rc<World>, mix: Mix) -> Self {
        Self { random: Random::new(seed), world, mix }
    }

    pub fn next(&mut self, truth: &Truth) -> Op {
        loop {
            if let Some(op) = self.draw(truth)
                && truth.applies(&op)
            {
                return op;
            }
        }
    }

    fn draw(&mut self, truth: &Truth) -> Option<Op> {
        let groups = [
            (20, Group::Open),
            (55, Group::Descriptor),
            (24, Group::Name),
            (2, Group::Map),
            (1, Group::Root),
        ];
        match self.random.weighted(&groups) {
            Group::Open => {
                let (name, how) = (self.name_to_open(truth), self.how());
                Some(Op::Open { fd: truth.free_fd()?, name, how, mode: *self.random.pick(&MODES) })
            }
            Group::Descriptor => {
                let open = truth.open_fds();
                let fd = *open.get(self.random.below(open.len().max(1)))?;
                self.on_descriptor(truth, fd)
            }
            Group::Name => self.on_name(truth),
            Group::Map => {
                let held = truth.held();
                let slot = *held.get(self.random.below(held.len().max(1)))?;
                Some(if self.random.chance(60) { Op::Look(slot) } else { Op::Unmap(slot) })
            }
            Group::Root => self.on_root(),
        }
    }

    fn on_root(&mut self) -> Option<Op> {
        // So rarely that a mount serves some thousand operations.
        let op = match self.random.below(100) {
            0..60 => Op::List,
            60..90 => Op::SyncRoot,
            90..93 => Op::Remount,
            93..96 => Op::Kill,
            _ => return None,
        };
        (self.mix.alone || op == Op::SyncRoot).then_some(op)
    }

    fn how(&mut self) -> How {
        let write = How { write: true, ..How::default() };
        let create = How { create: true, ..write };
        let both = How { read: true, ..write };
        self.random.weighted(&[
            (25, How { read: true, ..How::default() }),
            (30, How { truncate: true, ..create }),
            (10, How { read: true, truncate: true, ..create }),
            (10, How { read: true, ..create }),
            (6, How { exclusive: true, ..create }),
            (7, How { append: true, ..create }),
            (2, How { append: true, ..both }),
            (5, write),
            (5, both),
            (2, How { truncate: true, ..write }),
            (1, How { read: true, create: true, ..How::default() }),
        ])
    }

    /// Small contents come more often: they cost less.
    fn content(&mut self) -> usize {
        let count = self.world.contents.len();
        self.random.below(count).min(self.random.below(count))
    }

    fn spelling(&mut self, content: usize) -> NameRef {
        self.random.pick(&self.world.spellings[content]).clone()
    }

    fn any_cid(&mut self) -> NameRef {
        let content = self.content();
        self.spelling(content)
    }

    fn existing(&mut self, names: Vec<NameRef>) -> NameRef {
        if names.is_empty() { self.any_name() } else { self.random.pick(&names).clone() }
    }

    fn any_name(&mut self) -> NameRef {
        match self.random.below(100) {
            0..50 => self.any_cid(),
            50..78 => self.random.pick(&self.world.plain).clone(),
            78..95 => self.random.pick(&self.world.temporary).clone(),
            _ => self.random.pick(&self.world.never).clone(),
        }
    }

    fn name_to_open(&mut self, truth: &Truth) -> NameRef {
        match self.random.below(100) {
            0..70 => self.any_name(),
            70..85 => self.existing(truth.plain_names()),
            _ => self.existing(truth.block_names()),
        }
    }

    fn on_name(&mut self, truth: &Truth) -> Option<Op> {
        let name = match self.random.below(3) {
            0 => self.any_name(),
            1 => self.existing(truth.plain_names()),
            _ => self.existing(truth.block_names()),
        };
        Some(match self.random.below(30) {
            0..9 => Op::Stat(name),
            9..12 => Op::Readlink(name),
            12..13 => Op::Chmod { name, mode: *self.random.pick(&MODES) },
            13..15 => Op::Utimes { name, seconds: self.random.next() as u32 },
            15..17 => Op::Truncate { name, length: self.length() },
            17..20 => self.rename(truth),
            20..23 => self.rename_right(truth)?,
            // A store that is never emptied would take ever longer to be looked at.
            23..26 => Op::Unlink(self.any_name()),
            26..28 => Op::Unlink(self.existing(truth.plain_names())),
            _ => Op::Unlink(self.existing(truth.block_names())),
        })
    }

    fn rename(&mut self, truth: &Truth) -> Op {
        let from = if self.random.chance(70) { self.existing(truth.plain_names()) } else { self.any_name() };
        let to = if self.random.chance(80) { self.any_name() } else { self.existing(truth.block_names()) };
        Op::Rename { from, to, exclusive: self.random.chance(15) }
    }

    /// To a CID of the very bytes.
    fn rename_right(&mut self, truth: &Truth) -> Option<Op> {
        let from = self.existing(truth.plain_names());
        let bytes = truth.content_of(&from)?;
        let content = self.world.contents.iter().position(|content| content == bytes)?;
        Some(Op::Rename { from, to: self.spelling(content), exclusive: self.random.chance(15) })
    }

    fn length(&mut self) -> u64 {
        let content = self.content();
        let near = self.world.contents[content].len();
        let length = match self.random.below(10) {
            0 => LIMIT + 1 + self.random.below(1000),
            1 => 0,
            2..4 => self.random.below(LIMIT),
            _ => near,
        };
        self.world.cut(length) as u64
    }

    fn on_descriptor(&mut self, truth: &Truth, fd: Fd) -> Option<Op> {
        let outlook = truth.outlook(fd);
        let size = outlook.content.len();
        let choice = self.random.below(100);
        if choice < 38 {
            return if outlook.write || self.random.chance(5) {
                self.write(fd, &outlook)
            } else {
                self.read(fd, size)
            };
        }
        Some(match choice {
            38..50 => self.read(fd, size)?,
            50..72 => Op::Close(fd),
            72..75 => Op::Dup { from: fd, to: truth.free_fd()? },
            75..80 => self.seek(fd, size),
            80..83 => Op::Ftruncate { fd, length: self.length() },
            83..85 => self.fallocate(fd, size),
            85..87 => Op::Fsync(fd),
            87..91 => Op::Fstat(fd),
            91..92 => Op::Fchmod { fd, mode: *self.random.pick(&MODES) },
            92..93 => Op::Futimes { fd, seconds: self.random.next() as u32 },
            93..97 => self.map_write(fd, &outlook)?,
            97..98 => self.map_private(fd, &outlook)?,
            _ => Op::Hold { fd, slot: truth.free_slot()? },
        })
    }

    fn read(&mut self, fd: Fd, size: usize) -> Option<Op> {
        let length = if self.random.chance(50) { size + 10 } else { self.random.below(size + 100) };
        if self.random.chance(30) {
            return Some(Op::Read { fd, length });
        }
        Some(Op::Pread { fd, at: self.random.below(size + 10) as u64, length })
    }

    fn seek(&mut self, fd: Fd, size: usize) -> Op {
        let (near, size) = (self.random.below(size + 20) as i64, size as i64);
        let whence =
            *self.random.pick(&[Whence::Set, Whence::Current, Whence::End, Whence::Data, Whence::Hole]);
        let at = match whence {
            Whence::Set | Whence::Data | Whence::Hole => near - 3,
            Whence::Current => near - size / 2,
            Whence::End => 3 - near,
        };
        Op::Seek { fd, at, whence }
    }

    fn fallocate(&mut self, fd: Fd, size: usize) -> Op {
        let end = (self.length() as usize).max(self.world.cut(8));
        let at = self.random.below(end.min(size + 1));
        let (at, length) = (at as u64, (end - at) as u64);
        Op::Fallocate { fd, keep_size: self.random.chance(30), at, length: length.max(1) }
    }

    /// A content that the bytes so far are the beginning of.
    fn target(&mut self, outlook: &Outlook<'_>) -> usize {
        let wanted = |key: &Key| self.world.contents.iter().position(|content| key.matches(content));
        if let Some(content) = outlook.wanted.and_then(wanted) {
            return content;
        }
        let grows =
            |content: &Vec<u8>| content.len() > outlook.content.len() && content.starts_with(outlook.content);
        let count = self.world.contents.len();
        let fitting: Vec<usize> = (0..count).filter(|index| grows(&self.world.contents[*index])).collect();
        match fitting.len() {
            0 => self.content(),
            several => fitting[self.random.below(several).min(self.random.below(several))],
        }
    }

    fn write(&mut self, fd: Fd, outlook: &Outlook<'_>) -> Option<Op> {
        let size = outlook.content.len();
        let content = self.target(outlook);
        let length = self.world.contents[content].len();
        match self.random.below(100) {
            0..78 if size < length => {
                let rest = length - size;
                let some =
                    if self.random.chance(65) { rest } else { self.random.below(rest).max(8).min(rest) };
                let data = Data::Part { content, from: size, length: some };
                Some(if outlook.at_end {
                    Op::Write { fd, data }
                } else {
                    Op::Pwrite { fd, at: size as u64, data }
                })
            }
            0..78 => Some(Op::Close(fd)),
            // The same, or the right bytes, in any order.
            78..88 => {
                let from = self.random.below(length.max(1));
                let data = self.part(content, from)?;
                Some(Op::Pwrite { fd, at: from as u64, data })
            }
            88..92 => {
                let fill = self.fill();
                Some(Op::Pwrite { fd, at: self.random.below(size + 50) as u64, data: fill })
            }
            92..94 => {
                let fill = self.fill();
                Some(Op::Pwrite { fd, at: (LIMIT - self.random.below(600)) as u64, data: fill })
            }
            94..97 => {
                let content = self.content();
                let data = self.part(content, 0)?;
                Some(Op::Pwrite { fd, at: 0, data })
            }
            _ => {
                let fill = self.fill();
                Some(Op::Write { fd, data: fill })
            }
        }
    }

    fn part(&mut self, content: usize, from: usize) -> Option<Data> {
        let rest = self.world.contents[content].len().checked_sub(from).filter(|rest| *rest > 0)?;
        let length = self.random.below(rest).max(8).min(rest);
        Some(Data::Part { content, from, length })
    }

    fn fill(&mut self) -> Data {
        Data::Fill { byte: 0xf0 | self.world.lane.number as u8, length: 1 + self.random.below(300) }
    }

    /// Bytes that a mapping of the file can take, most of them those that the content should have.
    fn within(&mut self, outlook: &Outlook<'_>) -> Option<(usize, Data)> {
        let size = outlook.content.len();
        if size == 0 {
            return None;
        }
        let at = self.random.below(size);
        let content = self.target(outlook);
        if self.random.chance(70) && self.world.contents[content].len() >= size {
            let length = 1 + self.random.below(size - at);
            return Some((at, Data::Part { content, from: at, length }));
        }
        let byte = 0xf0 | self.world.lane.number as u8;
        Some((at, Data::Fill { byte, length: 1 + self.random.below((size - at).min(300)) }))
    }

    fn map_write(&mut self, fd: Fd, outlook: &Outlook<'_>) -> Option<Op> {
        let (at, data) = self.within(outlook)?;
        let end = *self.random.pick(&[MapEnd::Sync, MapEnd::Unmap, MapEnd::CloseUnmap, MapEnd::CloseFirst]);
        Some(Op::MapWrite { fd, at, data, end })
    }

    fn map_private(&mut self, fd: Fd, outlook: &Outlook<'_>) -> Option<Op> {
        let (at, data) = self.within(outlook)?;
        Some(Op::MapPrivate { fd, at, data })
    }
}
