//! What is installed for mount(8), umount(8), fstab and systemd, used as administrators do.
//!
//! Each script runs as root in a mount namespace of its own, in which /sbin, /usr/local/bin and
//! /etc/fstab are directories and files of the test: the machine is not changed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Bench, bytes, cid_of, fuse_available, has, is_root, need, run, text};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const PRELUDE: &str = r#"
set -euo pipefail
exec 9> trace
BASH_XTRACEFD=9
set -x
finish() { exec 5<&-; umount -l "$PWD/mnt" 2>/dev/null || true; }
trap finish EXIT
mkdir sbin bin
cp -a /sbin/mount.fuse* sbin/
# libmount's notes are in /run/mount.
mount -t tmpfs run /run
mount --bind sbin "$(readlink -f /sbin)"
mount --bind bin /usr/local/bin
: > fstab
mount --bind fstab /etc/fstab
"$ROOT/scripts/install.sh" --program "$IPM" > installed
flags() { awk -v mnt="$PWD/mnt" '$5 == mnt { print $6 }' /proc/self/mountinfo; }
mounted() { [ -n "$(flags)" ]; }
# The store can be opened at once.
free() { ipfs-persist-mount --background --lock-wait 0 --data-path data mnt; umount mnt; }
"#;

fn script(body: &str) {
    if !fuse_available() || !["unshare", "fusermount3"].into_iter().all(need) {
        return;
    }
    if !is_root() {
        return eprintln!("SKIPPED: installing for the system needs root");
    }
    let bench = Bench::new("file");
    let content = bytes(1, 5000);
    fs::write(bench.path().join("block"), &content).unwrap();
    let output = run(Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--", "bash", "-c", &format!("{PRELUDE}\n{body}")])
        .current_dir(bench.path())
        .env("IPM", env!("CARGO_BIN_EXE_ipfs-persist-mount"))
        .env("ROOT", ROOT)
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
        .env("CID", cid_of(&content)));
    let trace = fs::read_to_string(bench.path().join("trace")).unwrap_or_default();
    assert!(output.status.success(), "{trace}\n{}", text(&output));
}

/// > With the helper installed (`scripts/install.sh`), `umount` does the same for a mount of one's own.
#[test]
fn umount_waits_until_the_store_is_closed() {
    script(
        r#"
        ln -s mnt link
        for round in $(seq 50); do
            for place in mnt "$PWD/mnt" "$PWD/link" "file:$PWD/data"; do
                ipfs-persist-mount --background --lock-wait 0 --data-path data mnt
                if [ "$place" = mnt ]; then cp block mnt/$CID; else cmp block mnt/$CID; fi
                umount "$place"
            done
        done
        # And with a database, which has more to close.
        for round in $(seq 25); do
            ipfs-persist-mount --background --lock-wait 0 --backend redb --data-path redb mnt
            cp block mnt/$CID
            umount "$PWD/mnt"
            ipfs-persist-mount --background --lock-wait 0 --data-path redb mnt
            cmp block mnt/$CID
            rm mnt/$CID
            umount "$PWD/mnt"
        done
        # libmount's notes are as they were.
        [ ! -s /run/mount/utab ]
        # Open files are named, and do not go.
        ipfs-persist-mount --background --lock-wait 0 --data-path data mnt
        exec 5< mnt/$CID
        for place in mnt "$PWD/mnt"; do
            if umount "$place" 2> said; then exit 1; fi
            grep "is in use by bash" said
            ! grep umount.fuse said
            mounted
        done
        umount -l "$PWD/mnt" 2> said
        ! mounted
        cmp block <(cat <&5)
        exec 5<&-
        ipfs-persist-mount --background --data-path data mnt
        umount mnt
        "#,
    );
}

/// Regression: of a mount that libmount has no note of, `umount` with a whole path asked for the helper of
/// `fuse`, found none, and did not wait.
#[test]
fn umount_is_told_of_its_helper_for_as_long_as_there_is_a_mount() {
    script(
        r#"
        note="SRC=file:$PWD/data TARGET=$PWD/mnt ROOT=/ OPTS=uhelper=fuse.ipfs-persist-mount"
        noted() { [ "$(cat /run/mount/utab)" = "$1" ]; }
        gone() { set +x; while [ -e "/proc/$1" ]; do :; done; set -x; }
        pid() { sed -n 's/.*"pid": \([0-9]*\).*/\1/p' mnt/.ipfs-persist/status.json; }
        mount() { ipfs-persist-mount --background --lock-wait 5 --data-path data "$@" mnt; }
        mkdir -p /run/mount
        echo "SRC=theirs TARGET=/theirs ROOT=/ OPTS=user=they" > /run/mount/utab
        theirs=$(cat /run/mount/utab)
        for end in umount "umount -l" "fusermount3 -u" "ipfs-persist-mount unmount" kill; do
            mount
            noted "$theirs
$note"
            [ "$(stat -c %a /run/mount/utab)" = 644 ]
            pid=$(pid)
            if [ "$end" = kill ]; then kill "$pid"; else $end "$PWD/mnt"; fi
            gone "$pid"
            noted "$theirs"
        done
        # What a crash has left goes with the dead mount.
        for repair in mount umount unmount; do
            mount
            pid=$(pid)
            kill -KILL "$pid"
            gone "$pid"
            case $repair in
                mount)
                    mount 2> said
                    noted "$theirs
$note"
                    umount "$PWD/mnt" ;;
                umount) umount "$PWD/mnt" ;;
                unmount) ipfs-persist-mount unmount mnt ;;
            esac
            noted "$theirs"
        done
        # Without the helper nothing is noted, and without leave nothing is needed.
        rm /sbin/umount.fuse.ipfs-persist-mount
        mount
        noted "$theirs"
        ipfs-persist-mount unmount mnt
        "$ROOT/scripts/install.sh" --program "$IPM" > installed
        command mount -o bind,ro /run/mount /run/mount
        mount 2> said
        noted "$theirs"
        ipfs-persist-mount unmount mnt
        umount /run/mount
        free
        "#,
    );
}

/// > With the helper installed (`scripts/install.sh`), `umount` does the same for a mount of one's own.
///
/// An ordinary user's mount, by hand and by a line of fstab with `user`.
#[test]
fn ordinary_users_mount_and_umount_with_the_helpers() {
    if !need("setpriv") {
        return;
    }
    script(
        r#"
        mknod fuse c 10 229
        chmod 666 fuse
        mount --bind fuse /dev/fuse
        mkdir home home/mnt
        cp block home/block
        chown -R 65534:65534 home
        chmod 711 .
        user() { setpriv --reuid 65534 --regid 65534 --clear-groups -- env HOME="$PWD/home" \
            bash -c "set -euo pipefail; cd \"\$HOME\"; $1"; }
        trap 'umount -l "$PWD/home/mnt" 2> /dev/null || true; finish' EXIT
        for place in mnt '$PWD/mnt'; do
            user "
                for round in \$(seq 10); do
                    ipfs-persist-mount --background --lock-wait 0 --data-path data mnt
                    cp -f block mnt/$CID
                    umount $place
                done
                ipfs-persist-mount --background --lock-wait 0 --data-path data mnt
                exec 5< mnt/$CID
                ! umount $place 2> said
                grep 'is in use by bash' said
                exec 5<&-
                umount $place"
        done
        # Root unmounts it too.
        user "ipfs-persist-mount --background --lock-wait 0 --data-path data mnt"
        umount home/mnt
        user "ipfs-persist-mount --background --lock-wait 0 --data-path data mnt; umount mnt"
        [ ! -s /run/mount/utab ]
        echo "file:$PWD/home/data $PWD/home/mnt fuse.ipfs-persist-mount noauto,user 0 0" > fstab
        for helper in ours libfuse; do
            user "
                mount \$PWD/mnt
                grep \" \$PWD/mnt rw,nosuid,nodev,noexec\" /proc/self/mountinfo
                cmp block mnt/$CID
                umount \$PWD/mnt
                ipfs-persist-mount --background --lock-wait 0 --data-path data mnt; umount mnt"
            rm -f /sbin/mount.fuse.ipfs-persist-mount
        done
        "#,
    );
}

/// > `mount -t fuse.ipfs-persist-mount SOURCE DIRECTORY` and lines of fstab mount it.
/// > Mounts are always nosuid and nodev.
#[test]
fn mount_and_fstab_mount_it() {
    script(
        r#"
        line="file:$PWD/data $PWD/mnt fuse.ipfs-persist-mount"
        # By our own helper, and by that of libfuse, which adds options of its own.
        for helper in ours libfuse; do
            mount -t fuse.ipfs-persist-mount "file:$PWD/data" mnt
            [[ $(flags) = *nosuid,nodev* ]]
            cp block mnt/$CID
            umount mnt
            mount -t fuse.ipfs-persist-mount -o ro,suid,dev,min_free_space=1MiB "file:$PWD/data" mnt 2> said
            [[ $(flags) = ro,nosuid,nodev* ]]
            cmp block mnt/$CID
            ! rm -f mnt/$CID 2> said
            grep "Read-only file system" said
            umount mnt
            echo "$line noauto,user,noexec,_netdev,nofail,x-systemd.automount,relatime,sync,min_free_space=1MiB 0 0" > fstab
            mount "$PWD/mnt"
            [[ $(flags) = rw,nosuid,nodev,noexec* ]]
            umount "$PWD/mnt"
            # Everything that mount(8), systemd and mount.fuse3 have and add.
            mount -t fuse.ipfs-persist-mount -o defaults,noauto,nofail,_netdev,x-systemd.automount,user,exec,nosuid \
                -o nodev,relatime,sync,dirsync,rw,suid,dev,lazytime,strictatime,X-mount.mkdir,comment=x \
                "file:$PWD/data" mnt 2> said
            [[ $(flags) = rw,nosuid,nodev,* && $(flags) != *noexec* ]]
            cmp block mnt/$CID
            umount mnt
            echo "$line defaults,allow_other,uid=123,umask=027 0 0" > fstab
            mount -a
            mount -a
            [ "$(stat -c '%u %a' mnt/$CID)" = "123 440" ]
            umount mnt
            rm -f /sbin/mount.fuse.ipfs-persist-mount
        done
        free
        "#,
    );
}

/// > What `mount` asks for and cannot be done is an error that says so: options that are not known, a
/// > directory that is not there, `remount`.
#[test]
fn what_cannot_be_mounted_is_said() {
    script(
        r#"
        refused() { if "$@" 2> said; then exit 1; fi; grep "^hint: " said; ! mounted; }
        refused mount -t fuse.ipfs-persist-mount -o frobnicate "file:$PWD/data" mnt
        grep frobnicate said
        refused mount -t fuse.ipfs-persist-mount "file:$PWD/data" "$PWD/nowhere"
        refused mount -t fuse.ipfs-persist-mount "zip:$PWD/data" mnt
        grep "no backend named zip" said
        [ ! -e data ]
        mount -f -t fuse.ipfs-persist-mount "file:$PWD/data" mnt
        ! mounted
        mount -t fuse.ipfs-persist-mount "file:$PWD/data" mnt
        if mount -o remount,ro mnt 2> said; then exit 1; fi
        grep "while it is there" said
        [[ $(flags) = rw,* ]]
        echo hello > mnt/still-writable
        umount mnt
        "#,
    );
}

/// What is installed is removed again, and nothing that is somebody else's.
#[test]
fn what_was_installed_is_removed() {
    script(
        r#"
        ls -l /sbin/umount.fuse.ipfs-persist-mount /usr/local/bin/ipfs-persist-mount
        "$ROOT/scripts/install.sh" --program "$IPM"
        rm /sbin/mount.fuse.ipfs-persist-mount
        echo other > /sbin/mount.fuse.ipfs-persist-mount
        if "$ROOT/scripts/install.sh" --program "$IPM" 2> said; then exit 1; fi
        grep "is not ours" said
        "$ROOT/scripts/install.sh" --uninstall
        [ "$(cat /sbin/mount.fuse.ipfs-persist-mount)" = other ]
        [ -z "$(ls /usr/local/bin)" ] && [ ! -e /sbin/umount.fuse.ipfs-persist-mount ]
        "#,
    );
}

/// Everything below a directory, as packagers want it: what the system is like decides where helpers are.
#[test]
fn a_package_has_what_the_system_needs_and_is_emptied_again() {
    script(
        r#"
        files() { (cd dest && find . ! -type d | sort); }
        install=("$ROOT/scripts/install.sh" --destdir "$PWD/dest")
        for prefix in /usr /opt/ipm; do
            "${install[@]}" --prefix $prefix --program "$IPM" > said
            sbin=$(readlink -f /sbin)
            [ "$(files)" = "$(printf '%s\n' ".$prefix/bin/ipfs-persist-mount" ".$sbin/mount.fuse.ipfs-persist-mount" \
                ".$sbin/umount.fuse.ipfs-persist-mount" ".$prefix/lib/systemd/system/ipfs-persist-mount@.service" | sort)" ]
            for helper in dest$sbin/*; do [ "$(readlink $helper)" = $prefix/bin/ipfs-persist-mount ]; done
            cmp "$IPM" dest$prefix/bin/ipfs-persist-mount
            "${install[@]}" --prefix $prefix --uninstall > said
            [ -z "$(files)" ]
            rm -r dest
        done
        # A system in which /sbin is a directory.
        mkdir -p dest/sbin
        "${install[@]}" --program "$IPM" > said
        [ -L dest/sbin/umount.fuse.ipfs-persist-mount ]
        "${install[@]}" --uninstall > said
        [ -z "$(files)" ]
        "#,
    );
}

/// An ordinary user gets the program, and nothing is asked for that is not theirs.
#[test]
fn an_ordinary_user_installs_the_program() {
    if !need("setpriv") {
        return;
    }
    script(
        r#"
        mkdir home
        cp "$IPM" home/program
        cp -r "$ROOT/scripts" "$ROOT/systemd" home/
        chown -R 65534:65534 home
        chmod 711 .
        as_user() { setpriv --reuid 65534 --regid 65534 --clear-groups -- env HOME="$PWD/home" "$@"; }
        as_user home/scripts/install.sh --program home/program > said
        [ "$(as_user home/.local/bin/ipfs-persist-mount --version)" = "$("$IPM" --version)" ]
        [ "$(find home/.local ! -type d)" = home/.local/bin/ipfs-persist-mount ]
        as_user home/scripts/install.sh --program home/program --prefix "$PWD/home/elsewhere" > said
        [ "$(find home/elsewhere ! -type d)" = home/elsewhere/bin/ipfs-persist-mount ]
        as_user home/scripts/install.sh --uninstall > said
        [ -z "$(find home/.local ! -type d)" ]
        "#,
    );
}

/// The unit is one that systemd reads without complaint, and names what is installed.
#[test]
fn the_unit_for_systemd_is_sound() {
    let bench = Bench::new("file");
    let dest = bench.path().join("dest");
    let output = run(Command::new(Path::new(ROOT).join("scripts/install.sh"))
        .arg("--destdir")
        .arg(&dest)
        .args(["--program", env!("CARGO_BIN_EXE_ipfs-persist-mount")]));
    assert!(output.status.success(), "{}", text(&output));
    let unit = dest.join("usr/local/lib/systemd/system/ipfs-persist-mount@.service");
    let unit = fs::read_to_string(unit).unwrap();
    assert!(unit.contains("ExecStart=/usr/local/bin/ipfs-persist-mount ${MOUNTPOINT}\n"), "{unit}");
    assert!(unit.contains("\nType=notify\n"), "{unit}");
    if has("systemd-analyze") {
        // It wants to see the program.
        let instance = bench.path().join("ipfs-persist-mount@test.service");
        fs::write(&instance, unit.replace("/usr/local/bin/ipfs-persist-mount", "/bin/true")).unwrap();
        let output = run(Command::new("systemd-analyze").arg("verify").arg(&instance));
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output));
    }
}
