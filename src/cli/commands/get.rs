//! `get`: blocks out of the store, checked.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use crate::block::Cid;
use crate::cli::args::GetArgs;
use crate::cli::config::{self, UMASK};
use crate::cli::lines::Lines;
use crate::cli::watcher::Watcher;
use crate::jobs::blocks::{self, Blocks, Purpose};
use crate::jobs::go_on;
use crate::{Error, Result, sys};

/// Where the bytes go.
enum Target {
    Stdout,
    File(PathBuf),
    Directory(PathBuf),
}

/// Writes each block, all of which was checked before, to standard output or into a file.
pub(in crate::cli) fn run(args: &GetArgs) -> Result<ExitCode> {
    let target = target(args)?;
    let place = config::place(&args.place)?;
    let umask = sys::set_umask(UMASK);
    let mut watcher = Watcher::start(true)?;
    let mut lines = Lines::new(args.place.json);
    let blocks = blocks::open(&place, Purpose::Read, &mut watcher)?;
    let mut result = Ok(());
    for (asked, done) in args.cids.iter().zip(0..) {
        result = go_on(&mut watcher, "reading", done, args.cids.len() as u64);
        if result.is_err() || !lines.is_open() {
            break;
        }
        if let Err(error) = get_one(&*blocks, asked, &target, umask, &mut lines) {
            lines.failed("asked", asked, &error);
        }
    }
    lines.finish(result.and(blocks.close()))
}

fn target(args: &GetArgs) -> Result<Target> {
    let wrong = |what: &str, hint: &str| Err(Error::Usage { what: what.to_owned(), hint: hint.to_owned() });
    let target = match (&args.output, &args.output_dir) {
        (Some(_), Some(_)) => {
            return wrong("--output and --output-dir exclude each other", "use one of them");
        }
        (Some(_), None) if args.cids.len() > 1 => {
            return wrong(
                "--output takes a single block",
                "use --output-dir, or standard output, where they follow each other",
            );
        }
        (Some(file), None) if !is_stdout(file) => Target::File(file.clone()),
        (None, Some(directory)) => Target::Directory(directory.clone()),
        (_, None) => Target::Stdout,
    };
    if args.place.json && matches!(target, Target::Stdout) {
        return wrong(
            "with --json the bytes cannot go to standard output",
            "say where with --output or --output-dir",
        );
    }
    if let Target::Directory(directory) = &target
        && !directory.is_dir()
    {
        return wrong(
            &format!("{} is not a directory", directory.display()),
            &format!("create it first: `mkdir -p {}`", directory.display()),
        );
    }
    Ok(target)
}

fn get_one(blocks: &dyn Blocks, asked: &OsStr, target: &Target, umask: u32, lines: &mut Lines) -> Result<()> {
    let cid = config::cid(asked)?;
    let file = match target {
        Target::Stdout => None,
        Target::File(file) => Some(file.clone()),
        Target::Directory(directory) => Some(directory.join(file_name(asked)?)),
    };
    let bytes = blocks::get(blocks, &cid)?;
    let Some(file) = file else {
        lines.bytes(&bytes);
        return Ok(());
    };
    write(&file, &bytes, umask)?;
    lines.done(Vec::new, || told(asked, &cid, bytes.len(), &file));
    Ok(())
}

fn told(asked: &OsStr, cid: &Cid, size_bytes: usize, file: &Path) -> serde_json::Value {
    json!({
        "status": "ok",
        "asked": asked.to_string_lossy(),
        "cid": cid.to_string(),
        "size_bytes": size_bytes,
        "file": file.to_string_lossy(),
    })
}

/// Some spellings of CIDs are no file names.
fn file_name(asked: &OsStr) -> Result<&OsStr> {
    if Path::new(asked).components().count() == 1 && !asked.as_encoded_bytes().contains(&b'/') {
        return Ok(asked);
    }
    Err(Error::NameInvalid {
        name: asked.to_string_lossy().into_owned(),
        why: "this spelling cannot be a file name, for it has a / in it".to_owned(),
    })
}

/// Writes a file that others see whole or not at all. What is no ordinary file, such as a pipe or
/// /dev/null, is written to as it is.
fn write(file: &Path, bytes: &[u8], umask: u32) -> Result<()> {
    let failed = |source| Error::io_at("write", file, source);
    // Through a link to what it leads to.
    let real = match file.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => file.to_owned(),
        Err(error) => return Err(failed(error)),
    };
    match fs::metadata(&real) {
        Ok(found) if found.is_file() => sys::replace_file(&real, bytes, found.permissions().mode() & 0o7777),
        Ok(_) => {
            let opened = fs::OpenOptions::new().write(true).open(&real);
            opened.and_then(|mut file| file.write_all(bytes)).map_err(failed)
        }
        Err(_) => sys::replace_file(&real, bytes, 0o666 & !umask),
    }
}

/// Whether this is standard output by one of its names: others may have written to it, and go on.
fn is_stdout(file: &Path) -> bool {
    file == Path::new("-") || file == Path::new("/dev/stdout") || file == Path::new("/proc/self/fd/1")
}
