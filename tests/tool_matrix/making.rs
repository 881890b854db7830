//! Tools that write a file which is not there.

use super::row::{Column, Language, Other, Row, program, row};

use Column::{Again, Cid, Full, Gone, Plain, ReadOnly, Wrong};

const NO_CID: &[Column] = &[Plain, Full, ReadOnly, Gone];
const NO_PLAIN: &[Column] = &[Cid, Again, Wrong, Full, ReadOnly, Gone];

/// rsync cannot even look at what it should write.
pub const RSYNC_GONE: Other = (Gone, "ENOTCONN, exit 3", "");

pub const CURL: &str = "curl says only that it could not write.";
pub const VIM: &str = "`vim -es` prints nothing; its exit code tells.";
pub const SHELL: &str = "A shell does not look at what its last close answers, so it says nothing.";
pub const SQLITE: &str =
    "SQLite has words of its own, such as `unable to open database file` and `disk I/O error`.";
pub const JOURNAL: &str =
    "SQLite syncs its journal, which makes that a block, and a block stays when its name is removed.";
pub const NODE: &str = "node has no name for this error: `Unknown system error -74`.";
pub const RENAMED: &str = "Its bytes were closed under another name before they were to be renamed, so they are a \
     block, which stays.";
pub const UNZIP: &str = "unzip does not look at what close answers, and says at most that it cannot set the time of the file: \
     the kernel tells the mount of the end of a file after close has returned, and unzip may be faster.";
pub const UNZIP_GONE: Other = (
    Gone,
    "EEXIST, exit 2",
    "unzip takes a directory that does not answer for one that is missing, and tries to make it.",
);
pub const MAPPED: &str = "A stored block cannot be mapped for writing.";
const SQLITE_STEPS: &str = "SQLite writes in steps and syncs each of them, and the first is not the block; its journal, \
     which it syncs as well, stays as a block.";
const APPENDING: &str = "A stored block cannot be opened to append.";
const EMPTY: &str =
    "An empty file is stored under the CID of the empty block alone; elsewhere it leaves nothing.";
const PARTS: &str =
    "The first `cat` closes a part of the block and is told so; with the second the block is whole.";

/// perl's `die` exits with the number of the error.
const PERL: &[Other] = &[
    (Wrong, "EBADMSG, exit 74", ""),
    (Full, "ENOSPC, exit 28", ""),
    (ReadOnly, "EROFS, exit 30", ""),
    PERL_GONE,
];
pub const PERL_GONE: Other = (Gone, "ENOTCONN, exit 107", "");

pub const COPYING: &[Row] = &[
    row("cp in/photo $F"),
    row("cp -p in/photo $F"),
    row("cp -a in/photo $F"),
    row("cp -f in/photo $F"),
    row("cp -n in/photo $F"),
    row("cp --reflink=auto --sparse=always in/photo $F"),
    row("cp in/photo mnt/x && cp mnt/x $F && rm mnt/x").shown("cp, within the mount").keeps("mnt/x", "photo"),
    row("busybox cp in/photo $F"),
    row("install -m 640 in/photo $F"),
    row("cp -p in/photo tmp/x && mv tmp/x $F").shown("mv, from another file system").keeps("tmp/x", "photo"),
    row("cp -p in/photo mnt/x && mv mnt/x $F").shown("mv, within the mount").keeps("mnt/x", "photo"),
    row("rsync -a in/photo $F").exit(23).but(&[RSYNC_GONE]),
    row("rsync -a --inplace in/photo $F").exit(23).but(&[(Wrong, "EBADMSG, exit 11", ""), RSYNC_GONE]),
    row("curl -sS -o $F $URL").but(&[
        (Wrong, "own words, exit 23", CURL),
        (Full, "own words, exit 23", CURL),
        (ReadOnly, "own words, exit 23", CURL),
        (Gone, "own words, exit 23", CURL),
    ]),
    row("split -b 100k in/photo mnt/part-").only(NO_CID).note("split makes names of its own."),
];

pub const STREAMING: &[Row] = &[
    row("cat in/photo > $F"),
    row("(cat in/a; cat in/b) > $F")
        .tools(&["cat"])
        .but(&[(Cid, "ok, warns EBADMSG", PARTS), (Again, "ok, warns EBADMSG", PARTS)]),
    row("echo hello > $F").but(&[(Wrong, "silent", SHELL)]),
    row("dash -c 'echo hello > $F'").exit(2).but(&[(Wrong, "silent", SHELL)]),
    row("printf 'one\\n' > $F; printf 'two\\n' >> $F").leaves(&["one"]).but(&[
        (
            Cid,
            "silent",
            "Each redirection is closed, and so judged, for itself; a shell does not look at the answer.",
        ),
        (Again, "-", ""),
        (Wrong, "silent", SHELL),
    ]),
    row("for i in 1 2 3; do echo $i; done > $F").tools(&["bash"]).but(&[(Wrong, "silent", SHELL)]),
    row("exec 3<> $F && cat in/a >&3 && exec 3>&-").tools(&["cat"]),
    row("tee $F < in/photo > tmp/copy"),
    row("tee -a $F < in/photo > tmp/copy").but(&[(Again, "EPERM", APPENDING)]),
    row("head -c 12345 in/photo > $F"),
    row("sha256sum in/a > $F"),
    row("sed s/7/seven/ in/lines > $F").but(&[(Wrong, "EBADMSG, exit 4", "")]),
    row("sort -n -o $F in/lines").exit(2),
    row("awk 'NR % 2 { print > ENVIRON[\"F\"] }' in/lines").exit(2),
    row("gzip -nc in/lines > $F"),
    row("dd if=in/photo of=$F bs=3333 status=none"),
    row("dd if=in/photo of=$F bs=1k seek=100 status=none").but(&[(
        Again,
        "ok, warns EPERM",
        "dd cuts the file where it begins to write, which a block does not allow; it says so and goes on.",
    )]),
    row("dd if=in/photo of=$F bs=64k conv=fsync status=none"),
    row("dd if=in/photo of=$F bs=64k oflag=direct status=none")
        .ordinarily("dd if=in/photo of=$F bs=64k status=none"),
    row("dd if=in/photo of=$F bs=64k oflag=sync status=none").but(&[
        (Cid, "EBADMSG", "Each write is synced, and so judged: the block has to come in one."),
        (Again, "-", ""),
    ]),
    row("dd if=in/photo of=$F bs=1M oflag=sync status=none"),
    row("dd if=in/photo of=$F bs=64k oflag=append conv=notrunc status=none")
        .but(&[(Again, "EPERM", APPENDING)]),
    row("touch $F").but(&[(Wrong, "silent", EMPTY)]),
    row(": > $F").tools(&["bash"]).but(&[(Wrong, "silent", EMPTY)]),
    row("truncate -s 100000 $F"),
    row("fallocate -l 100000 $F").but(&[(Again, "EPERM", "Nothing can be reserved in a stored block.")]),
];

pub const ARCHIVES: &[Row] = &[
    row("tar -cf tmp/t --transform \"s,.*,$NAME,\" -C in photo && tar -xf tmp/t -C mnt")
        .shown("tar x")
        .exit(2),
    row("tar -cf $F -C in photo lines").exit(2),
    row("cp -p in/photo tmp/$NAME && cd tmp && echo $NAME | cpio -o --quiet > t && cd .. \
         && cpio -i --quiet -D mnt < tmp/t")
    .shown("cpio -i")
    .tools(&["cpio"])
    .exit(2),
    row("(cd in; ls a b | cpio -o --quiet) > $F").tools(&["cpio"]).but(&[(Wrong, "EBADMSG, exit 2", "")]),
    row("cp -p in/photo tmp/$NAME && (cd tmp && zip -q t.zip $NAME) && unzip -qo tmp/t.zip -d mnt")
        .shown("unzip -o")
        .tools(&["zip", "unzip"])
        .exit(50)
        .but(&[(Wrong, "silent, may warn ENOENT", UNZIP), UNZIP_GONE]),
    row("zip -q - in/lines > $F").but(&[
        (
            Again,
            "EBADMSG, exit 10",
            "zip writes its first bytes twice, and those of the first time are not the block's.",
        ),
        (Wrong, "EBADMSG, exit 10", ""),
    ]),
    row("zip -q mnt/made.zip in/lines")
        .exit(15)
        .only(NO_CID)
        .note("zip puts `.zip` behind a name without a dot."),
];

pub const PROGRAMS: &[Row] = &[
    row("vim -es -c 'read in/lines' -c 1d -c \"write! $F\" -c 'quit!'").shown("vim -es, `:write!`").but(&[
        (Wrong, "no words", VIM),
        (Full, "no words", VIM),
        (ReadOnly, "no words", VIM),
        (Gone, "no words", VIM),
    ]),
    python("f = open(F, 'wb'); f.write(photo); f.close()"),
    python("with open(F, 'wb') as f: f.write(photo)"),
    // Some versions complain when they throw the object away, and exit with 0 all the same.
    python("f = open(F, 'wb'); f.write(photo); os.close(2)")
        .shown("python3: `open(F, 'wb').write(photo)`, never closed")
        .but(&[(Wrong, "silent", "python3 does not ask for the answer when it throws the object away.")]),
    python("f = os.open(F, os.O_WRONLY | os.O_CREAT); os.write(f, photo); os.fsync(f); os.close(f)"),
    python("pathlib.Path(F).write_bytes(photo)"),
    python(
        "with open(F, 'w+b') as f:
            f.truncate(len(photo))
            with mmap.mmap(f.fileno(), 0) as m:
                m[:] = photo
                m.flush()",
    )
    .shown("python3: `truncate`, `mmap`, `flush`")
    .but(&[(Again, "ENODEV", MAPPED)]),
    python("shutil.copyfile('in/photo', F)"),
    python("shutil.copy2('in/photo', F)"),
    python("pathlib.Path('mnt/.x.tmp').write_bytes(photo); os.replace('mnt/.x.tmp', F)")
        .keeps("mnt/.x.tmp", "photo"),
    python(
        "with tempfile.NamedTemporaryFile(dir='mnt', delete=False) as f: f.write(photo)
try:
    os.replace(f.name, F)
except OSError:
    os.remove(f.name)
    raise",
    )
    .shown("python3: `NamedTemporaryFile`, `os.replace`, after an error `os.remove`")
    .but(&[(Wrong, "EBADMSG, leaves a block", RENAMED)]),
    program(Language::Perl, "open(O, '>', $F) or die $!; print O 'perl' x 10000; close(O) or die $!")
        .but(PERL),
    program(Language::Perl, "use File::Copy; copy('in/photo', $F) or die $!").but(PERL),
    program(Language::Node, "fs.writeFileSync(F, fs.readFileSync('in/photo'))").but(&[(
        Wrong,
        "own words",
        NODE,
    )]),
    program(Language::Node, "fs.copyFileSync('in/photo', F)").but(&[(Wrong, "own words", NODE)]),
    program(Language::Node, "fs.createReadStream('in/photo').pipe(fs.createWriteStream(F))").but(&[(
        Wrong,
        "own words",
        NODE,
    )]),
];

pub const DATABASES: &[Row] = &[
    row("sqlite3 $F 'create table t(a); insert into t values (1)'").but(&[
        (Cid, "own words, exit 10, leaves a block", SQLITE_STEPS),
        (Again, "-", ""),
        (Plain, "ok, leaves 2 blocks", JOURNAL),
        (Wrong, "own words, exit 10, leaves a block", SQLITE_STEPS),
        (Full, "own words", SQLITE),
        (ReadOnly, "own words", SQLITE),
        (Gone, "own words", SQLITE),
    ]),
    row("sqlite3 in/db \"vacuum into '$F'\"").but(&[
        (Cid, "ok, leaves a block", JOURNAL),
        (Again, "own words", "SQLite refuses to write over a file."),
        (Plain, "ok, leaves a block", JOURNAL),
        (Wrong, "own words, exit 10, leaves a block", JOURNAL),
        (Full, "own words, exit 14", SQLITE),
        (ReadOnly, "own words, exit 14", SQLITE),
        (Gone, "own words, exit 14", SQLITE),
    ]),
];

pub const TOGETHER: &[Row] = &[
    row("for i in 1 2 3 4; do cat in/photo > $F & pids+=\" $!\"; done; for p in $pids; do wait $p || exit; done")
        .shown("four `cat in/photo > F` at once")
        .tools(&["cat"])
        .only(NO_PLAIN)
        .note("Under a plain name they all write into one file, as in any directory."),
    row("cp in/photo $F || exit
         for i in 1 2 3; do (for n in {1..20}; do cmp in/photo $F || exit; done) & pids+=\" $!\"; done
         for n in {1..20}; do cp in/photo $F || exit; done
         for p in $pids; do wait $p || exit; done")
        .shown("20 times `cp in/photo F`, while three loops compare it with `cmp`")
        .ordinarily("cp in/photo $F")
        .tools(&["cp", "cmp"])
        .only(NO_PLAIN)
        .note("A plain name is empty for a moment when it is written again, as any file is."),
];

const fn python(script: &'static str) -> Row {
    program(Language::Python, script)
}
