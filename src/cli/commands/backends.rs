//! `backends`: the storage engines that the program knows, and which of them this build has.

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
    let text = if args.json { json(BACKENDS)? } else { table(BACKENDS) };
    output::finish(writeln!(io::stdout(), "{text}"), ExitCode::SUCCESS)
}

/// How to get a backend that this build does not have.
pub(in crate::cli) fn how_to_get(backend: &Backend) -> String {
    backend.require_built_in().map_or_else(|error| error.verdict().hint, |()| String::new())
}

/// One backend, as `--json` shows it.
#[derive(Serialize)]
struct Row {
    name: &'static str,
    aliases: &'static [&'static str],
    engine: &'static str,
    version: &'static str,
    built_in: bool,
    durable: bool,
    power_safe: bool,
    compression: Option<&'static str>,
    read_only: bool,
    file_per_block: bool,
    default_path: Option<&'static str>,
    about: &'static str,
}

impl From<&Backend> for Row {
    fn from(backend: &Backend) -> Self {
        Self {
            name: backend.name,
            aliases: backend.aliases,
            engine: backend.engine,
            version: backend.version,
            built_in: backend.built_in,
            durable: backend.durable,
            power_safe: backend.power_safe,
            compression: backend.compression,
            read_only: backend.read_only,
            file_per_block: backend.file_per_block,
            default_path: backend.default_path,
            about: backend.about,
        }
    }
}

fn json(backends: &[Backend]) -> Result<String> {
    let rows: Vec<Row> = backends.iter().map(Row::from).collect();
    output::json(&rows)
}

/// What is short stands side by side, what is long has lines of its own below, so that a terminal
/// of 120 columns shows it whole.
fn table(backends: &[Backend]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "BACKEND",
        "ALIASES",
        "ENGINE",
        "VERSION",
        "DURABLE",
        "POWER-SAFE",
        "COMPRESSION",
        "DEFAULT PATH",
        "BUILT IN",
    ]);
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" };
    for backend in backends {
        let aliases = if backend.aliases.is_empty() { "-".to_owned() } else { backend.aliases.join(", ") };
        table.add_row([
            backend.name,
            &aliases,
            backend.engine,
            backend.version,
            yes_or_no(backend.durable),
            yes_or_no(backend.power_safe),
            backend.compression.unwrap_or("-"),
            backend.default_path.unwrap_or("-"),
            yes_or_no(backend.built_in),
        ]);
    }
    let mut lines = vec![table.trim_fmt(), String::new(), "Good for:".to_owned()];
    let width = backends.iter().map(|backend| backend.name.len()).max().unwrap_or_default();
    lines.extend(backends.iter().map(|backend| format!("  {:width$}  {}", backend.name, backend.about)));
    for backend in backends.iter().filter(|backend| !backend.built_in) {
        lines.push(format!("\n{} is not in this build: {}", backend.name, how_to_get(backend)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    /// A table with a row that this build does not have.
    fn backends() -> [Backend; 2] {
        let row = |name, built_in| Backend {
            name,
            aliases: &["other", "another"],
            engine: "an engine",
            version: "1.2",
            about: "some purpose",
            built_in,
            durable: true,
            power_safe: false,
            relaxed: false,
            compression: Some("zstd"),
            read_only: true,
            reopens: true,
            file_per_block: false,
            parallel: 1,
            default_path: None,
            directory: "engine",
            ballast_bytes: 0,
            probe: |_| false,
            in_place: None,
            open: |_| Err(Error::BackendNotBuilt { name: "absent", engine: "an engine", feature: "rocksdb" }),
        };
        [row("present", true), row("absent", false)]
    }

    #[test]
    fn a_backend_that_is_not_built_is_shown_with_how_to_get_it() {
        let text = table(&backends());
        let rows: Vec<&str> = text.lines().map(str::trim_start).collect();
        assert!(rows[1].starts_with("present  other, another  an engine  1.2"), "{text}");
        assert!(rows[1].ends_with("yes"), "{text}");
        assert!(rows[2].starts_with("absent ") && rows[2].ends_with("no"), "{text}");
        assert!(text.contains("  absent   some purpose\n"), "{text}");
        let last = "absent is not in this build: build it with `cargo build --release --features rocksdb`";
        assert_eq!(rows.last(), Some(&last), "{text}");
        assert!(!text.contains("present is not"), "{text}");
    }

    #[test]
    fn json_tells_what_is_built_in() {
        let rows: Vec<serde_json::Value> = serde_json::from_str(&json(&backends()).unwrap()).unwrap();
        let built: Vec<_> = rows.iter().map(|row| row["built_in"].as_bool().unwrap()).collect();
        assert_eq!(built, [true, false]);
        assert_eq!(rows[0]["aliases"], serde_json::json!(["other", "another"]));
        assert_eq!(rows[0]["default_path"], serde_json::Value::Null);
    }
}
