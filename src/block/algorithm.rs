//! The hash functions themselves, behind one small trait.
//!
//! Invariant: a state can give its digest at any time and go on taking bytes, and a shorter digest
//! is always a prefix of a longer one of the same function.

use sha2::digest::{Digest, ExtendableOutput, Update, XofReader};

use super::Key;

/// A hash function in the middle of its work.
pub(super) trait Algorithm: Send + Sync {
    /// Takes the next bytes.
    fn update(&mut self, data: &[u8]);

    /// The first `length` bytes of the digest of what was taken so far, or fewer if the function
    /// has no more.
    fn digest(&self, length: usize) -> Vec<u8>;

    /// A copy of the state.
    fn boxed_clone(&self) -> Box<dyn Algorithm>;
}

/// Any function of the RustCrypto family with a digest of fixed length.
#[derive(Clone)]
struct Fixed<D>(D);

pub(super) fn fixed<D: Digest + Clone + Send + Sync + 'static>() -> Box<dyn Algorithm> {
    Box::new(Fixed(D::new()))
}

impl<D: Digest + Clone + Send + Sync + 'static> Algorithm for Fixed<D> {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn digest(&self, length: usize) -> Vec<u8> {
        prefix(&self.0.clone().finalize(), length)
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}

/// The sha2-256 of the sha2-256, as Bitcoin has it.
#[derive(Clone)]
struct DblSha2(sha2::Sha256);

pub(super) fn dbl_sha2_256() -> Box<dyn Algorithm> {
    Box::new(DblSha2(sha2::Sha256::new()))
}

impl Algorithm for DblSha2 {
    fn update(&mut self, data: &[u8]) {
        Digest::update(&mut self.0, data);
    }

    fn digest(&self, length: usize) -> Vec<u8> {
        prefix(&sha2::Sha256::digest(self.0.clone().finalize()), length)
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}

#[derive(Clone)]
struct Shake256(sha3::Shake256);

pub(super) fn shake_256() -> Box<dyn Algorithm> {
    Box::new(Shake256(sha3::Shake256::default()))
}

impl Algorithm for Shake256 {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn digest(&self, length: usize) -> Vec<u8> {
        let mut digest = vec![0; length];
        self.0.clone().finalize_xof().read(&mut digest);
        digest
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}

#[derive(Clone)]
struct Blake3(blake3::Hasher);

pub(super) fn blake3() -> Box<dyn Algorithm> {
    Box::new(Blake3(blake3::Hasher::new()))
}

impl Algorithm for Blake3 {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn digest(&self, length: usize) -> Vec<u8> {
        let mut digest = vec![0; length];
        self.0.finalize_xof().fill(&mut digest);
        digest
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}

#[derive(Clone)]
struct Blake2b(blake2b_simd::State);

/// BLAKE2b takes its length into the hash; `length_bytes` is at most 64.
pub(super) fn blake2b(length_bytes: usize) -> Box<dyn Algorithm> {
    Box::new(Blake2b(blake2b_simd::Params::new().hash_length(length_bytes).to_state()))
}

impl Algorithm for Blake2b {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn digest(&self, length: usize) -> Vec<u8> {
        prefix(self.0.finalize().as_bytes(), length)
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}

#[derive(Clone)]
struct Blake2s(blake2s_simd::State);

/// BLAKE2s takes its length into the hash; `length_bytes` is at most 32.
pub(super) fn blake2s(length_bytes: usize) -> Box<dyn Algorithm> {
    Box::new(Blake2s(blake2s_simd::Params::new().hash_length(length_bytes).to_state()))
}

impl Algorithm for Blake2s {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn digest(&self, length: usize) -> Vec<u8> {
        prefix(self.0.finalize().as_bytes(), length)
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}

/// Keeps the data itself, up to one byte more than a digest may have: enough to see that it is
/// too long, whatever arrives.
#[derive(Clone)]
struct Identity(Vec<u8>);

pub(super) fn identity() -> Box<dyn Algorithm> {
    Box::new(Identity(Vec::new()))
}

impl Algorithm for Identity {
    fn update(&mut self, data: &[u8]) {
        let room = (Key::DIGEST_BYTES_MAX + 1).saturating_sub(self.0.len());
        self.0.extend(data.iter().take(room));
    }

    /// All of the data, for an identity digest that is cut short would be another block's.
    fn digest(&self, _length: usize) -> Vec<u8> {
        self.0.clone()
    }

    fn boxed_clone(&self) -> Box<dyn Algorithm> {
        Box::new(self.clone())
    }
}

fn prefix(digest: &[u8], length: usize) -> Vec<u8> {
    digest.get(..length).unwrap_or(digest).to_vec()
}
