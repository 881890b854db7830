//! The command line: what was typed, what it means, and what is printed.
//!
//! Invariant: the only layer that prints, and the only user of clap. Every failure ends as one
//! line, a hint where there is one, and the exit code of the error table.

mod args;
mod commands;
mod config;
mod helper;
mod lines;
mod log;
mod mount_options;
mod output;
mod parse;
mod values;
mod watcher;

use std::ffi::OsString;
use std::process::ExitCode;

use crate::Result;
use args::{Args, Command};

/// Runs the program with this command line, the program's own name first.
pub fn run(words: Vec<OsString>) -> ExitCode {
    let args = match parse::command_line(helper::as_command(words)) {
        Ok(args) => args,
        Err(refusal) => return refusal.show(),
    };
    match dispatch(args) {
        Ok(code) => code,
        Err(error) => output::fail(&error),
    }
}

fn dispatch(args: Args) -> Result<ExitCode> {
    log::start(&args)?;
    let quiet = args.log.is_quiet();
    match args.command {
        None => commands::mount::run(args.mount, quiet),
        Some(Command::Unmount(args)) => commands::unmount::run(&args),
        Some(Command::Demo(args)) => commands::demo::run(&args, quiet),
        Some(Command::Backends(args)) => commands::backends::run(&args),
        Some(Command::Cid(args)) => commands::cid::run(&args),
        Some(Command::Put(args)) => commands::put::run(&args),
        Some(Command::Get(args)) => commands::get::run(&args),
        Some(Command::Ls(args)) => commands::ls::run(&args),
        Some(Command::Rm(args)) => commands::rm::run(&args),
        Some(Command::Stat(args)) => commands::stat::run(&args),
    }
}
