//! Extended attributes of a mount: `--xattr` shows the CID of every file, and without it there are
//! none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs::File;
use std::io::Write as _;

use common::blocks::{cid_bytes, cid_v0, spell};
use common::{
    Bench, bytes, cid_as, cid_of, close, has, need, put, python, rows, run_product, sh, sh_ok, text,
};
use multibase::Base;

fn main() {
    let every: &[rows::Case] = cases![
        every_spelling_and_alias_answers_the_canonical_cid,
        what_is_not_a_stored_block_has_none,
        nothing_can_be_set,
        without_the_flag_there_are_none_and_the_kernel_stops_asking,
        tools_that_copy_attributes_say_nothing,
    ];
    run_product(every)
}

fn getfattr(mount: &common::Mounted, name: &str) -> String {
    let script = format!("getfattr --absolute-names --only-values -n ipfs.cid -- '{name}'");
    sh_ok(&mount.mnt, &script)
}

/// > With `--xattr` every block and alias has the extended attribute `ipfs.cid`, as in Kubo's mounts:
/// > its canonical CID.
fn every_spelling_and_alias_answers_the_canonical_cid(backend: &'static str) {
    if !need("getfattr") {
        return;
    }
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--xattr"]);
    let content = bytes(1, 100);
    let (v0, v1) = (cid_v0(&content), cid_of(&content));
    put(mount.path(&v0), &content).unwrap();
    let base58 = spell(Base::Base58Btc, &cid_bytes(&v1));
    for name in [&v0, &v1, &base58] {
        assert_eq!(getfattr(&mount, name), v0, "{name}");
    }
    put(mount.path("alias.bin"), &content).unwrap();
    assert_eq!(getfattr(&mount, "alias.bin"), v0);
    put(mount.path("alias.bin"), b"other").unwrap();
    assert_eq!(getfattr(&mount, "alias.bin"), cid_of(b"other"));
    let identity = cid_as(b"tiny", "1", "raw", "identity");
    assert_eq!(getfattr(&mount, &identity), identity);
    // Through the descriptor that has just stored it.
    let stored = python(
        &mount.mnt,
        &format!(
            "import os\nf = os.open('{0}', os.O_CREAT | os.O_WRONLY)\nos.write(f, b'new')\nos.close(os.dup(f))\n\
             print(os.getxattr(f, 'ipfs.cid').decode(), os.listxattr(f), os.listxattr('{0}'))",
            cid_of(b"new")
        ),
    );
    assert_eq!(stored.trim(), format!("{} ['ipfs.cid'] ['ipfs.cid']", cid_of(b"new")));
    assert_eq!(sh_ok(&mount.mnt, &format!("getfattr -m - -- {v1} | sed -n 2p")).trim(), "ipfs.cid");
    assert_eq!(mount.count("refusals"), 0, "{}", mount.errors());
}

/// > Staged files and directories have none.
fn what_is_not_a_stored_block_has_none(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--xattr"]);
    let mut staged = File::create(mount.path(cid_of(b"staged"))).unwrap();
    staged.write_all(b"sta").unwrap();
    put(mount.path("empty"), b"").unwrap();
    put(mount.path(".temporary.tmp"), b"bytes").unwrap();
    let names =
        [&cid_of(b"staged"), "empty", ".temporary.tmp", ".", ".ipfs-persist", ".ipfs-persist/metrics"];
    let said = python(
        &mount.mnt,
        &format!(
            "import os\nfor name in {names:?}:\n  print(os.listxattr(name))\n  try: print(os.getxattr(name, 'ipfs.cid'))\n  \
             except OSError as error: print(error.errno)"
        ),
    );
    let none = format!("[]\n{}\n", libc::ENODATA);
    assert_eq!(said, none.repeat(names.len()));
    // One that a program asks for with too little room, or under another name.
    put(mount.path(cid_of(b"block")), b"block").unwrap();
    let said = python(
        &mount.mnt,
        &format!(
            "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\nname = b'{}'\n\
             print(libc.getxattr(name, b'ipfs.cid', ctypes.create_string_buffer(10), 10), ctypes.get_errno())\n\
             print(libc.getxattr(name, b'user.other', None, 0), ctypes.get_errno())\n\
             print(libc.getxattr(name, b'ipfs.cid', None, 0))",
            cid_of(b"block")
        ),
    );
    let (erange, enodata) = (libc::ERANGE, libc::ENODATA);
    assert_eq!(said, format!("-1 {erange}\n-1 {enodata}\n{}\n", cid_of(b"block").len()));
    drop(close(staged));
}

/// > None can be set or removed: EOPNOTSUPP.
fn nothing_can_be_set(backend: &'static str) {
    let bench = Bench::new(backend);
    for flags in [&["--xattr"][..], &[]] {
        let mount = bench.mount_with(flags);
        put(mount.path(cid_of(b"block")), b"block").unwrap();
        for call in
            ["setxattr(f, 'ipfs.cid', b'x')", "setxattr(f, 'user.x', b'x')", "removexattr(f, 'ipfs.cid')"]
        {
            let program = format!(
                "import os\nf = '{}'\ntry: os.{call}\nexcept OSError as error: print(error.errno)",
                cid_of(b"block")
            );
            assert_eq!(python(&mount.mnt, &program).trim(), libc::EOPNOTSUPP.to_string(), "{call}");
        }
        mount.unmount();
    }
}

/// > Without `--xattr` there are no extended attributes: EOPNOTSUPP.
fn without_the_flag_there_are_none_and_the_kernel_stops_asking(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount();
    let name = cid_of(b"block");
    put(mount.path(&name), b"block").unwrap();
    let program =
        format!("import os\ntry: os.getxattr('{name}', 'ipfs.cid')\nexcept OSError as e: print(e.errno)");
    for _ in 0..3 {
        assert_eq!(python(&mount.mnt, &program).trim(), libc::EOPNOTSUPP.to_string());
    }
    for n in 0..20 {
        put(mount.path(cid_of(&bytes(n, 10))), &bytes(n, 10)).unwrap();
    }
    let asked = mount.stats()["requests"]["xattr"].as_u64().unwrap();
    assert!(asked <= 2, "each write would ask for security.capability: {asked} requests");
}

/// Copying out of and into the mount with all attributes is silent: `ipfs.cid` is nothing to keep.
fn tools_that_copy_attributes_say_nothing(backend: &'static str) {
    let bench = Bench::new(backend);
    let mount = bench.mount_with(&["--xattr"]);
    let name = cid_of(b"block");
    put(mount.path(&name), b"block").unwrap();
    sh_ok(bench.path(), "mkdir out");
    let mut scripts = vec![
        format!(
            "cp -a mnt/{name} out/a; cp -p mnt/{name} out/b; cp -a out/a mnt/copy; cp -a mnt/copy mnt/again"
        ),
        format!("mv mnt/again out/c; tar -C mnt --xattrs -cf out/t.tar {name}; tar -C out -xf out/t.tar"),
    ];
    if has("rsync") {
        scripts.push(format!("rsync -a mnt/{name} out/d; rsync -a out/d mnt/synced"));
    }
    for script in scripts {
        let output = sh(bench.path(), &script);
        assert!(output.status.success() && output.stderr.is_empty(), "{script}\n{}", text(&output));
    }
    assert_eq!(mount.ls(), [name]);
}
