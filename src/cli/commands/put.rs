//! `put`: files into the store, each as one block.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::PutArgs;
use crate::cli::config::{self, UMASK};
use crate::cli::lines::Lines;
use crate::cli::watcher::Watcher;
use crate::jobs::blocks::{Source, put};
use crate::{Error, Result, sys};

/// Stores the files and prints `CID  FILE` for each, once it is durable.
pub(in crate::cli) fn run(args: &PutArgs) -> Result<ExitCode> {
    let request = config::put_request(args)?;
    let is_stdin = |file: &&Path| file.as_os_str().as_bytes() == b"-";
    let files: Vec<&Path> = args.files.iter().map(|file| file.as_path()).collect();
    if files.iter().filter(|file| is_stdin(file)).count() > 1 {
        return Err(Error::Usage {
            what: "standard input can be stored once only".to_owned(),
            hint: "name - once".to_owned(),
        });
    }
    let sources: Vec<Source> = files
        .iter()
        .map(|file| if is_stdin(file) { Source::Stdin } else { Source::File(file.to_path_buf()) })
        .collect();
    sys::set_umask(UMASK);
    let mut watcher = Watcher::start(true)?;
    let mut lines = Lines::new(args.place.json);
    let result = put::run(&request, &sources, &mut watcher, &mut |index, outcome| {
        let Some(file) = files.get(index).map(|file| file.as_os_str()) else { return };
        match outcome {
            Ok(put) => lines.done(
                || [put.cid.as_bytes(), b"  ", file.as_bytes(), b"\n"].concat(),
                || json!({"status": "ok", "file": file.to_string_lossy(), "cid": put.cid, "size_bytes": put.size_bytes}),
            ),
            Err(error) => lines.failed("file", file, &error),
        }
        // Others may act on it: it is durable.
        lines.flush();
    });
    lines.finish(result)
}
