//! Where scripts run: the files that they read, and an ordinary directory that shows what they do.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use super::common::{bytes, cid_of};
use super::row::{Kind, Row};
use super::state::{BLOCK_MODE, FILE_MODE};

/// What is older was set by a script or by us, and is compared; what is newer is the time of the run.
const SET_BEFORE_SECS: i64 = 1_700_000_000;
/// The blocks that are there where a store is not empty. No row of [`Kind::Make`] writes their bytes.
pub const STOCK: [&str; 3] = ["text", "picture", "db"];

/// What a script did, for those who called it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub exit: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A file as a script has left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub bytes: Vec<u8>,
    pub mode: u32,
    /// If it was set.
    pub mtime: Option<i64>,
}

impl Left {
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let info = fs::metadata(path)?;
        let mtime = Some(info.mtime()).filter(|secs| *secs < SET_BEFORE_SECS);
        Ok(Self { bytes: fs::read(path)?, mode: info.mode() & 0o7777, mtime })
    }
}

/// What a script does in an ordinary directory.
#[derive(Debug, Clone)]
pub struct Control {
    pub report: Report,
    pub files: BTreeMap<String, Left>,
}

/// The files that scripts read, and a directory that is no mount.
pub struct Place {
    dir: TempDir,
    files: BTreeMap<&'static str, Vec<u8>>,
    url: String,
    controls: RefCell<HashMap<String, Control>>,
}

/// A numbered line for each, in an order that `sort` has to change.
fn lines(count: u32, step: u32) -> Vec<u8> {
    (0..count).map(|n| format!("{}\n", n * step % count)).collect::<String>().into_bytes()
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("ipm-tools-").tempdir().unwrap();
        for name in ["in", "home", "control"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut files = BTreeMap::from([
            ("photo", bytes(1, 300_000)),
            ("picture", bytes(2, 200_000)),
            ("other", bytes(3, 70_000)),
            ("a", bytes(4, 1000)),
            ("b", bytes(5, 2000)),
            ("one", b"one\n".to_vec()),
            ("lines", lines(5000, 7919)),
            ("text", lines(3000, 3571)),
        ]);
        for (name, content) in &files {
            fs::write(dir.path().join("in").join(name), content).unwrap();
        }
        let make = "create table t(a); with recursive n(i) as (select 1 union select i + 1 from n limit 3000)
                    insert into t select i from n";
        let made = Command::new("sqlite3").arg(dir.path().join("in/db")).arg(make).status();
        if made.is_ok_and(|status| status.success()) {
            files.insert("db", fs::read(dir.path().join("in/db")).unwrap());
        }
        for (name, content) in &files {
            let path = dir.path().join("in").join(name);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            set_old(&path, content);
        }
        let url = serve(files["photo"].clone());
        Self { dir, files, url, controls: RefCell::default() }
    }

    /// The bytes of a file of `in/`.
    pub fn bytes(&self, name: &str) -> &[u8] {
        &self.files[name]
    }

    pub fn cid(&self, name: &str) -> String {
        cid_of(self.bytes(name))
    }

    /// The blocks that are there where a store is not empty.
    pub fn stock(&self) -> impl Iterator<Item = (String, &[u8])> {
        STOCK
            .iter()
            .filter(|name| self.files.contains_key(*name))
            .map(|name| (self.cid(name), self.bytes(name)))
    }

    /// Makes `dir` a directory for scripts, where `mnt/` is there.
    pub fn furnish(&self, dir: &Path) {
        symlink(self.dir.path().join("in"), dir.join("in")).unwrap();
        fs::create_dir(dir.join("tmp")).unwrap();
    }

    /// Runs a script in such a directory.
    pub fn run(&self, row: &Row, dir: &Path, name: &str, more: &[(&str, String)]) -> Report {
        fs::remove_dir_all(dir.join("tmp")).unwrap();
        fs::create_dir(dir.join("tmp")).unwrap();
        let (interpreter, flags, _) = row.language.interpreter();
        // A row that hangs must not keep the whole test.
        let mut command = Command::new("timeout");
        command
            .args(["--kill-after=5", "60", interpreter])
            .args(flags)
            .arg(row.code())
            .current_dir(dir)
            .stdin(Stdio::null());
        // What the user has set would change what the tools do.
        command.env_clear();
        command.envs(std::env::vars().filter(|(name, _)| name.starts_with("IPFS_PERSIST_TEST")));
        command
            .env("PATH", path())
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("HOME", self.dir.path().join("home"));
        command.env("F", format!("mnt/{name}")).env("NAME", name).env("URL", &self.url);
        command.envs(more.iter().map(|(name, value)| (name, value)));
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Report {
            exit: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// What a script does in an ordinary directory with a file of this name, at its first or second run.
    pub fn control(&self, kind: Kind, row: &Row, name: &str, second: bool) -> Control {
        let key = format!("{kind:?} {second} {name} {}", row.script);
        if let Some(known) = self.controls.borrow().get(&key) {
            return known.clone();
        }
        let dir = self.dir.path().join("control");
        fs::remove_dir_all(&dir).unwrap();
        fs::create_dir_all(dir.join("mnt")).unwrap();
        self.furnish(&dir);
        if matches!(kind, Kind::Read | Kind::List) {
            self.stock().for_each(|(cid, bytes)| self.place(&dir.join("mnt").join(cid), bytes, BLOCK_MODE));
        }
        if matches!(kind, Kind::Read | Kind::Change) {
            // With the mode of a block it could be changed by root alone.
            self.place(&dir.join("mnt").join(name), self.bytes(row.from), FILE_MODE);
        }
        let script = if row.ordinarily.is_empty() { row.script } else { row.ordinarily };
        let row = Row { script, ..*row };
        let mut report = self.run(&row, &dir, name, &[]);
        if second {
            report = self.run(&row, &dir, name, &[]);
        }
        let entries = fs::read_dir(dir.join("mnt")).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        let files =
            files.map(|entry| (entry.file_name().into_string().unwrap(), Left::read(&entry.path()).unwrap()));
        let control = Control { report, files: files.collect() };
        self.controls.borrow_mut().insert(key, control.clone());
        control
    }

    /// Writes a file with an old time, if it is not there.
    pub fn place(&self, path: &Path, bytes: &[u8], mode: u32) {
        if !path.exists() {
            super::common::put(path, bytes).unwrap();
            set_old(path, bytes);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
    }
}

/// Gives a file a time that does not depend on the run.
pub fn set_old(path: &Path, bytes: &[u8]) {
    let then: SystemTime = UNIX_EPOCH + Duration::from_secs(1_600_000_000 + bytes.len() as u64);
    // Blocks are not writable for everybody, and a time can be set through any descriptor.
    File::open(path).unwrap().set_modified(then).unwrap();
}

/// Where programs are found: nginx is not in everybody's path.
pub fn path() -> String {
    format!("{}:/usr/local/sbin:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// Whether a program is there.
pub fn is_there(program: &str) -> bool {
    std::env::split_paths(&path()).any(|dir| dir.join(program).is_file())
}

/// A server on a free port of this machine that answers every request with these bytes.
fn serve(content: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/photo", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let request = BufReader::new(client.try_clone().unwrap()).lines();
            request.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
            // Who has no room for them goes away before the end.
            let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(&content));
        }
    });
    url
}
