//! Reading: stat, and open, read and close of hot blocks and of blocks that the mount's cache has lost.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use ipfs_persist_mount::blockstore::Durability;

use crate::data::{Piece, pieces};
use crate::kubo::Kubo;
use crate::outcome::{During as _, Outcome, fail};
use crate::peers;
use crate::processors::OnOneProcessor;
use crate::run::{Contender, Rounds, Run, timed, timed_once};
use crate::served::Served;

const TOPIC: &str = "reading";

pub const STAT: &str = "stat";
pub const READ_1K: &str = "open+read+close 1 KiB, hot";
pub const READ_256K: &str = "open+read+close 256 KiB, hot";
pub const READ_1M: &str = "open+read+close 1 MiB, hot";
pub const DROPPED_256K: &str = "open+read+close 256 KiB, cache dropped";
pub const DROPPED_1M: &str = "open+read+close 1 MiB, cache dropped";

/// Files of one size.
struct Set {
    bytes: usize,
    count: usize,
    hot: &'static str,
    dropped: Option<&'static str>,
}

const SETS: [Set; 3] = [
    Set { bytes: 1 << 10, count: 64, hot: READ_1K, dropped: None },
    Set { bytes: 256 << 10, count: 32, hot: READ_256K, dropped: Some(DROPPED_256K) },
    Set { bytes: 1 << 20, count: 12, hot: READ_1M, dropped: Some(DROPPED_1M) },
];

/// Measures all rows that were asked for.
pub fn measure(run: &mut Run) -> Outcome<()> {
    if !run.wants_any(TOPIC, &[STAT, READ_1K, READ_256K, READ_1M, DROPPED_256K, DROPPED_1M]) {
        return Ok(());
    }
    let mut sets = Vec::new();
    for (seed, set) in (1..).zip(&SETS) {
        sets.push(pieces(seed, set.count, set.bytes)?);
    }
    let mut contenders = contenders(run, &sets)?;
    let directories = contenders.len();
    if let Some(kubo) = Kubo::start(run, TOPIC)? {
        for piece in sets.iter().flatten() {
            kubo.put(&piece.bytes)?;
        }
        contenders.push(Contender::api(kubo));
    }
    let directories = contenders.get(..directories).unwrap_or_default();
    let rounds = run.rounds(31, 9);
    let pinned = OnOneProcessor::new(&contenders)?;
    for (set, pieces) in SETS.iter().zip(&sets) {
        if set.hot == READ_1K && run.wants(TOPIC, STAT) {
            let figures = run.interleave(
                TOPIC,
                [STAT],
                rounds,
                directories,
                |c| &c.name,
                |contender, _| {
                    let paths = paths(contender, pieces);
                    Ok([timed(&paths, |path| {
                        let length = fs::metadata(path)?.len();
                        if length == set.bytes as u64 { Ok(()) } else { fail(format!("a size of {length}")) }
                    })?])
                },
            )?;
            run.keep(figures);
        }
        if run.wants(TOPIC, set.hot) {
            let figures = run.interleave(
                TOPIC,
                [set.hot],
                rounds,
                &contenders,
                |c| &c.name,
                |contender, round| {
                    if let Some(api) = &contender.api {
                        return Ok([timed(pieces, |piece| match api.get(&piece.name)? {
                            bytes if bytes == piece.bytes => Ok(()),
                            _ => fail("other bytes than were stored"),
                        })?]);
                    }
                    if round == 0 {
                        compare(contender, pieces)?;
                    }
                    let paths = paths(contender, pieces);
                    let mut buffer = vec![0; set.bytes];
                    Ok([timed(&paths, |path| read(path, &mut buffer))?])
                },
            )?;
            run.keep(figures);
        }
        if let Some(row) = set.dropped
            && run.wants(TOPIC, row)
        {
            measure_dropped(run, row, rounds, directories, pieces)?;
        }
    }
    drop(pinned);
    drop(contenders);
    run.clear(TOPIC)
}

/// ext4 has no cache of a mount in front of it, and is measured as it is: hot.
fn measure_dropped(
    run: &mut Run,
    row: &str,
    rounds: Rounds,
    contenders: &[Contender],
    pieces: &[Piece],
) -> Outcome<()> {
    let measure = |contender: &Contender, round: usize| {
        let paths = paths(contender, pieces);
        let mut buffer = vec![0; pieces.first().map_or(0, |piece| piece.bytes.len())];
        if contender.served.is_some() {
            for path in &paths {
                drop_pages(path)?;
            }
        }
        let took = timed_once(&paths, |path| read(path, &mut buffer))?;
        if round == 0 {
            compare(contender, pieces)?;
        }
        Ok([took])
    };
    let figures = run.interleave(TOPIC, [row], rounds, contenders, |c| &c.name, measure)?;
    run.keep(figures);
    // Engines whose blocks are no files are read through the mount, which counts that.
    for contender in contenders {
        let Some(served) = &contender.served else { continue };
        if run.backends.iter().any(|row| row.name == contender.name && !row.file_per_block) {
            let before = served.requests("read")?;
            for path in paths(contender, pieces) {
                drop_pages(&path)?;
                read(&path, &mut vec![0; pieces.first().map_or(0, |piece| piece.bytes.len())])?;
            }
            let after = served.requests("read")?;
            if after - before < pieces.len() as u64 {
                return fail(format!(
                    "{}: the cache was not dropped: {} reads",
                    contender.name,
                    after - before
                ));
            }
        }
    }
    Ok(())
}

fn contenders(run: &mut Run, sets: &[Vec<Piece>]) -> Outcome<Vec<Contender>> {
    let ext4 = run.place(TOPIC, "ext4")?;
    for piece in sets.iter().flatten() {
        fs::write(ext4.join(&piece.name), &piece.bytes)?;
    }
    let floor = run.place(TOPIC, "floor")?;
    let served = Served::floor(&floor, &ext4)?;
    let mut contenders =
        vec![Contender::directory("ext4", ext4.clone()), Contender::mount("floor", floor, served)];
    for backend in run.backends.clone() {
        let (contender, _) = run.mount(TOPIC, backend.name, backend, Durability::Close)?;
        for piece in sets.iter().flatten() {
            let path = contender.dir.join(&piece.name);
            fs::write(&path, &piece.bytes).during(format!("write into {}", contender.name))?;
        }
        contenders.push(contender);
    }
    contenders.extend(peers::mounts(run, TOPIC, Some(&ext4))?);
    Ok(contenders)
}

fn paths(contender: &Contender, pieces: &[Piece]) -> Vec<PathBuf> {
    pieces.iter().map(|piece| contender.dir.join(&piece.name)).collect()
}

fn read(path: &Path, buffer: &mut [u8]) -> Outcome<()> {
    Ok(File::open(path)?.read_exact(buffer)?)
}

fn compare(contender: &Contender, pieces: &[Piece]) -> Outcome<()> {
    for piece in pieces {
        if fs::read(contender.dir.join(&piece.name))? != piece.bytes {
            return fail(format!("{} reads other bytes than were written", contender.name));
        }
    }
    Ok(())
}

/// Has the kernel forget the pages of a file, and of no other.
pub fn drop_pages(path: &Path) -> Outcome<()> {
    let file = File::open(path)?;
    Ok(posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?)
}
