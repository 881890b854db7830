//! Tools that change a file which is there.

use super::row::{Language, Row, program, row};

pub const WRITING: &[Row] = &[
    row("cat in/other > $F"),
    row("cp in/other $F"),
    row("cp -f in/other $F"),
    row("cp --remove-destination in/other $F"),
    row("install in/other $F"),
    row("cp in/other tmp/x && mv -f tmp/x $F").shown("mv, from another file system").keeps("tmp/x", "other"),
    row("cp in/other mnt/x && mv -f mnt/x $F").shown("mv, within the mount").keeps("mnt/x", "other"),
    row("rsync -a in/other $F").exit(23),
    row("rsync -a --inplace in/other $F").exit(23),
    row("curl -sS -o $F $URL").exit(23),
    row("tar -cf tmp/t --transform \"s,.*,$NAME,\" -C in other && tar -xf tmp/t -C mnt")
        .shown("tar x")
        .exit(2),
    row("tar -cf tmp/t --transform \"s,.*,$NAME,\" -C in other && tar --overwrite -xf tmp/t -C mnt")
        .shown("tar x --overwrite")
        .exit(2),
    row("cp -p in/other tmp/$NAME && cd tmp && echo $NAME | cpio -o --quiet > t && cd .. \
         && cpio -iu --quiet -D mnt < tmp/t")
    .shown("cpio -iu")
    .tools(&["cpio"])
    .exit(2),
    row("cp -p in/other tmp/$NAME && (cd tmp && zip -q t.zip $NAME) && unzip -qo tmp/t.zip -d mnt")
        .shown("unzip -o")
        .tools(&["zip", "unzip"])
        .exit(50),
    row("echo more >> $F"),
    row("tee -a $F < in/a > tmp/copy"),
    row("dd if=in/a of=$F bs=1k seek=2 conv=notrunc status=none"),
    row(": > $F").tools(&["bash"]),
    row("truncate -s 1000 $F"),
    row("truncate -s +1000 $F"),
    row("fallocate -l 200000 $F"),
    row("fallocate -p -o 0 -l 4096 $F"),
    row("shred -x -n 1 --random-source=in/photo $F"),
];

pub const EDITING: &[Row] = &[
    row("sed -i s/7/seven/ $F"),
    row("sed -i.bak s/7/seven/ $F"),
    row("sort -n -o $F $F").exit(2),
    row("sort -n $F > tmp/sorted; diff $F tmp/sorted > tmp/d; patch -s $F tmp/d")
        .shown("patch")
        .tools(&["patch", "diff"]),
    row("gzip -n $F"),
    row("vim -es -c '$s/$/ more/' -c 'wq!' $F").shown("vim -es, `:wq!`"),
    row("vim -es -c 'set backup' -c '$s/$/ more/' -c 'wq!' $F").shown("vim -es, `:set backup`, `:wq!`"),
    row("perl -i -pe s/7/seven/ $F"),
    program(Language::Perl, "open(O, '>>', $F) or die $!; print O 'more'; close(O) or die $!"),
    program(Language::Python, "with open(F, 'r+b') as f: f.write(b'other')"),
    program(Language::Python, "with open(F, 'ab') as f: f.write(b'more')"),
    program(
        Language::Python,
        "with open(F, 'r+b') as f, mmap.mmap(f.fileno(), 0) as m:
            m[:5] = b'other'
            m.flush()",
    )
    .shown("python3: `mmap`, `flush`"),
    program(Language::Python, "os.truncate(F, 1000)"),
    program(Language::Node, "fs.appendFileSync(F, 'more')"),
    row("sqlite3 $F 'insert into t values (100)'").from("db"),
];

pub const NAMES: &[Row] = &[
    row("mv $F mnt/new"),
    row("mv $F tmp/new"),
    row("rm $F"),
    row("rm -f $F"),
    program(Language::Python, "os.replace(F, 'mnt/new')"),
    program(Language::Python, "os.remove(F)"),
    row("ln $F mnt/new"),
    row("ln -s $NAME mnt/new"),
    row("mkdir mnt/new"),
    row("mkfifo mnt/new"),
    row("cp -r in mnt/"),
    row("touch $F"),
    row("touch -d @1500000000 $F"),
    row("chmod 600 $F"),
    row("chown $(id -u):$(id -g) $F"),
    row("setfattr -n user.a -v b $F"),
    row("setfacl -m u:1:r $F"),
];
