//! CID forms beside the blocks.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::slice::from_ref;

use ipfs_persist_mount::block::{Block, CidForm};
use ipfs_persist_mount::datastore::flatfs::{FlatFs, FlatFsOptions};
use ipfs_persist_mount::datastore::{Datastore, Sync};

use super::support::{DAG_PB_V0, block, form_of, open, options, scratch, with_form};

/// Blocks whose forms lie in one file.
fn neighbours(count: usize) -> Vec<Block> {
    let slot = |block: &Block| {
        let text = data_encoding::BASE32_NOPAD.encode(block.key().as_bytes());
        text[text.len() - 3..text.len() - 1].to_owned()
    };
    let first = slot(&block(0));
    (0..).map(block).filter(|block| slot(block) == first).take(count).collect()
}

fn only_file_in(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

#[test]
fn raw_blocks_need_no_forms() {
    let scratch = scratch();
    let path = scratch.path().join("blocks");
    let store = open(&path);
    store.put(&[block(1), block(2)], Sync::Now).unwrap();
    store.remove(&[block(1).key().clone()], Sync::Now).unwrap();
    store.close().unwrap();
    assert!(!scratch.path().join("forms").exists());
}

/// Where a power cut or a bad sector ends the file, the records before it still count, and later
/// ones are written behind them.
#[test]
fn a_torn_forms_file_keeps_what_is_whole() {
    let scratch = scratch();
    let path = scratch.path().join("blocks");
    let forms = scratch.path().join("forms");
    let blocks = neighbours(3);
    let store = open(&path);
    for block in &blocks {
        store.put(&[with_form(block, DAG_PB_V0)], Sync::Now).unwrap();
    }
    store.close().unwrap();
    let file = only_file_in(&forms);
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let whole = fs::read(&file).unwrap();
    assert_eq!(whole.len(), 8 + 3 * 48);

    for cut in (0..whole.len()).step_by(5) {
        for garbage in [&b""[..], &[0; 100], &[0xff; 5]] {
            fs::write(&file, [&whole[..cut], garbage].concat()).unwrap();
            let expected = |number: usize| match cut >= 8 + (number + 1) * 48 {
                true => DAG_PB_V0,
                false => CidForm::RAW_V1,
            };
            let store = open(&path);
            for (number, block) in blocks.iter().enumerate() {
                assert_eq!(form_of(&store, block), expected(number), "cut at {cut}");
            }
            store.put(&[with_form(&blocks[2], DAG_PB_V0)], Sync::Later).unwrap();
            store.close().unwrap();
            let store = open(&path);
            assert_eq!(form_of(&store, &blocks[0]), expected(0));
            assert_eq!(form_of(&store, &blocks[2]), DAG_PB_V0, "cut at {cut}");
        }
    }
}

#[test]
fn a_form_ends_with_its_block_across_reopening() {
    let scratch = scratch();
    let path = scratch.path().join("blocks");
    let block = block(1);
    open(&path).put(&[with_form(&block, DAG_PB_V0)], Sync::Now).unwrap();
    open(&path).remove(from_ref(block.key()), Sync::Now).unwrap();
    open(&path).put(from_ref(&block), Sync::Now).unwrap();
    assert_eq!(form_of(&open(&path), &block), CidForm::RAW_V1);

    // Where raw is not what a missing record means, it is written down.
    let foreign =
        || FlatFs::open_with(FlatFsOptions { default_form: CidForm::Unknown, ..options(&path) }).unwrap();
    let other = neighbours(2).remove(1);
    assert_eq!(form_of(&foreign(), &block), CidForm::RAW_V1);
    foreign().put(from_ref(&other), Sync::Now).unwrap();
    assert_eq!(form_of(&foreign(), &other), CidForm::RAW_V1);
}

#[test]
fn forms_files_do_not_grow_with_what_is_gone() {
    let scratch = scratch();
    let path = scratch.path().join("blocks");
    let forms = scratch.path().join("forms");
    let blocks = neighbours(20);
    let store = open(&path);
    let kept = with_form(&blocks[0], DAG_PB_V0);
    store.put(from_ref(&kept), Sync::Now).unwrap();
    for _ in 0..60 {
        for block in &blocks[1..] {
            store.put(&[with_form(block, DAG_PB_V0)], Sync::Later).unwrap();
            store.put(from_ref(block), Sync::Later).unwrap();
        }
    }
    let length = fs::metadata(only_file_in(&forms)).unwrap().len();
    assert!(length < 200 * 48, "{length} bytes for one record that counts");
    assert_eq!(form_of(&store, &kept), DAG_PB_V0);
    store.close().unwrap();
    assert_eq!(form_of(&open(&path), &kept), DAG_PB_V0);
    assert_eq!(form_of(&open(&path), &blocks[3]), CidForm::RAW_V1);
}
