//! `-o`: generic mount options, and every flag under its own name.
//!
//! Invariant: an option that is not understood is an error (unless mount(8) asks to be sloppy),
//! never silently dropped.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::mount::MountFlag;
use crate::{Error, Result};

/// Options for mount(8), systemd and readers of fstab, and those that say what is so anyway.
const WITHOUT_MEANING: &[&str] = &[
    "rw",
    "defaults",
    "auto",
    "noauto",
    "nofail",
    "_netdev",
    "user",
    "nouser",
    "users",
    "owner",
    "group",
    "uhelper",
    "comment",
    "async",
    "exec",
    "atime",
    "diratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "sync",
    "dirsync",
    "iversion",
    "noiversion",
    "mand",
    "nomand",
    "silent",
    "loud",
    "nosuid",
    "nodev",
];

/// Options that are asked for and never given: a mount of ours has no devices and no programs
/// that change the user.
const REFUSED: &[&str] = &["suid", "dev"];

/// Generic names of our flags.
const ALIASES: &[(&str, &str)] = &[("ro", "read-only"), ("nonempty", "allow-non-empty")];

/// Options of the kernel, each with the one that takes it back.
const KERNEL_FLAGS: &[(MountFlag, &str)] =
    &[(MountFlag::NoExec, "exec"), (MountFlag::NoAtime, "atime"), (MountFlag::NoDirAtime, "diratime")];

/// Turns options into flags of `command`, for example `ro,min_free_space=1GiB` into `--read-only`
/// and `--min-free-space=1GiB`.
pub(super) fn as_flags(options: &[OsString], sloppy: bool, command: &clap::Command) -> Result<Vec<OsString>> {
    let mut flags = Vec::new();
    for option in split(options) {
        let (name, value) = name_and_value(&option);
        if is_generic(&name) {
            // As for mount(8), the last of ro and rw counts.
            if name == "rw" {
                flags.retain(|flag| flag != "--read-only");
            }
            continue;
        }
        match flag_of(&name, value, command) {
            Ok(flag) => flags.push(flag),
            Err(_) if sloppy => {}
            Err(error) => return Err(error),
        }
    }
    Ok(flags)
}

/// The options that the kernel is to be given.
pub(super) fn kernel_flags(options: &[OsString]) -> Vec<MountFlag> {
    let mut flags = Vec::new();
    for option in split(options) {
        for (flag, opposite) in KERNEL_FLAGS {
            if option == flag.name() || option == *opposite {
                flags.retain(|set| set != flag);
            }
            if option == flag.name() {
                flags.push(*flag);
            }
        }
    }
    flags
}

/// The options among these that are ignored although they ask for something.
pub(super) fn refused(options: &[OsString]) -> Vec<&'static str> {
    let asked = split(options);
    REFUSED.iter().copied().filter(|name| asked.iter().any(|option| option == name)).collect()
}

/// Splits at commas; a comma or backslash behind a backslash belongs to the value.
fn split(options: &[OsString]) -> Vec<OsString> {
    let mut all = Vec::new();
    for list in options {
        let mut option = Vec::new();
        let mut bytes = list.as_bytes().iter().copied();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => option.extend(bytes.next()),
                b',' => all.push(std::mem::take(&mut option)),
                other => option.push(other),
            }
        }
        all.push(option);
    }
    all.into_iter().filter(|option| !option.is_empty()).map(OsString::from_vec).collect()
}

fn name_and_value(option: &OsStr) -> (String, Option<&OsStr>) {
    let mut parts = option.as_bytes().splitn(2, |byte| *byte == b'=');
    let name = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    (name, parts.next().map(OsStr::from_bytes))
}

/// Whether the option is not one of our flags.
fn is_generic(name: &str) -> bool {
    WITHOUT_MEANING.contains(&name)
        || REFUSED.contains(&name)
        || MountFlag::ALL.iter().any(|flag| flag.name() == name)
        || name.starts_with("x-")
        || name.starts_with("X-")
}

fn flag_of(name: &str, value: Option<&OsStr>, command: &clap::Command) -> Result<OsString> {
    if name == "remount" {
        let what = "a mount cannot be given other options while it is there (remount)".to_owned();
        let hint = "unmount it, and mount it again with the new ones".to_owned();
        return Err(Error::Usage { what, hint });
    }
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name).map(|(_, long)| (*long).to_owned());
    let long = alias.unwrap_or_else(|| name.replace('_', "-"));
    let usage = |what: String, hint: &str| Error::Usage { what, hint: hint.to_owned() };
    let Some(arg) = command.get_arguments().find(|arg| arg.get_long() == Some(&long)) else {
        return Err(usage(
            format!("there is no mount option named {name}"),
            "every flag that `ipfs-persist-mount --help` shows is an option too, with or without its dashes",
        ));
    };
    let mut flag = OsString::from(format!("--{long}"));
    match (arg.get_action().takes_values(), value) {
        (true, Some(value)) => {
            flag.push("=");
            flag.push(value);
        }
        (false, None) => {}
        (true, None) => {
            return Err(usage(
                format!("the mount option {name} needs a value"),
                &format!("write {name}=VALUE"),
            ));
        }
        (false, Some(_)) => {
            return Err(usage(
                format!("the mount option {name} takes no value"),
                &format!("write {name} alone"),
            ));
        }
    }
    Ok(flag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn flags(options: &str) -> Result<Vec<OsString>> {
        as_flags(&[options.into()], false, &super::super::args::Args::command())
    }

    fn message(options: &str) -> String {
        flags(options).unwrap_err().to_string()
    }

    #[test]
    fn options_become_the_flags_of_that_name() {
        let expected =
            ["--read-only", "--min-free-space=1GiB", "--allow-other", "--data-path=/a,b\\c=d", "--backend=x"];
        let given = "ro,min_free_space=1GiB,,allow_other,data-path=/a\\,b\\\\c=d,backend=x,";
        assert_eq!(flags(given).unwrap(), expected);
    }

    #[test]
    fn generic_options_are_accepted_and_are_no_flags() {
        assert!(
            flags("rw,noexec,noatime,nosuid,nodev,dev,suid,noauto,user=me,x-systemd.automount,_netdev")
                .unwrap()
                .is_empty()
        );
        assert_eq!(refused(&["suid,nodev".into(), "dev".into()]), ["suid", "dev"]);
    }

    #[test]
    fn the_last_of_two_opposites_counts() {
        assert!(flags("ro,rw").unwrap().is_empty());
        assert_eq!(flags("rw,ro").unwrap(), ["--read-only"]);
        assert_eq!(kernel_flags(&["noexec,noatime".into(), "exec".into()]), [MountFlag::NoAtime]);
        assert_eq!(kernel_flags(&["noexec,noexec".into()]), [MountFlag::NoExec]);
    }

    #[test]
    fn what_is_not_understood_is_named() {
        assert_eq!(message("ro,frobnicate=1"), "there is no mount option named frobnicate");
        assert!(message("remount,ro").contains("while it is there"));
        assert_eq!(message("backend"), "the mount option backend needs a value");
        assert_eq!(message("strict=yes"), "the mount option strict takes no value");
        let sloppy = as_flags(&["frobnicate,ro".into()], true, &super::super::args::Args::command());
        assert_eq!(sloppy.unwrap(), ["--read-only"]);
    }
}
