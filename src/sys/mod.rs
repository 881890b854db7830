//! What the operating system does for us: the only home of `libc`, `nix` and `unsafe`.

pub mod files;
