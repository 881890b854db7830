//! Reading the command line, in two passes.
//!
//! Invariant: a value comes from, in this order, a flag, an `-o` option, the source of a mount
//! helper's command line, the environment, the default.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches};

use super::args::Args;
use super::{helper, mount_options, output};
use crate::Error;

/// A command line that cannot be run, or one that only asked for help.
#[derive(Debug)]
pub(super) enum Refusal {
    Clap(clap::Error),
    Ours(Error),
}

impl Refusal {
    /// Shows it where it belongs, and returns the exit code.
    pub(super) fn show(&self) -> ExitCode {
        match self {
            Refusal::Ours(error) => output::fail(error),
            Refusal::Clap(error) => {
                // A closed standard output leaves nobody to show it to.
                let _ = error.print();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
        }
    }
}

/// Reads a command line. `-o` options and a mount helper's source are turned into flags, in front
/// of those that were typed, and the whole is read again: so they mean and accept the same.
pub(super) fn command_line(words: Vec<OsString>) -> Result<Args, Refusal> {
    let first = parse_once(&words)?;
    let extra = extra_flags(&first).map_err(Refusal::Ours)?;
    if extra.is_empty() {
        return Ok(first);
    }
    let mut words = words.into_iter();
    let program = words.next();
    let all: Vec<OsString> = program.into_iter().chain(extra).chain(words).collect();
    parse_once(&all)
}

fn parse_once(words: &[OsString]) -> Result<Args, Refusal> {
    let matches = command().try_get_matches_from(words).map_err(Refusal::Clap)?;
    refuse_stray_flags(&matches).map_err(Refusal::Ours)?;
    Args::from_arg_matches(&matches).map_err(Refusal::Clap)
}

/// In front of a command only the flags that every command has make sense.
fn refuse_stray_flags(matches: &ArgMatches) -> crate::Result<()> {
    let Some((name, _)) = matches.subcommand() else { return Ok(()) };
    let typed = |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    match command().get_arguments().filter(|arg| !arg.is_global_set()).find(typed) {
        None => Ok(()),
        Some(arg) => Err(Error::Usage {
            what: format!("{} in front of {name} has no meaning: it belongs to mounting", spelled(arg)),
            hint: format!(
                "`ipfs-persist-mount {name} --help` shows what {name} takes; a mount point of that name is written ./{name}"
            ),
        }),
    }
}

/// An argument as it is typed.
fn spelled(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => arg.get_id().to_string(),
    }
}

fn extra_flags(args: &Args) -> crate::Result<Vec<OsString>> {
    if args.command.is_some() {
        return Ok(Vec::new());
    }
    let mut flags = helper::flags_of_source(&args.mount.places)?;
    flags.extend(mount_options::as_flags(&args.mount.options, args.mount.helper.sloppy, &command())?);
    Ok(flags)
}

/// The command with all its flags.
fn command() -> clap::Command {
    with_variables_of_the_shell(Args::command())
}

/// A variable that is set to nothing counts as not set, as it does in the shell, and help shows
/// the names of variables only.
fn with_variables_of_the_shell(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let value = arg.get_env().and_then(std::env::var_os);
            let arg = arg.hide_env_values(true);
            if value.is_some_and(|value| value.is_empty()) { arg.env(None::<&'static str>) } else { arg }
        })
        .mut_subcommands(with_variables_of_the_shell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Duration;

    fn parsed(line: &str) -> Args {
        command_line(
            std::iter::once("ipfs-persist-mount")
                .chain(line.split_whitespace())
                .map(OsString::from)
                .collect(),
        )
        .unwrap()
    }

    fn refused(line: &str) -> String {
        let words = std::iter::once("ipfs-persist-mount").chain(line.split_whitespace()).map(OsString::from);
        match command_line(words.collect()).unwrap_err() {
            Refusal::Ours(error) => error.to_string(),
            Refusal::Clap(error) => error.to_string(),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_name_made_of_its_own() {
        fn check(command: &clap::Command) {
            for arg in command.get_arguments() {
                let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else {
                    continue;
                };
                let plain = long.replace('-', "_").to_uppercase();
                let expected = match (command.get_name(), long) {
                    (_, "backend" | "data-path") => plain,
                    ("cid" | "put", "codec" | "hash") => format!("IPFS_PERSIST_MOUNT_CID_{plain}"),
                    _ => format!("IPFS_PERSIST_MOUNT_{plain}"),
                };
                let name = arg.get_env().map(|name| name.to_string_lossy().into_owned());
                assert_eq!(name, Some(expected), "--{long} of {}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Args::command());
    }

    #[test]
    fn options_count_less_than_flags_and_more_than_the_source() {
        assert_eq!(parsed("-o strict,lock_wait=3 /mnt").mount.store.lock_wait, Duration::from_secs(3));
        assert_eq!(parsed("-o lock_wait=3 --lock-wait 4 /mnt").mount.store.lock_wait, Duration::from_secs(4));
        let mount = parsed("/srv/blocks /mnt -o data_path=/elsewhere").mount;
        assert_eq!(mount.data_path, Some(PathBuf::from("/elsewhere")));
        assert_eq!(parsed("/mnt --lock-wait 1 --lock-wait 2").mount.store.lock_wait, Duration::from_secs(2));
        assert_eq!(parsed("-v -o verbose /mnt -v").log.verbose, 3);
    }

    #[test]
    fn two_places_are_a_source_and_a_mount_point_in_the_background() {
        let mount = parsed("/srv/a:b /mnt -o rw,dev,suid").mount;
        assert!(mount.background && !mount.read_only);
        assert_eq!((mount.backend, mount.data_path), (None, Some(PathBuf::from("/srv/a:b"))));
        assert!(!parsed("/mnt").mount.background);
        assert!(refused("unmont /mnt").contains("neither a command nor the source"));
        assert!(refused("nosuch:/srv /mnt").contains("no backend named nosuch"));
        assert!(refused("a b c").contains("unexpected"), "{}", refused("a b c"));
    }

    #[test]
    fn flags_of_mounting_do_not_stand_before_a_command() {
        assert_eq!(parsed("-v unmount /mnt").log.verbose, 1);
        assert_eq!(parsed("unmount -vv /mnt").log.verbose, 2);
        assert!(refused("--strict unmount /mnt").starts_with("--strict in front of unmount"));
        assert!(refused("/srv/blocks unmount /mnt").contains("unexpected"));
        assert!(parsed("./unmount").command.is_none());
    }
}
