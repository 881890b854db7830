//! Tools that read a file or the directory.

use super::making::{PERL_GONE, SQLITE, VIM};
use super::row::{Column, Language, Other, Row, program, row};

use Column::{Alias, Block, Damaged, Full, Gone, ReadOnly};

const CURL: &str = "curl says only that it could not open the file.";
const NO_XATTR: &str = "There are no extended attributes, and their list is refused too.";
const SILENT_VIM: &[Other] = &[(Damaged, "no words", VIM), (Gone, "no words", VIM)];
const SQLITES: &[Other] = &[(Damaged, "own words", SQLITE), (Gone, "own words", SQLITE)];
/// What asks for no bytes succeeds with a damaged block.
const NO_BYTES: &[Other] = &[(Damaged, "ok", "")];

pub const FILES: &[Row] = &[
    row("cat $F"),
    row("cmp $F in/text").exit(2),
    row("head -c 100 $F"),
    row("tail -c 100 $F"),
    row("tail -n 3 $F"),
    row("wc -c < $F").tools(&["wc"]),
    row("sha256sum $F"),
    row("grep -c 7 $F").exit(2),
    row("sort $F").exit(2),
    row("diff $F in/text").exit(2),
    row("dd if=$F bs=3333 skip=2 status=none"),
    row("dd if=$F bs=64k iflag=direct status=none").ordinarily("dd if=$F bs=64k status=none"),
    row("stat -c '%F %s %a %h %Y' $F").but(NO_BYTES),
    row("ls -l --time-style=+%s $F | cut -d ' ' -f 5-6").tools(&["ls"]).exit(2).but(NO_BYTES),
    row("test -r $F -a -s $F")
        .tools(&["bash"])
        .but(&[(Damaged, "ok", ""), (Gone, "no words", "`test` has an exit code and no words.")]),
    row("find $F -size +1 -size -1000 -newer in/one").but(NO_BYTES),
    row("du -b $F").but(NO_BYTES),
    row("cp $F tmp/x && cat tmp/x").tools(&["cp"]),
    row("cp -a $F tmp/x && stat -c '%s %a %Y' tmp/x"),
    row("rsync -a $F tmp/x && stat -c '%s %a %Y' tmp/x").exit(23),
    row("install $F tmp/x && cat tmp/x"),
    row("tar -cf - $F | tar -tvf -").tools(&["tar"]).exit(2),
    row("ls $F | cpio -o --quiet | cpio -it --quiet").tools(&["cpio"]).exit(2),
    row("zip -q - $F > tmp/z && unzip -p tmp/z").exit(18).but(&[(
        Gone,
        "own words, exit 12",
        "zip takes what does not answer for missing, and says that there is nothing to do.",
    )]),
    row("gzip -c $F | gunzip").tools(&["gzip"]),
    row("split -b 10k $F tmp/part- && cat tmp/part-*"),
    row("curl -sS file://$PWD/$F")
        .but(&[(Damaged, "own words, exit 37", CURL), (Gone, "own words, exit 37", CURL)]),
    row("flock -s $F cat $F").exit(66),
    row("getfattr -d $F").but(&[
        (Block, "EOPNOTSUPP", NO_XATTR),
        (Alias, "EOPNOTSUPP", NO_XATTR),
        (Damaged, "EOPNOTSUPP", NO_XATTR),
        (Full, "EOPNOTSUPP", NO_XATTR),
        (ReadOnly, "EOPNOTSUPP", NO_XATTR),
    ]),
    row("getfacl -cp $F").but(NO_BYTES),
    row("vim -es -c '%print' -c 'quit!' $F").but(SILENT_VIM),
    row("sqlite3 -readonly \"file:$F?immutable=1\" 'select count(a) from t; pragma integrity_check'")
        .from("db")
        .but(SQLITES),
    row("sqlite3 -readonly $F 'select count(a) from t; pragma integrity_check'").from("db").but(SQLITES),
    row(
        "for i in 1 2 3 4; do cmp $F in/text & pids+=\" $!\"; done; for p in $pids; do wait $p || exit; done",
    )
    .shown("four `cmp F in/text` at once")
    .exit(2)
    .tools(&["cmp"]),
    program(Language::Python, "os.write(1, open(F, 'rb').read())"),
    program(
        Language::Python,
        "with open(F, 'rb') as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m: os.write(1, m)",
    ),
    program(Language::Python, "os.sendfile(1, os.open(F, os.O_RDONLY), 0, 1 << 20)"),
    program(Language::Python, "shutil.copy2(F, 'tmp/x'); print(os.stat('tmp/x').st_mtime)"),
    program(Language::Perl, "open(I, '<', $F) or die $!; local $/; print <I>")
        .but(&[(Damaged, "EIO, exit 5", ""), PERL_GONE]),
    program(Language::Node, "process.stdout.write(fs.readFileSync(F))"),
    program(Language::Node, "fs.createReadStream(F).pipe(process.stdout)"),
];
