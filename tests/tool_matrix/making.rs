//! Tools that write a file which is not there.

use super::row::{Column, Language, Row, program, row};

const NO_CID: &[Column] = &[Column::Plain, Column::Full, Column::ReadOnly, Column::Gone];

pub const COPYING: &[Row] = &[
    row("cp in/photo $F"),
    row("cp -p in/photo $F"),
    row("cp -a in/photo $F"),
    row("cp -f in/photo $F"),
    row("cp -n in/photo $F"),
    row("cp --sparse=always in/photo $F"),
    row("busybox cp in/photo $F"),
    row("install -m 640 in/photo $F"),
    row("cp -p in/photo tmp/x && mv tmp/x $F").shown("mv, from another file system").keeps("tmp/x", "photo"),
    row("cp -p in/photo mnt/x && mv mnt/x $F").shown("mv, within the mount").keeps("mnt/x", "photo"),
    row("rsync -a in/photo $F").exit(23),
    row("rsync -a --inplace in/photo $F").exit(23),
    row("curl -sS -o $F $URL").exit(23),
    row("split -b 100k in/photo mnt/part-").only(NO_CID, "split makes names of its own."),
];

pub const STREAMING: &[Row] = &[
    row("cat in/photo > $F"),
    row("(cat in/a; cat in/b) > $F").tools(&["cat"]),
    row("echo hello > $F"),
    row("dash -c 'echo hello > $F'"),
    row("printf 'one\\n' > $F; printf 'two\\n' >> $F").leaves(&["one"]),
    row("for i in 1 2 3; do echo $i; done > $F").tools(&["bash"]),
    row("exec 3<> $F; cat in/a >&3; exec 3>&-").tools(&["cat"]),
    row("tee $F < in/photo > tmp/copy"),
    row("tee -a $F < in/photo > tmp/copy"),
    row("head -c 12345 in/photo > $F"),
    row("sha256sum in/a > $F"),
    row("sed s/7/seven/ in/lines > $F"),
    row("sort -n -o $F in/lines").exit(2),
    row("awk 'NR % 2 { print > ENVIRON[\"F\"] }' in/lines").exit(2),
    row("gzip -nc in/lines > $F"),
    row("dd if=in/photo of=$F bs=3333 status=none"),
    row("dd if=in/photo of=$F bs=1k seek=100 status=none"),
    row("dd if=in/photo of=$F bs=64k conv=fsync status=none"),
    row("dd if=in/photo of=$F bs=64k oflag=direct status=none"),
    row("dd if=in/photo of=$F bs=64k oflag=sync status=none"),
    row("dd if=in/photo of=$F bs=1M oflag=sync status=none"),
    row("dd if=in/photo of=$F bs=64k oflag=append conv=notrunc status=none"),
    row("touch $F"),
    row(": > $F").tools(&["bash"]),
    row("truncate -s 100000 $F"),
    row("fallocate -l 100000 $F"),
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
    row("(cd in; ls a b | cpio -o --quiet) > $F").tools(&["cpio"]).exit(2),
    row("cp -p in/photo tmp/$NAME && (cd tmp && zip -q t.zip $NAME) && unzip -q tmp/t.zip -d mnt")
        .shown("unzip")
        .tools(&["zip", "unzip"])
        .exit(50),
    row("zip -q - in/lines > $F").exit(14),
    row("zip -q mnt/made.zip in/lines").exit(15).only(NO_CID, "zip puts `.zip` behind names without a dot."),
];

pub const PROGRAMS: &[Row] = &[
    row("vim -es -c 'read in/lines' -c 1d -c \"write $F\" -c 'quit!'").shown("vim -es, `:write`"),
    python("f = open(F, 'wb'); f.write(photo); f.close()"),
    python("with open(F, 'wb') as f: f.write(photo)"),
    python("open(F, 'wb').write(photo)"),
    python("f = os.open(F, os.O_WRONLY | os.O_CREAT); os.write(f, photo); os.fsync(f); os.close(f)"),
    python("pathlib.Path(F).write_bytes(photo)"),
    python(
        "with open(F, 'w+b') as f:
            f.truncate(len(photo))
            with mmap.mmap(f.fileno(), 0) as m:
                m[:] = photo
                m.flush()",
    )
    .shown("python3: `truncate`, `mmap`, `flush`"),
    python("shutil.copyfile('in/photo', F)"),
    python("shutil.copy2('in/photo', F)"),
    python("pathlib.Path('mnt/.x.tmp').write_bytes(photo); os.replace('mnt/.x.tmp', F)")
        .keeps("mnt/.x.tmp", "photo"),
    python(
        "with tempfile.NamedTemporaryFile(dir='mnt', delete=False) as f: f.write(photo)
os.replace(f.name, F)",
    )
    .shown("python3: `NamedTemporaryFile`, `os.replace`"),
    program(Language::Perl, "open(O, '>', $F) or die $!; print O 'perl' x 10000; close(O) or die $!"),
    program(Language::Perl, "use File::Copy; copy('in/photo', $F) or die $!"),
    program(Language::Node, "fs.writeFileSync(F, fs.readFileSync('in/photo'))"),
    program(Language::Node, "fs.copyFileSync('in/photo', F)"),
    program(Language::Node, "fs.createReadStream('in/photo').pipe(fs.createWriteStream(F))"),
    row("sqlite3 $F 'create table t(a); insert into t values (1)'"),
    row("sqlite3 in/db \"vacuum into '$F'\""),
    row(
        "for i in 1 2 3 4; do cp in/photo $F & pids+=\" $!\"; done; for p in $pids; do wait $p || exit; done",
    )
    .shown("four `cp in/photo F` at once")
    .tools(&["cp"]),
    row("cp in/photo $F || exit
         for i in 1 2 3; do (for n in {1..20}; do cmp in/photo $F || exit; done) & pids+=\" $!\"; done
         for n in {1..20}; do cp in/photo $F || exit; done
         for p in $pids; do wait $p || exit; done")
    .shown("20 times `cp in/photo F`, while three loops read it with `cmp`")
    .tools(&["cp", "cmp"]),
];

const fn python(script: &'static str) -> Row {
    program(Language::Python, script)
}
