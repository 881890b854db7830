//! The end of RocksDB's log after a power cut.
//!
//! What was written behind the last sync may be on the disk in part: the length of the file without all
//! of its bytes, or later pages without earlier ones. RocksDB takes no log with a wrong checksum in it, or
//! else drops everything behind one without a word. It cannot know what was acknowledged. So each record
//! of the log carries a note of how far the log had been synced before it, and one that only has the note
//! follows each synced record.
//!
//! Invariant: nothing is cut off that a note behind it says was synced, nor anything that has a record
//! without a note behind it.
//!
//! The format is RocksDB's (`db/log_format.h`, `db/write_batch.cc`): blocks of 32 KiB; in each, fragments of
//! masked CRC-32C u32, length u16, type u8, bytes; a record is one fragment (1) or several (2, 3.., 4). It
//! is a batch: sequence u64, count u32, entries, of which 3 is bytes for the log alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use tracing::warn;

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;
const FULL: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;
/// Types from here on are ignored by those who do not know them.
const IGNORED: u8 = 128;
/// Sequence and count, in front of a batch's entries.
const BATCH_HEADER: usize = 12;
/// In front of a note: the entry's tag, its length, and what tells it from other people's entries.
const NOTE: [u8; 6] = [3, 12, b's', b'y', b'n', b'c'];
/// So much of a batch's beginning is of interest: up to the end of the note.
const BATCH_HEAD: usize = BATCH_HEADER + NOTE.len() + 8;

/// The note that a record carries, as an entry for the log alone: everything up to this sequence number has
/// been synced.
pub(super) fn note(synced: u64) -> [u8; 12] {
    let mut bytes = [0; 12];
    for (to, from) in bytes.iter_mut().zip(b"sync".iter().chain(&synced.to_le_bytes())) {
        *to = *from;
    }
    bytes
}

/// What is at the end of the logs of a database that RocksDB finds damaged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing that was synced is damaged: the log may be cut here.
    Torn { log: PathBuf, at: u64 },
    /// Everything else.
    Damaged,
}

/// Looks through the logs of a database.
pub(super) fn look(directory: &Path) -> io::Result<End> {
    let mut reader = Reader::default();
    for log in logs(directory)? {
        reader.read(&log)?;
    }
    Ok(reader.end())
}

/// Cuts a log off, durably.
pub(super) fn cut(log: &Path, at: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(log)?;
    let bytes = file.metadata()?.len().saturating_sub(at);
    file.set_len(at)?;
    file.sync_all()?;
    warn!(log = %log.display(), bytes, "what was written last and never synced came to the disk in part; it is cut off");
    Ok(())
}

/// The logs, oldest first.
fn logs(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if path.extension().is_some_and(|extension| extension == "log")
            && let Some(number) = number
        {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Where the first damage is.
#[derive(Debug)]
struct Torn {
    log: PathBuf,
    at: u64,
    /// The last sequence number before it.
    before: Option<u64>,
    /// That of the first record behind it.
    next: Option<u64>,
    /// The highest that a record behind it says was synced.
    synced: u64,
    /// A record behind it has no note.
    unknown: bool,
}

impl Torn {
    /// Another record behind it.
    fn hear(&mut self, batch: Option<Batch>) {
        self.next = self.next.or(batch.map(|batch| batch.sequence));
        match batch.and_then(|batch| batch.synced) {
            Some(synced) => self.synced = self.synced.max(synced),
            None => self.unknown = true,
        }
    }
}

#[derive(Debug, Default)]
struct Reader {
    /// The last sequence number of the last whole record.
    last: Option<u64>,
    torn: Option<Torn>,
    begun: Option<Begun>,
}

/// A record of which the first fragment has been read.
#[derive(Debug)]
struct Begun {
    /// Position of that fragment.
    at: u64,
    /// The first bytes of the record, as far as they are of interest.
    head: Vec<u8>,
    batch: Option<Batch>,
}

/// One fragment, or what is in the way of one.
enum Fragment<'b> {
    Good {
        kind: u8,
        bytes: &'b [u8],
    },
    /// The file ends within it.
    CutOff,
    /// No bytes ever came here.
    Empty,
    Bad,
}

impl Reader {
    fn read(&mut self, log: &Path) -> io::Result<()> {
        let mut file = File::open(log)?;
        let mut block = Vec::with_capacity(BLOCK);
        let mut position = 0;
        self.begun = None;
        loop {
            block.clear();
            file.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
            self.read_block(log, position, &block);
            if block.len() < BLOCK {
                return Ok(());
            }
            position += BLOCK as u64;
        }
    }

    fn read_block(&mut self, log: &Path, position: u64, block: &[u8]) {
        let mut rest = block;
        while rest.len() >= HEADER {
            let at = position + (block.len() - rest.len()) as u64;
            match fragment(rest, block.len() < BLOCK) {
                Fragment::Good { kind, bytes } => {
                    rest = rest.get(HEADER + bytes.len()..).unwrap_or_default();
                    self.take(log, at, kind, bytes);
                }
                Fragment::CutOff => return,
                Fragment::Empty => {
                    // RocksDB passes over it, unless a record that has begun should go on there.
                    if self.begun.is_some() {
                        self.damage(log, at);
                    }
                    return;
                }
                Fragment::Bad => return self.damage(log, at),
            }
        }
    }

    fn take(&mut self, log: &Path, at: u64, kind: u8, bytes: &[u8]) {
        if kind >= IGNORED {
            return;
        }
        let begins = matches!(kind, FULL | FIRST);
        if begins == self.begun.is_some() || !(FULL..=LAST).contains(&kind) {
            self.damage(log, at);
        }
        if begins {
            self.begun = Some(Begun { at, head: Vec::with_capacity(BATCH_HEAD), batch: None });
        }
        let Some(begun) = &mut self.begun else { return };
        let ends = matches!(kind, FULL | LAST);
        if begun.batch.is_none() {
            let missing = BATCH_HEAD - begun.head.len();
            begun.head.extend(bytes.iter().take(missing));
            if ends || begun.head.len() == BATCH_HEAD {
                begun.batch = Batch::of(&begun.head);
                if let Some(torn) = &mut self.torn {
                    torn.hear(begun.batch);
                }
            }
        }
        if ends {
            self.last = begun.batch.map(|batch| batch.last).or(self.last);
            self.begun = None;
        }
    }

    /// The record that has begun is the first that is not whole, or else what is here.
    fn damage(&mut self, log: &Path, at: u64) {
        let at = self.begun.take().map_or(at, |begun| begun.at);
        if self.torn.is_none() {
            let log = log.to_owned();
            self.torn = Some(Torn { log, at, before: self.last, next: None, synced: 0, unknown: false });
        }
    }

    fn end(self) -> End {
        let Some(torn) = self.torn else { return End::Damaged };
        // The first sequence number that may be damaged, or where nothing is known of what is in front of
        // it, the last one.
        let lost = match (torn.before, torn.next) {
            (Some(before), _) => before.saturating_add(1),
            (None, Some(next)) => next.saturating_sub(1),
            (None, None) => u64::MAX,
        };
        if torn.unknown || torn.synced >= lost {
            return End::Damaged;
        }
        End::Torn { log: torn.log, at: torn.at }
    }
}

fn fragment(rest: &[u8], is_end: bool) -> Fragment<'_> {
    let Some((&[c0, c1, c2, c3, l0, l1, kind], behind)) = rest.split_first_chunk::<HEADER>() else {
        return Fragment::CutOff;
    };
    let length = usize::from(u16::from_le_bytes([l0, l1]));
    let Some(bytes) = behind.get(..length) else {
        return if is_end { Fragment::CutOff } else { Fragment::Bad };
    };
    if kind == 0 && length == 0 {
        return Fragment::Empty;
    }
    let unmasked = u32::from_le_bytes([c0, c1, c2, c3]).wrapping_sub(0xa282_ead8).rotate_right(17);
    if crc32c(&[kind], bytes) == unmasked { Fragment::Good { kind, bytes } } else { Fragment::Bad }
}

/// What is known of a batch by its beginning.
#[derive(Debug, Clone, Copy)]
struct Batch {
    sequence: u64,
    /// The last sequence number of it.
    last: u64,
    /// What its note says.
    synced: Option<u64>,
}

impl Batch {
    fn of(bytes: &[u8]) -> Option<Self> {
        let (head, entries) = bytes.split_first_chunk::<BATCH_HEADER>()?;
        let sequence = u64::from_le_bytes(*head.first_chunk()?);
        let count = u32::from_le_bytes(*head.last_chunk()?);
        let noted = entries.strip_prefix(&NOTE).and_then(|number| number.first_chunk());
        Some(Self {
            sequence,
            last: sequence.saturating_add(u64::from(count)).saturating_sub(1),
            synced: noted.map(|number| u64::from_le_bytes(*number)),
        })
    }
}

/// CRC-32 of Castagnoli over two pieces (RFC 3720, B.4).
fn crc32c(first: &[u8], second: &[u8]) -> u32 {
    const TABLE: [u32; 256] = table();
    let step = |crc: u32, byte: &u8| {
        let [low, ..] = crc.to_le_bytes();
        (crc >> 8) ^ TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default()
    };
    !first.iter().chain(second).fold(u32::MAX, step)
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler, which checks it")]
const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"1234", b"56789"), 0xe306_9283);
    }
}
