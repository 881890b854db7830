//! How a request is answered: with what it asked for, or with an errno that was noted first.

use std::ffi::OsStr;
use std::sync::Arc;

use fuser::{Errno, FileHandle, FopenFlags, INodeNo, ReplyEmpty, ReplyOpen, ReplyWrite, ReplyXattr, Request};

use super::adapter::Adapter;
use super::gate::{About, Asked};
use super::translate::open_flags;
use crate::fs::{Done, Filesystem, Handle, Opened};
use crate::metrics::Op;
use crate::sys::errno::{ENOSYS, ERANGE};
use crate::{Error, Result};

/// An answer that can be an errno instead.
pub trait Refusable {
    /// Answers with an errno.
    fn refuse(self, errno: Errno);
}

macro_rules! refusable {
    ($($reply:ident),* $(,)?) => {
        $(impl Refusable for fuser::$reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}

refusable!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyIoctl,
    ReplyLseek,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr,
);

/// Who asks what.
pub fn asked<'a>(op: Op, request: &Request, about: impl Into<About<'a>>) -> Asked<'a> {
    Asked { op, pid: request.pid(), about: about.into() }
}

impl<'a> From<&'a OsStr> for About<'a> {
    fn from(name: &'a OsStr) -> Self {
        About::Name(name)
    }
}

impl From<INodeNo> for About<'_> {
    fn from(ino: INodeNo) -> Self {
        About::Inode(ino.0)
    }
}

impl Adapter {
    /// Calls the file system, and answers with what it says.
    pub(super) fn ask<R: Refusable, T>(
        &self,
        asked: Asked<'_>,
        reply: R,
        call: impl FnOnce(&Filesystem) -> Result<T>,
        answer: impl FnOnce(R, T),
    ) {
        self.gate.pass(asked.op, |fs| match self.gate.admit(asked.op).and_then(|()| call(fs)) {
            Ok(value) => answer(reply, value),
            Err(error) => reply.refuse(self.gate.refuse(&asked, fs, &error)),
        });
    }

    /// Refuses what is never done here.
    pub(super) fn never(&self, asked: Asked<'_>, reply: impl Refusable, what: &'static str) {
        self.ask(asked, reply, |_| Err::<(), _>(Error::NotPermitted { what }), |_, ()| {});
    }

    /// Answers with an errno that is part of the protocol and no refusal.
    pub(super) fn decline(&self, op: Op, reply: impl Refusable, errno: i32) {
        self.gate.pass(op, |_| reply.refuse(Errno::from_i32(errno)));
    }

    /// An extended attribute, or how long it is if the caller wants to know only that (size 0).
    ///
    /// Once answered ENOSYS, the kernel does not ask for extended attributes again: otherwise every
    /// write(2) would first ask for security.capability.
    pub(super) fn answer_attribute<T: AsRef<[u8]>>(
        &self,
        asked: Asked<'_>,
        size: u32,
        reply: ReplyXattr,
        call: impl FnOnce(&Filesystem) -> Result<T>,
    ) {
        self.gate.pass(asked.op, |fs| {
            if !fs.options().xattr {
                return reply.error(Errno::from_i32(ENOSYS));
            }
            match call(fs) {
                Ok(value) if size == 0 => reply.size(value.as_ref().len() as u32),
                Ok(value) if value.as_ref().len() > size as usize => reply.error(Errno::from_i32(ERANGE)),
                Ok(value) => reply.data(value.as_ref()),
                Err(error) => reply.error(self.gate.refuse(&asked, fs, &error)),
            }
        });
    }

    /// An answer that may be given later, by another thread.
    pub(super) fn done(&self, asked: Asked<'_>, fs: &Filesystem, reply: ReplyEmpty) -> Done {
        let gate = Arc::clone(&self.gate);
        let (op, pid, name) = (asked.op, asked.pid, asked.name(fs));
        Box::new(move |result| match result {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(gate.refuse_named(op, pid, &name, &error)),
        })
    }

    /// An opened file, read by the kernel itself where that is possible.
    pub(super) fn reply_opened(&self, ino: INodeNo, opened: &Opened, reply: ReplyOpen) {
        let handle = FileHandle(opened.handle);
        let file = opened.passthrough.as_ref().and_then(|block| block.file());
        let backing = file.and_then(|file| {
            self.backings.acquire(ino.0, opened.handle, file, |file| reply.open_backing(file))
        });
        let flags = open_flags(&opened.caching, opened.flush);
        match backing {
            // Passthrough and KEEP_CACHE exclude each other.
            Some(id) => reply.opened_passthrough(handle, flags - FopenFlags::FOPEN_KEEP_CACHE, &id),
            None => reply.opened(handle, flags),
        }
    }

    /// A write. If it has to wait for staging memory it waits elsewhere, so that the loops go on.
    pub(super) fn answer_write(
        &self,
        asked: Asked<'_>,
        (handle, offset, data): (Handle, u64, &[u8]),
        reply: ReplyWrite,
    ) {
        self.gate.pass(asked.op, |fs| match fs.write(handle, offset, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(full @ Error::StagingFull { .. }) => {
                let Some(reply) = self.park(asked, handle, offset, data.to_vec(), reply) else {
                    return;
                };
                // Too many wait already.
                let error = fs.refuse_write(handle, &full).err().unwrap_or(full);
                reply.error(self.gate.refuse(&asked, fs, &error));
            }
            Err(error) => reply.error(self.gate.refuse(&asked, fs, &error)),
        });
    }

    fn park(
        &self,
        asked: Asked<'_>,
        handle: Handle,
        offset: u64,
        data: Vec<u8>,
        reply: ReplyWrite,
    ) -> Option<ReplyWrite> {
        let gate = Arc::clone(&self.gate);
        let Asked { op, pid, .. } = asked;
        let About::Inode(ino) = asked.about else {
            return Some(reply);
        };
        self.gate.park(reply, move |fs, reply| match fs.write_when_room(handle, offset, &data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(gate.refuse_named(op, pid, &fs.name_of(ino), &error)),
        })
    }
}
