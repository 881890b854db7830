//! Size, time and CID form.

use std::time::{Duration, UNIX_EPOCH};

use ipfs_persist_mount::block::CidForm;
use ipfs_persist_mount::datastore::{MetaChange, Sync};

use super::Case;
use super::blocks::{DAG_CBOR_V1, DAG_PB_V0, block, blocks, restored, time};
use super::store::Store;

pub const CASES: &[Case] = &[
    Case::every("forms_are_kept_exactly", forms_are_kept_exactly),
    Case::every("times_are_kept_exactly", times_are_kept_exactly),
    Case::every("put_replaces_form_and_time", put_replaces_form_and_time),
    Case::every("set_meta_changes_what_it_says", set_meta_changes_what_it_says),
    Case::every("a_removed_blocks_form_is_not_inherited", a_removed_blocks_form_is_not_inherited),
    Case::every("many_forms_come_and_go", many_forms_come_and_go),
    Case::durable("forms_and_times_survive_reopening", forms_and_times_survive_reopening),
];

const FORMS: [CidForm; 5] = [
    CidForm::RAW_V1,
    DAG_PB_V0,
    DAG_CBOR_V1,
    CidForm::Unknown,
    CidForm::Known { version: ipfs_persist_mount::block::Version::V1, codec: i64::MAX as u64 },
];

fn forms_are_kept_exactly(store: Store) {
    for (number, form) in FORMS.into_iter().enumerate() {
        let block = restored(&block(number as u32), form, UNIX_EPOCH);
        store.put_one(&block);
        assert_eq!(store.stat(block.key()).unwrap().unwrap().cid_form, form);
        let listed = store.list_all(10);
        assert_eq!(listed.iter().find(|listed| listed.key == *block.key()).unwrap().cid_form, form);
    }
}

/// To the nanosecond, before 1970 and after 2038.
fn times_are_kept_exactly(store: Store) {
    let times = [
        UNIX_EPOCH,
        UNIX_EPOCH + Duration::new(1, 1),
        UNIX_EPOCH - Duration::new(86_400, 5),
        UNIX_EPOCH + Duration::new(5_000_000_000, 999_999_999),
    ];
    for (number, mtime) in times.into_iter().enumerate() {
        let block = restored(&block(number as u32), CidForm::RAW_V1, mtime);
        store.put_one(&block);
        assert_eq!(store.stat(block.key()).unwrap().unwrap().mtime, mtime);
    }
}

fn put_replaces_form_and_time(store: Store) {
    let first = block(1);
    for (number, form) in FORMS.into_iter().chain(FORMS).enumerate() {
        let again = restored(&first, form, time(number as u32));
        store.put_one(&again);
        assert_eq!(store.stat(first.key()).unwrap().as_ref(), Some(again.meta()));
    }
    assert_eq!(store.keys(10).len(), 1);
}

fn set_meta_changes_what_it_says(store: Store) {
    let block = block(1);
    store.put_one(&block);
    let mut expected = *block.meta();
    let changes = [
        (None, None),
        (Some(time(77)), None),
        (None, Some(DAG_PB_V0)),
        (Some(time(78)), Some(CidForm::RAW_V1)),
        (None, Some(CidForm::Unknown)),
    ];
    for (mtime, cid_form) in changes {
        assert!(store.set_meta(block.key(), MetaChange { mtime, cid_form }).unwrap());
        expected.mtime = mtime.unwrap_or(expected.mtime);
        expected.cid_form = cid_form.unwrap_or(expected.cid_form);
        assert_eq!(store.stat(block.key()).unwrap(), Some(expected));
        assert_eq!(store.list_all(1)[0].cid_form, expected.cid_form);
    }
    assert_eq!(store.get(block.key()).unwrap().as_ref(), Some(block.bytes()));
    store.sync().unwrap();
}

/// Only the caller of the second put says what the block is now.
fn a_removed_blocks_form_is_not_inherited(store: Store) {
    let raw = block(1);
    store.put_one(&restored(&raw, DAG_PB_V0, UNIX_EPOCH));
    assert!(store.remove_one(raw.key()));
    store.put_one(&raw);
    assert_eq!(store.stat(raw.key()).unwrap().as_ref(), Some(raw.meta()));
    assert_eq!(store.list_all(1)[0].cid_form, CidForm::RAW_V1);
}

/// Enough of them that what an engine keeps beside the blocks has to be tidied up.
fn many_forms_come_and_go(store: Store) {
    let raw = blocks(0..40);
    for round in 0..20u32 {
        let form = if round % 2 == 0 { DAG_PB_V0 } else { DAG_CBOR_V1 };
        let again = raw.iter().map(|block| restored(block, form, time(round))).collect::<Vec<_>>();
        store.put(&again, Sync::Later).unwrap();
        for block in &again {
            assert_eq!(store.stat(block.key()).unwrap().as_ref(), Some(block.meta()));
        }
        let keys = again.iter().step_by(3).map(|block| block.key().clone()).collect::<Vec<_>>();
        store.remove(&keys, Sync::Later).unwrap();
    }
    store.sync().unwrap();
}

fn forms_and_times_survive_reopening(store: Store) {
    let mut stored = Vec::new();
    for (number, form) in (0..).zip(FORMS.into_iter().cycle().take(100)) {
        stored.push(restored(&block(number), form, time(number)));
    }
    store.put(&stored[..50], Sync::Now).unwrap();
    store.put(&stored[50..], Sync::Later).unwrap();
    let changed = MetaChange { mtime: Some(time(999)), cid_form: Some(DAG_CBOR_V1) };
    assert!(store.set_meta(stored[0].key(), changed).unwrap());

    let store = store.reopen();
    for block in &stored[1..] {
        assert_eq!(store.stat(block.key()).unwrap().as_ref(), Some(block.meta()));
    }
    let meta = store.stat(stored[0].key()).unwrap().unwrap();
    assert_eq!((meta.mtime, meta.cid_form), (time(999), DAG_CBOR_V1));
    for listed in store.list_all(30) {
        assert_eq!(listed.cid_form, store.stat(&listed.key).unwrap().unwrap().cid_form);
    }
}
