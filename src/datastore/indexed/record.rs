//! A block's [`Meta`] as the index holds it.
//!
//! Layout, 33 bytes, little-endian: size u64 | seconds of the time since 1970 i64 | its nanoseconds
//! u32 | CID version u8 (0 and 1; 255: the form is unknown) | codec u64 | CRC-32 of the bytes before
//! it, u32.
//!
//! Invariant: what decodes is what was encoded; a damaged record is none.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::block::{CidForm, Meta, Version};

/// The length of a record in bytes.
pub(super) const RECORD_BYTES: usize = 33;
const CHECKED_BYTES: usize = RECORD_BYTES - 4;
const FORM_UNKNOWN: u8 = 255;

/// The bytes of a record.
pub(super) fn encode(meta: &Meta) -> [u8; RECORD_BYTES] {
    let (secs, nanos) = split(meta.mtime);
    let (version, codec) = match meta.cid_form {
        CidForm::Unknown => (FORM_UNKNOWN, 0),
        CidForm::Known { version: Version::V0, codec } => (0, codec),
        CidForm::Known { version: Version::V1, codec } => (1, codec),
    };
    let mut bytes = [0; RECORD_BYTES];
    let fields: [&[u8]; 5] = [
        &meta.size_bytes.to_le_bytes(),
        &secs.to_le_bytes(),
        &nanos.to_le_bytes(),
        &[version],
        &codec.to_le_bytes(),
    ];
    let checksum = fields.iter().fold(crc32fast::Hasher::new(), |mut hasher, field| {
        hasher.update(field);
        hasher
    });
    let checksum = checksum.finalize().to_le_bytes();
    let all = fields.into_iter().flatten().chain(&checksum);
    bytes.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
    bytes
}

/// What a record says; `None` if it is damaged.
pub(super) fn decode(bytes: &[u8]) -> Option<Meta> {
    let (checked, checksum) = bytes.split_at_checked(CHECKED_BYTES)?;
    if crc32fast::hash(checked).to_le_bytes() != checksum {
        return None;
    }
    let (size, rest) = checked.split_first_chunk()?;
    let (secs, rest) = rest.split_first_chunk()?;
    let (nanos, rest) = rest.split_first_chunk()?;
    let ([version], rest) = rest.split_first_chunk()?;
    let codec = u64::from_le_bytes(rest.try_into().ok()?);
    let cid_form = match *version {
        FORM_UNKNOWN => CidForm::Unknown,
        0 => CidForm::Known { version: Version::V0, codec },
        1 => CidForm::Known { version: Version::V1, codec },
        _ => return None,
    };
    let mtime = join(i64::from_le_bytes(*secs), u32::from_le_bytes(*nanos))?;
    Some(Meta { size_bytes: u64::from_le_bytes(*size), mtime, cid_form })
}

/// Whole seconds since 1970, rounded down, and the nanoseconds after them.
fn split(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let secs = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => (-secs, 0),
                nanos => (-secs - 1, 1_000_000_000 - nanos),
            }
        }
    }
}

fn join(secs: i64, nanos: u32) -> Option<SystemTime> {
    let whole = Duration::from_secs(secs.unsigned_abs());
    let at = if secs < 0 { UNIX_EPOCH.checked_sub(whole)? } else { UNIX_EPOCH.checked_add(whole)? };
    at.checked_add(Duration::from_nanos(u64::from(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metas() -> Vec<Meta> {
        let times = [
            UNIX_EPOCH,
            UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789),
            UNIX_EPOCH - Duration::new(3, 0),
            UNIX_EPOCH - Duration::new(3, 1),
        ];
        let forms = [
            CidForm::Unknown,
            CidForm::RAW_V1,
            CidForm::Known { version: Version::V0, codec: 0x70 },
            CidForm::Known { version: Version::V1, codec: u64::MAX },
        ];
        let all = times.iter().flat_map(|time| forms.iter().map(move |form| (*time, *form)));
        all.map(|(mtime, cid_form)| Meta { size_bytes: 1 << 21, mtime, cid_form }).collect()
    }

    #[test]
    fn records_round_trip() {
        for meta in metas() {
            assert_eq!(decode(&encode(&meta)), Some(meta));
        }
    }

    #[test]
    fn no_bit_can_flip_unseen() {
        let good = encode(&metas()[5]);
        for bit in 0..RECORD_BYTES * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bad), None, "bit {bit}");
        }
        assert_eq!(decode(&good[..RECORD_BYTES - 1]), None);
        assert_eq!(decode(&[]), None);
    }
}
