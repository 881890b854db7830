//! The tables of the document.

use super::row::{Column, Kind, Table};
use super::{changing, making, reading, serving};

/// What stands above the tables.
pub const INTRODUCTION: &str = "";

pub const TABLES: &[Table] = &[
    Table {
        heading: "Writing new files",
        words: "",
        kind: Kind::Make,
        columns: &[
            Column::Cid,
            Column::Again,
            Column::Plain,
            Column::Wrong,
            Column::Full,
            Column::ReadOnly,
            Column::Gone,
        ],
        rows: &[making::COPYING, making::STREAMING, making::ARCHIVES, making::PROGRAMS],
    },
    Table {
        heading: "Changing files",
        words: "",
        kind: Kind::Change,
        columns: &[Column::Block, Column::Alias, Column::Full, Column::ReadOnly, Column::Gone],
        rows: &[changing::WRITING, changing::EDITING, changing::NAMES],
    },
    Table {
        heading: "Reading files",
        words: "",
        kind: Kind::Read,
        columns: &[
            Column::Block,
            Column::Alias,
            Column::Damaged,
            Column::Full,
            Column::ReadOnly,
            Column::Gone,
        ],
        rows: &[reading::FILES, serving::FILES],
    },
    Table {
        heading: "The directory",
        words: "",
        kind: Kind::List,
        columns: &[Column::Block, Column::Full, Column::ReadOnly, Column::Gone],
        rows: &[serving::DIRECTORY],
    },
    Table {
        heading: "Killed in the middle",
        words: "",
        kind: Kind::Die,
        columns: &[Column::Killed],
        rows: &[serving::DYING],
    },
];
