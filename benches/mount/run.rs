//! A run: where it works, what it takes part, and the rounds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipfs_persist_mount::blockstore::Durability;
use ipfs_persist_mount::datastore::{BACKENDS, Backend};
use ipfs_persist_mount::sys::ScratchDir;

use crate::kubo::{KUBO, Kubo};
use crate::outcome::{During as _, Outcome, fail};
use crate::results::{Figure, Results};
use crate::served::Served;

/// How long one sample takes, if the contender is fast enough to do several operations in that time.
const SAMPLE_TIME: Duration = Duration::from_millis(8);
/// How many operations come before those that are timed.
const WARM_UP: usize = 8;
/// How long the machine is left alone before each sample.
const SETTLE_TIME: Duration = Duration::from_millis(2);

/// How often something is measured.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    /// Rounds before those that count, in which caches fill.
    pub skipped: usize,
    /// Rounds that count.
    pub kept: usize,
}

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Fewer rounds.
    pub quick: bool,
    /// Only these backends; all if there are none.
    pub backends: Vec<String>,
    /// Only rows whose name contains this.
    pub rows: String,
    /// The program that is measured.
    pub program: PathBuf,
    /// In which directory to work.
    pub work: PathBuf,
}

/// See the module.
pub struct Run {
    /// What was asked for.
    pub options: Options,
    /// What has been measured so far.
    pub results: Results,
    /// The backends that take part.
    pub backends: Vec<&'static Backend>,
    work: ScratchDir,
    begun: Duration,
    stop: Arc<AtomicBool>,
}

/// Who is measured: a name, a directory, and the mount that it may be.
#[derive(Debug)]
pub struct Contender {
    /// The name in the tables.
    pub name: String,
    /// Where its files are.
    pub dir: PathBuf,
    /// The mount.
    pub served: Option<Served>,
    /// What is asked instead of a directory.
    pub api: Option<Kubo>,
}

impl Contender {
    /// One that is no mount.
    pub fn directory(name: &str, dir: PathBuf) -> Self {
        Self { name: name.to_owned(), dir, served: None, api: None }
    }

    /// One that is a mount.
    pub fn mount(name: &str, dir: PathBuf, served: Served) -> Self {
        Self { name: name.to_owned(), dir, served: Some(served), api: None }
    }

    /// One that is asked over its API.
    pub fn api(api: Kubo) -> Self {
        Self { name: KUBO.to_owned(), dir: PathBuf::new(), served: None, api: Some(api) }
    }

    /// The process that serves it.
    pub fn pid(&self) -> Option<u32> {
        let served = self.served.as_ref().or(self.api.as_ref().map(|api| &api.served));
        served.map(Served::pid)
    }
}

impl Run {
    /// Prepares a run. `stop` ends it at the next sample.
    pub fn new(options: Options, stop: Arc<AtomicBool>) -> Outcome<Self> {
        let named =
            |row: &&Backend| options.backends.is_empty() || options.backends.iter().any(|n| n == row.name);
        let backends: Vec<&'static Backend> =
            BACKENDS.iter().filter(named).filter(|row| row.built_in).collect();
        for name in &options.backends {
            if !backends.iter().any(|row| row.name == name) {
                return fail(format!("the backend {name} is not in this build"));
            }
        }
        let work = ScratchDir::new_in(&options.work, "ipm-bench")?;
        place_apart(work.path());
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut results = Results::default();
        for row in BACKENDS.iter().filter(|row| !row.built_in) {
            results.miss(row.name, "not in this build");
        }
        Ok(Self { options, results, backends, work, begun, stop })
    }

    /// A new directory for a contender of a topic.
    pub fn place(&self, topic: &str, name: &str) -> Outcome<PathBuf> {
        let path = self.directory(topic).join(name);
        fs::create_dir_all(&path).during(format!("make {}", path.display()))?;
        Ok(path)
    }

    /// Where this run works.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// The directory of a topic. Its name is new, because ext4 places by names; see [`place_apart`].
    fn directory(&self, topic: &str) -> PathBuf {
        self.work.path().join(format!("{topic} {}", self.begun.as_nanos()))
    }

    /// Our program, without the environment's flags.
    pub fn program(&self) -> Command {
        let mut command = Command::new(&self.options.program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text == "BACKEND" || text == "DATA_PATH" || text.starts_with("IPFS_PERSIST_MOUNT_") {
                command.env_remove(&name);
            }
        }
        command
    }

    /// The command that mounts a backend, without the mount point.
    pub fn mounting(&self, backend: &Backend, data: &Path, durability: Durability) -> Command {
        let mut command = self.program();
        command.args(["--backend", backend.name]);
        if backend.durable {
            command.arg("--data-path").arg(data);
        } else {
            command.args(["--memory-limit", "4GiB"]);
        }
        if durability == Durability::Relaxed {
            command.args(["--durability", "relaxed"]);
        }
        command
    }

    /// A mount of a backend, on a store in the topic's directory; also says how long that took.
    pub fn mount(
        &self,
        topic: &str,
        name: &str,
        backend: &Backend,
        durability: Durability,
    ) -> Outcome<(Contender, Duration)> {
        let dir = self.place(topic, name)?;
        let command = self.mounting(backend, &self.data(topic, name), durability);
        let (served, took) = Served::program(command, &dir)?;
        Ok((Contender::mount(name, dir, served), took))
    }

    /// Where the data of a contender's store is.
    pub fn data(&self, topic: &str, name: &str) -> PathBuf {
        self.directory(topic).join(format!("{name}.data"))
    }

    /// Removes what a topic has made, once nothing is mounted in it.
    pub fn clear(&self, topic: &str) -> Outcome<()> {
        fs::remove_dir_all(self.directory(topic)).during(format!("remove what {topic} has made"))
    }

    /// Whether a row was asked for.
    pub fn wants(&self, topic: &str, row: &str) -> bool {
        format!("{topic}: {row}").contains(&self.options.rows)
    }

    /// Whether any of the rows was asked for.
    pub fn wants_any(&self, topic: &str, rows: &[&str]) -> bool {
        rows.iter().any(|row| self.wants(topic, row))
    }

    /// So many rounds behind one that does not count, or a few if it has to be quick.
    pub fn rounds(&self, full: usize, quick: usize) -> Rounds {
        Rounds { skipped: 1, kept: if self.options.quick { quick } else { full } }
    }

    /// Keeps figures, and says them.
    pub fn keep(&mut self, figures: Vec<Figure>) {
        for figure in figures {
            let middle = figure.median();
            eprintln!("{:<50} {:<16} {middle:>12.2} {}", figure.row, figure.contender, figure.unit);
            self.results.figures.push(figure);
        }
    }

    /// An error if the run is to end.
    pub fn go_on(&self) -> Outcome<()> {
        if self.stop.load(Ordering::Acquire) { fail("stopped by a signal") } else { Ok(()) }
    }

    /// Measures contenders one after the other, round by round.
    /// `rows` names the figures that each measurement gives, in microseconds.
    pub fn interleave<C, const N: usize>(
        &self,
        topic: &str,
        rows: [&str; N],
        rounds: Rounds,
        contenders: &[C],
        name: impl Fn(&C) -> &str,
        mut measure: impl FnMut(&C, usize) -> Outcome<[f64; N]>,
    ) -> Outcome<Vec<Figure>> {
        let mut samples: Vec<[Vec<f64>; N]> =
            contenders.iter().map(|_| std::array::from_fn(|_| Vec::new())).collect();
        for round in 0..rounds.skipped + rounds.kept {
            for index in shuffled(contenders.len(), round) {
                let (Some(contender), Some(samples)) = (contenders.get(index), samples.get_mut(index)) else {
                    continue;
                };
                self.go_on()?;
                // What the one before has left to its threads ends here, and not in somebody else's sample.
                std::thread::sleep(SETTLE_TIME);
                let what = || format!("{topic}: {} of {}", rows.join(", "), name(contender));
                let values = measure(contender, round)
                    .map_err(|error| crate::outcome::Failure(format!("{}: {}", what(), error.0)))?;
                if round >= rounds.skipped {
                    for (samples, value) in samples.iter_mut().zip(values) {
                        samples.push(value);
                    }
                }
            }
        }
        let mut figures = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            for (contender, samples) in contenders.iter().zip(&samples) {
                if let Some(samples) = samples.get(index) {
                    figures.push(Figure::new(topic, row, name(contender), "us", samples.clone()));
                }
            }
        }
        Ok(figures)
    }
}

/// Asks ext4 to place each directory in this one in a group of inodes of its own.
///
/// A new file gets an inode of the group of its directory, and inodes that were deleted in the last
/// minutes are passed over one by one: after other programs have deleted some ten thousand files there, a
/// new file takes 800 us instead of 30. Other file systems do not know the request.
fn place_apart(directory: &Path) {
    let mut command = Command::new("chattr");
    command.arg("+T").arg(directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Where it cannot be done there is nothing to be done.
    let _ = command.status();
}

/// The numbers below `count` in an order that differs from round to round, so that nobody always comes
/// behind the same other.
fn shuffled(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = (round as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for last in (1..count).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(last, (state % (last as u64 + 1)) as usize);
    }
    order
}

/// Does something with one after the other, again and again, for a short time; microseconds for each.
pub fn timed<T>(items: &[T], mut operation: impl FnMut(&T) -> Outcome<()>) -> Outcome<f64> {
    // The first ones find cold caches of the processor.
    for item in items.iter().take(WARM_UP) {
        operation(item)?;
    }
    let begun = Instant::now();
    let mut count = 0_u32;
    loop {
        for item in items {
            operation(item)?;
            count += 1;
            if count.is_multiple_of(4) && begun.elapsed() > SAMPLE_TIME {
                return Ok(micros(begun.elapsed()) / f64::from(count));
            }
        }
    }
}

/// Does something once with each; microseconds for each.
pub fn timed_once<T>(items: &[T], mut operation: impl FnMut(&T) -> Outcome<()>) -> Outcome<f64> {
    let begun = Instant::now();
    for item in items {
        operation(item)?;
    }
    Ok(micros(begun.elapsed()) / items.len().max(1) as f64)
}

/// A time in microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
