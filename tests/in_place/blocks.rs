//! Blocks that we add are the other program's, and the other way round.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::common::blocks::{cid_v0, fixture_blocks};
use super::common::stores::{STORE_BLOCKS, snapshot};
use super::common::{bytes, cid_of, fuse_available, write_new};
use super::support::Theirs;

const STORES: [&str; 4] = ["flatfs-next-to-last-2", "flatfs-prefix-3", "flatfs-suffix-2", "kubo-flatfs"];

/// As the other program stores a block: a private file of its own user.
fn drop_in(theirs: &Theirs, content: &[u8]) -> String {
    let cid = cid_of(content);
    let file = theirs.file(&cid);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
    cid
}

/// > A block that was stored here is Kubo's, one that Kubo stored is here, listed as CIDv1 raw as long as
/// > nobody has written it under another codec.
#[test]
fn blocks_that_are_added_are_stored_as_their_program_would() {
    for store in STORES.into_iter().filter(|_| fuse_available()) {
        let theirs = Theirs::new(store);
        let before = snapshot(&theirs.flatfs);
        let (was_said, was_counted) = (theirs.usage(), theirs.usage_counted());
        let contents: Vec<Vec<u8>> = (0..20).map(|seed| bytes(seed, 100 + 7000 * seed as usize)).collect();
        let gone = fixture_blocks().remove(0).0;

        let mounted = theirs.mount(&[]);
        for content in &contents {
            write_new(&mounted.path(cid_of(content)), content).unwrap();
        }
        fs::remove_file(mounted.path(&gone)).unwrap();
        mounted.unmount();

        let after = snapshot(&theirs.flatfs);
        let files: Vec<_> = contents.iter().map(|content| theirs.file(&cid_of(content))).collect();
        for (file, content) in files.iter().zip(&contents) {
            assert!(fs::read(file).unwrap() == *content);
            assert_eq!(after[file].mode & 0o7777, 0o600);
        }
        for (path, seen) in after.iter().filter(|(path, _)| !before.contains_key(*path)) {
            let is_shard = files.iter().any(|file| file.parent() == Some(path));
            assert!(files.contains(path) || is_shard, "{} is not of this format", path.display());
            assert!(!is_shard || seen.mode & 0o7777 == 0o755);
        }
        let lost: Vec<_> = before.keys().filter(|path| !after.contains_key(*path)).collect();
        assert_eq!(lost, [&theirs.file(&gone)]);
        assert_eq!(fs::read_dir(theirs.flatfs.join(".temp")).unwrap().count(), 0);

        let text = fs::read_to_string(theirs.flatfs.join("diskUsage.cache")).unwrap();
        assert!(text.ends_with(",\"accuracy\":\"initial-exact\"}\n"), "{text}");
        let (said, counted) = (theirs.usage() - was_said, theirs.usage_counted() - was_counted);
        assert_eq!(said, counted, "{store}");
    }
}

/// What a damaged copy had is taken from the count, what the right one has is added.
#[test]
fn healing_keeps_the_count_right() {
    for store in STORES.into_iter().filter(|_| fuse_available()) {
        let theirs = Theirs::new(store);
        let (was_said, was_counted) = (theirs.usage(), theirs.usage_counted());
        let (cid, content) = fixture_blocks().into_iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
        // As long as it was: their program does not see other changes to its files either.
        fs::write(theirs.file(&cid), vec![7; content.len()]).unwrap();
        let mounted = theirs.mount(&[]);
        assert!(fs::read(mounted.path(&cid)).is_err());
        fs::write(mounted.path(&cid), &content).unwrap();
        assert!(fs::read(mounted.path(&cid)).unwrap() == content);
        mounted.unmount();
        assert!(fs::read(theirs.file(&cid)).unwrap() == content);
        assert_eq!((theirs.usage(), theirs.usage_counted()), (was_said, was_counted), "{store}");
    }
}

/// Their program does not note under which CID a block was stored; we do, beside the store.
///
/// > A block that was stored here is Kubo's, one that Kubo stored is here, listed as CIDv1 raw as long as
/// > nobody has written it under another codec.
#[test]
fn blocks_of_theirs_are_listed_as_raw_and_ours_as_they_were_stored() {
    for store in STORES.into_iter().filter(|_| fuse_available()) {
        let theirs = Theirs::new(store);
        let (old, ours) = (bytes(1, 3000), bytes(2, 3000));
        let early = drop_in(&theirs, &old);
        let mounted = theirs.mount(&[]);
        write_new(&mounted.path(cid_v0(&ours)), &ours).unwrap();
        // A codec that becomes known replaces an unknown one.
        let (_, known) = fixture_blocks().remove(3);
        fs::write(mounted.path(cid_v0(&known)), &known).unwrap();
        mounted.unmount();

        let late = drop_in(&theirs, b"stored by their program while nothing was mounted");
        let mounted = theirs.mount(&[]);
        let listed = mounted.ls();
        assert_eq!(listed.len(), STORE_BLOCKS + 3, "{store}");
        for cid in [&early, &late, &cid_v0(&ours), &cid_v0(&known)] {
            assert!(listed.contains(cid), "{store}: {cid}");
        }
        assert!(fs::read(mounted.path(&early)).unwrap() == old);
        assert!(fs::read(mounted.path(cid_v0(&ours))).unwrap() == ours);
        assert!(!theirs.flatfs.join("forms").exists() && theirs.beside.join("forms").is_dir());
        mounted.unmount();
    }
}

/// > Nothing is put among Kubo's files that Kubo would not; marker, lock and CID forms are beside them, in
/// > `.blocks.ipfs-persist` of the same parent.
#[test]
fn what_is_ours_lies_beside_the_store_and_is_private() {
    for store in STORES.into_iter().filter(|_| fuse_available()) {
        let theirs = Theirs::new(store);
        let names = |path: &Path| {
            let mut names = super::common::names(path);
            names.sort();
            names
        };
        let (surroundings, inside) = (names(theirs.flatfs.parent().unwrap()), names(&theirs.flatfs));
        let mounted = theirs.mount(&[]);
        let status = fs::read(mounted.path(".ipfs-persist/status.json")).unwrap();
        let status: serde_json::Value = serde_json::from_slice(&status).unwrap();
        assert_eq!(status["data_path"], theirs.flatfs.to_str().unwrap());
        mounted.unmount();
        assert_eq!(names(&theirs.flatfs), inside);
        let mut expected = surroundings;
        expected.push(theirs.beside.file_name().unwrap().to_str().unwrap().to_owned());
        if store == "kubo-flatfs" {
            expected.push("repo.lock".to_owned());
        } else {
            // The log of the mount lies in the bench as well.
            expected.push(names(theirs.bench.path()).into_iter().find(|name| name.contains("log")).unwrap());
        }
        expected.sort();
        assert_eq!(names(theirs.flatfs.parent().unwrap()), expected);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!(mode(&theirs.beside), 0o700);
        assert_eq!(names(&theirs.beside), ["ipfs-persist.json", "lock"]);
        assert_eq!(mode(&theirs.beside.join("ipfs-persist.json")), 0o600);
    }
}

/// Large shards, odd sharding and files that nobody knows: nothing is lost or touched.
#[test]
fn what_their_program_does_not_know_either_stays_as_it_is() {
    if !fuse_available() {
        return;
    }
    let theirs = Theirs::new("kubo-flatfs");
    let odd = theirs.flatfs.join("AA/README.txt");
    fs::create_dir_all(odd.parent().unwrap()).unwrap();
    File::create(&odd).unwrap().write_all(b"notes").unwrap();
    fs::set_permissions(&odd, PermissionsExt::from_mode(0o640)).unwrap();
    let before = snapshot(&theirs.flatfs);
    let mounted = theirs.mount(&[]);
    assert_eq!(mounted.ls().len(), STORE_BLOCKS);
    mounted.unmount();
    super::common::stores::assert_unchanged(&before, &theirs.flatfs, "mounting");
}
