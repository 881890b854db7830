//! Disks after a power cut, and what the program makes of them.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use super::Trial;
use crate::common::{Mounted, cid_of, put, unique};
use crate::cut::{Cut, PLACES, Place};
use crate::file_system::MountedImage;
use crate::history::{Allowed, allowed};
use crate::log::{Log, Mark};
use crate::random::Random;
use crate::workload::Content;

/// Makes so many disks, and tells what is wrong with each.
pub fn try_all(trial: &Trial, log: &Log, states: usize, dir: &Path) -> Vec<String> {
    let blocks: Vec<u64> =
        allowed(&log.records, trial.durability, log.records.last().unwrap().time).into_keys().collect();
    eprintln!(
        "  {} records, {} blocks, {} closes, {} fsyncs, {} removals",
        log.records.len(),
        blocks.len(),
        log.count(Mark::Closed),
        log.count(Mark::Fsynced),
        log.count(Mark::Unlinked)
    );
    let names = blocks.iter().map(|number| (Content::new(trial.seed, *number).name(), *number)).collect();
    let mut numbers = Random::new(trial.seed);
    let (mut failures, mut unflushed_max) = (Vec::new(), 0);
    for state in 0..states {
        let place = PLACES[state % PLACES.len()];
        // A store that is only being made may be lost, but not in the way of a new one.
        let ready = if place == Place::Anywhere { Mark::DiskReady } else { Mark::Mounted };
        let cut = Cut::choose(log, log.first(ready), place, &mut numbers);
        unflushed_max = unflushed_max.max(cut.unflushed.1);
        let what = format!(
            "state {state}, cut at {} of {} ({:?}), {} of {} writes not flushed ({} KiB) were made",
            cut.position,
            log.records.len(),
            cut.place,
            cut.made(),
            cut.unflushed.0,
            cut.unflushed.1 >> 10
        );
        let disk = Disk { trial, log, cut: &cut, names: &names, dir };
        if let Err(why) = disk.check() {
            eprintln!("  {what}: {why}");
            disk.keep(state);
            failures.push(format!("{what}: {why}"));
        }
    }
    eprintln!(
        "  {states} power cuts, up to {} KiB not flushed, {} did harm",
        unflushed_max >> 10,
        failures.len()
    );
    failures
}

/// One of them.
struct Disk<'a> {
    trial: &'a Trial,
    log: &'a Log,
    cut: &'a Cut,
    names: &'a BTreeMap<String, u64>,
    dir: &'a Path,
}

impl Disk<'_> {
    fn image(&self, path: &Path) {
        self.cut.image(self.log, self.trial.kind.size, path);
    }

    /// Keeps the disk as the power cut left it, if that was asked for.
    fn keep(&self, state: usize) {
        if let Some(kept) = std::env::var_os("IPFS_PERSIST_TEST_KEEP") {
            let name = format!(
                "{}-{}-{}-{:x}-{state}-{}",
                self.trial.backend,
                self.trial.durability.name(),
                self.trial.kind.name,
                self.trial.seed,
                std::process::id()
            );
            self.image(&PathBuf::from(kept).join(name));
        }
    }

    fn check(&self) -> Result<(), String> {
        let image = self.dir.join(format!("image-{}", unique()));
        self.image(&image);
        let file_system = MountedImage::new(&image, &self.dir.join("disk"))?;
        let open = || self.trial.mount(&self.dir.join("disk"), &self.dir.join("mnt"));
        let checked = catch_unwind(AssertUnwindSafe(|| {
            let mount = open();
            self.compare(&mount)?;
            takes_a_new_block(mount);
            Ok(())
        }));
        file_system.unmount();
        fs::remove_file(image).unwrap();
        checked.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.or(panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
        })
    }

    /// Every block that is there is whole and was stored; what had to be there is.
    fn compare(&self, mount: &Mounted) -> Result<(), String> {
        let before = &self.log.records[..self.cut.position];
        let allowed = allowed(before, self.trial.durability, self.cut.time);
        let mut wrong = Vec::new();
        let listed = mount.ls();
        for name in &listed {
            let Some(number) = self.names.get(name) else {
                wrong.push(format!("{name} was never stored under this name"));
                continue;
            };
            match fs::read(mount.path(name)) {
                Ok(bytes) if bytes == Content::new(self.trial.seed, *number).bytes() => {}
                Ok(bytes) => wrong.push(format!("block {number}: {} wrong bytes", bytes.len())),
                Err(error) => wrong.push(format!("block {number}: {error}")),
            }
            if !allowed.get(number).is_some_and(|allowed| allowed.present) {
                wrong.push(format!("block {number} is there again"));
            }
        }
        let must_be = |(number, allowed): (&u64, &Allowed)| (!allowed.absent).then_some(*number);
        for number in allowed.iter().filter_map(must_be) {
            let name = Content::new(self.trial.seed, number).name();
            if listed.binary_search(&name).is_err() {
                wrong.push(format!("block {number} is lost"));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join(", ")) }
    }
}

fn takes_a_new_block(mount: Mounted) {
    let content = b"after the power cut";
    put(mount.path(cid_of(content)), content).unwrap();
    assert_eq!(fs::read(mount.path(cid_of(content))).unwrap(), content);
    assert_eq!(mount.count("panics"), 0, "{}", mount.log());
    mount.unmount();
}
