//! The error numbers that the program speaks of, by their names.

pub use libc::{
    EACCES, EBADMSG, EBUSY, EDQUOT, EEXIST, EFBIG, EINTR, EINVAL, EIO, EISDIR, ENAMETOOLONG, ENODEV, ENOENT,
    ENOMEM, ENOSPC, ENOSYS, ENOTDIR, ENOTTY, EOPNOTSUPP, EPERM, EROFS, ESTALE,
};
