//! What is read meanwhile.

use super::*;

/// > The stored block does not change, and readers keep reading it meanwhile, whatever way they opened
/// > it.
pub fn readers_see_right_bytes_while_it_is_written_again(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    let done = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let held: Vec<File> =
                    blocks.iter().map(|(cid, _)| File::open(mount.path(cid)).unwrap()).collect();
                let mut buffer = vec![0; 300_000];
                while !done.load(Ordering::Relaxed) {
                    for ((cid, content), held) in blocks.iter().zip(&held) {
                        held.read_exact_at(&mut buffer[..content.len()], 0).unwrap();
                        assert!(buffer[..content.len()] == *content);
                        assert!(fs::read(mount.path(cid)).unwrap() == *content);
                        let map = Map::new(held, content.len(), PROT_READ, libc::MAP_PRIVATE).unwrap();
                        assert!(map[..] == *content);
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for round in 0..40 {
            for (cid, content) in &blocks {
                put(mount.path(cid), content).unwrap();
                if round % 4 == 0 {
                    assert_eq!(errno(put(mount.path(cid), &content[1..])), EBADMSG);
                }
                let held = OpenOptions::new().read(true).write(true).open(mount.path(cid)).unwrap();
                let mut back = vec![0; content.len()];
                held.read_exact_at(&mut back, 0).unwrap();
                assert!(back == *content);
            }
        }
        eventually("the readers have read", || reads.load(Ordering::Relaxed) > 50);
        done.store(true, Ordering::Relaxed);
    });
    untouched(&mount, &blocks);
}

/// Opening a stored block for reading and writing changes nothing; it reads as it is.
pub fn a_stored_block_can_be_read_through_a_writer(backend: &'static str) {
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    for (cid, content) in &blocks {
        let file = OpenOptions::new().read(true).write(true).open(mount.path(cid)).unwrap();
        let mut back = vec![0; content.len()];
        file.read_exact_at(&mut back, 0).unwrap();
        assert!(back == *content);
        assert_eq!(file.metadata().unwrap().len(), content.len() as u64);
        file.write_all_at(&content[..10], 0).unwrap();
        file.read_exact_at(&mut back, 0).unwrap();
        assert!(back == *content);
        close(file).unwrap();
    }
    untouched(&mount, &blocks);
}

pub fn what_is_read_through_a_writer_is_the_block(backend: &'static str) {
    // A private mapping through a descriptor that had written little yet made the kernel believe that
    // the block ended there: a mapping of somebody who read the block died of SIGBUS.
    // R6: readers keep reading it meanwhile.
    let bench = Bench::new(backend);
    let (mount, blocks) = stored(&bench);
    for (cid, content) in &blocks {
        let reader = File::open(mount.path(cid)).unwrap();
        let map = Map::new(&reader, content.len(), PROT_READ, MAP_SHARED).unwrap();
        for written in [0, 100] {
            let mut options = OpenOptions::new();
            let writer = options.read(true).write(true).truncate(true).open(mount.path(cid)).unwrap();
            writer.write_all_at(&content[..written], 0).unwrap();
            let mut back = vec![0; content.len()];
            writer.read_exact_at(&mut back, 0).unwrap();
            assert!(back == *content);
            let private = Map::new(&writer, content.len(), PROT_READ, libc::MAP_PRIVATE).unwrap();
            assert!(private[..] == *content && map[..] == *content);
            // A gap, behind which bytes are judged at the close.
            writer.write_all_at(&content[900..], 900).unwrap();
            writer.read_exact_at(&mut back, 0).unwrap();
            assert!(back == *content);
            assert_eq!(errno(close(writer)), EBADMSG);
        }
        assert!(map[..] == *content);
    }
    untouched(&mount, &blocks);
}
