//! `demo`: every backend in turn, or one of them, with what it did and how long that took.

mod report;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::cli::args::DemoArgs;
use crate::cli::config::{DemoConfig, UMASK};
use crate::cli::output;
use crate::cli::watcher::Watcher;
use crate::jobs::demo;
use crate::sys;
use crate::{Error, Result};
use report::Outcome;

/// Tries the backends and prints what became of them. One that fails does not keep the others from
/// being tried; the exit code is that of the first failure.
pub(in crate::cli) fn run(args: &DemoArgs, quiet: bool) -> Result<ExitCode> {
    let config = DemoConfig::new(args)?;
    sys::set_umask(UMASK);
    if let Err(error) = sys::raise_nofile_limit() {
        tracing::warn!(%error, "going on with fewer open files");
    }
    if let Some(path) = config.unused_data_path.as_deref().filter(|_| !quiet) {
        output::notice(&format!(
            "the backend has no data directory: the data path {} is left untouched",
            path.display()
        ));
    }
    let mut watcher = Watcher::start(quiet)?;
    let (outcomes, code) = try_each(&config.requests, &mut watcher);
    let report = report::Report { data: config.data, outcomes, missing: config.missing };
    let text = if args.json { format!("{}\n", output::json(&report.for_programs())?) } else { report.text() };
    output::finish(io::stdout().write_all(text.as_bytes()), code)
}

fn try_each(requests: &[demo::Request], watcher: &mut Watcher) -> (Vec<Outcome>, ExitCode) {
    let mut outcomes = Vec::new();
    let mut code = None;
    for request in requests {
        let name = request.store.backend.map(|backend| backend.name);
        let tried = demo::run(request, watcher.of(name));
        watcher.clear();
        match tried {
            Ok(summary) => outcomes.push(Outcome::Done(summary)),
            Err(error) => {
                let failed = match name {
                    Some(name) if requests.len() > 1 => output::fail_at(Path::new(name), &error),
                    _ => output::fail(&error),
                };
                code.get_or_insert(failed);
                let stopped = matches!(error, Error::Stopped { .. });
                outcomes.push(Outcome::Failed { backend: name, error });
                if stopped {
                    break;
                }
            }
        }
    }
    (outcomes, code.unwrap_or(ExitCode::SUCCESS))
}
