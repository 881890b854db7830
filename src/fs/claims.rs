//! Which writers may take back a block that they made.
//!
//! A handle that commits a prefix at an early close and then longer bytes should not leave the
//! prefix behind. Invariant: a block is taken back only if its writer made it and nobody else has
//! stored, or begun to store, the same block since.

use std::collections::HashMap;

use super::writer::WriterId;
use crate::block::Key;
use crate::blockstore::Stored;

/// The claims of one mount.
#[derive(Debug, Default)]
pub struct Claims {
    owners: HashMap<Key, WriterId>,
    in_flight: HashMap<Key, u32>,
}

impl Claims {
    /// A writer is about to store a block; another's claim to it ends.
    pub fn begin(&mut self, key: &Key, writer: WriterId) {
        if self.owners.get(key).is_some_and(|owner| *owner != writer) {
            self.owners.remove(key);
        }
        *self.in_flight.entry(key.clone()).or_default() += 1;
    }

    /// The store has answered. Says whether the writer now has a claim.
    pub fn finish(&mut self, key: &Key, writer: WriterId, stored: Option<Stored>) -> bool {
        let alone = match self.in_flight.get_mut(key) {
            Some(count) if *count > 1 => {
                *count -= 1;
                false
            }
            _ => {
                self.in_flight.remove(key);
                true
            }
        };
        if stored == Some(Stored::New) && alone {
            self.owners.insert(key.clone(), writer);
        }
        self.owners.get(key) == Some(&writer)
    }

    /// Ends a claim for the block's good; says whether the writer had it, and so may remove the
    /// block.
    pub fn give_up(&mut self, key: &Key, writer: WriterId) -> bool {
        if self.owners.get(key) == Some(&writer) {
            self.owners.remove(key);
            return !self.in_flight.contains_key(key);
        }
        false
    }

    /// The block has been removed by its name.
    pub fn removed(&mut self, key: &Key) {
        self.owners.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new(0x12, &[1; 32]).unwrap()
    }

    #[test]
    fn a_writer_may_take_back_what_it_made() {
        let mut claims = Claims::default();
        claims.begin(&key(), 1);
        assert!(claims.finish(&key(), 1, Some(Stored::New)));
        assert!(!claims.give_up(&key(), 2));
        assert!(claims.give_up(&key(), 1));
        assert!(!claims.give_up(&key(), 1), "only once");
    }

    #[test]
    fn what_was_there_before_is_nobodys() {
        let mut claims = Claims::default();
        claims.begin(&key(), 1);
        assert!(!claims.finish(&key(), 1, Some(Stored::Already)));
        claims.begin(&key(), 1);
        assert!(!claims.finish(&key(), 1, None));
        assert!(!claims.give_up(&key(), 1));
    }

    #[test]
    fn another_writer_of_the_same_block_ends_the_claim() {
        let mut claims = Claims::default();
        claims.begin(&key(), 1);
        assert!(claims.finish(&key(), 1, Some(Stored::New)));
        claims.begin(&key(), 2);
        assert!(!claims.give_up(&key(), 1));
        claims.finish(&key(), 2, Some(Stored::Already));

        let mut together = Claims::default();
        together.begin(&key(), 1);
        together.begin(&key(), 2);
        assert!(!together.finish(&key(), 1, Some(Stored::New)), "2 has begun too");
        assert!(!together.finish(&key(), 2, Some(Stored::Already)));
        assert!(!together.give_up(&key(), 1));
    }
}
