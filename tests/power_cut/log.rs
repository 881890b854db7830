//! What reached a disk, in the order in which it did, and what was acknowledged meanwhile.
//!
//! One file that two processes append to: the disk's server its writes and flushes, the test its marks. A
//! record is appended by one write(2), so that none is torn and their order is that of the disk.
//!
//! A record, little-endian: kind u32 | length of the bytes behind it u32 | offset or number u64 |
//! nanoseconds since 1970 u64 | bytes.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const HEADER: usize = 24;
const WRITE: u32 = 0;
const FLUSH: u32 = 1;
/// Marks have the kinds from here on, in the order of [`MARKS`].
const FIRST_MARK: u32 = 2;

/// What the test says. A number is that of a block, or of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The file system is made and mounted.
    DiskReady,
    /// The program has said that it is ready.
    Mounted,
    /// The program is told to end.
    UnmountBegun,
    /// The program has ended with success.
    Unmounted,
    PutBegun,
    /// close(2) of a written file has returned 0.
    Closed,
    /// fsync(2) of a written file has returned 0.
    Fsynced,
    UnlinkBegun,
    Unlinked,
    RootSyncBegun,
    RootSynced,
}

const MARKS: [Mark; 11] = [
    Mark::DiskReady,
    Mark::Mounted,
    Mark::UnmountBegun,
    Mark::Unmounted,
    Mark::PutBegun,
    Mark::Closed,
    Mark::Fsynced,
    Mark::UnlinkBegun,
    Mark::Unlinked,
    Mark::RootSyncBegun,
    Mark::RootSynced,
];

impl Mark {
    /// Whether something was promised by it.
    pub fn acknowledges(self) -> bool {
        matches!(self, Self::Closed | Self::Fsynced | Self::Unlinked | Self::RootSynced | Self::Unmounted)
    }
}

/// Appends records.
#[derive(Debug)]
pub struct Appender(File);

impl Appender {
    pub fn open(path: &Path) -> io::Result<Self> {
        OpenOptions::new().create(true).append(true).open(path).map(Self)
    }

    pub fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.append(WRITE, offset, bytes)
    }

    pub fn flush(&self) -> io::Result<()> {
        self.append(FLUSH, 0, &[])
    }

    pub fn mark(&self, mark: Mark, number: u64) {
        let kind = FIRST_MARK + MARKS.iter().position(|known| *known == mark).unwrap() as u32;
        self.append(kind, number, &[]).unwrap();
    }

    fn append(&self, kind: u32, number: u64, bytes: &[u8]) -> io::Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
        let mut record = Vec::with_capacity(HEADER + bytes.len());
        record.extend(kind.to_le_bytes());
        record.extend((bytes.len() as u32).to_le_bytes());
        record.extend(number.to_le_bytes());
        record.extend(now.to_le_bytes());
        record.extend(bytes);
        (&self.0).write_all(&record)
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Write {
        offset: u64,
        length: usize,
        /// Where in the log the bytes are.
        at: u64,
    },
    Flush,
    Mark(Mark, u64),
}

#[derive(Debug, Clone, Copy)]
pub struct Record {
    /// Since 1970.
    pub time: Duration,
    pub what: What,
}

impl Record {
    fn is(&self, mark: Mark) -> bool {
        matches!(self.what, What::Mark(known, _) if known == mark)
    }
}

/// A log that is complete.
#[derive(Debug)]
pub struct Log {
    file: File,
    pub records: Vec<Record>,
}

impl Log {
    pub fn read(path: &Path) -> Self {
        let file = File::open(path).unwrap();
        let mut reader = BufReader::with_capacity(1 << 16, file.try_clone().unwrap());
        let length = file.metadata().unwrap().len();
        let (mut records, mut position) = (Vec::new(), 0);
        while position < length {
            let mut header = [0; HEADER];
            reader.read_exact(&mut header).unwrap();
            let number = |range: Range<usize>| {
                header[range].iter().rev().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
            };
            let (kind, bytes) = (number(0..4) as u32, number(4..8));
            position += HEADER as u64;
            let what = match kind {
                WRITE => What::Write { offset: number(8..16), length: bytes as usize, at: position },
                FLUSH => What::Flush,
                mark => What::Mark(MARKS[(mark - FIRST_MARK) as usize], number(8..16)),
            };
            records.push(Record { time: Duration::from_nanos(number(16..24)), what });
            reader.seek_relative(bytes as i64).unwrap();
            position += bytes;
        }
        Self { file, records }
    }

    /// The bytes of a write.
    pub fn bytes(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at).unwrap();
        bytes
    }

    /// The flush before this position: what is in front of it is on the disk.
    pub fn flushed_before(&self, position: usize) -> usize {
        self.records[..position].iter().rposition(|record| record.what == What::Flush).unwrap_or(0)
    }

    /// How many bytes these records have written.
    pub fn written(&self, records: Range<usize>) -> usize {
        let lengths = self.records[records].iter().map(|record| match record.what {
            What::Write { length, .. } => length,
            _ => 0,
        });
        lengths.sum()
    }

    /// How often this was marked.
    pub fn count(&self, mark: Mark) -> usize {
        self.records.iter().filter(|record| record.is(mark)).count()
    }

    /// Where this was marked first.
    pub fn first(&self, mark: Mark) -> usize {
        self.records.iter().position(|record| record.is(mark)).unwrap()
    }
}
