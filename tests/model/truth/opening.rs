//! Opening, duplicating and closing.

use std::rc::Rc;

use libc::{EEXIST, ENOENT, EPERM};

use super::judging::{cid, is_temporary};
use super::{Desc, Errno, File, FileId, Meaning, Occasion, Subject, Truth, Writer, WriterId};
use crate::names::{Kind, NameRef};
use crate::op::{Fd, How};

impl Truth {
    pub(super) fn open(&mut self, fd: Fd, name: &NameRef, how: How, mode: u32) -> Result<(), Errno> {
        if let Kind::Never { create, look } = name.kind {
            // R3: refused when the file is created.
            return Err(if how.create { create } else { look });
        }
        let meaning = self.meaning(name);
        if how.create && how.exclusive && !matches!(meaning, Meaning::Nothing) {
            return Err(EEXIST);
        }
        match meaning {
            Meaning::Nothing if !how.create => Err(ENOENT),
            Meaning::Nothing => {
                let id = self.create(name, mode);
                self.open_file(fd, id, how);
                Ok(())
            }
            Meaning::Block(key) if how.write => {
                if how.append {
                    return Err(EPERM);
                }
                let bytes = self.bytes_of(&key);
                let written = if how.truncate { Vec::new() } else { bytes.to_vec() };
                let writer = self.number();
                let state = Writer {
                    bytes: written,
                    expected: Some(Rc::clone(&bytes)),
                    whole: Some(bytes.len()),
                    ..Writer::default()
                };
                self.writers.insert(writer, state);
                let name = name.clone();
                self.insert(fd, Subject::Rewrite { name, key, bytes }, Some(writer), how, false);
                Ok(())
            }
            Meaning::Block(key) => {
                let bytes = self.bytes_of(&key);
                self.insert(fd, Subject::Block { key, bytes }, None, how, false);
                Ok(())
            }
            // R5: opening a staged file for reading is ENOENT.
            Meaning::Staged(_) if !how.write => Err(ENOENT),
            Meaning::Staged(id) | Meaning::Plain(id) => {
                self.open_file(fd, id, how);
                if how.truncate {
                    self.set_length(id, self.desc(fd).writer, 0);
                }
                Ok(())
            }
        }
    }

    fn create(&mut self, name: &NameRef, mode: u32) -> FileId {
        let id = self.number();
        let mut file = File {
            cid: None,
            name: Some(name.clone()),
            stored: false,
            shared: None,
            became: None,
            alias: None,
            before: None,
            size: 0,
            mode,
            mtime: self.now(),
            crowded: false,
        };
        if matches!(name.kind, Kind::Cid { .. }) {
            file.cid = Some(name.clone());
            self.staged.insert(cid(name).0.clone(), id);
        } else {
            let writer = self.number();
            self.writers.insert(writer, Writer::default());
            file.shared = Some(writer);
            self.plain.insert(name.text.clone(), id);
        }
        self.files.insert(id, file);
        id
    }

    fn open_file(&mut self, fd: Fd, id: FileId, how: How) {
        let further = self.files[&id].cid.is_some() && self.writing(id) > 0;
        self.crowd(id);
        let writer = match self.files[&id].shared {
            Some(shared) => {
                // R7: who opens the name for writing may have been told of what is stored.
                if how.write && !self.files[&id].name.as_ref().is_some_and(is_temporary) {
                    self.keep_made(shared);
                }
                shared
            }
            None => {
                let writer = self.number();
                self.writers.insert(writer, Writer::default());
                writer
            }
        };
        self.insert(fd, Subject::File(id), Some(writer), how, further);
    }

    fn insert(&mut self, fd: Fd, subject: Subject, writer: Option<u64>, how: How, further: bool) {
        let id = self.number();
        let desc = Desc {
            subject,
            writer,
            read: how.read,
            write: how.write,
            append: how.append,
            offset: 0,
            references: 1,
            further,
        };
        self.descs.insert(id, desc);
        self.fds.insert(fd, id);
    }

    pub(super) fn dup(&mut self, from: Fd, to: Fd) {
        self.desc_mut(from).references += 1;
        self.fds.insert(to, self.fds[&from]);
    }

    /// R5: the verdict falls when a descriptor is closed.
    pub(super) fn close(&mut self, fd: Fd) -> Result<(), Errno> {
        let result = self.verdict(fd, Occasion::Close);
        let id = self.fds.remove(&fd).unwrap();
        self.unreference(id);
        result
    }

    pub(super) fn verdict(&mut self, fd: Fd, occasion: Occasion) -> Result<(), Errno> {
        let desc = self.desc(fd);
        match desc.writer {
            Some(writer) if desc.write => {
                let subject = desc.subject.clone();
                self.judge(&subject, writer, occasion)
            }
            _ => Ok(()),
        }
    }

    /// A descriptor or mapping less.
    pub(super) fn unreference(&mut self, id: u64) {
        let desc = self.descs.get_mut(&id).unwrap();
        desc.references -= 1;
        if desc.references == 0 {
            self.end(id);
        }
    }

    /// The last descriptor and mapping of what was opened are gone.
    fn end(&mut self, id: u64) {
        let desc = self.descs.remove(&id).unwrap();
        if let (Some(writer), true) = (desc.writer, desc.write)
            && self.writers[&writer].fresh
            && self.writers[&writer].refused.is_none()
        {
            // R5: of a mapping that was written after the last close nobody can be told.
            self.descs.insert(id, desc.clone());
            let _ = self.judge(&desc.subject, writer, Occasion::Close);
            self.descs.remove(&id);
        }
        let Subject::File(file) = desc.subject else {
            if let Some(writer) = desc.writer {
                self.keep_made(writer);
                self.writers.remove(&writer);
            }
            return;
        };
        match self.files[&file].shared {
            Some(writer) => self.end_of_plain(file, writer, desc.write),
            None => {
                let writer = desc.writer.unwrap();
                self.keep_made(writer);
                self.writers.remove(&writer);
                if !self.is_open(file) {
                    self.staged.retain(|_, staged| *staged != file);
                    self.files.remove(&file);
                }
            }
        }
    }

    fn end_of_plain(&mut self, id: FileId, writer: u64, wrote: bool) {
        let last_writer = wrote && self.writing(id) == 0;
        if last_writer {
            let name = self.files[&id].name.clone();
            if !name.as_ref().is_some_and(is_temporary) {
                self.keep_made(writer);
            }
            if let (Some(_), Some(name)) = (self.writers[&writer].refused, name) {
                self.restore(id, writer, &name);
            }
        }
        self.forget_file(id);
    }

    /// R8: a plain name then stands for what it did before, or is gone. Who has it open to read goes on
    /// reading what was written.
    fn restore(&mut self, id: FileId, writer: WriterId, name: &NameRef) {
        let now = self.now();
        let state = self.writer(writer);
        (state.refused, state.fresh, state.wrong) = (None, false, false);
        let file = self.files[&id].clone();
        self.plain.remove(&name.text);
        let left = self.file(id);
        (left.name, left.alias, left.before) = (None, None, None);
        let Some(key) = &file.alias else {
            return;
        };
        let stored = Writer { bytes: self.blocks[key].bytes.to_vec(), ..Writer::default() };
        let (id, writer) = (self.number(), self.number());
        self.writers.insert(writer, stored);
        self.files.insert(id, File { shared: Some(writer), mtime: now, before: None, ..file });
        self.plain.insert(name.text.clone(), id);
    }

    /// A file without a name and without descriptors is no more.
    pub(super) fn forget_file(&mut self, id: FileId) {
        if self.files[&id].name.is_none() && !self.is_open(id) {
            let file = self.files.remove(&id).unwrap();
            if let Some(writer) = file.shared {
                self.writers.remove(&writer);
            }
        }
    }
}
