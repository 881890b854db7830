//! The table of forms files: one slot for each two characters.
//!
//! Invariant: a slot without a file costs its readers one atomic load.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

use super::shard::Loaded;
use crate::block::Key;
use crate::datastore::flatfs::sharding::{ALPHABET, PADDING};

/// How many slots there are.
pub(super) const COUNT: usize = ALPHABET.len() * ALPHABET.len();

/// One forms file.
#[derive(Debug, Default)]
pub(super) struct Slot {
    present: AtomicBool,
    state: Mutex<State>,
}

/// What is known of the file.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) loaded: Option<Loaded>,
    /// Commits between their record and their rename: their blocks look dead and are not.
    pub(super) in_flight: usize,
    /// Grows when bytes are taken back from the file.
    pub(super) rolled_back: u64,
}

impl Slot {
    pub(super) fn is_present(&self) -> bool {
        self.present.load(Ordering::Acquire)
    }

    pub(super) fn mark_present(&self) {
        self.present.store(true, Ordering::Release);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn try_lock(&self) -> Option<MutexGuard<'_, State>> {
        self.state.try_lock()
    }
}

impl State {
    /// Drops the records from memory if they can be read again, and says how many.
    pub(super) fn drop_if_settled(&mut self) -> usize {
        match &self.loaded {
            Some(loaded) if loaded.is_settled() && self.in_flight == 0 => self.forget(),
            _ => 0,
        }
    }

    /// Takes what is not durable back from the file, and forgets the records; says how many.
    pub(super) fn roll_back(&mut self, file: &File) -> usize {
        if let Some(Err(error)) = self.loaded.as_ref().map(|loaded| loaded.roll_back(file)) {
            tracing::warn!(%error, "records of CID forms that are not durable stay in their file");
        }
        self.rolled_back += 1;
        self.forget()
    }

    /// Forgets the records; says how many.
    pub(super) fn forget(&mut self) -> usize {
        self.loaded.take().map_or(0, |loaded| loaded.len())
    }
}

/// The slot of a key: the two characters before the last one of its base32 text.
pub(super) fn index_of_key(key: &Key) -> usize {
    let bytes = key.as_bytes();
    let chars = (bytes.len() * 8).div_ceil(5);
    let char = |from_end: usize| chars.checked_sub(from_end).map_or(PADDING_CODE, |at| code_at(bytes, at));
    char(3) * ALPHABET.len() + char(2)
}

/// The code in [`ALPHABET`] of one character of the base32 text, which stands for five bits.
fn code_at(bytes: &[u8], char: usize) -> usize {
    let byte = |at: usize| bytes.get(at).map_or(0, |byte| usize::from(*byte));
    let (at, shift) = (char * 5 / 8, char * 5 % 8);
    let value = ((byte(at) << 8 | byte(at + 1)) >> (11 - shift)) & 31;
    // Base32 begins with the letters, the order of names with the digits.
    (value + DIGITS) % (DIGITS + LETTERS)
}

/// The slot of a file name, if it is one.
pub(super) fn index_of_file(name: &str) -> Option<usize> {
    let is_known = name.len() == 2 && name.bytes().all(|byte| ALPHABET.contains(&byte));
    is_known.then(|| name.bytes().map(code).fold(0, |index, code| index * ALPHABET.len() + code))
}

/// The file name of a slot.
pub(super) fn file_of_index(index: usize) -> String {
    let char = |code: usize| ALPHABET.get(code).map_or(PADDING, |byte| char::from(*byte));
    [char(index / ALPHABET.len()), char(index % ALPHABET.len())].iter().collect()
}

const DIGITS: usize = 6;
const LETTERS: usize = 26;
/// The padding character is the last of the alphabet.
const PADDING_CODE: usize = ALPHABET.len() - 1;

fn code(byte: u8) -> usize {
    ALPHABET.iter().position(|known| *known == byte).unwrap_or(PADDING_CODE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datastore::flatfs::sharding::Sharding;

    #[test]
    fn files_are_named_as_the_default_shards() {
        for length in [0, 1, 2, 3, 20, 28, 31, 32, 33, 64] {
            for byte in 0..=255u8 {
                let key = Key::new(0x12, &vec![byte; length]).unwrap();
                let shard = Sharding::DEFAULT.shard_of(&data_encoding::BASE32_NOPAD.encode(key.as_bytes()));
                assert_eq!(file_of_index(index_of_key(&key)), shard, "{key:?}");
                assert_eq!(index_of_file(&shard), Some(index_of_key(&key)));
            }
        }
        assert_eq!(index_of_file("new-AB"), None);
        assert_eq!(index_of_file("ab"), None);
    }
}
