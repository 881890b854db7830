//! Writing: create, write and close of new blocks by one and by several writers, and deleting them.
//!
//! Every round writes blocks that were never there before, the same ones for each contender. They are
//! deleted when everything has been written, because ext4 makes new files slowly where many were deleted.
//! The disk is synced before each sample, so that no contender waits for what another one has written.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Barrier, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use ipfs_persist_mount::block::{Block, Cid};
use ipfs_persist_mount::blockstore::Durability;
use ipfs_persist_mount::datastore::{Datastore, Sync};
use ipfs_persist_mount::sys;

use crate::data::{Piece, pieces};
use crate::engines;
use crate::kubo::Kubo;
use crate::outcome::{During as _, Outcome, fail};
use crate::peers;
use crate::processors::OnOneProcessor;
use crate::run::{Contender, Rounds, Run, micros, timed_once};
use crate::served::Served;

/// The size of the blocks that are deleted.
const DELETED_BYTES: usize = 1 << 10;
/// Who computes the hash alone.
pub const HASH: &str = "hash";
/// In front of the name of a backend: its engine called directly.
pub const ENGINE: &str = "engine ";
/// The sizes with their names, and how many blocks a sample has.
const SIZES: [(usize, &str, usize); 3] =
    [(1 << 10, "1 KiB", 192), (16 << 10, "16 KiB", 96), (256 << 10, "256 KiB", 32)];
const WRITERS: [usize; 3] = [1, 4, 16];

/// The table of a mode.
fn topic(durability: Durability) -> &'static str {
    match durability {
        Durability::Close => "writing, durable",
        Durability::Relaxed => "writing, relaxed",
    }
}

/// The name of a row.
pub fn row(size: &str, writers: usize, durability: Durability) -> String {
    let word = match durability {
        Durability::Close => "durable",
        Durability::Relaxed => "relaxed",
    };
    let writers = if writers == 1 { "1 writer".to_owned() } else { format!("{writers} writers") };
    format!("create+write+close {size}, {writers}, {word}")
}

/// The name of the row in which the blocks of 1 KiB are deleted again.
pub fn delete_row(durability: Durability) -> &'static str {
    match durability {
        Durability::Close => "delete, durable within a second",
        Durability::Relaxed => "delete, relaxed",
    }
}

/// Who stores blocks.
enum Store {
    Files { contender: Contender, fsync: bool, keeps: bool },
    Engine { name: String, engine: Box<dyn Datastore>, sync: Sync },
    Hash,
    Api { contender: Contender },
}

impl Store {
    fn name(&self) -> &str {
        match self {
            Store::Files { contender, .. } | Store::Api { contender } => &contender.name,
            Store::Engine { name, .. } => name,
            Store::Hash => HASH,
        }
    }

    fn contender(&self) -> Option<&Contender> {
        match self {
            Store::Files { contender, .. } | Store::Api { contender } => Some(contender),
            Store::Engine { .. } | Store::Hash => None,
        }
    }

    /// Whether it has several clients, and deletes.
    fn is_full(&self) -> bool {
        !matches!(self, Store::Api { .. } | Store::Hash)
    }

    /// Stores blocks; microseconds for each.
    fn put(&self, pieces: &[Piece], writers: usize) -> Outcome<f64> {
        match self {
            Store::Files { contender, fsync, .. } => {
                at_once(pieces, writers, |piece| create(&contender.dir, piece, *fsync))
            }
            // As many blocks as there are writers share a sync, as a group commit can do at best.
            Store::Engine { engine, sync, .. } => {
                let blocks: Vec<Block> = pieces.iter().map(|piece| piece.block.clone()).collect();
                let begun = Instant::now();
                for batch in blocks.chunks(writers) {
                    engine.put(batch, *sync)?;
                }
                Ok(micros(begun.elapsed()) / pieces.len() as f64)
            }
            Store::Api { contender } => timed_once(pieces, |piece| match &contender.api {
                Some(api) => api.put(&piece.bytes),
                None => fail("there is no API"),
            }),
            Store::Hash => {
                let cids: Vec<Cid> =
                    pieces.iter().map(|piece| Cid::parse(&piece.name)).collect::<Result<_, _>>()?;
                let begun = Instant::now();
                for (cid, piece) in cids.iter().zip(pieces) {
                    Block::verify(cid, piece.bytes.clone(), SystemTime::UNIX_EPOCH)?;
                }
                Ok(micros(begun.elapsed()) / pieces.len() as f64)
            }
        }
    }

    /// What was stored is there.
    fn check(&self, pieces: &[Piece]) -> Outcome<()> {
        for piece in pieces {
            let right = match self {
                Store::Files { contender, keeps: true, .. } => {
                    fs::read(contender.dir.join(&piece.name))? == piece.bytes
                }
                Store::Engine { engine, .. } => {
                    engine.get(piece.block.key())?.is_some_and(|bytes| bytes == piece.bytes)
                }
                Store::Api { contender } => contender
                    .api
                    .as_ref()
                    .is_some_and(|api| api.get(&piece.name).is_ok_and(|bytes| bytes == piece.bytes)),
                Store::Files { .. } | Store::Hash => true,
            };
            if !right {
                return fail("other bytes than were written");
            }
        }
        Ok(())
    }

    /// Removes blocks; microseconds for each.
    fn remove(&self, pieces: &[Piece]) -> Outcome<f64> {
        let begun = Instant::now();
        match self {
            Store::Files { contender, .. } => {
                for piece in pieces {
                    fs::remove_file(contender.dir.join(&piece.name))?;
                }
            }
            Store::Engine { engine, .. } => {
                for piece in pieces {
                    engine.remove(std::slice::from_ref(piece.block.key()), Sync::Later)?;
                }
            }
            Store::Api { .. } | Store::Hash => {}
        }
        Ok(micros(begun.elapsed()) / pieces.len() as f64)
    }
}

/// Several writers with a share of the blocks each; microseconds of the whole for each block.
fn at_once(
    pieces: &[Piece],
    writers: usize,
    put: impl Fn(&Piece) -> Outcome<()> + std::marker::Sync,
) -> Outcome<f64> {
    if writers == 1 {
        let begun = Instant::now();
        pieces.iter().try_for_each(put)?;
        return Ok(micros(begun.elapsed()) / pieces.len() as f64);
    }
    let barrier = Barrier::new(writers + 1);
    let failed = RwLock::new(None);
    let begun = std::thread::scope(|scope| {
        for share in pieces.chunks(pieces.len().div_ceil(writers)) {
            scope.spawn(|| {
                barrier.wait();
                if let Err(error) = share.iter().try_for_each(&put) {
                    *failed.write().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            });
        }
        let begun = Instant::now();
        barrier.wait();
        begun
    });
    let took = micros(begun.elapsed()) / pieces.len() as f64;
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(took), Err)
}

fn create(dir: &Path, piece: &Piece, fsync: bool) -> Outcome<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(dir.join(&piece.name))?;
    file.write_all(&piece.bytes)?;
    if fsync {
        file.sync_all()?;
    }
    // The verdict on a block is what close(2) says.
    Ok(sys::files::close(file)?)
}

/// The rows of a mode that were asked for: size, number of blocks, writers and name.
fn wanted(run: &Run, durability: Durability) -> Vec<(usize, usize, usize, String)> {
    let all = WRITERS.iter().flat_map(|writers| {
        SIZES.map(|(bytes, size, count)| {
            // Syncs take long.
            let count = if durability == Durability::Close { count / 2 } else { count };
            (bytes, count.max(2 * writers), *writers, row(size, *writers, durability))
        })
    });
    let deletes = run.wants(topic(durability), delete_row(durability));
    let is_deleted = |writers, bytes| deletes && writers == 1 && bytes == DELETED_BYTES;
    all.filter(|(bytes, _, writers, name)| run.wants(topic(durability), name) || is_deleted(*writers, *bytes))
        .collect()
}

/// Measures all rows that were asked for.
pub fn measure(run: &mut Run) -> Outcome<()> {
    let mut written = Vec::new();
    for durability in [Durability::Relaxed, Durability::Close] {
        if !wanted(run, durability).is_empty() {
            written.push((durability, measure_mode(run, durability)?));
        }
    }
    for (durability, (stores, rounds)) in written {
        if run.wants(topic(durability), delete_row(durability)) {
            let rows = [delete_row(durability)];
            let stores: Vec<&Store> = stores.iter().filter(|store| store.is_full()).collect();
            let pinned = OnOneProcessor::new(stores.iter().filter_map(|store| store.contender()))?;
            let figures = run.interleave(
                topic(durability),
                rows,
                Rounds { skipped: 1, kept: rounds.len() - 1 },
                &stores,
                |s| s.name(),
                |store, round| {
                    sys::sync_file_system(run.work())?;
                    Ok([store.remove(rounds.get(round).map_or(&[][..], Vec::as_slice))?])
                },
            )?;
            drop(pinned);
            run.keep(figures);
        }
        for store in stores {
            if let Store::Engine { engine, .. } = store {
                engine.close()?;
            }
        }
        run.clear(topic(durability))?;
    }
    Ok(())
}

/// Stores, and what is to be deleted in each round.
type Written = (Vec<Store>, Vec<Vec<Piece>>);

fn measure_mode(run: &mut Run, durability: Durability) -> Outcome<Written> {
    let stores = stores(run, durability)?;
    let mut first_rounds = Vec::new();
    for (number, (bytes, count, writers, name)) in wanted(run, durability).into_iter().enumerate() {
        let pinned = (writers == 1).then(|| OnOneProcessor::new(stores.iter().filter_map(Store::contender)));
        let pinned = pinned.transpose()?;
        let rounds = run.rounds(if writers == 1 { 21 } else { 15 }, 3);
        let of_round = |round: usize| pieces(1000 + 100 * number as u64 + round as u64, count, bytes);
        let takes_part = |store: &&Store| writers == 1 || !matches!(store, Store::Api { .. });
        let stores: Vec<&Store> = stores.iter().filter(takes_part).collect();
        let put = |store: &&Store, round: usize| {
            let pieces = of_round(round)?;
            sys::sync_file_system(run.work())?;
            let took = store.put(&pieces, writers)?;
            if round == 0 {
                store.check(&pieces)?;
            }
            Ok([took])
        };
        let figures = run.interleave(topic(durability), [&name], rounds, &stores, |s| s.name(), put)?;
        drop(pinned);
        run.keep(figures);
        if writers == 1 && bytes == DELETED_BYTES {
            first_rounds = (0..rounds.skipped + rounds.kept).map(of_round).collect::<Outcome<_>>()?;
        }
    }
    Ok((stores, first_rounds))
}

fn stores(run: &mut Run, durability: Durability) -> Outcome<Vec<Store>> {
    let relaxed = durability == Durability::Relaxed;
    let topic = topic(durability);
    let source = run.place(topic, "ext4")?;
    let floor = run.place(topic, "floor")?;
    let empty = run.place(topic, "empty")?;
    let served = Served::floor(&floor, &empty)?;
    let files = |contender, fsync, keeps| Store::Files { contender, fsync, keeps };
    let mut stores = vec![
        files(Contender::directory("ext4", source), !relaxed, true),
        files(Contender::mount("floor", floor, served), false, false),
        Store::Hash,
    ];
    for backend in run.backends.clone() {
        // What does not outlive its process has one mode, which is quick.
        let takes_part = if relaxed { backend.relaxed || !backend.durable } else { backend.durable };
        if !takes_part {
            continue;
        }
        let mode = if backend.durable { durability } else { Durability::Close };
        let (contender, _) = run.mount(topic, backend.name, backend, mode)?;
        stores.push(files(contender, false, true));
        let name = format!("{ENGINE}{}", backend.name);
        let engine = engines::open(backend, &run.data(topic, &name)).during(&name)?;
        let sync = if relaxed { Sync::Later } else { Sync::Now };
        stores.push(Store::Engine { name, engine, sync });
    }
    if relaxed {
        for peer in peers::mounts(run, topic, None)? {
            stores.push(files(peer, false, true));
        }
        if let Some(kubo) = Kubo::start(run, topic)? {
            stores.push(Store::Api { contender: Contender::api(kubo) });
        }
    }
    Ok(stores)
}
