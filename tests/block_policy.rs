//! Which hash functions and digest lengths may name blocks, and that hashing in pieces is hashing.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::time::SystemTime;

use bytes::Bytes;
use ipfs_persist_mount::Error;
use ipfs_persist_mount::block::{
    Block, CidForm, CidOptions, Hasher, Version, check_allowed, codec_name, codec_names, digest_of,
    function_by_code, function_by_name, functions, hash_names,
};

fn sample(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 + index / 251) as u8).collect()
}

#[test]
fn hashing_in_pieces_gives_the_digest_of_the_whole() {
    for function in functions() {
        let whole = if function.name == "identity" { sample(128) } else { sample(20_000) };
        let expected = digest_of(function.code, function.digest_bytes, &whole).unwrap();
        assert_eq!(expected.len(), function.digest_bytes, "{}", function.name);
        for chunk_bytes in [1, 7, 63, 64, 65, 127, 1023, 1024, 1025, 4099, 20_000] {
            let mut hasher = Hasher::new(function.code, function.digest_bytes).unwrap();
            for chunk in whole.chunks(chunk_bytes) {
                hasher.update(chunk);
            }
            assert_eq!(hasher.digest(), expected, "{} by {chunk_bytes}", function.name);
        }
    }
}

#[test]
fn a_digest_leaves_the_hasher_usable_and_a_clone_goes_its_own_way() {
    for function in functions() {
        let whole = sample(100);
        let mut hasher = Hasher::new(function.code, function.digest_bytes).unwrap();
        hasher.update(&whole[..41]);
        assert_eq!(hasher.digest(), digest_of(function.code, function.digest_bytes, &whole[..41]).unwrap());
        let mut other = hasher.clone();
        hasher.update(&whole[41..]);
        assert_eq!(hasher.digest(), digest_of(function.code, function.digest_bytes, &whole).unwrap());
        other.update(b"x");
        assert_ne!(other.digest(), hasher.digest(), "{}", function.name);
    }
}

/// > A shorter digest than the full one is compared as a prefix.
#[test]
fn shorter_digests_are_prefixes() {
    let whole = sample(3000);
    for (name, lengths) in [
        ("sha2-256", 20..=32),
        ("sha2-512", 20..=64),
        ("keccak-224", 20..=28),
        ("shake-256", 20..=128),
        ("blake3", 20..=128),
    ] {
        let code = function_by_name(name).unwrap().code;
        let longest = digest_of(code, *lengths.end(), &whole).unwrap();
        for len in lengths {
            assert_eq!(digest_of(code, len, &whole).unwrap(), longest[..len], "{name} {len}");
        }
    }
}

/// > A digest has at least 20 bytes and at most what its function gives (shake-256 and blake3: 128
/// > bytes, blake2: exactly its own size, identity: 0 to 128).
#[test]
fn the_lengths_that_are_allowed() {
    for function in functions() {
        let is_blake2 = function.name.starts_with("blake2");
        let expected = match function.name {
            "identity" => 0..=128,
            "shake-256" | "blake3" => 20..=128,
            _ if is_blake2 => function.digest_bytes..=function.digest_bytes,
            _ => 20..=function.digest_bytes,
        };
        for len in 0..=200 {
            let result = check_allowed(function.code, len);
            assert_eq!(result.is_ok(), expected.contains(&len), "{} {len}", function.name);
            assert!(matches!(result, Ok(()) | Err(Error::HashRefused { .. })), "{} {len}", function.name);
        }
    }
    assert_eq!(functions().count(), 15 + 45 + 13);
}

/// > Allowed are sha2-256, sha2-512, dbl-sha2-256, sha1, sha3 and keccak in all four sizes, shake-256,
/// > blake2b and blake2s of at least 160 bits, blake3, and identity.
#[test]
fn the_functions_that_are_allowed() {
    let named = ["sha2-256", "sha2-512", "dbl-sha2-256", "sha1", "shake-256", "blake3", "identity"];
    let sized = |prefix: &str, bits: &[usize]| -> Vec<String> {
        bits.iter().map(|bits| format!("{prefix}-{bits}")).collect()
    };
    let from_160_to = |last: usize| (160..=last).step_by(8).collect::<Vec<_>>();
    let mut expected = named.map(String::from).to_vec();
    expected.extend(sized("sha3", &[224, 256, 384, 512]));
    expected.extend(sized("keccak", &[224, 256, 384, 512]));
    expected.extend(sized("blake2b", &from_160_to(512)));
    expected.extend(sized("blake2s", &from_160_to(256)));
    let mut allowed: Vec<&str> = hash_names().collect();
    expected.sort();
    allowed.sort_unstable();
    assert_eq!(allowed, expected);
}

#[test]
fn functions_that_are_known_and_not_allowed_differ_from_unknown_ones() {
    let refused = [
        (0x18, 32),
        (0x20, 48),
        (0x22, 8),
        (0x23, 4),
        (0xd4, 16),
        (0xd5, 16),
        (0x132, 4),
        (0x1012, 32),
        (0x1013, 28),
        (0x1022, 16),
        (0x1053, 20),
        (0x1d01, 32),
        (0x534d, 32),
        (0xb201, 1),
        (0xb213, 19),
        (0xb241, 1),
        (0xb253, 19),
        (0xb301, 1),
        (0xb3e0, 128),
        (0xb401, 32),
    ];
    for (code, len) in refused {
        assert!(matches!(check_allowed(code, len), Err(Error::HashRefused { .. })), "0x{code:x}");
        assert_eq!(check_allowed(code, len).unwrap_err().errno(), libc::EINVAL);
        assert!(Hasher::new(code, len).is_err());
    }
    for code in [0x01, 0x10, 0x1f, 0x55, 0x70, 0xb200, 0xb261, 0xb300, 0xffff, u64::MAX] {
        assert!(matches!(check_allowed(code, 32), Err(Error::HashUnknown { .. })), "0x{code:x}");
        assert_eq!(check_allowed(code, 32).unwrap_err().errno(), libc::EOPNOTSUPP);
    }
}

#[test]
fn names_and_codes_are_unique_and_find_their_row() {
    let names: Vec<_> = hash_names().collect();
    for function in functions() {
        assert_eq!(names.iter().filter(|name| **name == function.name).count(), 1);
        assert_eq!(function_by_name(function.name).unwrap().code, function.code);
        assert_eq!(function_by_code(function.code).unwrap().name, function.name);
    }
    for codec in codec_names() {
        let options = CidOptions::from_names(None, Some(codec), None).unwrap();
        assert_eq!(codec_name(options.codec), Some(codec));
    }
}

#[test]
fn options_from_names() {
    let from = CidOptions::from_names;
    assert_eq!(from(None, None, None).unwrap(), CidOptions::default());
    let v0 = from(Some("0"), None, None).unwrap();
    assert_eq!((v0.version, v0.codec, v0.hash_code, v0.digest_len), (Version::V0, 0x70, 0x12, 32));
    assert_eq!(from(Some("0"), Some("dag-pb"), Some("sha2-256")).unwrap(), v0);
    let blake3 = from(Some("1"), Some("dag-json"), Some("blake3")).unwrap();
    assert_eq!((blake3.codec, blake3.hash_code, blake3.digest_len), (0x129, 0x1e, 32));
    assert_eq!(from(None, Some("0x300539"), None).unwrap().codec, 0x300539);

    for (version, codec, hash, word) in [
        (Some("2"), None, None, "0 or 1"),
        (None, Some("dag-xml"), None, "dag-cbor"),
        (None, Some("0xffffffffffffffff"), None, "dag-cbor"),
        (None, None, Some("md5"), "blake2b-160 to blake2b-512"),
        (Some("0"), Some("raw"), None, "version 1"),
        (Some("0"), None, Some("blake3"), "version 1"),
    ] {
        let Err(Error::Usage { hint, .. }) = from(version, codec, hash) else {
            panic!("{version:?} {codec:?} {hash:?}");
        };
        assert!(hint.contains(word), "{hint}");
    }
}

#[test]
fn identity_blocks_are_bounded() {
    let options = CidOptions::from_names(None, None, Some("identity")).unwrap();
    for len in [0, 1, 128] {
        let block = Block::of(Bytes::from(sample(len)), &options, SystemTime::UNIX_EPOCH).unwrap();
        assert!(block.key().is_identity());
        assert_eq!(block.key().digest(), sample(len));
    }
    assert!(matches!(
        Block::of(Bytes::from(sample(129)), &options, SystemTime::UNIX_EPOCH),
        Err(Error::HashRefused { code: 0, .. })
    ));
    let mut hasher = Hasher::new(0, 128).unwrap();
    hasher.update(&sample(100));
    hasher.update(&sample(1_000_000));
    assert_eq!(hasher.digest().len(), 129, "enough to see that it is too long, and no more is kept");
}

#[test]
fn a_version_that_the_key_cannot_have_becomes_one() {
    let impossible = CidOptions { version: Version::V0, ..CidOptions::default() };
    let block = Block::of(Bytes::from_static(b"a"), &impossible, SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(block.meta().cid_form, CidForm::RAW_V1);
}
