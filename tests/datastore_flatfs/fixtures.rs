//! Stores of another program: read, and written in the same way.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::slice::from_ref;
use std::time::SystemTime;

use ipfs_persist_mount::block::{Block, Cid, CidForm, bytes_match};
use ipfs_persist_mount::datastore::flatfs::{FlatFs, FlatFsOptions, probe};
use ipfs_persist_mount::datastore::{Datastore, Sync};

use super::support::{FIXTURE_BLOCKS, FIXTURES, block, list, open, options, scratch, tree, unpack};

#[test]
fn stores_of_go_ds_flatfs_are_read() {
    for (name, _) in FIXTURES {
        let scratch = scratch();
        let path = unpack(&scratch, name);
        assert!(probe(&path));
        let before = tree(&path);
        let foreign = FlatFsOptions { default_form: CidForm::Unknown, create: false, ..options(&path) };
        let store = Box::new(FlatFs::open_with(foreign).unwrap());
        let keys = list(&store, 10);
        assert_eq!(keys.len(), FIXTURE_BLOCKS);
        for key in &keys {
            let bytes = store.get(key).unwrap().unwrap();
            assert!(bytes_match(key, &bytes));
            let meta = store.stat(key).unwrap().unwrap();
            assert_eq!((meta.size_bytes, meta.cid_form), (bytes.len() as u64, CidForm::Unknown));
        }
        store.close().unwrap();
        assert!(tree(&path) == before, "reading has changed {name}");
    }
}

/// Byte for byte, name for name, mode for mode, `diskUsage.cache` included.
#[test]
fn stores_are_written_as_go_ds_flatfs_does() {
    for (name, sharding) in FIXTURES {
        let scratch = scratch();
        let theirs = unpack(&scratch, name);
        let ours = scratch.path().join("ours");
        if name != "flatfs-next-to-last-2" {
            fs::create_dir(&ours).unwrap();
            fs::write(ours.join("SHARDING"), sharding).unwrap();
            fs::set_permissions(ours.join("SHARDING"), PermissionsExt::from_mode(0o644)).unwrap();
        }
        let source = open(&theirs);
        let store = open(&ours);
        let keys = list(&source, 1000);
        let copies = keys.iter().map(|key| {
            let cid = Cid::new(key.clone(), CidForm::RAW_V1).unwrap();
            Block::verify(&cid, source.get(key).unwrap().unwrap(), SystemTime::now()).unwrap()
        });
        let copies = copies.collect::<Vec<_>>();
        store.put(&copies[..20], Sync::Now).unwrap();
        store.put(&copies[20..], Sync::Later).unwrap();
        assert_eq!(list(&store, 7), keys);
        store.close().unwrap();

        let (mut found, mut expected) = (tree(&ours), tree(&theirs));
        let new_directory_bytes = fs::metadata(ours.join(".temp")).unwrap().len();
        if new_directory_bytes != 4096 {
            // The count has lengths of directories in it, which differ between file systems.
            let cache = Path::new("diskUsage.cache");
            assert_eq!(found.remove(cache).unwrap().0, expected.remove(cache).unwrap().0);
        }
        assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (path, theirs) in expected {
            assert!(found[&path] == theirs, "{name}: {} differs", path.display());
        }
        if name == "flatfs-next-to-last-2" {
            assert_eq!(fs::metadata(&ours).unwrap().mode() & 0o7777, 0o755);
        }
    }
}

#[test]
fn disk_usage_follows_changes_and_is_counted_anew_when_lost() {
    let scratch = scratch();
    let path = unpack(&scratch, "flatfs-suffix-2");
    let cache = path.join("diskUsage.cache");
    let before = fs::read_to_string(&cache).unwrap();
    let store = open(&path);
    let extra = block(1);
    store.put(from_ref(&extra), Sync::Now).unwrap();
    store.put(from_ref(&extra), Sync::Now).unwrap();
    store.remove(from_ref(extra.key()), Sync::Now).unwrap();
    let shard_bytes = store.usage().unwrap().disk_bytes - 305_076;
    assert!(shard_bytes == 0 || shard_bytes == fs::metadata(path.join(".temp")).unwrap().len());
    store.close().unwrap();

    for lost in ["", "{\"diskUsage\":0,\"accuracy\":\"\"}\n", "{\"diskUsage\":"] {
        fs::write(&cache, lost).unwrap();
        let store = open(&path);
        store.close().unwrap();
        let text = fs::read_to_string(&cache).unwrap();
        assert!(text.starts_with("{\"diskUsage\":3"), "{text}");
        assert!(text.ends_with(",\"accuracy\":\"initial-exact\"}\n"));
    }
    assert_eq!(before, "{\"diskUsage\":305076,\"accuracy\":\"initial-exact\"}\n");
}

#[test]
fn files_that_are_no_blocks_are_passed_over() {
    let scratch = scratch();
    let path = unpack(&scratch, "flatfs-next-to-last-2");
    let file = |name: &str| fs::write(path.join(name), "x").unwrap();
    let name = "CIQAG7DXUUBDZY2RKWICIC5NOONEYYNVW5KXSRNYKEF3R6ZFBUWS2JI";
    fs::create_dir(path.join("lost+found")).unwrap();
    fs::create_dir(path.join("AAA")).unwrap();
    fs::create_dir(path.join("ZZ")).unwrap();
    file(&format!("ZZ/{name}.data"));
    file(&format!("2J/{}.data", name.to_lowercase()));
    file("2J/README.data");
    file("2J/put-1234");
    file(&format!("AAA/{name}.data"));
    file("QQ");
    let link = path.join("ZY").join("CIQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAZYA.data");
    std::os::unix::fs::symlink("/etc/passwd", link).unwrap();
    let store = open(&path);
    assert_eq!(list(&store, 3).len(), FIXTURE_BLOCKS);
}
