//! Reading, writing, seeking, and changing lengths.

use libc::{EBADF, EBADMSG, EFBIG, EINVAL, ENOENT, ENXIO, EPERM};

use super::{Errno, FileId, Meaning, Occasion, Subject, Truth, WriterId};
use crate::names::{Kind, NameRef};
use crate::op::{Fd, Whence};

/// The size of the kernel's pages, in bytes.
const PAGE: u64 = 4096;

impl Truth {
    pub(super) fn read(&mut self, fd: Fd, length: usize) -> Result<Vec<u8>, Errno> {
        let at = self.desc(fd).offset;
        let read = self.pread(fd, at, length)?;
        self.desc_mut(fd).offset += read.len() as u64;
        Ok(read)
    }

    pub(super) fn pread(&self, fd: Fd, at: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let desc = self.desc(fd);
        if !desc.read {
            return Err(EBADF);
        }
        let content = self.content(desc);
        let start = (at as usize).min(content.len());
        Ok(content[start..(start + length).min(content.len())].to_vec())
    }

    pub(super) fn write(&mut self, fd: Fd, data: &[u8]) -> Result<u64, Errno> {
        let at = self.desc(fd).offset;
        let (at, count) = self.write_at(fd, at, data)?;
        self.desc_mut(fd).offset = at + count;
        Ok(count)
    }

    pub(super) fn pwrite(&mut self, fd: Fd, at: u64, data: &[u8]) -> Result<u64, Errno> {
        self.write_at(fd, at, data).map(|(_, count)| count)
    }

    /// Says where it wrote, which with O_APPEND is not where it was meant to, and how much.
    fn write_at(&mut self, fd: Fd, at: u64, data: &[u8]) -> Result<(u64, u64), Errno> {
        let desc = self.desc(fd);
        if !desc.write {
            return Err(EBADF);
        }
        let at = if desc.append { self.size(desc) } else { at };
        if data.is_empty() {
            return Ok((at, 0));
        }
        let (subject, writer) = (desc.subject.clone(), desc.writer.unwrap());
        let fitting = self.fitting(&subject, at, data);
        self.put_bytes(writer, at, fitting)?;
        self.touch(&subject, writer);
        if fitting.len() < data.len() {
            // R8: the rest was refused. That an earlier part was taken is all that write(2) can say.
            self.writer(writer).refused = Some(EFBIG);
        }
        Ok((at, fitting.len() as u64))
    }

    /// The part of a write that the kernel gave to the mount before one that was beyond the limit: it
    /// may end a request where a page ends.
    fn fitting<'a>(&self, subject: &Subject, at: u64, data: &'a [u8]) -> &'a [u8] {
        let is_short = |count: &u64| {
            let end = at + count;
            matches!(subject, Subject::File(_)) && end.is_multiple_of(PAGE) && !Self::is_too_long(end)
        };
        let too_long = Self::is_too_long(at + data.len() as u64);
        match self.counted.filter(is_short) {
            Some(count) if too_long => &data[..(count as usize).min(data.len())],
            _ => data,
        }
    }

    pub(super) fn put_bytes(&mut self, writer: WriterId, at: u64, data: &[u8]) -> Result<(), Errno> {
        let end = at + data.len() as u64;
        let state = self.writer(writer);
        if Self::is_too_long(end) {
            // R8: EFBIG at once; the writer stores nothing from then on.
            state.refused = Some(EFBIG);
            return Err(EFBIG);
        }
        let (at, end) = (at as usize, end as usize);
        if state.whole.is_some_and(|whole| end > whole) {
            // R6: bytes behind the block differ from it, also behind a gap.
            state.refused = Some(EBADMSG);
            return Err(EBADMSG);
        }
        if let Some(expected) = &state.expected {
            if at > state.bytes.len() {
                // R6: behind a gap, the verdict has to wait for the close.
                state.expected = None;
            } else if expected.get(at..end) != Some(data) {
                // R6: different bytes are EBADMSG at the first write that differs.
                state.refused = Some(EBADMSG);
                return Err(EBADMSG);
            }
        }
        if state.bytes.len() < end {
            state.bytes.resize(end, 0);
        }
        state.bytes[at..end].copy_from_slice(data);
        state.fresh = true;
        Ok(())
    }

    /// A file's bytes have changed now.
    pub(super) fn touch(&mut self, subject: &Subject, writer: WriterId) {
        if let Subject::File(id) = subject {
            let (size, now) = (self.writers[&writer].bytes.len() as u64, self.now());
            let file = self.file(*id);
            (file.size, file.mtime) = (size, now);
        }
    }

    pub(super) fn seek(&mut self, fd: Fd, at: i64, whence: Whence) -> Result<u64, Errno> {
        let desc = self.desc(fd);
        let size = self.size(desc) as i64;
        let to = match whence {
            Whence::Set => at,
            Whence::Current => desc.offset as i64 + at,
            Whence::End => size + at,
            Whence::Data | Whence::Hole if !(0..size).contains(&at) => return Err(ENXIO),
            Whence::Data => at,
            Whence::Hole => size,
        };
        if to < 0 {
            return Err(EINVAL);
        }
        self.desc_mut(fd).offset = to as u64;
        Ok(to as u64)
    }

    pub(super) fn ftruncate(&mut self, fd: Fd, length: u64) -> Result<(), Errno> {
        let desc = self.desc(fd);
        if !desc.write {
            return Err(EINVAL);
        }
        match desc.subject.clone() {
            Subject::Block { bytes, .. } | Subject::Rewrite { bytes, .. } => keep_length(&bytes, length),
            Subject::File(id) => {
                let writer = desc.writer.unwrap();
                if Self::is_too_long(length) {
                    self.writer(writer).refused = Some(EFBIG);
                    return Err(EFBIG);
                }
                self.set_length(id, Some(writer), length);
                Ok(())
            }
        }
    }

    /// Of a file that may have this length.
    pub(super) fn set_length(&mut self, id: FileId, writer: Option<WriterId>, length: u64) {
        let writer = writer.unwrap();
        let state = self.writer(writer);
        let shrunk = (length as usize) < state.bytes.len();
        if length == 0 {
            // R8: a file that was cut to nothing is a new file.
            (state.refused, state.fresh, state.judged, state.wrong) = (None, false, false, false);
        } else if length as usize != state.bytes.len() {
            state.fresh = true;
        }
        state.bytes.resize(length as usize, 0);
        self.touch(&Subject::File(id), writer);
        let file = self.file(id);
        if shrunk && length == 0 && file.shared.is_some() {
            (file.alias, file.before) = (None, None);
        }
    }

    pub(super) fn truncate(&mut self, name: &NameRef, length: u64) -> Result<(), Errno> {
        let id = match self.meaning(name) {
            Meaning::Block(key) => return keep_length(&self.bytes_of(&key), length),
            Meaning::Nothing => return Err(absent(name)),
            Meaning::Staged(id) | Meaning::Plain(id) => id,
        };
        let writer = self.files[&id].shared.or_else(|| self.newest_writer(id)).unwrap();
        if Self::is_too_long(length) {
            // Where nobody has it open, nobody is left whose close could fail.
            if self.writing(id) > 0 {
                self.writer(writer).refused = Some(EFBIG);
            }
            return Err(EFBIG);
        }
        self.set_length(id, Some(writer), length);
        if self.writing(id) == 0 {
            self.judge(&Subject::File(id), writer, Occasion::Truncation)?;
        }
        Ok(())
    }

    fn newest_writer(&self, id: FileId) -> Option<WriterId> {
        let on_it = self.descs.values().rev();
        let mut found =
            on_it.filter(|desc| desc.write && matches!(desc.subject, Subject::File(file) if file == id));
        found.next().and_then(|desc| desc.writer)
    }

    /// Whether the rules say what a truncation by path does: cutting a block to nothing is taken for
    /// what open(2) does with O_TRUNC while a descriptor is open that has written nothing yet.
    pub(super) fn may_truncate(&self, name: &NameRef, length: u64) -> bool {
        match self.meaning(name) {
            Meaning::Block(wanted) => {
                let rewrites =
                    |subject: &Subject| matches!(subject, Subject::Rewrite { key, .. } if *key == wanted);
                length > 0 || !self.descs.values().any(|desc| rewrites(&desc.subject))
            }
            Meaning::Staged(id) => self.newest_writer(id).is_some(),
            Meaning::Plain(_) | Meaning::Nothing => true,
        }
    }

    pub(super) fn fallocate(&mut self, fd: Fd, keep_size: bool, at: u64, length: u64) -> Result<(), Errno> {
        let desc = self.desc(fd);
        if !desc.write {
            return Err(EBADF);
        }
        let (Subject::File(id), writer) = (desc.subject.clone(), desc.writer) else {
            return Err(EPERM);
        };
        let end = at + length;
        if Self::is_too_long(end) {
            return Err(EFBIG);
        }
        if !keep_size && end > self.size(self.desc(fd)) {
            self.set_length(id, writer, end);
        }
        Ok(())
    }
}

/// R6: a stored block keeps its length.
fn keep_length(bytes: &[u8], length: u64) -> Result<(), Errno> {
    if bytes.len() as u64 == length { Ok(()) } else { Err(EPERM) }
}

/// What looking for a name that is not there says.
pub(super) fn absent(name: &NameRef) -> Errno {
    match name.kind {
        Kind::Never { look, .. } => look,
        Kind::Cid { .. } | Kind::Plain { .. } => ENOENT,
    }
}
