//! Who uses a mount, and who serves it.
//!
//! Invariant: reads only /proc, never the mount itself, so it cannot hang on it. Processes of other
//! users can be seen by root only.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::MountEntry;
use super::mount_table::{entries_in, field_of, mount_id_at};

/// Most processes that are looked for; nobody reads a longer list.
const PROCESSES_MAX: usize = 16;

/// A process, for a person: `less (4711)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// The short name of its program.
    pub command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.command, self.pid)
    }
}

/// Other processes that keep the mount busy: by an open file, a working or root directory, or a
/// mapped file. At most [`PROCESSES_MAX`] of them.
pub fn holders_of(mount: &MountEntry) -> Vec<Process> {
    // umount(8) and its helper, which we may be, have what the shell has left open, and cannot close it.
    let (own, parent) = (std::process::id(), std::os::unix::process::parent_id());
    let calls_us =
        |(pid, dir): &(u32, PathBuf)| *pid == parent && named((*pid, dir.clone())).command == "umount";
    let others = processes().filter(|process| process.0 != own && !calls_us(process));
    others.filter(|(_, dir)| holds(dir, mount)).take(PROCESSES_MAX).map(named).collect()
}

/// Processes in other mount namespaces that still have the file system of the mount there: it goes on as
/// long as one of them has it mounted. At most [`PROCESSES_MAX`] of them.
pub fn holders_elsewhere(mount: &MountEntry) -> Vec<Process> {
    let namespace = |dir: &Path| fs::read_link(dir.join("ns/mnt")).ok();
    let own = namespace(Path::new("/proc/self"));
    let sees = |dir: &Path| {
        namespace(dir).is_some_and(|other| Some(&other) != own.as_ref())
            && entries_in(&dir.join("mountinfo"))
                .is_ok_and(|entries| entries.iter().any(|entry| entry.is_of_same_file_system(mount)))
    };
    processes().filter(|(_, dir)| sees(dir)).take(PROCESSES_MAX).map(named).collect()
}

/// The other process that serves a FUSE mount, where the kernel tells (6.16 and newer). It is found also
/// when it hangs, or when another user mounted and we may not look into the mount.
pub fn fuse_server(mount: &MountEntry) -> Option<Process> {
    let connection = u64::from(mount.device.1);
    let own = std::process::id();
    processes()
        .filter(|(pid, _)| *pid != own)
        .find(|(_, dir)| {
            infos_of_descriptors(dir).any(|info| field_of(&info, "fuse_connection:") == Some(connection))
        })
        .map(named)
}

/// All processes, with their directories in /proc.
fn processes() -> impl Iterator<Item = (u32, PathBuf)> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

fn named((pid, dir): (u32, PathBuf)) -> Process {
    let command = fs::read(dir.join("comm")).unwrap_or_default();
    Process { pid, command: String::from_utf8_lossy(&command).trim_end().to_owned() }
}

fn holds(dir: &Path, mount: &MountEntry) -> bool {
    let stands_in = |link: &str| mount_id_at(&dir.join(link)).is_ok_and(|id| id == mount.id);
    stands_in("cwd")
        || stands_in("root")
        || infos_of_descriptors(dir).any(|info| field_of(&info, "mnt_id:") == Some(mount.id))
        || fs::read_to_string(dir.join("maps")).is_ok_and(|maps| maps_device(&maps, mount.device))
}

/// The text of proc_pid_fdinfo(5) of every descriptor.
fn infos_of_descriptors(dir: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(dir.join("fdinfo"))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
}

/// Whether proc_pid_maps(5) shows a mapping of a file on the device:
/// `address perms offset major:minor inode path`, numbers in hexadecimal.
fn maps_device(maps: &str, device: (u32, u32)) -> bool {
    let wanted = format!("{:02x}:{:02x}", device.0, device.1);
    maps.lines().any(|line| line.split_ascii_whitespace().nth(3) == Some(&wanted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;
    use std::process::{Command, Stdio};

    #[test]
    fn mappings_are_found_by_their_device() {
        let maps = "7f00-7f01 r--p 00000000 00:27 12 /mnt/x\n7f02-7f03 rw-p 00000000 00:00 0 \n";
        assert!(maps_device(maps, (0, 0x27)));
        assert!(!maps_device(maps, (0x27, 0)));
    }

    #[test]
    fn a_process_that_stands_in_a_mount_holds_it() {
        let proc = sys::find(Path::new("/proc")).unwrap().unwrap();
        let mut child = Command::new("cat").current_dir("/proc").stdin(Stdio::piped()).spawn().unwrap();
        let dir = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(holds(&dir, &proc));
        assert_eq!(named((child.id(), dir)).to_string(), format!("cat ({})", child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn a_process_with_an_open_file_of_a_mount_holds_it() {
        let proc = sys::find(Path::new("/proc")).unwrap().unwrap();
        let file = fs::File::open("/proc/uptime").unwrap();
        let mut child = Command::new("sleep").arg("600").stdin(file).current_dir("/").spawn().unwrap();
        let holds = holds(Path::new(&format!("/proc/{}", child.id())), &proc);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(holds);
    }
}
