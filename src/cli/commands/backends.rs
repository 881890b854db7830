//! `backends`: the storage engines of this build.

use std::io::{self, Write};
use std::process::ExitCode;

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::Result;
use crate::cli::args::BackendsArgs;
use crate::cli::output;
use crate::datastore::{BACKENDS, Backend};

/// Prints the table of backends.
pub(in crate::cli) fn run(args: &BackendsArgs) -> Result<ExitCode> {
    let text = if args.json { json()? } else { table() };
    output::finish(writeln!(io::stdout(), "{text}"), ExitCode::SUCCESS)
}

/// One backend, as `--json` shows it.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    aliases: &'static [&'static str],
    engine: &'static str,
    durable: bool,
    default_path: Option<&'static str>,
    about: &'static str,
}

impl From<&Backend> for Row {
    fn from(backend: &Backend) -> Self {
        Self {
            name: backend.name,
            aliases: backend.aliases,
            engine: backend.engine,
            durable: backend.durable,
            default_path: backend.default_path,
            about: backend.about,
        }
    }
}

fn json() -> Result<String> {
    let rows: Vec<Row> = BACKENDS.iter().map(Row::from).collect();
    serde_json::to_string_pretty(&rows).map_err(|error| crate::Error::io("write JSON", error.into()))
}

fn table() -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "BACKEND",
        "ENGINE",
        "DURABLE",
        "DEFAULT PATH",
        "GOOD FOR",
    ]);
    for backend in BACKENDS {
        table.add_row([
            backend.name,
            backend.engine,
            if backend.durable { "yes" } else { "no" },
            backend.default_path.unwrap_or("-"),
            backend.about,
        ]);
    }
    table.trim_fmt()
}
