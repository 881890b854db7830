//! What is recognised by few files, and what must not be: the whole stores of other programs are
//! in `tests/look_before`.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a str)];

fn made(files: Files) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    dir
}

fn program(files: Files) -> Option<&'static str> {
    identify(made(files).path()).map(|found| found.program)
}

#[test]
fn engines_that_share_names_are_told_apart() {
    let current = ("CURRENT", "MANIFEST-000005\n");
    let rows: &[(Files, Option<&str>)] = &[
        (&[current, ("MANIFEST-000005", "")], Some("LevelDB")),
        (&[current, ("IDENTITY", "x")], Some("RocksDB")),
        (&[current, ("OPTIONS-000007", "[Version]\n  rocksdb_version=11.8.0\n")], Some("RocksDB")),
        (&[current, ("OPTIONS-000007", "[Version]\n  pebble_version=0.1\n")], Some("Pebble")),
        (&[current, ("marker.format-version.000001.013", "")], Some("Pebble")),
        (&[("OPTIONS-000007", "[Version]\n  pebble_version=0.1\n")], Some("Pebble")),
        (&[("MANIFEST", "Bdgr\0\0\0\u{8}")], Some("Badger")),
        (&[("MANIFEST", "of a ship")], None),
        (&[("CURRENT", "affairs")], None),
        (&[("conf", "segment_size: 524288\n"), ("db", "")], Some("sled")),
        (&[("conf", "segment_size: 524288\n")], None),
        (&[("conf", "a=b"), ("db", "")], None),
        (&[("blocks.redb", "redb\u{1a}\n")], Some("redb")),
        (&[("anything", "redb\u{1a}\n")], Some("redb")),
        (&[("notes.redb", "about redb")], None),
        (&[("SHARDING", "/repo/flatfs/shard/v1/prefix/3\n")], Some("flatfs")),
        (&[("below/SHARDING", "/repo/flatfs/shard/v1/prefix/3\n")], Some("flatfs")),
        (&[("very/far/below/SHARDING", "/repo/flatfs/shard/v1/prefix/3\n")], None),
        (&[("version", "18\n"), ("config", "{}"), ("datastore_spec", "")], Some("Kubo")),
        (&[("version", "18\n"), ("config", "{}")], None),
    ];
    for (files, expected) in rows {
        assert_eq!(program(files), *expected, "{files:?}");
    }
}

#[test]
fn a_repository_says_where_its_blocks_are() {
    let repo = |spec: &str| {
        let dir = made(&[("version", "18\n"), ("config", "{}"), ("datastore_spec", spec)]);
        let repo = kubo::Repo::read(dir.path()).unwrap();
        let path = repo.flatfs().map(|path| path.strip_prefix(dir.path()).unwrap_or(path).to_owned());
        (repo.blocks_in_words(), path.map(|path| path.display().to_string()))
    };
    let text = |text: &str| Some(text.to_owned());
    let mounted = r#"{"type":"mount","mounts":[{"mountpoint":"/","type":"levelds","path":"datastore"},
        {"mountpoint":"/blocks","type":"measure","child":{"type":"flatfs","path":"PATH"}}]}"#;
    assert_eq!(repo(mounted), (text("flatfs"), text("PATH")));
    assert_eq!(repo(&mounted.replace("PATH", "/srv/blocks")), (text("flatfs"), text("/srv/blocks")));
    assert_eq!(repo(r#"{"type":"pebbleds","path":"pebbleds"}"#), (text("Pebble"), None));
    assert_eq!(repo(r#"{"type":"s3ds"}"#), (text("s3ds"), None));
    let deep = format!("{}{}{}", r#"{"child":"#.repeat(100), r#"{"type":"flatfs"}"#, "}".repeat(100));
    for unknown in ["", "[]", "{}", r#"{"mounts":[]}"#, r#"{"type":7}"#, &deep] {
        assert_eq!(repo(unknown), (None, None), "{unknown}");
    }
}

/// Whatever the well-known names lead to, looking ends.
#[test]
fn pipes_and_devices_and_links_to_them_are_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let names =
        ["CURRENT", "MANIFEST", "SHARDING", "conf", "db", "OPTIONS-000001", "x.redb", "datastore_spec"];
    for (number, name) in names.iter().enumerate() {
        let path = dir.path().join(name);
        match number % 3 {
            0 => assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success()),
            1 => symlink("/dev/zero", path).unwrap(),
            _ => symlink(dir.path(), path).unwrap(),
        }
    }
    for name in ["config", "version", "IDENTITY"] {
        symlink(name, dir.path().join(name)).unwrap();
    }
    assert_eq!(identify(dir.path()), None);
    for name in names {
        assert_eq!(identify(&dir.path().join(name)), None, "{name}");
    }
}
