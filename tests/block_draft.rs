//! Drafts: whatever the order of writes, the key is that of the bytes; and the pool's bounds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use std::time::{Duration, SystemTime};

use ipfs_persist_mount::Error;
use ipfs_persist_mount::block::{
    Block, Cid, CidForm, CidOptions, Draft, Key, Pool, canonical, digest_of, function_by_name, functions,
};

const SHA2_256: u64 = 0x12;
const MTIME: SystemTime = SystemTime::UNIX_EPOCH;

fn draft(pool: &std::sync::Arc<Pool>) -> Draft {
    Draft::new(pool.take(), SHA2_256, 32).unwrap()
}

fn key_of(code: u64, digest_len: usize, bytes: &[u8]) -> Key {
    Key::new(code, &digest_of(code, digest_len, bytes).unwrap()).unwrap()
}

/// A small generator of numbers, the same in every run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[test]
fn any_order_of_writes_gives_the_key_of_the_bytes() {
    let pool = Pool::new(1 << 20);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for function in functions().filter(|function| function.name != "identity").step_by(5) {
        for _ in 0..40 {
            let mut draft = Draft::new(pool.take(), function.code, function.digest_bytes).unwrap();
            let mut model: Vec<u8> = Vec::new();
            for _ in 0..60 {
                match random.below(10) {
                    0 => {
                        let len = random.below(6000);
                        draft.set_len(len);
                        model.resize(len, 0);
                    }
                    1 => {
                        let digest_len = function.digest_bytes;
                        assert_eq!(
                            draft.key(function.code, digest_len).unwrap(),
                            key_of(function.code, digest_len, &model)
                        );
                    }
                    2 => assert_eq!(draft.key(SHA2_256, 20).unwrap(), key_of(SHA2_256, 20, &model)),
                    kind => {
                        let offset = if kind < 6 { random.below(6000) } else { model.len() };
                        let data = vec![random.below(256) as u8; random.below(900)];
                        draft.write_at(offset, &data);
                        if !data.is_empty() {
                            let end = model.len().max(offset + data.len());
                            model.resize(end, 0);
                            model[offset..offset + data.len()].copy_from_slice(&data);
                        }
                    }
                }
                assert_eq!(draft.bytes(), model);
                assert_eq!((draft.len(), draft.is_empty()), (model.len(), model.is_empty()));
            }
            let key = key_of(function.code, function.digest_bytes, &model);
            let cid = Cid::new(key.clone(), CidForm::RAW_V1).unwrap();
            let block = draft.into_block(&cid, MTIME).unwrap();
            assert_eq!((block.key(), &block.bytes()[..]), (&key, &model[..]));
        }
    }
}

#[test]
fn a_shorter_digest_of_the_same_function_is_not_hashed_again() {
    let pool = Pool::new(0);
    for name in ["sha2-256", "blake3", "shake-256"] {
        let function = function_by_name(name).unwrap();
        let mut draft = Draft::new(pool.take(), function.code, function.digest_bytes).unwrap();
        draft.write_at(0, b"some bytes");
        assert_eq!(draft.key(function.code, 20).unwrap(), key_of(function.code, 20, b"some bytes"));
        assert!(matches!(draft.key(function.code, 19), Err(Error::HashRefused { .. })));
    }
    assert!(matches!(Draft::new(pool.take(), 0xd5, 16), Err(Error::HashRefused { .. })));
}

#[test]
fn a_gap_and_a_longer_length_read_as_zeros_even_in_a_used_buffer() {
    let pool = Pool::new(1 << 20);
    let mut first = draft(&pool);
    first.write_at(0, &[0xff; 10_000]);
    drop(first);
    assert!(pool.retained_bytes() >= 10_000);
    let mut second = draft(&pool);
    assert!(second.is_empty());
    second.write_at(4, b"x");
    second.set_len(8);
    assert_eq!(second.bytes(), b"\0\0\0\0x\0\0\0");
    second.write_at(100, b"");
    assert_eq!(second.len(), 8, "no bytes extend nothing");
}

#[test]
fn the_wrong_bytes_give_the_draft_back() {
    let pool = Pool::new(1 << 20);
    let right = key_of(SHA2_256, 32, b"right bytes");
    let cid = Cid::new(right.clone(), CidForm::RAW_V1).unwrap();
    let mut unfinished = draft(&pool);
    unfinished.write_at(0, b"right");
    let refused = unfinished.into_block(&cid, MTIME).unwrap_err();
    let (mut unfinished, Error::Mismatch { cid: named, computed }) = *refused else { panic!() };
    assert_eq!(named, cid.to_string());
    assert_eq!(computed, canonical(&key_of(SHA2_256, 32, b"right"), CidForm::RAW_V1));

    unfinished.write_at(5, b" bytes");
    let mtime = MTIME + Duration::from_secs(5);
    let block = unfinished.into_block(&cid, mtime).unwrap();
    assert_eq!((block.key(), &block.bytes()[..]), (&right, &b"right bytes"[..]));
    assert_eq!(
        (block.meta().size_bytes, block.meta().mtime, block.meta().cid_form),
        (11, mtime, CidForm::RAW_V1)
    );
}

#[test]
fn a_draft_is_named_by_its_content_as_a_block_is() {
    let pool = Pool::new(1 << 20);
    for (version, codec, hash) in [
        (None, None, None),
        (Some("0"), None, None),
        (None, Some("dag-cbor"), Some("blake3")),
        (None, None, Some("identity")),
    ] {
        let options = CidOptions::from_names(version, codec, hash).unwrap();
        let mut draft = draft(&pool);
        draft.write_at(0, b"content");
        let block = draft.into_block_of(&options, MTIME).unwrap();
        let other = Block::of(block.bytes().clone(), &options, MTIME).unwrap();
        assert_eq!((block.key(), block.meta()), (other.key(), other.meta()));
    }

    let identity = CidOptions::from_names(None, None, Some("identity")).unwrap();
    let mut long = draft(&pool);
    long.set_len(129);
    let refused = long.into_block_of(&identity, MTIME).unwrap_err();
    assert!(matches!(*refused, (ref draft, Error::HashRefused { code: 0, .. }) if draft.len() == 129));
}

#[test]
fn identity_cids_take_their_own_bytes_only() {
    let pool = Pool::new(1 << 20);
    let cid = Cid::parse("bafkqaddimvwgy3zao5xxe3debi").unwrap();
    for (bytes, right) in [
        (&b"hello world\n"[..], true),
        (b"hello", false),
        (b"hello world\nand more", false),
        (&[b'h'; 500], false),
    ] {
        for code in [SHA2_256, 0] {
            let mut draft = Draft::new(pool.take(), code, 32).unwrap();
            draft.write_at(0, bytes);
            match draft.into_block(&cid, MTIME) {
                Ok(block) => assert!(right && block.key().is_identity()),
                Err(refused) => assert!(!right && matches!(refused.1, Error::Mismatch { .. })),
            }
        }
    }
}

#[test]
fn a_blocks_memory_goes_back_to_the_pool_with_its_last_clone() {
    let pool = Pool::new(1 << 20);
    let mut draft = draft(&pool);
    draft.write_at(0, &[7; 100_000]);
    let block = draft.into_block_of(&CidOptions::default(), MTIME).unwrap();
    let clone = block.bytes().slice(10..20);
    drop(block);
    assert_eq!(pool.retained_bytes(), 0);
    assert_eq!(clone, [7; 10][..]);
    drop(clone);
    assert!(pool.retained_bytes() >= 100_000);
}

#[test]
fn a_small_block_does_not_hold_a_large_buffer() {
    let pool = Pool::new(1 << 20);
    let mut buffer = pool.take();
    buffer.reserve_exact(500_000);
    drop(buffer);
    let mut draft = draft(&pool);
    draft.write_at(0, b"small");
    assert_eq!(pool.retained_bytes(), 0);
    let block = draft.into_block_of(&CidOptions::default(), MTIME).unwrap();
    assert_eq!(pool.retained_bytes(), 500_000);
    assert_eq!(&block.bytes()[..], b"small");
}

#[test]
fn a_pool_keeps_no_more_than_it_may() {
    let pool = Pool::new(100_000);
    let taken: Vec<_> = (0..10)
        .map(|_| {
            let mut buffer = pool.take();
            buffer.reserve_exact(30_000);
            buffer
        })
        .collect();
    assert_eq!(pool.retained_bytes(), 0);
    drop(taken);
    assert_eq!(pool.retained_bytes(), 90_000);
    let again: Vec<_> = (0..4).map(|_| pool.take()).collect();
    assert_eq!(again.iter().filter(|buffer| buffer.capacity() == 30_000).count(), 3);
    assert_eq!(pool.retained_bytes(), 0);

    let mut tiny = pool.take();
    tiny.push(1);
    drop(tiny);
    assert_eq!(pool.retained_bytes(), 0, "tiny buffers are not worth keeping");
    let nothing = Pool::new(0);
    nothing.take().reserve_exact(10_000);
    assert_eq!(nothing.retained_bytes(), 0);
}

#[test]
fn a_pool_is_shared_between_threads() {
    let pool = Pool::new(1 << 20);
    std::thread::scope(|scope| {
        for seed in 1..=4u64 {
            let pool = &pool;
            scope.spawn(move || {
                let mut random = Random(seed);
                for _ in 0..500 {
                    let mut draft = draft(pool);
                    let data = vec![seed as u8; random.below(50_000)];
                    draft.write_at(0, &data);
                    let block = draft.into_block_of(&CidOptions::default(), MTIME).unwrap();
                    assert_eq!(&block.bytes()[..], data);
                }
            });
        }
    });
    assert!(pool.retained_bytes() <= 1 << 20);
}
