//! Benchmarks of mounts, beside an ordinary directory, a floor, the engines called directly, and other
//! programs. `scripts/bench.sh` builds and runs this; docs/BENCHMARKS.md is what it writes.
//!
//! Every row is measured round by round, all contenders one after the other in each round, so that what
//! else the machine does falls on all of them. System calls are made by this process itself: no figure
//! has the start of a program in it, but the time that a mount takes to start.

mod data;
mod document;
mod engines;
mod floor;
mod kubo;
mod large;
mod load;
mod machine;
mod outcome;
mod peers;
mod picture;
mod processors;
mod reading;
mod results;
mod run;
mod served;
mod table;
mod targets;
mod writing;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ipfs_persist_mount::sys;

use outcome::{During as _, Outcome, fail};
use results::Results;
use run::{Options, Run};

const USAGE: &str = "\
Usage: mount run [--quick] [--backend NAME]... [--rows PATTERN] [--program FILE] [--work DIR] [--output DIR]
       mount show RESULTS
       mount render RESULTS NOTES DOCS
       mount floor MOUNTPOINT SOURCE
scripts/bench.sh builds it and runs it.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.first().map(String::as_str) {
        Some("floor") => match arguments.get(1..) {
            Some([mount_point, source]) => floor::serve(Path::new(mount_point), Path::new(source)),
            _ => fail(USAGE),
        },
        Some("show") => match arguments.get(1..) {
            Some([results]) => read(Path::new(results)).map(|results| show(&results)),
            _ => fail(USAGE),
        },
        Some("render") => match arguments.get(1..) {
            Some([results, notes, docs]) => render(Path::new(results), Path::new(notes), Path::new(docs)),
            _ => fail(USAGE),
        },
        Some("run") => run(arguments.get(1..).unwrap_or_default()),
        // cargo bench says --bench.
        Some("--bench") => run(&[]),
        // cargo test, which is to measure nothing.
        _ => {
            println!("{USAGE}");
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.0);
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Outcome<(Options, PathBuf)> {
    let mut options = Options {
        program: PathBuf::from(env!("CARGO_BIN_EXE_ipfs-persist-mount")),
        work: std::env::temp_dir(),
        ..Options::default()
    };
    let mut output = std::env::current_dir()?;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().cloned().map_or_else(|| fail(format!("{argument} needs a value")), Ok);
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--backend" => options.backends.push(value()?),
            "--rows" => options.rows = value()?,
            "--program" => options.program = value()?.into(),
            "--work" => options.work = value()?.into(),
            "--output" => output = value()?.into(),
            _ => return fail(format!("unknown argument {argument}\n{USAGE}")),
        }
    }
    Ok((options, output))
}

fn run(arguments: &[String]) -> Outcome<()> {
    let (options, output) = parse(arguments)?;
    sys::expect_signals()?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let _signals = sys::listen(move |_, _| told.store(true, Ordering::Release))?;
    let mut run = Run::new(options, stop)?;
    machine::describe(&mut run)?;
    machine::note_load(&mut run, "before");
    reading::measure(&mut run)?;
    writing::measure(&mut run)?;
    machine::note_load(&mut run, "in between");
    large::measure(&mut run)?;
    load::measure(&mut run)?;
    show(&run.results);
    write(&output.join("results.json"), &json(&run.results)?)
}

fn read(file: &Path) -> Outcome<Results> {
    let text = std::fs::read(file).during(format!("read {}", file.display()))?;
    serde_json::from_slice(&text).during(format!("read {}", file.display()))
}

/// Prints all tables.
fn show(results: &Results) {
    print!("{}\n{}", document::tables(results, "##"), targets::table(results).to_markdown());
}

/// Writes the document, the picture, and the figures beside them.
fn render(results: &Path, notes: &Path, docs: &Path) -> Outcome<()> {
    let results = read(results)?;
    let notes = std::fs::read_to_string(notes).during(format!("read {}", notes.display()))?;
    write(&docs.join("BENCHMARKS.md"), &document::document(&results, &notes))?;
    write(&docs.join("benchmarks.svg"), &picture::picture(&results))?;
    write(&docs.join("benchmarks.json"), &json(&results)?)
}

fn json(results: &Results) -> Outcome<String> {
    Ok(serde_json::to_string_pretty(results)? + "\n")
}

fn write(file: &Path, text: &str) -> Outcome<()> {
    std::fs::write(file, text).during(format!("write {}", file.display()))
}
