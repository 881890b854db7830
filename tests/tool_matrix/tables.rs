//! The tables of the document.

use super::row::{Column, Kind, Table};
use super::{changing, making, reading, serving};

/// What stands above the tables, with `{backends}` for those on which they were executed.
pub const INTRODUCTION: &str = "\
# What tools do in a mount

Which tools work, what they say when they are refused, and what they leave behind. Every cell was
executed: `tests/tool_matrix` runs each line in real mounts on
{backends},
as root and as an ordinary user through `fusermount3`. It fails if one of them gives another cell, and
writes this document. `memory` and `sled`, which cannot be mounted read-only, are left to other tests.

`F` is the file in the mount that a line is about and `NAME` its name; `in/` has files to read,
`tmp/` is empty, `mnt/` is the mount, `URL` is a file on a web server, and `photo` the bytes of
`in/photo`. Lines without a language are for bash. After each of them the test looks at the bytes, modes
and times of the files, at the list of blocks, and at the counter of panics. The same line in an
ordinary directory says what is right.

| cell | meaning |
|---|---|
| ok | exit code 0 and nothing on standard error; bytes, names and blocks are what they should be, and no more |
| EBADMSG | exit code 1 and the words of this errno (\"Bad message\"); nothing has changed |
| EBADMSG, exit 23 | the same with another exit code |
| own words, no words | it fails, and says something else, or nothing; nothing has changed |
| silent | exit code 0 and nothing said, and nothing is stored |
| unchanged, ignored | exit code 0, and the file, or its mode, is as it was |
| ..., warns EPERM | exit code 0, and the words of this errno |
| ..., may warn ENOENT | the same, or not a word |
| ..., leaves a block | there is a block more than there should be |
| - | it does not apply |

The README has [what each errno means](../README.md#what-tools-see).

| situation | |
|---|---|
| its CID | the file is named by the CID of the bytes that are written |
| its CID again | the same a second time, when the block is stored |
| plain name | the file has a name that is no CID |
| another CID | the file is named by the CID of other bytes |
| block, alias | the file is there, as a block under its CID or as an alias of one |
| damaged block | the bytes of the block have changed on the disk |
| store full | new blocks have no room (`--min-free-space 1EiB`); the file is named by its CID |
| read-only | mounted with `--read-only`; the file is named by its CID |
| daemon gone | the process of the mount was killed with SIGKILL, and nobody has unmounted it |
";

pub const TABLES: &[Table] = &[
    Table {
        heading: "Writing new files",
        words: "The file is not there before.",
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
        rows: &[
            making::COPYING,
            making::STREAMING,
            making::ARCHIVES,
            making::PROGRAMS,
            making::DATABASES,
            making::TOGETHER,
        ],
    },
    Table {
        heading: "Changing files",
        words: "A block is what its CID says and cannot be changed: EPERM where a tool asks for a change, EBADMSG
where it writes other bytes. Changing an alias makes a new block, and the old one stays.",
        kind: Kind::Change,
        columns: &[Column::Block, Column::Alias, Column::Full, Column::ReadOnly, Column::Gone],
        rows: &[changing::WRITING, changing::EDITING, changing::NAMES],
    },
    Table {
        heading: "Reading files",
        words: "Damage was done on `file` alone, whose blocks are files. Where no bytes are asked for, it is not met.",
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
        heading: "Reading the directory",
        words: "It has three blocks.",
        kind: Kind::List,
        columns: &[Column::Block, Column::Full, Column::ReadOnly, Column::Gone],
        rows: &[serving::DIRECTORY],
    },
    Table {
        heading: "Killed while it writes",
        words: "The daemon is killed when the tool has written half of what it gets, or all of it and has not closed the
file yet. Nothing of it is stored, and what was stored before is there. A request that is just on its
way may also be answered ECONNABORTED.",
        kind: Kind::Die,
        columns: &[Column::Killed, Column::KilledLast],
        rows: &[serving::DYING],
    },
];
