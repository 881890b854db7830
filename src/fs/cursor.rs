//! Directory listings that resume.
//!
//! A cookie is the position of a block in the backend's own order plus a constant: the same after a
//! remount, and nothing is kept open. Invariant: a block that is there from opendir to the end is
//! emitted exactly once. Blocks that share a position are told apart by cookies of the handle.

use std::ffi::OsString;

use super::control::ControlNode;
use super::core::Shared;
use super::handle::Open;
use super::inode::InodeTable;
use super::types::{DirEntry, Entry, Handle, Ino, Kind, ROOT};
use crate::block::{Key, canonical};
use crate::datastore::{ListedKey, Position};
use crate::{Error, Result};

/// Keys fetched at once.
const PAGE_KEYS: usize = 1024;
/// Cookie of a block at position 0; smaller ones are `.` and `..`.
const COOKIE_BASE: u64 = 16;
/// Cookies from here up name an entry of the handle's own list of shared positions.
const COOKIE_SHARED: u64 = (1 << 62) + (1 << 61);

/// Where an open directory stands.
#[derive(Debug, Default)]
pub struct Cursor {
    page: Vec<ListedKey>,
    next: usize,
    /// The cookie at which `page[next]` continues.
    at: u64,
    /// Blocks that were emitted before the last of their position; cookies count from
    /// [`COOKIE_SHARED`].
    shared: Vec<Key>,
    /// The names of a directory that is listed from a copy.
    names: Option<Vec<DirEntry>>,
}

/// Takes an entry (with attributes where the kernel wants them); `false` if it has no room.
pub type Sink<'a> = dyn FnMut(&DirEntry, Option<&Entry>) -> bool + 'a;

impl Shared {
    /// Emits entries behind a cookie until the sink is full.
    pub(super) fn readdir(
        &self,
        handle: Handle,
        cookie: u64,
        attributes: bool,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        let open = self.handles.get(handle)?;
        let Open::Directory(ino, cursor) = &*open else {
            return Err(Error::InvalidRequest { what: "this is not a directory" });
        };
        let mut cursor = cursor.lock();
        if *ino == ROOT {
            return self.read_root(&mut cursor, cookie, attributes, sink);
        }
        if cookie == 0 || cursor.names.is_none() {
            cursor.names = Some(self.control_names(*ino));
        }
        for entry in cursor.names.iter().flatten().filter(|entry| entry.cookie > cookie) {
            let told = if attributes { Some(self.control_attr(entry)) } else { None };
            if !sink(entry, told.as_ref()) {
                break;
            }
        }
        Ok(())
    }

    fn read_root(
        &self,
        cursor: &mut Cursor,
        cookie: u64,
        attributes: bool,
        sink: &mut Sink<'_>,
    ) -> Result<()> {
        if cookie == 0 {
            *cursor = Cursor::default();
        }
        for dots in dots(ROOT, ROOT).iter().filter(|dots| dots.cookie > cookie) {
            let entry = attributes.then(|| self.root_entry());
            if !sink(dots, entry.as_ref()) {
                return Ok(());
            }
        }
        let cookie = cookie.max(2);
        if cookie != cursor.at || cursor.next >= cursor.page.len() {
            self.fetch(cursor, cookie)?;
        }
        loop {
            if cursor.next >= cursor.page.len() {
                if cursor.page.is_empty() {
                    return Ok(());
                }
                self.fetch(cursor, cursor.at)?;
                continue;
            }
            if !self.emit(cursor, attributes, sink)? {
                return Ok(());
            }
        }
    }

    /// Emits the next block of the page; `false` if the sink has no room.
    fn emit(&self, cursor: &mut Cursor, attributes: bool, sink: &mut Sink<'_>) -> Result<bool> {
        let Some(listed) = cursor.page.get(cursor.next) else {
            return Ok(false);
        };
        let position = self.store.position(&listed.key);
        let following = cursor.page.get(cursor.next + 1).map(|next| self.store.position(&next.key));
        let shares = following == Some(position);
        let cookie = if shares { COOKIE_SHARED + cursor.shared.len() as u64 } else { COOKIE_BASE + position };
        let attr = if attributes { self.block_attr(&listed.key)? } else { None };
        if attributes && attr.is_none() {
            // Removed since the page was fetched.
            cursor.next += 1;
            return Ok(true);
        }
        let ino = self.inodes.lock().block_number(&listed.key);
        let entry = DirEntry { ino, cookie, kind: Kind::File, name: name(listed) };
        let told = attr.map(|attr| self.block_entry(&listed.key, listed.cid_form, &entry.name, attr));
        if !sink(&entry, told.as_ref()) {
            if let Some(told) = told {
                self.inodes.lock().forget(told.attr.ino, 1);
            }
            return Ok(false);
        }
        if shares {
            cursor.shared.push(listed.key.clone());
        }
        cursor.next += 1;
        cursor.at = cookie;
        Ok(true)
    }

    /// Fetches the page behind a cookie.
    fn fetch(&self, cursor: &mut Cursor, cookie: u64) -> Result<()> {
        let within = cookie
            .checked_sub(COOKIE_SHARED)
            .and_then(|slot| cursor.shared.get(usize::try_from(slot).ok()?))
            .cloned();
        let after: Option<Position> = match &within {
            Some(key) => self.store.position(key).checked_sub(1),
            None => cookie.checked_sub(COOKIE_BASE),
        };
        cursor.page = self.store.list(after, PAGE_KEYS)?;
        cursor.at = cookie;
        cursor.next = 0;
        if let Some(last) = within {
            let position = self.store.position(&last);
            let seen =
                |listed: &&ListedKey| self.store.position(&listed.key) == position && listed.key <= last;
            cursor.next = cursor.page.iter().take_while(seen).count();
        }
        Ok(())
    }

    fn control_names(&self, ino: Ino) -> Vec<DirEntry> {
        let mut entries = dots(ino, ROOT);
        if ControlNode::from_number(ino) == Some(ControlNode::Names) {
            let tables = self.tables.lock();
            let aliases = tables.names.iter().filter(|(_, file)| file.state.lock().alias_of.is_some());
            entries.extend(aliases.zip(COOKIE_BASE..).map(|((name, file), cookie)| DirEntry {
                ino: InodeTable::link_number(file.ino),
                cookie,
                kind: Kind::Symlink,
                name: name.clone(),
            }));
        } else {
            entries.extend(ControlNode::CHILDREN.iter().zip(COOKIE_BASE..).map(|((node, name), cookie)| {
                DirEntry { ino: node.number(), cookie, kind: node.kind(), name: OsString::from(name) }
            }));
        }
        entries
    }

    /// The attributes of an entry of a control directory, as a lookup would tell them.
    fn control_attr(&self, entry: &DirEntry) -> Entry {
        match ControlNode::from_number(entry.ino) {
            Some(node) => self.control_entry(node),
            None if entry.ino == ROOT => self.root_entry(),
            None => {
                let link = self.lookup(ControlNode::Names.number(), &entry.name);
                link.unwrap_or_else(|_| self.control_entry(ControlNode::Names))
            }
        }
    }
}

fn dots(ino: Ino, parent: Ino) -> Vec<DirEntry> {
    let entry = |ino, cookie, name: &str| DirEntry { ino, cookie, kind: Kind::Directory, name: name.into() };
    vec![entry(ino, 1, "."), entry(parent, 2, "..")]
}

fn name(listed: &ListedKey) -> OsString {
    canonical(&listed.key, listed.cid_form).into()
}
