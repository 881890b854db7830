//! What is executed: a row is what somebody types, a column the situation in which it is typed.

/// A column. In those of a sound, writable mount the store is as empty as a table says; in the other
/// ones it holds the stock, and what is written is not there yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Column {
    /// The bytes go to the CID that is theirs.
    Cid,
    /// The same, a second time.
    Again,
    /// They go to a name that is no CID.
    Plain,
    /// They go to a CID that is not theirs.
    Wrong,
    /// The file is a stored block under its CID.
    Block,
    /// The file is an alias.
    Alias,
    /// The file is a block whose stored bytes are damaged.
    Damaged,
    /// No free space is left for new blocks.
    Full,
    /// Mounted with `--read-only`.
    ReadOnly,
    /// The process of the mount was killed before.
    Gone,
    /// The process of the mount is killed when the tool has written half.
    Killed,
    /// It is killed when the tool has written everything, and has not closed the file.
    KilledLast,
}

impl Column {
    pub const ALL: &'static [Column] = &[
        Column::Cid,
        Column::Again,
        Column::Plain,
        Column::Wrong,
        Column::Block,
        Column::Alias,
        Column::Damaged,
        Column::Full,
        Column::ReadOnly,
        Column::Gone,
        Column::Killed,
        Column::KilledLast,
    ];

    /// The head of the column.
    pub fn title(self) -> &'static str {
        match self {
            Column::Cid => "its CID",
            Column::Again => "its CID again",
            Column::Plain => "plain name",
            Column::Wrong => "another CID",
            Column::Block => "block",
            Column::Alias => "alias",
            Column::Damaged => "damaged block",
            Column::Full => "store full",
            Column::ReadOnly => "read-only",
            Column::Gone => "daemon gone",
            Column::Killed => "before the second half",
            Column::KilledLast => "before the close",
        }
    }
}

/// A cell that is not the usual one of its column: what it is, and why, in one sentence. The sentence
/// may be left out where the introduction of the table explains the errno.
pub type Other = (Column, &'static str, &'static str);

/// What a script is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Bash,
    Python,
    Perl,
    Node,
}

impl Language {
    /// The program, the flags before the script, and what every script begins with.
    pub fn interpreter(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            // A pipeline fails if one of its programs does.
            Language::Bash => ("bash", &["-o", "pipefail", "-c"], ""),
            Language::Python => ("python3", &["-c"], "import os\nF = os.environ['F']\n"),
            Language::Perl => ("perl", &["-e"], "my $F = $ENV{F};\n"),
            Language::Node => ("node", &["-e"], "const F = process.env.F;\n"),
        }
    }
}

/// A row. Its script runs in a directory with `in/` (files to read), `mnt/` (the mount) and `tmp/`
/// (empty, for the script), `$F` is the file that it is about, `$NAME` its name in `mnt/`.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub script: &'static str,
    pub language: Language,
    /// What the table shows in place of the script.
    pub shown: &'static str,
    /// What does in an ordinary directory what the script does in a mount, if that is not the script.
    pub ordinarily: &'static str,
    /// The programs that have to be there; if none is named, the first word of the script.
    pub tools: &'static [&'static str],
    /// The exit code with which it fails.
    pub exit: u8,
    /// What the file holds before, where it is there before: a file of `in/`.
    pub from: &'static str,
    /// Blocks that stay although no file stands for them at the end: files of `in/`.
    pub leaves: &'static [&'static str],
    /// A file that must still be there if the tool fails, and the file of `in/` with its bytes.
    pub keeps: Option<(&'static str, &'static str)>,
    /// The columns that apply; if none is named, all of the table.
    pub only: &'static [Column],
    /// One sentence about the row.
    pub note: &'static str,
    pub others: &'static [Other],
}

/// A row that is like all others.
pub const fn row(script: &'static str) -> Row {
    Row {
        script,
        language: Language::Bash,
        shown: "",
        ordinarily: "",
        tools: &[],
        exit: 1,
        from: "text",
        leaves: &[],
        keeps: None,
        only: &[],
        note: "",
        others: &[],
    }
}

/// A row in another language.
pub const fn program(language: Language, script: &'static str) -> Row {
    let mut row = row(script);
    row.language = language;
    row
}

impl Row {
    pub const fn shown(mut self, shown: &'static str) -> Self {
        self.shown = shown;
        self
    }

    pub const fn ordinarily(mut self, script: &'static str) -> Self {
        self.ordinarily = script;
        self
    }

    pub const fn tools(mut self, tools: &'static [&'static str]) -> Self {
        self.tools = tools;
        self
    }

    pub const fn exit(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }

    pub const fn from(mut self, file: &'static str) -> Self {
        self.from = file;
        self
    }

    pub const fn leaves(mut self, files: &'static [&'static str]) -> Self {
        self.leaves = files;
        self
    }

    pub const fn keeps(mut self, path: &'static str, file: &'static str) -> Self {
        self.keeps = Some((path, file));
        self
    }

    pub const fn only(mut self, columns: &'static [Column]) -> Self {
        self.only = columns;
        self
    }

    pub const fn note(mut self, sentence: &'static str) -> Self {
        self.note = sentence;
        self
    }

    pub const fn but(mut self, others: &'static [Other]) -> Self {
        self.others = others;
        self
    }

    pub fn applies(&self, column: Column) -> bool {
        self.only.is_empty() || self.only.contains(&column)
    }

    /// How it is shown in the table: the script, without the dollar signs of what it is given, or what
    /// is said in its place.
    pub fn title(&self) -> String {
        let mut code = self.script.to_owned();
        if self.language == Language::Bash {
            for name in ["F", "NAME", "URL"] {
                code = code.replace(&format!("${name}"), name);
            }
        }
        let (name, ..) = self.language.interpreter();
        match (self.shown, self.language) {
            ("", Language::Bash) => format!("`{code}`"),
            ("", _) => format!("{name}: `{code}`"),
            (shown, _) => shown.to_owned(),
        }
    }

    /// What its interpreter gets.
    pub fn code(&self) -> String {
        let (_, _, begin) = self.language.interpreter();
        let mut code = begin.to_owned();
        if self.language == Language::Python {
            // What a script does not need takes longer than the script.
            for module in ["mmap", "pathlib", "shutil", "tempfile"] {
                if self.script.contains(&format!("{module}.")) {
                    code += &format!("import {module}\n");
                }
            }
            if self.script.contains("photo") {
                code += "photo = open('in/photo', 'rb').read()\n";
            }
        }
        code + self.script
    }

    /// The programs that it needs.
    pub fn programs(&self) -> Vec<&'static str> {
        let (interpreter, ..) = self.language.interpreter();
        let first = match self.language {
            Language::Bash => self.script.split(' ').next(),
            _ => None,
        };
        let named = if self.tools.is_empty() { first.as_slice() } else { self.tools };
        named.iter().copied().chain([interpreter]).collect()
    }

    /// The cell that it has to have in a column, with the sentence that explains it.
    pub fn expected(&self, kind: Kind, column: Column) -> (String, &'static str) {
        let other = self.others.iter().find(|(there, ..)| *there == column);
        if let Some((_, cell, why)) = other {
            return ((*cell).to_owned(), why);
        }
        let reads = matches!(kind, Kind::Read | Kind::List);
        let cell = match column {
            _ if !self.applies(column) => "-".to_owned(),
            Column::Wrong => failure("EBADMSG", self.exit),
            Column::Block if kind == Kind::Change => failure("EPERM", self.exit),
            Column::Damaged => failure("EIO", self.exit),
            Column::Full if !reads => failure("ENOSPC", self.exit),
            Column::ReadOnly if !reads => failure("EROFS", self.exit),
            Column::Gone | Column::Killed | Column::KilledLast => failure("ENOTCONN", self.exit),
            _ => "ok".to_owned(),
        };
        (cell, "")
    }
}

/// Whether a cell needs no sentence of its own: the introduction or that of its table explains it.
pub fn is_plain(kind: Kind, column: Column, cell: &str) -> bool {
    let (words, exit) = cell.split_once(", exit ").unwrap_or((cell, "1"));
    let usual: &[&str] = match (kind, column) {
        (Kind::Change, Column::Block) => &["EPERM", "EBADMSG"],
        (Kind::Change, Column::Full) => &["ENOSPC", "EPERM", "EBADMSG"],
        (_, Column::Again) => &["-"],
        (_, Column::Wrong) => &["EBADMSG"],
        (_, Column::Damaged) => &["EIO"],
        (_, Column::Full) => &["ENOSPC"],
        (_, Column::ReadOnly) => &["EROFS"],
        (_, Column::Gone | Column::Killed | Column::KilledLast) => &["ENOTCONN"],
        (_, Column::Cid | Column::Plain | Column::Block | Column::Alias) => &[],
    };
    cell == "ok" || (usual.contains(&words) && exit.parse::<u8>().is_ok())
}

/// A cell of a tool that has failed.
pub fn failure(words: &str, exit: u8) -> String {
    if exit == 1 { words.to_owned() } else { format!("{words}, exit {exit}") }
}

/// A table of the document.
#[derive(Debug, Clone, Copy)]
pub struct Table {
    pub heading: &'static str,
    pub words: &'static str,
    pub kind: Kind,
    pub columns: &'static [Column],
    pub rows: &'static [&'static [Row]],
}

/// What the rows of a table do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Make the file, which is not there.
    Make,
    /// Change the file, which is there.
    Change,
    /// Read the file.
    Read,
    /// Read the directory.
    List,
    /// Are writing when the daemon is killed.
    Die,
}

impl Table {
    pub fn rows(&self) -> impl Iterator<Item = &'static Row> {
        self.rows.iter().flat_map(|rows| rows.iter())
    }
}
