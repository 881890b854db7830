//! Mappings.

use libc::{EACCES, ENODEV};

use super::{Errno, Occasion, Subject, Truth};
use crate::op::{Fd, MapEnd, Slot};

impl Truth {
    /// What msync or close says, if the mapping can be made.
    pub(super) fn map_write(&mut self, fd: Fd, at: usize, data: &[u8], end: MapEnd) -> Result<(), Errno> {
        let id = self.fds[&fd];
        let desc = self.descs[&id].clone();
        if !desc.read || !desc.write {
            return Err(EACCES);
        }
        if desc.further || !matches!(desc.subject, Subject::File(_)) {
            // R6: a shared writable mapping of a stored block is ENODEV.
            return Err(ENODEV);
        }
        self.descs.get_mut(&id).unwrap().references += 1;
        let result = match end {
            MapEnd::Sync => {
                self.put_mapped(id, at, data);
                self.verdict(fd, Occasion::Fsync)
            }
            MapEnd::Unmap => {
                self.put_mapped(id, at, data);
                Ok(())
            }
            MapEnd::CloseUnmap => {
                self.put_mapped(id, at, data);
                self.close(fd)
            }
            MapEnd::CloseFirst => {
                let closed = self.close(fd);
                self.put_mapped(id, at, data);
                closed
            }
        };
        self.unreference(id);
        result
    }

    fn put_mapped(&mut self, id: u64, at: usize, data: &[u8]) {
        let (subject, writer) = (self.descs[&id].subject.clone(), self.descs[&id].writer.unwrap());
        // It is inside of the file, so it cannot be refused.
        self.put_bytes(writer, at as u64, data).unwrap();
        self.touch(&subject, writer);
    }

    /// What a private mapping shows in which bytes were changed. The file is as it was.
    pub(super) fn map_private(&self, fd: Fd, at: usize, data: &[u8]) -> Result<Vec<u8>, Errno> {
        let desc = self.desc(fd);
        if !desc.read {
            return Err(EACCES);
        }
        let mut seen = self.content(desc).to_vec();
        seen[at..at + data.len()].copy_from_slice(data);
        Ok(seen)
    }

    pub(super) fn hold(&mut self, fd: Fd, slot: Slot) {
        self.desc_mut(fd).references += 1;
        self.maps.insert(slot, self.fds[&fd]);
    }

    pub(super) fn look(&self, slot: Slot) -> Vec<u8> {
        self.content(&self.descs[&self.maps[&slot]]).to_vec()
    }

    pub(super) fn unmap(&mut self, slot: Slot) {
        let id = self.maps.remove(&slot).unwrap();
        self.unreference(id);
    }
}
