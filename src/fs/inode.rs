//! Inode numbers and what they stand for.
//!
//! Invariant: two things with different bytes never share a number. Stored blocks have numbers
//! that their keys give (so they are the same after a remount), staged files and aliases have
//! numbers of a reserved range that are never used twice. A block gets another number where the
//! kernel must not mix handles: what it caches of an inode it gives to all of them.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
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

/// Most blocks that are remembered because somebody is about to open them again.
const AWAITED_MAX: usize = 64;

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
    Block { key: Key, form: CidForm, standing: Standing, access: Access },
    /// A staged file or an alias.
    File(Arc<File>),
}

/// Who uses the inode of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Everybody.
    Current,
    /// Those who have it open: others get another inode.
    Retired,
}

/// How new opens of a block are served; of a retired inode, how its successor will serve them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// In whichever way is fastest.
    Any,
    /// By this program alone: the kernel may not use the block's file itself.
    ThroughMount,
}

/// By how many names the kernel may know a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    None,
    One(u64),
    Many,
}

#[derive(Debug)]
struct Known {
    node: Node,
    lookups: u64,
    names: Names,
}

impl Known {
    fn block(key: &Key, access: Access) -> Self {
        let (key, form, standing) = (key.clone(), CidForm::Unknown, Standing::Current);
        let node = Node::Block { key, form, standing, access };
        Self { node, lookups: 0, names: Names::None }
    }

    /// Whether this is the inode of the block for new opens.
    fn is_current(&self, wanted: &Key) -> bool {
        match &self.node {
            Node::Block { key, standing, .. } => key == wanted && *standing == Standing::Current,
            _ => false,
        }
    }

    /// How an inode is to serve that takes the place of this one.
    fn access_after(&self, wanted: &Key) -> Access {
        match &self.node {
            Node::Block { key, access, .. } if key == wanted => *access,
            _ => Access::Any,
        }
    }
}

/// Spreads small numbers over all bits (2^64 divided by the golden ratio).
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number that a key gives by itself, before collisions.
pub fn natural_number(key: &Key) -> u64 {
    match key.digest().first_chunk() {
        // The digest of an identity CID is whatever somebody wrote into it. The others are as good as
        // random; blocks with the same one differ in the function or in the length.
        Some(first) if !key.is_identity() => {
            let kind = key.code().rotate_left(8) ^ key.digest().len() as u64;
            u64::from_be_bytes(*first) ^ kind.wrapping_mul(ODD)
        }
        _ => {
            let mut first = [0; 8];
            first.copy_from_slice(blake3::hash(key.as_bytes()).as_bytes().split_at(8).0);
            u64::from_be_bytes(first)
        }
    }
}

/// All inodes that the kernel knows.
#[derive(Debug)]
pub struct InodeTable {
    known: HashMap<Ino, Known>,
    /// Blocks that could not have their natural number.
    collided: HashMap<Key, Ino>,
    /// Blocks that somebody was told to look up again, to open them through the mount. The kernel
    /// may have forgotten every inode of such a block before it does.
    awaited: HashSet<Key>,
    next_file: Ino,
    next_collision: Ino,
    number: fn(&Key) -> u64,
    name_hasher: RandomState,
}

impl InodeTable {
    /// A table in which `number` gives the natural number of a key.
    pub fn new(number: fn(&Key) -> u64) -> Self {
        Self {
            known: HashMap::new(),
            collided: HashMap::new(),
            awaited: HashSet::new(),
            next_file: FILE_BASE,
            next_collision: BLOCK_BIT | COLLISION_BIT,
            number,
            name_hasher: RandomState::new(),
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

    /// Notes that the kernel is told of a block by a name once more, and returns its number.
    pub fn remember_block(&mut self, key: &Key, form: CidForm, name: &OsStr) -> Ino {
        let natural = self.block_number(key);
        let (ino, access) = match self.known.get(&natural) {
            Some(known) if !known.is_current(key) => {
                let access = known.access_after(key);
                self.next_collision += 1;
                self.collided.insert(key.clone(), self.next_collision);
                (self.next_collision, access)
            }
            _ => (natural, Access::Any),
        };
        let access = if self.awaited.contains(key) { Access::ThroughMount } else { access };
        let name = self.name_hasher.hash_one(name);
        let known = self.known.entry(ino).or_insert_with(|| Known::block(key, access));
        if let Node::Block { form: known_form, .. } = &mut known.node
            && form != CidForm::Unknown
        {
            *known_form = form;
        }
        known.names = match known.names {
            Names::None => Names::One(name),
            Names::One(other) if other == name => Names::One(name),
            Names::One(_) | Names::Many => Names::Many,
        };
        known.lookups += 1;
        ino
    }

    /// Lets a block that the kernel knows have another inode from now on; who has the present one
    /// open keeps it. Returns the number of that.
    pub fn retire(&mut self, key: &Key, next: Access) -> Option<Ino> {
        let ino = self.block_number(key);
        let known = self.known.get_mut(&ino).filter(|known| known.is_current(key))?;
        if let Node::Block { standing, access, .. } = &mut known.node {
            (*standing, *access) = (Standing::Retired, next);
        }
        if next == Access::ThroughMount {
            if self.awaited.len() >= AWAITED_MAX {
                // Of those who never came back.
                self.awaited.clear();
            }
            self.awaited.insert(key.clone());
        }
        Some(ino)
    }

    /// Who was told to look a block up again has opened it through the mount.
    pub fn came_back(&mut self, key: &Key) {
        self.awaited.remove(key);
    }

    /// The kernel has dropped a name of a block.
    pub fn name_removed(&mut self, key: &Key, name: &OsStr) {
        let name = self.name_hasher.hash_one(name);
        let ino = self.block_number(key);
        if let Some(known) = self.known.get_mut(&ino).filter(|known| known.is_current(key))
            && known.names == Names::One(name)
        {
            known.names = Names::None;
        }
    }

    /// Whether no name leads the kernel to this inode: only open files do.
    pub fn is_nameless(&self, ino: Ino) -> bool {
        self.known.get(&ino).is_some_and(|known| known.names == Names::None)
    }

    /// Notes that the kernel is told of a file, or of an alias's link, once more.
    pub fn remember(&mut self, ino: Ino, node: Node) {
        let known = self.known.entry(ino).or_insert_with(|| Known { node, lookups: 0, names: Names::Many });
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
            && self.collided.get(&key) == Some(&ino)
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
        let first = table.remember_block(&key(1), CidForm::Unknown, OsStr::new("name"));
        table.forget(first, 1);
        assert_eq!(table.len(), 0);
        let mut other_mount = InodeTable::new(natural_number);
        other_mount.remember_block(&key(9), CidForm::Unknown, OsStr::new("name"));
        assert_eq!(other_mount.remember_block(&key(1), CidForm::Unknown, OsStr::new("name")), first);
        assert_eq!(table.block_number(&key(1)), first);
    }

    #[test]
    fn blocks_whose_numbers_collide_are_told_apart() {
        let mut table = InodeTable::new(|_| 42);
        let one = table.remember_block(&key(1), CidForm::Unknown, OsStr::new("name"));
        let two = table.remember_block(&key(2), CidForm::Unknown, OsStr::new("name"));
        let three = table.remember_block(&key(3), CidForm::Unknown, OsStr::new("name"));
        assert!(one != two && two != three && one != three);
        assert!(same_block(table.get(one), &key(1)));
        assert!(same_block(table.get(two), &key(2)));
        assert!(same_block(table.get(three), &key(3)));
        assert_eq!(
            table.remember_block(&key(2), CidForm::Unknown, OsStr::new("name")),
            two,
            "stable while known"
        );
        table.forget(two, 2);
        assert!(table.get(two).is_none());
        assert!(same_block(table.get(one), &key(1)));
    }

    fn access(table: &InodeTable, ino: Ino) -> (Standing, Access) {
        match table.get(ino) {
            Some(Node::Block { standing, access, .. }) => (standing, access),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_retired_inode_stays_with_its_readers_and_others_get_a_new_one() {
        let mut table = InodeTable::new(natural_number);
        let name = OsStr::new("name");
        assert_eq!(table.retire(&key(1), Access::Any), None, "the kernel does not know it");
        let old = table.remember_block(&key(1), CidForm::RAW_V1, name);
        assert_eq!(access(&table, old), (Standing::Current, Access::Any));
        assert_eq!(table.retire(&key(1), Access::ThroughMount), Some(old));
        let new = table.remember_block(&key(1), CidForm::RAW_V1, name);
        assert_ne!(new, old);
        assert_eq!(access(&table, old).0, Standing::Retired);
        assert_eq!(access(&table, new), (Standing::Current, Access::ThroughMount));
        // The kernel may look the name up, drop what it finds, and look again.
        table.forget(new, 1);
        table.forget(old, 1);
        let sole = table.remember_block(&key(1), CidForm::RAW_V1, name);
        assert_eq!(access(&table, sole), (Standing::Current, Access::ThroughMount), "all were forgotten");
        table.came_back(&key(1));
        table.forget(sole, 1);
        let old = table.remember_block(&key(1), CidForm::RAW_V1, name);
        assert_eq!(access(&table, old), (Standing::Current, Access::Any));
        table.retire(&key(1), Access::ThroughMount);
        table.came_back(&key(1));
        let new = table.remember_block(&key(1), CidForm::RAW_V1, name);
        assert_eq!(access(&table, new), (Standing::Current, Access::ThroughMount));

        assert_eq!(table.retire(&key(1), Access::Any), Some(new));
        let newest = table.remember_block(&key(1), CidForm::RAW_V1, name);
        assert_eq!(access(&table, newest), (Standing::Current, Access::Any));
        table.forget(new, 1);
        assert_eq!(table.remember_block(&key(1), CidForm::RAW_V1, name), newest);
        table.forget(newest, 2);
        assert_ne!(table.remember_block(&key(1), CidForm::RAW_V1, name), old, "while it is known");
        table.forget(table.block_number(&key(1)), 1);
        table.forget(old, 1);
        assert_eq!(table.remember_block(&key(1), CidForm::RAW_V1, name), old);
        assert_eq!((table.len(), access(&table, old)), (1, (Standing::Current, Access::Any)));
    }

    #[test]
    fn a_block_is_nameless_once_its_only_name_is_removed() {
        let mut table = InodeTable::new(natural_number);
        let (one, two) = (OsStr::new("one"), OsStr::new("two"));
        let ino = table.remember_block(&key(1), CidForm::Unknown, one);
        table.remember_block(&key(1), CidForm::Unknown, one);
        assert!(!table.is_nameless(ino));
        table.name_removed(&key(1), two);
        assert!(!table.is_nameless(ino));
        table.name_removed(&key(1), one);
        assert!(table.is_nameless(ino));
        table.remember_block(&key(1), CidForm::Unknown, one);
        table.remember_block(&key(1), CidForm::Unknown, two);
        table.name_removed(&key(1), one);
        assert!(!table.is_nameless(ino), "the other name may be anywhere");
    }

    #[test]
    fn ranges_do_not_meet() {
        let mut table = InodeTable::new(|_| u64::MAX);
        let block = table.remember_block(&key(1), CidForm::Unknown, OsStr::new("name"));
        let collided = table.remember_block(&key(2), CidForm::Unknown, OsStr::new("name"));
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
