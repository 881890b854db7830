//! Tools that change a file which is there.

use super::making::{CURL, JOURNAL, MAPPED, PERL_GONE, RENAMED, RSYNC_GONE, SQLITE, UNZIP_GONE, VIM};
use super::row::{Column, Language, Other, Row, program, row};

use Column::{Alias, Block, Full, Gone, ReadOnly};

const REMOVES: &str = "It removes the old file before it writes the new one.";
const TIMED: &str =
    "tar sets the time of the file although it could not write it, and a block's time may be set.";
const BEGUN: &str = "So begins the writing of a block that is stored; as nothing follows, nothing changes.";
const COMPRESSED: &str = "The compressed bytes had a name, so they are a block, which stays.";
const HOLES: &str = "There are no holes in a block: EOPNOTSUPP, which fallocate tells in words of its own.";
const FIXED: &str =
    "A block has mode 0444, whatever is set; an error would make `cp -p`, tar, rsync and install fail.";
const FLAT: &str = "A blockstore is a flat directory of files: it has no directories, links or pipes.";
const NO_XATTR: &str = "There are no extended attributes.";
const NODE_REMOVES: &str =
    "node removes what it could not write, and has no name for the error: `Unknown system error -74`.";
const WARNS: &str = "perl warns, and exits with 0.";

const SILENT_VIM: &[Other] = &[
    (Block, "no words", VIM),
    (Full, "no words", VIM),
    (ReadOnly, "no words", VIM),
    (Gone, "no words", VIM),
];
const NO_XATTRS: &[Other] =
    &[(Block, "EOPNOTSUPP", NO_XATTR), (Alias, "EOPNOTSUPP", NO_XATTR), (Full, "EOPNOTSUPP", NO_XATTR)];
/// Whoever only reads, sets or removes may do so with a block, and in a full store.
const FREE: &[Other] = &[(Block, "ok", ""), (Full, "ok", "")];

/// What a row does that writes other bytes to a block: nothing that depends on free space.
const DIFFERS: &[Other] = &[(Block, "EBADMSG", ""), (Full, "EBADMSG", "")];
const REMOVED: &[Other] =
    &[(Block, "EBADMSG, the file is gone", REMOVES), (Full, "ENOSPC, the file is gone", REMOVES)];
/// What is refused whatever the bytes are.
const REFUSED: &[Other] = &[(Full, "EPERM", "")];
const NOT_HERE: &[Other] = &[(Alias, "EPERM", FLAT), (Full, "EPERM", "")];

pub const WRITING: &[Row] = &[
    row("cat in/other > $F").but(DIFFERS),
    row("cp in/other $F").but(DIFFERS),
    row("cp -f in/other $F").but(DIFFERS),
    row("cp --remove-destination in/other $F").but(REMOVED),
    row("install in/other $F").but(REMOVED),
    row("cp in/other tmp/x && mv -f tmp/x $F")
        .shown("mv, from another file system")
        .keeps("tmp/x", "other")
        .but(REMOVED),
    row("cp in/other mnt/x && mv -f mnt/x $F")
        .shown("mv, within the mount")
        .keeps("mnt/x", "other")
        .but(&[(Block, "EBADMSG", "")]),
    row("rsync -a in/other $F").exit(23).but(&[(Block, "EBADMSG, exit 23", ""), RSYNC_GONE]),
    row("rsync -a --inplace in/other $F").exit(23).but(&[
        (Block, "EBADMSG, exit 11", ""),
        (Full, "EBADMSG, exit 11", ""),
        RSYNC_GONE,
    ]),
    row("curl -sS -o $F $URL").but(&[
        (Block, "own words, exit 23", CURL),
        (Full, "own words, exit 23", CURL),
        (ReadOnly, "own words, exit 23", CURL),
        (Gone, "own words, exit 23", CURL),
    ]),
    row("tar -cf tmp/t --transform \"s,.*,$NAME,\" -C in other && tar -xf tmp/t -C mnt")
        .shown("tar x")
        .exit(2)
        .but(&[
            (Block, "EBADMSG, exit 2, the file is gone", REMOVES),
            (Full, "ENOSPC, exit 2, the file is gone", REMOVES),
            (ReadOnly, "EEXIST, exit 2", "tar tells the first error that it met: the file is there."),
        ]),
    row("tar -cf tmp/t --transform \"s,.*,$NAME,\" -C in other && tar --overwrite -xf tmp/t -C mnt")
        .shown("tar x --overwrite")
        .exit(2)
        .but(&[(Block, "EBADMSG, exit 2, other time", TIMED), (Full, "EBADMSG, exit 2, other time", TIMED)]),
    row("cp -p in/other tmp/$NAME && cd tmp && echo $NAME | cpio -o --quiet > t && cd .. \
         && cpio -iu --quiet -D mnt < tmp/t")
    .shown("cpio -iu")
    .tools(&["cpio"])
    .exit(2)
    .but(&[
        (Block, "EBADMSG, exit 2, the file is gone", REMOVES),
        (Full, "ENOSPC, exit 2, the file is gone", REMOVES),
        (ReadOnly, "unchanged, warns EROFS", "cpio says so, and exits with 0."),
    ]),
    row("cp -p in/other tmp/$NAME && (cd tmp && zip -q t.zip $NAME) && unzip -qo tmp/t.zip -d mnt")
        .shown("unzip -o")
        .tools(&["zip", "unzip"])
        .exit(50)
        .but(&[
            (
                Block,
                "the file is gone, may warn ENOENT",
                "unzip removes the old file first, and does not look at what close answers for the new one; whether \
                 it still finds the file to set its time is a race with the kernel, which tells the mount of its end.",
            ),
            (Full, "ENOSPC, exit 50, the file is gone", REMOVES),
            UNZIP_GONE,
        ]),
    row("echo more >> $F").but(REFUSED),
    row("tee -a $F < in/a > tmp/copy").but(REFUSED),
    row("dd if=in/a of=$F bs=1k seek=2 conv=notrunc status=none").but(DIFFERS),
    row(": > $F").tools(&["bash"]).but(&[(Block, "unchanged", BEGUN), (Full, "unchanged", BEGUN)]),
    row("truncate -s 0 $F").but(REFUSED),
    row("truncate -s 1000 $F").but(REFUSED),
    row("truncate -s +1000 $F").but(REFUSED),
    row("fallocate -l 200000 $F").but(REFUSED),
    row("fallocate -p -o 0 -l 4096 $F").but(&[
        (Block, "own words", HOLES),
        (Alias, "own words", HOLES),
        (Full, "own words", HOLES),
    ]),
    row("shred -x -n 1 --random-source=in/photo $F").but(DIFFERS),
];

pub const EDITING: &[Row] = &[
    row("sed -i s/7/seven/ $F")
        .exit(4)
        .but(&[(Block, "EBADMSG, exit 4, leaves a block", RENAMED), (Gone, "ENOTCONN, exit 2", "")]),
    row("sed -i.bak s/7/seven/ $F")
        .exit(4)
        .but(&[(Block, "EPERM, exit 4, leaves a block", RENAMED), (Gone, "ENOTCONN, exit 2", "")]),
    row("sort -n -o $F $F").exit(2).but(&[(Block, "EBADMSG, exit 2", ""), (Full, "EBADMSG, exit 2", "")]),
    row("sort -n in/text > tmp/s; diff in/text tmp/s > tmp/d; patch -s $F tmp/d")
        .shown("patch")
        .tools(&["patch", "diff"])
        .exit(2)
        .but(&[(Block, "EBADMSG, exit 2, leaves a block", RENAMED)]),
    row("gzip -n $F").but(&[(Block, "ok", "")]),
    row("gzip -n $F && gunzip $F.gz").but(&[
        (Block, "ok, leaves a block", COMPRESSED),
        (Alias, "ok, leaves a block", COMPRESSED),
    ]),
    row("vim -es -c '$s/$/ more/' -c 'wq!' $F").shown("vim -es, `:wq!`").but(SILENT_VIM),
    row("vim -es -c 'set backup' -c '$s/$/ more/' -c 'wq!' $F")
        .shown("vim -es, `:set backup`, `:wq!`")
        .but(SILENT_VIM),
    row("perl -i -pe s/7/seven/ $F").but(&[
        (Block, "EBADMSG, exit 74, leaves a block", RENAMED),
        (Full, "unchanged, warns ENOSPC", WARNS),
        (ReadOnly, "unchanged, warns EROFS", WARNS),
        (Gone, "unchanged, warns ENOTCONN", WARNS),
    ]),
    program(Language::Perl, "open(O, '>>', $F) or die $!; print O 'more'; close(O) or die $!").but(&[
        (Full, "EPERM", ""),
        (ReadOnly, "EROFS, exit 30", ""),
        PERL_GONE,
    ]),
    program(Language::Python, "with open(F, 'r+b') as f: f.write(b'other')").but(DIFFERS),
    program(Language::Python, "with open(F, 'ab') as f: f.write(b'more')").but(REFUSED),
    program(
        Language::Python,
        "with open(F, 'r+b') as f, mmap.mmap(f.fileno(), 0) as m:
            m[:5] = b'other'
            m.flush()",
    )
    .shown("python3: `mmap`, `flush`")
    .but(&[(Block, "ENODEV", MAPPED), (Full, "ENODEV", MAPPED)]),
    program(Language::Python, "os.truncate(F, 1000)").but(REFUSED),
    program(Language::Node, "fs.copyFileSync('in/other', F)").but(&[
        (Block, "own words, the file is gone", NODE_REMOVES),
        (Full, "own words, the file is gone", NODE_REMOVES),
    ]),
    program(Language::Node, "fs.appendFileSync(F, 'more')").but(REFUSED),
    row("sqlite3 $F 'insert into t values (100)'").from("db").but(&[
        (
            Block,
            "own words, exit 10, leaves F-journal, leaves a block",
            "SQLite can neither write the file nor undo that, and leaves its journal for whoever opens it next.",
        ),
        (Alias, "ok, leaves a block", JOURNAL),
        (Full, "own words, exit 14", SQLITE),
        (ReadOnly, "own words, exit 8", SQLITE),
        (Gone, "own words", SQLITE),
    ]),
];

pub const NAMES: &[Row] = &[
    row("mv $F mnt/new").but(REFUSED),
    row("mv $F tmp/new").but(FREE),
    row("rm $F").but(FREE),
    row("rm -f $F").but(FREE),
    program(Language::Python, "os.replace(F, 'mnt/new')").but(REFUSED),
    program(Language::Python, "os.remove(F)").but(FREE),
    row("ln $F mnt/new").but(NOT_HERE),
    row("ln -s $NAME mnt/new").but(NOT_HERE),
    row("mkdir mnt/new").but(NOT_HERE),
    row("mkfifo mnt/new").but(NOT_HERE),
    row("cp -r in mnt/").but(NOT_HERE),
    row("touch $F").but(FREE),
    row("touch -d @1500000000 $F").but(FREE),
    row("chmod 600 $F").but(&[(Block, "ignored", FIXED), (Full, "ignored", FIXED)]),
    row("chown $(id -u):$(id -g) $F").but(FREE),
    row("setfattr -n user.a -v b $F").but(NO_XATTRS),
    row("setfacl -m u:1:r $F").but(NO_XATTRS),
];
