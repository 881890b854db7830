//! Hashing bytes into digests and keys, as they arrive or at once.
//!
//! Invariant: a [`Hasher`] exists only for an allowed function with an allowed digest length.

use std::fmt;

use super::Key;
use super::algorithm::Algorithm;
use super::policy::{HashFunction, IDENTITY_TOO_LONG, allowed};
use crate::{Error, Result};

/// An allowed hash function in the middle of its work.
pub struct Hasher {
    function: &'static HashFunction,
    digest_len: usize,
    state: Box<dyn Algorithm>,
}

impl Hasher {
    /// Starts hashing.
    ///
    /// # Errors
    ///
    /// Those of [`check_allowed`](super::check_allowed).
    pub fn new(code: u64, digest_len: usize) -> Result<Self> {
        let function = allowed(code, digest_len)?;
        Ok(Self { function, digest_len, state: function.start() })
    }

    /// The multicodec code of the function.
    pub fn code(&self) -> u64 {
        self.function.code
    }

    /// Takes the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        self.state.update(data);
    }

    /// The digest of the bytes so far, which leaves the state ready for more.
    ///
    /// It has the length that was asked for, except with identity: that digest is all of the
    /// bytes, or the first 129 of them where they are too many for any identity CID.
    pub fn digest(&self) -> Vec<u8> {
        self.state.digest(self.digest_len)
    }

    /// The key of the bytes so far, with a digest of another length than was asked for at first.
    pub(super) fn key(&self, digest_len: usize) -> Result<Key> {
        key_of_digest(self.code(), &self.state.digest(digest_len))
    }

    /// Forgets all bytes.
    pub(super) fn restart(&mut self) {
        self.state = self.function.start();
    }
}

impl Clone for Hasher {
    fn clone(&self) -> Self {
        Self { function: self.function, digest_len: self.digest_len, state: self.state.boxed_clone() }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("function", &self.function.name)
            .field("digest_len", &self.digest_len)
            .finish_non_exhaustive()
    }
}

/// The digest of `data`. With identity it is the data, whatever `digest_len` says.
///
/// # Errors
///
/// Those of [`check_allowed`](super::check_allowed), and [`Error::HashRefused`] for more data
/// than an identity CID can hold.
pub fn digest_of(code: u64, digest_len: usize, data: &[u8]) -> Result<Vec<u8>> {
    let mut hasher = Hasher::new(code, digest_len)?;
    hasher.update(data);
    let digest = hasher.digest();
    if digest.len() > Key::DIGEST_BYTES_MAX {
        return Err(Error::HashRefused { code, why: IDENTITY_TOO_LONG });
    }
    Ok(digest)
}

/// The key of `data`; errors are those of [`digest_of`].
pub(super) fn key_of(code: u64, digest_len: usize, data: &[u8]) -> Result<Key> {
    key_of_digest(code, &digest_of(code, digest_len, data)?)
}

fn key_of_digest(code: u64, digest: &[u8]) -> Result<Key> {
    Key::new(code, digest).ok_or(Error::HashRefused { code, why: IDENTITY_TOO_LONG })
}
