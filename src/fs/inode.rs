//! Inode numbers and what they stand for.
//!
//! Invariant: two things with different bytes never share a number. Stored blocks have numbers
//! that their keys give (so they are the same after a remount), staged files and aliases have
//! numbers of a reserved range that are never used twice.

use std::collections::HashMap;
use std::sync::Arc;

use super::control::ControlNode;
use super::file::File;
use super::types::{Ino, ROOT};
use crate::block::{CidForm, Key};

/// Numbers of staged files and aliases: from here up.
const FILE_BASE: Ino = 1 << 63;
/// Set in the number of an alias's symbolic link in the control directory.
const LINK_BIT: Ino = 1 << 62;
/// Set in the number of every block.
const BLOCK_BIT: Ino = 1 << 61;
/// The part of a block's number that its key gives.
const BLOCK_MASK: Ino = (1 << 60) - 1;
/// Set in the number of a block whose own number another block has: such numbers last only while
/// the kernel remembers them.
const COLLISION_BIT: Ino = 1 << 60;

/// What an inode number stands for.
#[derive(Debug, Clone)]
pub enum Node {
    /// The root directory.
    Root,
    /// The control directory and what is in it.
    Control(ControlNode),
    /// The symbolic link that shows which block an alias stands for.
    Link(Arc<File>),
    /// A stored block, or an identity CID. The form is that of the spelling last looked up.
    Block { key: Key, form: CidForm },
    /// A staged file or an alias.
    File(Arc<File>),
}

#[derive(Debug)]
struct Known {
    node: Node,
    lookups: u64,
}

/// The number that a key gives by itself, before collisions.
pub fn natural_number(key: &Key) -> u64 {
    let hash = blake3::hash(key.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(hash.as_bytes().split_at(8).0);
    u64::from_be_bytes(first)
}

/// All inodes that the kernel knows.
#[derive(Debug)]
pub struct InodeTable {
    known: HashMap<Ino, Known>,
    /// Blocks that could not have their natural number.
    collided: HashMap<Key, Ino>,
    next_file: Ino,
    next_collision: Ino,
    number: fn(&Key) -> u64,
}

impl InodeTable {
    /// A table in which `number` gives the natural number of a key.
    pub fn new(number: fn(&Key) -> u64) -> Self {
        Self {
            known: HashMap::new(),
            collided: HashMap::new(),
            next_file: FILE_BASE,
            next_collision: BLOCK_BIT | COLLISION_BIT,
            number,
        }
    }

    /// A number for a staged file or alias, never given before.
    pub fn new_file_number(&mut self) -> Ino {
        self.next_file += 1;
        self.next_file
    }

    /// The number of an alias's symbolic link.
    pub fn link_number(file: Ino) -> Ino {
        file | LINK_BIT
    }

    /// The number of a block for a listing. Takes no reference.
    pub fn block_number(&self, key: &Key) -> Ino {
        if let Some(ino) = self.collided.get(key) {
            return *ino;
        }
        BLOCK_BIT | ((self.number)(key) & BLOCK_MASK)
    }

    /// What a number stands for, if the kernel knows it.
    pub fn get(&self, ino: Ino) -> Option<Node> {
        match ino {
            ROOT => Some(Node::Root),
            _ => ControlNode::from_number(ino)
                .map(Node::Control)
                .or_else(|| self.known.get(&ino).map(|known| known.node.clone())),
        }
    }

    /// Notes that the kernel is told of a block once more, and returns its number.
    pub fn remember_block(&mut self, key: &Key, form: CidForm) -> Ino {
        let natural = self.block_number(key);
        let taken = |known: &Known| !matches!(&known.node, Node::Block { key: other, .. } if other == key);
        let ino = if self.known.get(&natural).is_some_and(taken) {
            self.next_collision += 1;
            self.collided.insert(key.clone(), self.next_collision);
            self.next_collision
        } else {
            natural
        };
        let known = self
            .known
            .entry(ino)
            .or_insert_with(|| Known { node: Node::Block { key: key.clone(), form }, lookups: 0 });
        if form != CidForm::Unknown {
            known.node = Node::Block { key: key.clone(), form };
        }
        known.lookups += 1;
        ino
    }

    /// Notes that the kernel is told of a file, or of an alias's link, once more.
    pub fn remember(&mut self, ino: Ino, node: Node) {
        let known = self.known.entry(ino).or_insert_with(|| Known { node, lookups: 0 });
        known.lookups += 1;
    }

    /// The kernel has forgotten `lookups` of what it was told of this number.
    pub fn forget(&mut self, ino: Ino, lookups: u64) {
        let Some(known) = self.known.get_mut(&ino) else {
            return;
        };
        known.lookups = known.lookups.saturating_sub(lookups);
        if known.lookups == 0
            && let Some(Known { node: Node::Block { key, .. }, .. }) = self.known.remove(&ino)
        {
            self.collided.remove(&key);
        }
    }

    /// How many inodes the kernel holds on to.
    pub fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        Key::new(0x12, &[n; 32]).unwrap()
    }

    fn same_block(node: Option<Node>, wanted: &Key) -> bool {
        matches!(node, Some(Node::Block { key, .. }) if key == *wanted)
    }

    #[test]
    fn a_block_has_the_same_number_every_time() {
        let mut table = InodeTable::new(natural_number);
        let first = table.remember_block(&key(1), CidForm::Unknown);
        table.forget(first, 1);
        assert_eq!(table.len(), 0);
        let mut other_mount = InodeTable::new(natural_number);
        other_mount.remember_block(&key(9), CidForm::Unknown);
        assert_eq!(other_mount.remember_block(&key(1), CidForm::Unknown), first);
        assert_eq!(table.block_number(&key(1)), first);
    }

    #[test]
    fn blocks_whose_numbers_collide_are_told_apart() {
        let mut table = InodeTable::new(|_| 42);
        let one = table.remember_block(&key(1), CidForm::Unknown);
        let two = table.remember_block(&key(2), CidForm::Unknown);
        let three = table.remember_block(&key(3), CidForm::Unknown);
        assert!(one != two && two != three && one != three);
        assert!(same_block(table.get(one), &key(1)));
        assert!(same_block(table.get(two), &key(2)));
        assert!(same_block(table.get(three), &key(3)));
        assert_eq!(table.remember_block(&key(2), CidForm::Unknown), two, "stable while known");
        table.forget(two, 2);
        assert!(table.get(two).is_none());
        assert!(same_block(table.get(one), &key(1)));
    }

    #[test]
    fn ranges_do_not_meet() {
        let mut table = InodeTable::new(|_| u64::MAX);
        let block = table.remember_block(&key(1), CidForm::Unknown);
        let collided = table.remember_block(&key(2), CidForm::Unknown);
        let file = table.new_file_number();
        let link = InodeTable::link_number(file);
        let numbers = [ROOT, block, collided, file, link];
        for (index, number) in numbers.iter().enumerate() {
            assert!(!numbers[..index].contains(number), "{number:x}");
        }
        assert!((BLOCK_BIT..BLOCK_BIT | COLLISION_BIT).contains(&block));
        assert!(file & FILE_BASE != 0 && link & (FILE_BASE | LINK_BIT) == FILE_BASE | LINK_BIT);
    }
}
