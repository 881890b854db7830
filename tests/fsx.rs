//! The file system exerciser fsx on files in a mount: random reads, writes, truncations, mappings, syncs
//! and reopenings, compared with what they should give after each.
//!
//! `scripts/test.sh` installs it in `tools` of the target directory; it is also taken from the path.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Bench, has, rows, run, run_product, text};

/// Everything that it can do but punching holes: there are none in blocks.
const CONFIG: &str = "
flen = 1000000
[opsize]
max = 100000
[weights]
close_open = 5.0
invalidate = 2.0
mapread = 10.0
mapwrite = 10.0
read = 10.0
write = 10.0
truncate = 10.0
fsync = 2.0
fdatasync = 2.0
posix_fallocate = 3.0
sendfile = 5.0
posix_fadvise = 2.0
copy_file_range = 5.0
";

const OPERATIONS: &str = "3000";

fn main() {
    let every: &[rows::Case] = cases![an_alias_behaves_as_a_file, a_temporary_file_behaves_as_a_file];
    run_product(every)
}

/// The program; without it, which is an error in CI, this proves nothing.
fn fsx() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_ipfs-persist-mount")).ancestors().nth(2).unwrap();
    let installed = target.join("tools/bin/fsx");
    if installed.exists() {
        return Some(installed);
    }
    if has("fsx") {
        return Some(PathBuf::from("fsx"));
    }
    assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI has no fsx");
    eprintln!("SKIPPED, because fsx is not installed: this test proved nothing");
    None
}

fn exercise(backend: &'static str, name: &str) {
    let Some(fsx) = fsx() else { return };
    let bench = Bench::new(backend);
    let config = bench.path().join("fsx.toml");
    fs::write(&config, CONFIG).unwrap();
    let mount = bench.mount();
    for seed in ["7", "2026"] {
        let output = run(Command::new(&fsx)
            .args(["-q", "-N", OPERATIONS, "-S", seed, "-f"])
            .arg(&config)
            .arg("-P")
            .arg(bench.path())
            .arg(mount.path(name)));
        assert!(output.status.success(), "seed {seed}: {}", text(&output));
        fs::remove_file(mount.path(name)).unwrap();
    }
    assert_eq!(mount.count("panics"), 0, "{}", mount.log());
    assert_eq!(mount.stats()["gauges"]["staged_bytes"], 0);
    mount.unmount();
}

fn an_alias_behaves_as_a_file(backend: &'static str) {
    exercise(backend, "plain");
}

fn a_temporary_file_behaves_as_a_file(backend: &'static str) {
    exercise(backend, ".exercised.tmp");
}
