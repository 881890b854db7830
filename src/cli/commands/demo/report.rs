//! What a demo says in the end, for people and for programs.

use std::time::Duration;

use bytesize::ByteSize;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::Error;
use crate::cli::commands::backends::how_to_get;
use crate::cli::output;
use crate::datastore::Backend;
use crate::jobs::demo::{DataSet, Summary, WRITERS};

/// File systems that keep their files in memory.
const IN_MEMORY: &[&str] = &["tmpfs", "ramfs"];

/// What became of one backend.
pub(super) enum Outcome {
    Done(Summary),
    Failed { backend: Option<&'static str>, error: Error },
}

/// Everything that was tried.
pub(super) struct Report {
    pub(super) data: DataSet,
    pub(super) outcomes: Vec<Outcome>,
    pub(super) missing: Vec<&'static Backend>,
}

impl Report {
    /// For people. Nothing if there is nothing but errors, which have been told.
    pub(super) fn text(&self) -> String {
        let done: Vec<&Summary> = self.outcomes.iter().filter_map(Outcome::summary).collect();
        if done.is_empty() {
            return String::new();
        }
        let mut lines = vec![
            format!(
                "{} different blocks of {}: half of them text as in JSON, half random bytes.",
                self.data.count(),
                ByteSize(self.data.size_bytes())
            ),
            format!(
                "Put by {WRITERS} writers at once, each waiting until its block is durable; got by one reader."
            ),
            String::new(),
            table(&done),
            String::new(),
            "PUT and GET are averages for one block. DISK is bytes on the disk for each byte stored."
                .to_owned(),
        ];
        if done.iter().any(|summary| is_in_memory(summary)) {
            lines.push(
                "A file system in memory has no disk to wait for: for real put times set TMPDIR.".to_owned(),
            );
        }
        lines.push("\nGood for:".to_owned());
        let width = done.iter().map(|summary| summary.backend.name.len()).max().unwrap_or_default();
        lines.extend(done.iter().map(|s| format!("  {:width$}  {}", s.backend.name, s.backend.about)));
        for outcome in &self.outcomes {
            if let Outcome::Failed { backend: Some(backend), error } = outcome {
                lines.push(format!("\n{backend} FAILED: {error}"));
            }
        }
        for backend in &self.missing {
            lines.push(format!("\n{} is not in this build: {}", backend.name, how_to_get(backend)));
        }
        lines.join("\n") + "\n"
    }

    /// For programs.
    pub(super) fn for_programs(&self) -> Value {
        let missing = self.missing.iter().map(|backend| {
            json!({
                "name": backend.name,
                "status": "not_built",
                "hint": how_to_get(backend),
                "about": backend.about,
            })
        });
        json!({
            "blocks": self.data.count(),
            "size_bytes": self.data.size_bytes(),
            "writers": WRITERS,
            "backends": self.outcomes.iter().map(Outcome::for_programs).chain(missing).collect::<Vec<_>>(),
        })
    }
}

impl Outcome {
    fn summary(&self) -> Option<&Summary> {
        match self {
            Outcome::Done(summary) => Some(summary),
            Outcome::Failed { .. } => None,
        }
    }

    fn for_programs(&self) -> Value {
        match self {
            Outcome::Done(summary) => json!({
                "name": summary.backend.name,
                "status": "ok",
                "engine": summary.backend.engine,
                "version": summary.backend.version,
                "durable": summary.backend.durable,
                "power_safe": summary.backend.power_safe,
                "data_path": summary.data_path,
                "file_system": summary.file_system,
                "temporary": summary.temporary,
                "stored": summary.stored,
                "already_there": summary.already_there,
                "verified": summary.verified,
                "put_average_us": summary.put_average.map(micros),
                "get_average_us": micros(summary.get_average),
                "still_there": summary.still_there,
                "stored_bytes": summary.stored_bytes,
                "disk_bytes": summary.disk_bytes,
                "disk_bytes_per_byte": summary.disk_per_byte().map(|ratio| (ratio * 1000.0).round() / 1000.0),
                "about": summary.backend.about,
            }),
            Outcome::Failed { backend, error } => json!({
                "name": backend,
                "status": "failed",
                "error": error.to_string(),
                "hint": error.verdict().hint,
                "exit_code": output::exit_code(error),
            }),
        }
    }
}

fn is_in_memory(summary: &Summary) -> bool {
    summary.file_system.as_deref().is_some_and(|kind| IN_MEMORY.contains(&kind))
}

fn cells(summary: &Summary) -> [String; 8] {
    let ms = |time: Duration| format!("{:.3} ms", micros(time) / 1000.0);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let stored = match summary.already_there {
        0 => summary.stored.to_string(),
        count => format!("{} (+{count} there)", summary.stored),
    };
    let reopened = if summary.backend.durable {
        format!("{} still there", summary.still_there)
    } else {
        format!("volatile, {} there", summary.still_there)
    };
    let place = match (&summary.data_path, &summary.file_system) {
        (None, _) => "memory".to_owned(),
        (Some(path), None) => path.display().to_string(),
        (Some(path), Some(kind)) => format!("{} ({kind})", path.display()),
    };
    [
        summary.backend.name.to_owned(),
        stored,
        summary.verified.to_string(),
        or_dash(summary.put_average.map(ms)),
        ms(summary.get_average),
        reopened,
        or_dash(summary.disk_per_byte().map(|ratio| format!("{ratio:.2}"))),
        place,
    ]
}

fn table(summaries: &[&Summary]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "BACKEND",
        "STORED",
        "VERIFIED",
        "PUT",
        "GET",
        "CLOSED, REOPENED",
        "DISK",
        "WHERE",
    ]);
    for number in [1, 2, 3, 4, 6] {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for summary in summaries {
        table.add_row(cells(summary));
    }
    table.trim_fmt()
}

fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e7).round() / 10.0
}
