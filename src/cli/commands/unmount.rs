//! `unmount`: detach, and wait until the store is closed.

use std::process::ExitCode;

use crate::Result;
use crate::cli::args::UnmountArgs;
use crate::cli::output;
use crate::mount::{UnmountOptions, unmount_and_wait};

/// Unmounts each of the directories. One that fails does not keep the others mounted; the exit code
/// is that of the first failure.
pub(in crate::cli) fn run(args: &UnmountArgs) -> Result<ExitCode> {
    let mut options = UnmountOptions { lazy: args.lazy, ..UnmountOptions::default() };
    if let Some(timeout) = args.timeout {
        options.busy_wait = timeout;
        options.exit_wait = Some(timeout);
    }
    let mut code = None;
    for mount_point in &args.mount_points {
        if let Err(error) = unmount_and_wait(mount_point, &options) {
            let failed = output::fail(&error);
            code.get_or_insert(failed);
        }
    }
    Ok(code.unwrap_or(ExitCode::SUCCESS))
}
