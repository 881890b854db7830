//! What serving costs the processor: seconds of the server for each GB that is read or written.

use std::fs::{self, File};
use std::io::Read as _;

use ipfs_persist_mount::blockstore::Durability;

use crate::data::{Piece, pieces};
use crate::outcome::{Outcome, fail};
use crate::peers;
use crate::run::{Contender, Run};
use crate::served::Served;

const TOPIC: &str = "processor time";
const BLOCK_BYTES: usize = 256 << 10;
/// Blocks that are read, and how often.
const READ_BLOCKS: usize = 64;
const READ_PASSES: usize = 32;
/// Blocks that are written.
const WRITTEN_BLOCKS: usize = 1024;

pub const READING: &str = "processor time of the server for each GB read in blocks of 256 KiB";
pub const WRITING: &str = "processor time of the server for each GB written in blocks of 256 KiB";

/// Measures both rows, if one of them was asked for.
pub fn measure(run: &mut Run) -> Outcome<()> {
    if !run.wants_any(TOPIC, &[READING, WRITING]) {
        return Ok(());
    }
    let below = run.place(TOPIC, "empty")?;
    let floor = run.place(TOPIC, "floor")?;
    let hot = pieces(30, READ_BLOCKS, BLOCK_BYTES)?;
    for piece in &hot {
        fs::write(below.join(&piece.name), &piece.bytes)?;
    }
    let served = Served::floor(&floor, &below)?;
    let mut contenders = vec![Contender::mount("floor", floor, served)];
    for backend in run.backends.clone() {
        let mode = if backend.relaxed { Durability::Relaxed } else { Durability::Close };
        contenders.push(run.mount(TOPIC, backend.name, backend, mode)?.0);
    }
    contenders.extend(peers::mounts(run, TOPIC, None)?);
    for contender in contenders.iter().skip(1) {
        for piece in &hot {
            fs::write(contender.dir.join(&piece.name), &piece.bytes)?;
        }
    }
    let rounds = run.rounds(3, 1);
    let rows = [READING, WRITING];
    let mut figures = run.interleave(
        TOPIC,
        rows,
        rounds,
        &contenders,
        |c| &c.name,
        |contender, round| {
            let Some(served) = &contender.served else { return fail("there is no server") };
            let before = served.cpu_secs()?;
            read(contender, &hot)?;
            let between = served.cpu_secs()?;
            write(contender, 40 + round as u64)?;
            let after = served.cpu_secs()?;
            Ok([
                (between - before) / gigabytes(READ_BLOCKS * READ_PASSES),
                (after - between) / gigabytes(WRITTEN_BLOCKS),
            ])
        },
    )?;
    figures.iter_mut().for_each(|figure| figure.unit = "s/GB".to_owned());
    run.keep(figures);
    drop(contenders);
    run.clear(TOPIC)
}

fn gigabytes(blocks: usize) -> f64 {
    (blocks * BLOCK_BYTES) as f64 / 1e9
}

fn read(contender: &Contender, hot: &[Piece]) -> Outcome<()> {
    let mut buffer = vec![0; BLOCK_BYTES];
    for _ in 0..READ_PASSES {
        for piece in hot {
            let path = contender.dir.join(&piece.name);
            crate::reading::drop_pages(&path)?;
            File::open(&path)?.read_exact(&mut buffer)?;
        }
    }
    Ok(())
}

/// Writes, and has it made durable, so that the work for that is counted too.
fn write(contender: &Contender, seed: u64) -> Outcome<()> {
    let half = WRITTEN_BLOCKS / 2;
    for part in 0..2 {
        for piece in pieces(2 * seed + part, half, BLOCK_BYTES)? {
            fs::write(contender.dir.join(&piece.name), &piece.bytes)?;
        }
    }
    match File::open(&contender.dir)?.sync_all() {
        // A server that does not know fsync of a directory has nothing to do for it.
        Err(error) if matches!(error.raw_os_error(), Some(nix::libc::ENOSYS | nix::libc::EINVAL)) => Ok(()),
        synced => Ok(synced?),
    }
}
