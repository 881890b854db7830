//! What a store of 100,000 blocks costs: start to ready, memory, and listings.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ipfs_persist_mount::blockstore::Durability;
use ipfs_persist_mount::datastore::Backend;
use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, fstatat};

use crate::data::{piece, pieces};
use crate::engines;
use crate::outcome::{During as _, Outcome, fail};
use crate::peers;
use crate::processors::OnOneProcessor;
use crate::results::Figure;
use crate::run::{Contender, Run, micros};
use crate::served::Served;

const TOPIC: &str = "100,000 blocks";
/// How many blocks, and how large each is.
const BLOCKS: usize = 100_000;
const BLOCK_BYTES: usize = 1 << 10;
const SEED: u64 = 50;
/// Blocks that are written before the server is killed.
const LAST_BLOCKS: usize = 16;
/// How long a mount is left alone before its memory is looked at.
const IDLE_TIME: Duration = Duration::from_millis(500);

pub const START_CLEAN: &str = "start to ready";
pub const START_KILLED: &str = "start to ready after kill -9";
pub const START_KILLED_RELAXED: &str = "start to ready after kill -9, relaxed";
pub const MEMORY: &str = "memory of the idle server (RSS)";
pub const MEMORY_OWN: &str = "memory of the idle server without files (RssAnon)";
pub const LS_F_FIRST: &str = "ls -f, first time, for each name";
pub const LS_F_AGAIN: &str = "ls -f, again, for each name";
pub const LS_L_FIRST: &str = "ls -l, first time, for each name";
pub const LS_L_AGAIN: &str = "ls -l, again, for each name";

const LISTINGS: [&str; 4] = [LS_F_FIRST, LS_F_AGAIN, LS_L_FIRST, LS_L_AGAIN];
const STARTS: [&str; 5] = [START_CLEAN, START_KILLED, START_KILLED_RELAXED, MEMORY, MEMORY_OWN];

/// Who has the blocks.
#[derive(Debug, Clone)]
enum Holder {
    Ext4,
    Floor,
    Store(&'static Backend),
    Peer(&'static str),
}

impl Holder {
    fn name(&self) -> &str {
        match self {
            Holder::Ext4 => "ext4",
            Holder::Floor => "floor",
            Holder::Store(backend) => backend.name,
            Holder::Peer(name) => name,
        }
    }

    /// Whether it has a relaxed mode of its own.
    fn has_relaxed(&self) -> bool {
        matches!(self, Holder::Store(backend) if backend.relaxed)
    }

    /// Mounts; also says how long that took.
    fn mount(&self, run: &Run, ext4: &Path, durability: Durability) -> Outcome<(Contender, Duration)> {
        match self {
            Holder::Ext4 => Ok((Contender::directory("ext4", ext4.to_owned()), Duration::ZERO)),
            Holder::Floor => {
                let dir = run.place(TOPIC, "floor")?;
                let served = Served::floor(&dir, ext4)?;
                Ok((Contender::mount("floor", dir, served), Duration::ZERO))
            }
            Holder::Store(backend) => run.mount(TOPIC, backend.name, backend, durability),
            Holder::Peer(name) => peers::start(run, name, TOPIC, ext4),
        }
    }
}

/// Measures all rows that were asked for.
pub fn measure(run: &mut Run) -> Outcome<()> {
    if !run.wants_any(TOPIC, &LISTINGS) && !run.wants_any(TOPIC, &STARTS) {
        return Ok(());
    }
    let ext4 = run.place(TOPIC, "ext4")?;
    for index in 0..BLOCKS as u64 {
        let piece = piece((SEED << 32) + index + 1, BLOCK_BYTES)?;
        fs::write(ext4.join(&piece.name), &piece.bytes)?;
    }
    let mut holders = vec![Holder::Ext4, Holder::Floor];
    for backend in run.backends.clone() {
        run.go_on()?;
        if backend.durable {
            let data = run.data(TOPIC, backend.name);
            engines::fill(backend, &data, SEED, BLOCKS, BLOCK_BYTES)
                .during(format!("fill {}", backend.name))?;
            holders.push(Holder::Store(backend));
        }
    }
    holders.extend(peers::installed(run).into_iter().map(Holder::Peer));
    if run.wants_any(TOPIC, &STARTS) {
        measure_starts(run, &holders, &ext4)?;
    }
    if run.wants_any(TOPIC, &LISTINGS) {
        measure_listings(run, &holders, &ext4)?;
        measure_volatile(run)?;
    }
    run.clear(TOPIC)
}

fn measure_starts(run: &mut Run, holders: &[Holder], ext4: &Path) -> Outcome<()> {
    let programs: Vec<Holder> = holders
        .iter()
        .filter(|holder| matches!(holder, Holder::Store(_) | Holder::Peer(_)))
        .cloned()
        .collect();
    let rounds = run.rounds(7, 3);
    let rows = [START_CLEAN, MEMORY, MEMORY_OWN];
    let figures = run.interleave(TOPIC, rows, rounds, &programs, Holder::name, |holder, _| {
        let (contender, took) = holder.mount(run, ext4, Durability::Close)?;
        std::thread::sleep(IDLE_TIME);
        let served = contender.served.as_ref();
        let memory =
            |field| served.map_or_else(|| fail("there is no server"), |served| served.memory_mb(field));
        let (all, own) = (memory("VmRSS")?, memory("RssAnon")?);
        contender.served.map_or(Ok(()), Served::end)?;
        Ok([took.as_secs_f64() * 1e3, all, own])
    })?;
    run.keep(in_units(figures));
    let stores: Vec<Holder> =
        programs.into_iter().filter(|holder| matches!(holder, Holder::Store(_))).collect();
    for (row, durability) in [(START_KILLED, Durability::Close), (START_KILLED_RELAXED, Durability::Relaxed)]
    {
        let stores: Vec<Holder> = stores
            .iter()
            .filter(|holder| durability == Durability::Close || holder.has_relaxed())
            .cloned()
            .collect();
        let figures = run.interleave(TOPIC, [row], rounds, &stores, Holder::name, |holder, round| {
            let (contender, _) = holder.mount(run, ext4, durability)?;
            // Deleted again: what is measured are 100,000 blocks, and not more from round to round.
            let seed = SEED + 1 + round as u64;
            for piece in pieces(seed, LAST_BLOCKS, BLOCK_BYTES)? {
                fs::write(contender.dir.join(&piece.name), &piece.bytes)?;
            }
            contender.served.map_or(Ok(()), Served::kill)?;
            let (contender, took) = holder.mount(run, ext4, durability)?;
            for piece in pieces(seed, LAST_BLOCKS, BLOCK_BYTES)? {
                let path = contender.dir.join(&piece.name);
                if fs::read(&path).during("read what was closed before the kill")? != piece.bytes {
                    return fail("a block has other bytes after the kill");
                }
                fs::remove_file(&path)?;
            }
            contender.served.map_or(Ok(()), Served::end)?;
            Ok([took.as_secs_f64() * 1e3])
        })?;
        run.keep(in_units(figures));
    }
    Ok(())
}

fn in_units(mut figures: Vec<Figure>) -> Vec<Figure> {
    for figure in &mut figures {
        figure.unit = if figure.row.starts_with("memory") { "MB" } else { "ms" }.to_owned();
    }
    figures
}

/// The first time is after a new mount, both for the names alone and for the attributes.
fn measure_listings(run: &mut Run, holders: &[Holder], ext4: &Path) -> Outcome<()> {
    let mut rounds = run.rounds(5, 1);
    if run.options.quick {
        rounds.skipped = 0;
    }
    let figures = run.interleave(TOPIC, LISTINGS, rounds, holders, Holder::name, |holder, _| {
        let mut figures = Vec::new();
        for attributes in [false, true] {
            let (contender, _) = holder.mount(run, ext4, Durability::Close)?;
            let pinned = OnOneProcessor::new([&contender])?;
            for _ in 0..2 {
                figures.push(list(&contender.dir, attributes)?);
            }
            drop(pinned);
            contender.served.map_or(Ok(()), Served::end)?;
        }
        figures.try_into().or_else(|_| fail("there are four listings"))
    })?;
    // An ordinary directory has no first time without emptying the whole machine's caches.
    let is_first = |figure: &Figure| figure.row == LS_F_FIRST || figure.row == LS_L_FIRST;
    let mut figures = figures;
    for first in [LS_F_FIRST, LS_L_FIRST] {
        let again = if first == LS_F_FIRST { LS_F_AGAIN } else { LS_L_AGAIN };
        let samples = figures.iter().find(|figure| figure.row == again && figure.contender == "ext4");
        let samples = samples.map(|figure| figure.samples.clone()).unwrap_or_default();
        for figure in figures.iter_mut().filter(|figure| is_first(figure) && figure.row == first) {
            if figure.contender == "ext4" {
                figure.samples.clone_from(&samples);
            }
        }
    }
    run.keep(figures);
    Ok(())
}

/// A backend without files is filled through its mount, and has no first time after that.
fn measure_volatile(run: &mut Run) -> Outcome<()> {
    let rounds = run.rounds(5, 1);
    for backend in run.backends.clone().into_iter().filter(|backend| !backend.durable) {
        let (contender, _) = run.mount(TOPIC, backend.name, backend, Durability::Close)?;
        for index in 0..BLOCKS as u64 {
            let piece = piece((SEED << 32) + index + 1, BLOCK_BYTES)?;
            fs::write(contender.dir.join(&piece.name), &piece.bytes)?;
        }
        let served = contender.served.as_ref();
        let memory =
            |field| served.map_or_else(|| fail("there is no server"), |served| served.memory_mb(field));
        let mut figures = Vec::new();
        for (row, field) in [(MEMORY, "VmRSS"), (MEMORY_OWN, "RssAnon")] {
            figures.push(Figure::new(TOPIC, row, backend.name, "MB", vec![memory(field)?]));
        }
        let pinned = OnOneProcessor::new([&contender])?;
        for (row, attributes) in [(LS_F_AGAIN, false), (LS_L_AGAIN, true)] {
            let samples: Outcome<Vec<f64>> =
                (0..=rounds.kept).map(|_| list(&contender.dir, attributes)).collect();
            let samples = samples?.split_off(1);
            figures.push(Figure::new(TOPIC, row, backend.name, "us", samples));
        }
        drop(pinned);
        run.keep(figures);
    }
    Ok(())
}

/// Lists a directory as `ls -f` does, or as `ls -l` does; microseconds for each name.
fn list(dir: &PathBuf, attributes: bool) -> Outcome<f64> {
    let begun = Instant::now();
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut names = Dir::open(dir, flags, Mode::empty())?;
    let from = fs::File::open(dir)?;
    let (mut count, mut bytes) = (0_usize, 0_u64);
    for entry in names.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_bytes().first() == Some(&b'.') {
            continue;
        }
        count += 1;
        if attributes {
            let name = std::ffi::OsStr::from_bytes(name.to_bytes());
            bytes += fstatat(&from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?.st_size.unsigned_abs();
        }
    }
    let took = micros(begun.elapsed()) / BLOCKS as f64;
    if count != BLOCKS || (attributes && bytes != (BLOCKS * BLOCK_BYTES) as u64) {
        return fail(format!("a listing of {count} names and {bytes} bytes"));
    }
    Ok(took)
}
