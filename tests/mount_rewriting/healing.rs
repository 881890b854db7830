//! Damaged copies.

use super::*;

/// Flips a bit of a stored block behind the mount's back.
pub fn damage(bench: &Bench, cid: &str) {
    let path = flatfs_file(&bench.data().join("blocks"), cid);
    let mut stored = fs::read(&path).unwrap();
    let middle = stored.len() / 2;
    stored[middle] ^= 1;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&stored, 0).unwrap();
}

/// A new mount of what [`stored`] has stored, with every block damaged.
pub fn damaged(bench: &Bench) -> (Mounted, Vec<(String, Vec<u8>)>) {
    let (mount, blocks) = stored(bench);
    mount.unmount();
    blocks.iter().for_each(|(cid, _)| damage(bench, cid));
    (bench.mount(), blocks)
}

/// > If the stored copy is damaged, it is replaced.
pub fn a_damaged_copy_is_healed(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = damaged(&bench);
    for (cid, _) in &blocks {
        assert_eq!(errno(File::open(mount.path(cid))), EIO);
        sh_ok(&mount.mnt, &format!("cp ../{cid} {cid}"));
    }
    untouched(&mount, &blocks);
    assert_eq!(mount.count("blocks_healed"), blocks.len() as u64);
    mount.unmount();
    untouched(&bench.mount(), &blocks);
}

/// > If the stored copy is damaged, it is replaced.
pub fn a_healed_block_is_read_right_at_once(backend: &'static str) {
    // The kernel reads a large block's file by itself, and the registration of that file lasts until
    // RELEASE, which comes after close: a reader that opened the block right after it was healed
    // could be given the damaged file.
    let bench = Bench::new(backend);
    let (mount, blocks) = damaged(&bench);
    for _ in 0..15 {
        for (cid, content) in &blocks {
            put(mount.path(cid), content).unwrap();
            assert!(fs::read(mount.path(cid)).unwrap() == *content);
            damage(&bench, cid);
        }
    }
    // Whoever holds the damaged one open does not hold it for others.
    for (cid, content) in &blocks {
        put(mount.path(cid), content).unwrap();
        let holder = File::open(mount.path(cid)).unwrap();
        damage(&bench, cid);
        put(mount.path(cid), content).unwrap();
        for _ in 0..3 {
            assert!(fs::read(mount.path(cid)).unwrap() == *content);
            let reader = File::open(mount.path(cid)).unwrap();
            let mut first = [0; 100];
            reader.read_exact_at(&mut first, 0).unwrap();
            assert!(first == content[..100]);
        }
        close(holder).unwrap();
    }
    assert_eq!(mount.count("panics"), 0);
}

/// Damaged as it may be.
///
/// > The stored block does not change, and readers keep reading it meanwhile, whatever way they opened
/// > it.
pub fn wrong_bytes_do_not_heal(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = damaged(&bench);
    for (cid, content) in &blocks {
        let file = flatfs_file(&bench.data().join("blocks"), cid);
        let before = fs::read(&file).unwrap();
        assert_eq!(errno(put(mount.path(cid), &content[1..])), EBADMSG);
        assert_eq!(errno(put(mount.path(cid), &before)), EBADMSG, "the damaged bytes themselves");
        sh_ok(&mount.mnt, &format!(": > {cid}; touch {cid}"));
        assert!(fs::read(&file).unwrap() == before);
        assert_eq!(errno(File::open(mount.path(cid))), EIO);
    }
    assert_eq!(mount.count("blocks_healed"), 0);
}

/// Writing it again reads the stored copy, so it finds damage that came after the check of the mount.
///
/// > If the stored copy is damaged, it is replaced.
pub fn a_copy_that_was_damaged_after_its_check_is_healed(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    for (cid, content) in &blocks {
        let holder = File::open(mount.path(cid)).unwrap();
        damage(&bench, cid);
        put(mount.path(cid), content).unwrap();
        drop(holder);
    }
    assert_eq!(mount.count("blocks_healed"), blocks.len() as u64);
    untouched(&mount, &blocks);
}
