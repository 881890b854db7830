//! `cid`: the CID of each file, as one block.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use crate::block::{CidOptions, Hasher, Key, canonical};
use crate::cli::args::CidArgs;
use crate::cli::output;
use crate::{Error, Result};

/// How much of a file is read at once.
const READ_BYTES: usize = 64 << 10;

/// Prints `CID  FILE` for each file. A file that cannot be read, or that is larger than a block may
/// be, is an error of its own; the others are still printed, and the exit code is 1.
pub(in crate::cli) fn run(args: &CidArgs) -> Result<ExitCode> {
    let options = args.parts.cid_options()?;
    let mut code = ExitCode::SUCCESS;
    let mut out = io::stdout().lock();
    for file in &args.files {
        let cid = match cid_of(file, &options, args.max_block_size) {
            Ok(cid) => cid,
            Err(error) => {
                output::fail_at(file, &error);
                code = ExitCode::FAILURE;
                continue;
            }
        };
        let line = [cid.as_bytes(), b"  ", file.as_os_str().as_bytes(), b"\n"].concat();
        if let written @ Err(_) = out.write_all(&line) {
            return output::finish(written, code);
        }
    }
    output::finish(Ok(()), code)
}

/// The CID of a file, in canonical spelling. Reads it in pieces, so that `limit_bytes` may be any
/// size.
fn cid_of(file: &Path, options: &CidOptions, limit_bytes: u64) -> Result<String> {
    let mut input: Box<dyn Read> = match file.as_os_str().as_bytes() {
        b"-" => Box::new(io::stdin().lock()),
        _ => Box::new(File::open(file).map_err(|source| Error::io("open", source))?),
    };
    let mut hasher = Hasher::new(options.hash_code, options.digest_len)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut size_bytes = 0u64;
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read", error)),
        };
        size_bytes = size_bytes.saturating_add(count as u64);
        if size_bytes > limit_bytes {
            return Err(Error::TooBig { limit_bytes });
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
    let refused =
        Error::HashRefused { code: options.hash_code, why: "the file is too long for this function" };
    let key = Key::new(options.hash_code, &hasher.digest()).ok_or(refused)?;
    Ok(canonical(&key, options.form(&key)))
}
