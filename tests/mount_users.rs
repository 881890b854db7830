//! Who may mount and who may do what in a mount: an ordinary user through fusermount3, other users,
//! root, and --allow-other.
//!
//! Each test is a script that root runs in a mount namespace of its own, where everybody may open
//! /dev/fuse, as distributions have it; parts of it run as ordinary users.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs;

use common::{Bench, bytes, cid_of, fuse_available, need, run, text, users};

const PRELUDE: &str = r#"
exec 9> trace
BASH_XTRACEFD=9
set -x
finish() { umount -l home/mnt mnt 2>/dev/null || true; }
trap finish EXIT

# Runs a script as an ordinary user, in a directory of that user's. What it does goes to the trace.
user() { setpriv --reuid "$1" --regid "$1" --clear-groups -- env HOME="$PWD/home" SCRIPT="$2" \
    BASH_XTRACEFD=9 bash -xc 'set -euo pipefail; cd "$HOME"; eval "$SCRIPT"'; }
owner() { user 65534 "$1"; }

# The command must fail for want of permission.
denied() {
    if said=$("$@" 2>&1); then echo "ALLOWED: $*"; exit 1; fi
    case "$said" in
        *"ermission denied"* | *"not permitted"*) ;;
        *) echo "DENIED OTHERWISE: $*: $said"; exit 1 ;;
    esac
}

# The command must fail with this exit code and say these words, in one line and a hint.
fails() {
    code=0
    said=$("${@:3}" 2>&1) || code=$?
    [ "$code" = "$1" ] || { echo "exit code $code, not $1: $said"; exit 1; }
    case "$said" in *"$2"*) ;; *) echo "'$2' is not in: $said"; exit 1 ;; esac
    [ "$(printf '%s\n' "$said" | wc -l)" = 2 ] || { echo "not two lines: $said"; exit 1; }
    case "$said" in *"
hint: "*) ;; *) echo "no hint: $said"; exit 1 ;; esac
}
"#;

/// Runs a script after the prelude; it must succeed. `$CID` names `./block`.
fn script(body: &str) {
    if !fuse_available() || !users::available() {
        return;
    }
    let bench = Bench::new("file");
    let content = bytes(1, 5000);
    fs::write(bench.path().join("block"), &content).unwrap();
    users::home(bench.path());
    let program = users::copy(env!("CARGO_BIN_EXE_ipfs-persist-mount").as_ref(), bench.path());
    let script = format!("{}{PRELUDE}\n{body}", users::OPEN_FUSE);
    let output =
        run(users::in_namespace(bench.path(), &script).env("IPM", &program).env("CID", cid_of(&content)));
    let trace = fs::read_to_string(bench.path().join("trace")).unwrap_or_default();
    assert!(output.status.success(), "{trace}\n{}", text(&output));
}

#[test]
fn an_ordinary_user_mounts_uses_and_unmounts() {
    script(
        r#"
        owner 'mkdir mnt
            for round in 1 2; do
                $IPM --background --lock-wait 5 --data-path data mnt
                cp ../block mnt/$CID
                cp ../block mnt/again.bin
                [ "$(ls mnt)" = "$CID" ]
                cmp ../block mnt/$CID
                [ "$(stat -c "%U %a" mnt/$CID)" = "nobody 444" ]
                rm mnt/again.bin
                if [ $round = 1 ]; then fusermount3 -u mnt; else $IPM unmount mnt; fi
                [ -z "$(ls -A mnt)" ]
            done
            $IPM --background --cid-codec dag-cbor --data-path data mnt
            [ "$(ls mnt)" = "$CID" ]
            head -c 100 ../block > mnt/some.cbor
            # Nothing of it is for other eyes. Inside, modes are those of flatfs, but for the blocks.
            [ "$(stat -c %a data)" = 700 ]
            [ -z "$(find data -path data/blocks -prune -o -perm /077 -print)" ]
            [ "$(find data -name "*.data" -perm 600 | wc -l)" = 2 ]
            [ -z "$(find data -name "*.data" -not -perm 600)" ]'
        [ -z "$(find home/data -not -user 65534)" ]
        owner '$IPM unmount mnt'
        "#,
    );
}

/// rm asks before it removes what is write-protected, if it is at a terminal and access(2) says so.
///
/// > `rm` does not ask the owner, although blocks have mode 0444.
#[test]
fn rm_at_a_terminal_does_not_ask() {
    if !need("script") {
        return;
    }
    script(
        r#"
        owner 'mkdir mnt
            $IPM --background --data-path data mnt
            cp ../block mnt/$CID
            script -qec "rm mnt/$CID" /dev/null < /dev/null > said
            ! grep -q write-protected said || { cat said; exit 1; }
            [ -z "$(ls mnt)" ]
            $IPM unmount mnt'
        "#,
    );
}

#[test]
fn others_and_root_do_not_get_into_a_users_mount() {
    script(
        r#"
        owner 'mkdir mnt; $IPM --background --data-path data mnt; cp ../block mnt/$CID'
        for path in home/mnt home/mnt/$CID home/mnt/.ipfs-persist/status.json; do
            denied ls "$path"
            denied cat "$path"
            denied user 1 "ls ../$path"
            denied touch "$path"
        done
        denied cp block home/mnt/$CID
        # Root cannot look into it, and can unmount it: then it waits for the store to be closed.
        ! user 1 'fusermount3 -u mnt'
        [ "$(user 1 '$IPM unmount mnt' 2>&1 > /dev/null | wc -l)" -ge 1 ] || exit 1
        owner 'ls mnt > /dev/null'
        $IPM unmount home/mnt
        owner '$IPM --background --lock-wait 0 --data-path data mnt && [ "$(ls mnt)" = "$CID" ]
            $IPM unmount mnt'
        "#,
    );
}

/// > These are shown, and not enforced: with `--allow-other`, others may read every file in the mount.
///
/// > Only the owner of the files, the user who mounted, and root may change anything: EACCES for others.
#[test]
fn with_allow_other_others_read_and_change_nothing() {
    script(
        r#"
        $IPM --background --allow-other --data-path data mnt
        cp block mnt/$CID
        cp block mnt/alias.bin
        chmod 666 mnt/alias.bin
        before=$(stat -c '%n %i %s %a %u %Y %Z' mnt mnt/$CID mnt/alias.bin)
        [ "$(user 65534 'ls ../mnt')" = "$CID" ]
        user 65534 'cmp ../block ../mnt/$CID; cmp ../block ../mnt/alias.bin; cat ../mnt/.ipfs-persist/stats.json' > /dev/null
        for change in 'cp ../block ../mnt/other.bin' ': > ../mnt/$CID' 'cp ../block ../mnt/$CID' \
            'rm -f ../mnt/$CID' 'rm -f ../mnt/alias.bin' 'mv ../mnt/alias.bin ../mnt/mine.bin' \
            'chmod 600 ../mnt/$CID' 'chmod 600 ../mnt/alias.bin' 'chmod 777 ../mnt' 'touch ../mnt/$CID' \
            'touch ../mnt/alias.bin' 'touch ../mnt/new' 'truncate -s 0 ../mnt/alias.bin' \
            'chown 65534 ../mnt/alias.bin' 'echo x >> ../mnt/alias.bin' 'mkdir ../mnt/dir' 'ln -s x ../mnt/link'; do
            denied user 65534 "$change"
        done
        [ "$(ls mnt)" = "$CID" ]
        [ "$(stat -c '%n %i %s %a %u %Y %Z' mnt mnt/$CID mnt/alias.bin)" = "$before" ]
        user 65534 '[ ! -w ../mnt/$CID ] && [ -r ../mnt/$CID ] && [ ! -w ../mnt ]'
        rm mnt/alias.bin
        $IPM unmount mnt
        "#,
    );
}

#[test]
fn allow_other_for_an_ordinary_user_needs_the_administrators_leave() {
    script(
        r#"
        owner mkdir\ mnt
        echo '# nothing' > fuse.conf
        mount --bind fuse.conf /etc/fuse.conf
        fails 5 'user_allow_other' owner '$IPM --allow-other --data-path data mnt'
        echo user_allow_other > fuse.conf
        owner '$IPM --background --allow-other --data-path data mnt; cp ../block mnt/$CID'
        [ "$(user 1 'ls mnt')" = "$CID" ]
        user 1 'cmp ../block mnt/$CID'
        denied user 1 'rm -f mnt/$CID'
        denied user 1 'cp ../block mnt/mine.bin'
        owner '$IPM unmount mnt'
        umount /etc/fuse.conf
        "#,
    );
}

#[test]
fn what_an_ordinary_user_cannot_do_is_said_with_a_hint() {
    script(
        r#"
        owner 'mkdir mnt'
        fails 5 'that you own' owner '$IPM --data-path data ../mnt'
        fails 1 'ermission denied' owner '$IPM --data-path /root/data mnt'
        mkdir -m 700 closed
        fails 1 'ermission denied' owner '$IPM --data-path ../closed mnt'
        fails 1 'ermission denied' owner '$IPM --data-path ../new/data mnt'
        chmod 600 fuse
        fails 5 'chmod 666 /dev/fuse' owner '$IPM --data-path data mnt'
        chmod 666 fuse
        owner '[ -z "$(ls -A mnt)" ] && $IPM --background --data-path data mnt && $IPM unmount mnt'
        "#,
    );
}

/// > `--uid` and `--gid` say to whom the files belong; that user may change them like the one who
/// > mounted.
///
/// > Only the owner of the files, the user who mounted, and root may change anything: EACCES for others.
#[test]
fn files_belong_to_whom_the_options_say() {
    script(
        r#"
        mount_it() { $IPM --background --allow-other --lock-wait 5 --data-path data "$@" mnt; }
        for flags in '--uid 65534 --gid 123' '-o uid=65534,gid=123'; do
            mount_it $flags
            [ "$(stat -c '%u %g' mnt)" = '65534 123' ]
            user 65534 "cp ../block ../mnt/$CID; cp ../block ../mnt/alias.bin"
            [ "$(stat -c '%u %g' mnt/$CID mnt/.ipfs-persist mnt/.ipfs-persist/errors | sort -u)" = '65534 123' ]
            denied user 1 "rm -f ../mnt/$CID"
            denied user 1 "cp ../block ../mnt/mine.bin"
            user 65534 "rm ../mnt/alias.bin ../mnt/$CID"
            cp block mnt/$CID
            $IPM unmount mnt
        done
        # Who mounts stays who may change.
        owner 'mkdir mnt; $IPM --background --uid 1 --data-path data mnt; cp ../block mnt/$CID
            [ "$(stat -c %u mnt/$CID)" = 1 ]; rm mnt/$CID; $IPM unmount mnt'
        "#,
    );
}

/// > `--umask` takes permissions away from every file and directory.
/// > Those for reading are enforced: who has none may not open or list anything.
/// > Attributes of a name that the owner has just used can still be seen.
#[test]
fn a_umask_keeps_others_from_reading() {
    script(
        r#"
        member() { setpriv --reuid 1 --regid 1 --groups "$1" -- bash -c "$2"; }
        $IPM --background --allow-other --lock-wait 5 --data-path data -o gid=123,umask=007 mnt
        cp block mnt/$CID
        cp block mnt/alias.bin
        [ "$(stat -c %a mnt mnt/$CID mnt/alias.bin mnt/.ipfs-persist | xargs)" = '750 440 640 550' ]
        [ "$(ls -l mnt | tail -n 1 | cut -c -10)" = '-r--r-----' ]
        cmp block mnt/$CID
        for path in mnt mnt/alias.bin mnt/$CID mnt/.ipfs-persist/status.json; do
            denied user 1 "cat ../$path"
            denied user 1 "ls ../mnt"
        done
        stat mnt/$CID
        user 1 "stat ../mnt/$CID"
        denied user 1 "cat ../mnt/$CID"
        denied user 1 "test -r ../mnt/$CID || echo 'permission denied' >&2; exit 1"
        # The group reads and changes nothing, also as a further group of the process.
        for groups in 123 5,123,7; do
            member $groups "ls mnt; cmp block mnt/$CID; cmp block mnt/alias.bin"
            denied member $groups "rm -f mnt/$CID"
        done
        denied member 5,7 "cat mnt/$CID"
        $IPM unmount mnt
        $IPM --background --allow-other --lock-wait 5 --data-path data --umask 077 mnt
        [ "$(stat -c %a mnt mnt/$CID | xargs)" = '700 400' ]
        denied member 0 "cat mnt/$CID"
        cmp block mnt/$CID
        $IPM unmount mnt
        "#,
    );
}

/// > Only the owner of the files, the user who mounted, and root may change anything: EACCES for others.
#[test]
fn others_get_eacces_and_the_three_who_may_change_everything() {
    if !need("python3") {
        return;
    }
    script(
        r#"
        cat > try.py <<'END'
import errno, os, sys
mnt, cid = sys.argv[1:]
block, alias, new = (os.path.join(mnt, name) for name in (cid, "alias.bin", "new.bin"))
changes = [
    lambda: os.open(new, os.O_WRONLY | os.O_CREAT), lambda: os.open(block, os.O_WRONLY),
    lambda: os.open(alias, os.O_WRONLY | os.O_APPEND), lambda: os.truncate(alias, 0), lambda: os.unlink(block),
    lambda: os.unlink(alias), lambda: os.rename(alias, new), lambda: os.chmod(alias, 0o600),
    lambda: os.chmod(block, 0o600), lambda: os.chown(alias, 1, 1), lambda: os.utime(block, (1, 1)),
    lambda: os.utime(mnt, (1, 1)),
]
for number, change in enumerate(changes):
    try:
        change()
    except OSError as error:
        if error.errno == errno.EACCES:
            continue
        sys.exit(f"change {number}: {error}")
    sys.exit(f"change {number} was made")
END
        echo user_allow_other > fuse.conf
        mount --bind fuse.conf /etc/fuse.conf
        owner 'mkdir mnt; $IPM --background --allow-other --uid 7 --data-path data mnt
            cp ../block mnt/$CID; cp ../block mnt/alias.bin'
        user 1 'python3 ../try.py mnt $CID'
        for who in 0 7 65534; do
            user $who 'cp ../block mnt/$CID; cp ../block mnt/by.bin; chmod 600 mnt/by.bin; mv mnt/by.bin mnt/at.bin
                touch mnt/$CID mnt; rm mnt/at.bin; rm -f mnt/alias.bin; rm mnt/$CID; cp ../block mnt/$CID'
        done
        owner '$IPM unmount mnt'
        umount /etc/fuse.conf
        "#,
    );
}

/// > Staged files and aliases have their own mode, owner and times.
/// > These are shown, and not enforced: with `--allow-other`, others may read every file in the mount.
#[test]
fn modes_and_owners_are_shown_and_not_enforced() {
    script(
        r#"
        $IPM --background --allow-other --data-path data mnt
        cp block mnt/alias.bin
        exec 8> mnt/.staged.tmp
        cat block >&8
        for name in alias.bin .staged.tmp; do
            chmod 600 mnt/$name
            chown 1234:4321 mnt/$name
            touch -d @1111 mnt/$name
            [ "$(stat -c '%a %u %g %Y' mnt/$name)" = '600 1234 4321 1111' ]
            user 65534 "cmp ../block ../mnt/$name"
        done
        [ "$(stat -c '%a %u' mnt/$CID)" = '444 0' ]
        exec 8>&-
        $IPM unmount mnt
        "#,
    );
}

/// > The next start detaches the dead mount.
///
/// > Mounts are always nosuid and nodev.
#[test]
fn an_ordinary_users_mounts_are_repaired_and_never_suid() {
    script(
        r#"
        owner 'mkdir mnt; ln -s mnt link
            pid() { sed -n "s/.*\"pid\": \([0-9]*\).*/\1/p" mnt/.ipfs-persist/status.json; }
            flags() { awk -v mnt="$PWD/mnt" "\$5 == mnt { print \$6 }" /proc/self/mountinfo; }
            for place in mnt "$PWD/mnt" link link/.; do
                $IPM --background --lock-wait 5 -o suid,dev,exec --data-path data $place 2> said
                grep "option=\"suid\"" said
                grep "option=\"dev\"" said
                [[ $(flags) = rw,nosuid,nodev* ]]
                cp -f ../block mnt/$CID
                pid=$(pid)
                kill -KILL $pid
                while [ -e /proc/$pid ]; do :; done
                ! ls mnt 2> said
                grep "endpoint is not connected" said
                $IPM --background --lock-wait 5 --data-path data $place 2> said
                grep "whose daemon is dead" said
                cmp ../block mnt/$CID
                [ "$(flags | wc -l)" = 1 ]
                $IPM unmount $place
                [ -z "$(flags)" ]
            done'
        "#,
    );
}
