//! The bytes of a forms file.
//!
//! ```text
//! file    magic (8 bytes), then records
//! record  key length u8 | kind u8 | codec u64 | key | CRC-32 (IEEE) u32 of all before it
//! kind    0 unknown (codec 0), 1 CIDv0 (codec 0x70), 2 CIDv1
//! ```
//!
//! All integers are little-endian. A later record of a key replaces an earlier one.
//!
//! Invariant: reading stops at the first record that is not whole and right, so what a torn write
//! leaves is never taken for a record.

use crate::block::{CidForm, Key, Version};

/// How a forms file begins; the last byte is the version of the format.
pub(super) const MAGIC: [u8; 8] = *b"IPMFORM\x01";

const KIND_UNKNOWN: u8 = 0;
const KIND_V0: u8 = 1;
const KIND_V1: u8 = 2;

/// Bytes of a record before the key, and behind it.
const HEAD_BYTES: usize = 1 + 1 + 8;
const CHECKSUM_BYTES: usize = 4;

/// Appends a record.
pub(super) fn encode(out: &mut Vec<u8>, key: &Key, form: CidForm) {
    let start = out.len();
    let (kind, codec) = match form {
        CidForm::Unknown => (KIND_UNKNOWN, 0),
        CidForm::Known { version: Version::V0, codec } => (KIND_V0, codec),
        CidForm::Known { version: Version::V1, codec } => (KIND_V1, codec),
    };
    out.push(key.as_bytes().len() as u8);
    out.push(kind);
    out.extend_from_slice(&codec.to_le_bytes());
    out.extend_from_slice(key.as_bytes());
    let checksum = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Calls `each` with every record from the start, and returns how many bytes of the file are
/// whole: 0 if not even the magic is.
pub(super) fn decode(file: &[u8], mut each: impl FnMut(Key, CidForm)) -> usize {
    let Some(mut rest) = file.strip_prefix(&MAGIC) else { return 0 };
    while let Some((key, form, behind)) = take(rest) {
        each(key, form);
        rest = behind;
    }
    file.len() - rest.len()
}

fn take(bytes: &[u8]) -> Option<(Key, CidForm, &[u8])> {
    let key_bytes = usize::from(*bytes.first()?);
    let (body, rest) = bytes.split_at_checked(HEAD_BYTES + key_bytes)?;
    let (checksum, rest) = rest.split_at_checked(CHECKSUM_BYTES)?;
    if crc32fast::hash(body).to_le_bytes() != *checksum {
        return None;
    }
    let codec = u64::from_le_bytes(body.get(2..HEAD_BYTES)?.try_into().ok()?);
    let form = match *body.get(1)? {
        KIND_UNKNOWN => CidForm::Unknown,
        KIND_V0 => CidForm::Known { version: Version::V0, codec },
        KIND_V1 => CidForm::Known { version: Version::V1, codec },
        _ => return None,
    };
    Some((Key::from_bytes(body.get(HEAD_BYTES..)?)?, form, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAG_PB_V0: CidForm = CidForm::Known { version: Version::V0, codec: 0x70 };

    fn key(byte: u8) -> Key {
        Key::new(0x12, &[byte; 32]).unwrap()
    }

    fn file() -> Vec<u8> {
        let mut file = MAGIC.to_vec();
        encode(&mut file, &key(1), DAG_PB_V0);
        encode(&mut file, &key(2), CidForm::Known { version: Version::V1, codec: 0x0129 });
        encode(&mut file, &key(3), CidForm::Unknown);
        file
    }

    fn read(file: &[u8]) -> (Vec<(Key, CidForm)>, usize) {
        let mut records = Vec::new();
        let whole = decode(file, |key, form| records.push((key, form)));
        (records, whole)
    }

    #[test]
    fn records_round_trip() {
        let (records, whole) = read(&file());
        assert_eq!(whole, file().len());
        assert_eq!(records[0], (key(1), DAG_PB_V0));
        assert_eq!(records[2], (key(3), CidForm::Unknown));
        assert_eq!(file().len(), 8 + 3 * (14 + 34), "the format is fixed");
    }

    #[test]
    fn a_file_cut_anywhere_keeps_the_whole_records_before_the_cut() {
        let file = file();
        for cut in 0..file.len() {
            let (records, whole) = read(&file[..cut]);
            assert_eq!(records.len(), cut.saturating_sub(8) / 48, "cut at {cut}");
            assert_eq!(whole, if cut < 8 { 0 } else { 8 + records.len() * 48 });
        }
    }

    #[test]
    fn a_flipped_bit_anywhere_ends_the_reading_there() {
        for at in 0..file().len() {
            let mut file = file();
            file[at] ^= 0x10;
            assert_eq!(read(&file).0.len(), at.saturating_sub(8) / 48, "flipped at {at}");
        }
        let mut zeros = file();
        zeros.extend_from_slice(&[0; 512]);
        assert_eq!(read(&zeros).1, file().len());
    }
}
