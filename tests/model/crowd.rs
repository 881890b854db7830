//! Several threads on the same few CIDs: what each of them sees has to be possible, whatever the
//! others do at the moment, and in the end the store holds what the order of events allows.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use libc::{EBADMSG, EBUSY, ENOENT, ESTALE};

use super::actual;
use super::common::{Bench, Mounted, close, eventually};
use super::names::{Kind, Lane, NameRef, World};
use super::random::Random;

/// The contents that the threads write: a small one, one of some pages, and one that the kernel may
/// read by itself.
const CONTENTS: [usize; 3] = [3, 5, 12];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Stored,
    Removed,
    /// A close of wrong bytes returned 0.
    Unjudged,
}

/// Something that was done to a block, from when to when.
#[derive(Debug, Clone, Copy)]
struct Event {
    block: usize,
    what: What,
    from: Instant,
    to: Instant,
}

struct Crowd<'a> {
    mounted: &'a Mounted,
    world: World,
    events: Mutex<Vec<Event>>,
}

/// One of the threads.
struct Member<'a> {
    crowd: &'a Crowd<'a>,
    number: usize,
    random: Random,
}

pub fn run(backend: &'static str, seed: u64, threads: usize, each: usize) {
    let bench = Bench::new(backend);
    let mounted = actual::mount(&bench);
    let crowd =
        Crowd { mounted: &mounted, world: World::new(seed, Lane::ALONE), events: Mutex::new(Vec::new()) };
    thread::scope(|scope| {
        for number in 0..threads {
            let crowd = &crowd;
            scope.spawn(move || {
                let random = Random::new(seed.wrapping_add(number as u64));
                let mut member = Member { crowd, number, random };
                (0..each).for_each(|_| member.act());
                member.leave();
            });
        }
    });
    crowd.check_the_end();
    assert_eq!(mounted.count("panics"), 0, "{}", mounted.log());
    eventually("nothing is open or staged", || {
        let gauges = &mounted.stats()["gauges"];
        gauges["open_handles"] == 0 && gauges["staged_bytes"] == 0 && gauges["names"] == 0
    });
    mounted.unmount();
}

impl Crowd<'_> {
    fn content(&self, block: usize) -> &[u8] {
        &self.world.contents[CONTENTS[block]]
    }

    /// Names of the block under sha2-256: the first ones of its content.
    fn spellings(&self, block: usize) -> &[NameRef] {
        &self.world.spellings[CONTENTS[block]][..7]
    }

    fn noted<T>(&self, block: usize, what: What, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let from = Instant::now();
        let result = act();
        if result.is_ok() {
            let event = Event { block, what, from, to: Instant::now() };
            self.events.lock().unwrap().push(event);
        }
        result
    }

    /// A block that was stored after every removal is there; one that was removed after every store
    /// is not. What overlapped may have been in either order.
    fn check_the_end(&self) {
        let events = self.events.lock().unwrap();
        let listed = self.mounted.ls();
        for block in 0..CONTENTS.len() {
            let names: BTreeSet<&str> = self.spellings(block).iter().map(listed_as).collect();
            let there: Vec<_> = listed.iter().filter(|name| names.contains(name.as_str())).collect();
            assert!(there.len() <= 1, "{there:?} are one block");
            let of_kind =
                |what: What| events.iter().filter(move |event| event.block == block && event.what == what);
            let last_store = of_kind(What::Stored).map(|event| event.from).max();
            let last_removal = of_kind(What::Removed).map(|event| event.from).max();
            let stores_end = of_kind(What::Stored).map(|event| event.to).max();
            let removals_end = of_kind(What::Removed).map(|event| event.to).max();
            for unjudged in of_kind(What::Unjudged) {
                // R5: a staged file whose name was removed stores nothing, whatever its bytes are.
                let overlaps = |event: &Event| event.from < unjudged.to && event.to > unjudged.from;
                assert!(of_kind(What::Removed).any(overlaps), "wrong bytes of block {block} were taken");
            }
            if last_store > removals_end {
                assert_eq!(there.len(), 1, "block {block} was stored last");
            }
            if last_removal > stores_end {
                assert!(there.is_empty(), "block {block} was removed last");
            }
        }
        let known: BTreeSet<&str> =
            (0..CONTENTS.len()).flat_map(|block| self.spellings(block)).map(listed_as).collect();
        assert!(listed.iter().all(|name| known.contains(name.as_str())), "{listed:?}");
        for name in &listed {
            let block = (0..CONTENTS.len())
                .find(|block| self.spellings(*block).iter().any(|spelling| listed_as(spelling) == name));
            assert!(fs::read(self.mounted.path(name)).unwrap() == self.content(block.unwrap()));
        }
    }
}

fn listed_as(name: &NameRef) -> &str {
    match &name.kind {
        Kind::Cid { listed, .. } => listed,
        Kind::Plain { .. } | Kind::Never { .. } => unreachable!("{name:?} is no CID"),
    }
}

impl Member<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.crowd.mounted.path(name)
    }

    fn own(&self, name: &str) -> PathBuf {
        self.path(&name.replace('*', &self.number.to_string()))
    }

    fn spelling(&mut self, block: usize) -> PathBuf {
        let crowd = self.crowd;
        let name = self.random.pick(crowd.spellings(block));
        crowd.mounted.path(&name.text)
    }

    fn act(&mut self) {
        let block = self.random.below(CONTENTS.len());
        let path = self.spelling(block);
        match self.random.below(12) {
            0..3 => self.store(block, &path),
            3 => self.store_wrong(block, &path),
            4..7 => self.read(block, &path),
            7 => self.stat(block, &path),
            8 => self.remove(block, &path),
            9 => self.rename(block, &path),
            10 => self.alias(block),
            _ => self.list(),
        }
    }

    fn create(&self, path: &PathBuf) -> File {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o640);
        loop {
            match options.open(path) {
                Ok(file) => return file,
                // As for readers.
                Err(error) if error.raw_os_error() == Some(ESTALE) => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    /// R5, R6: right bytes are stored, or are already, whatever others do.
    fn store(&mut self, block: usize, path: &PathBuf) {
        let content = self.crowd.content(block);
        let middle = self.random.below(content.len());
        let stored = self.crowd.noted(block, What::Stored, || {
            let mut file = self.create(path);
            file.write_all(&content[..middle])?;
            file.write_all(&content[middle..])?;
            close(file)
        });
        stored.unwrap_or_else(|error| panic!("storing {}: {error}", path.display()));
    }

    fn store_wrong(&self, block: usize, path: &PathBuf) {
        let mut content = self.crowd.content(block).to_vec();
        *content.last_mut().unwrap() ^= 1;
        let refused = self.crowd.noted(block, What::Unjudged, || {
            let mut file = self.create(path);
            let written = file.write_all(&content);
            close(file).and(written)
        });
        if let Err(error) = refused {
            assert_eq!(error.raw_os_error(), Some(EBADMSG), "{}", path.display());
        }
    }

    fn read(&self, block: usize, path: &PathBuf) {
        let mut read = Vec::new();
        match File::open(path).and_then(|mut file| file.read_to_end(&mut read)) {
            Ok(_) => assert!(read == self.crowd.content(block), "{} bytes of {}", read.len(), path.display()),
            Err(error) => assert!(is_absent(&error), "{}: {error}", path.display()),
        }
    }

    fn stat(&self, block: usize, path: &PathBuf) {
        match fs::metadata(path) {
            // Staged files have the mode that they were created with.
            Ok(found) if found.mode() & 0o7777 == 0o444 => {
                assert_eq!(found.len(), self.crowd.content(block).len() as u64);
            }
            Ok(found) => assert_eq!(found.mode() & 0o7777, 0o640),
            Err(error) => assert!(is_absent(&error), "{}: {error}", path.display()),
        }
    }

    fn remove(&self, block: usize, path: &PathBuf) {
        if let Err(error) = self.crowd.noted(block, What::Removed, || fs::remove_file(path)) {
            assert!(
                [Some(ENOENT), Some(EBUSY)].contains(&error.raw_os_error()),
                "{}: {error}",
                path.display()
            );
        }
    }

    /// A temporary file, as rsync makes it.
    fn rename(&self, block: usize, path: &PathBuf) {
        let temporary = self.own(".rsync-*.tmp");
        let mut file = self.create(&temporary);
        file.write_all(self.crowd.content(block)).unwrap();
        close(file).unwrap();
        let renamed = self.crowd.noted(block, What::Stored, || fs::rename(&temporary, path));
        renamed.unwrap_or_else(|error| panic!("renaming to {}: {error}", path.display()));
    }

    /// R7: while a name of one's own stands for a block, nobody removes it.
    fn alias(&self, block: usize) {
        let (name, content) = (self.own("own-*"), self.crowd.content(block));
        let stored = self.crowd.noted(block, What::Stored, || {
            let mut file = self.create(&name);
            file.write_all(content)?;
            close(file)
        });
        stored.unwrap_or_else(|error| panic!("storing {}: {error}", name.display()));
        for spelling in self.crowd.spellings(block) {
            assert!(fs::read(self.path(&spelling.text)).unwrap() == content, "{spelling:?}");
        }
        assert!(fs::read(&name).unwrap() == content);
        fs::remove_file(&name).unwrap();
    }

    /// R2: no block twice, and nothing else.
    fn list(&self) {
        let listed = super::common::names(&self.crowd.mounted.mnt);
        for block in 0..CONTENTS.len() {
            let spellings = self.crowd.spellings(block);
            let is_one = |name: &&String| spellings.iter().any(|spelling| listed_as(spelling) == *name);
            let found: Vec<&String> = listed.iter().filter(is_one).collect();
            assert!(found.len() <= 1, "{found:?} are one block");
        }
        assert!(listed.len() <= CONTENTS.len(), "{listed:?}");
    }

    fn leave(&self) {
        let _gone = fs::remove_file(self.own("own-*"));
    }
}

/// A block that others remove and store at the moment. ESTALE comes through when both happen twice while
/// one open(2) looks.
fn is_absent(error: &std::io::Error) -> bool {
    [Some(ENOENT), Some(ESTALE)].contains(&error.raw_os_error())
}
