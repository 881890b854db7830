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
