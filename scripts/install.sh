#!/usr/bin/env bash
# Installs the program, what mount(8), umount(8) and fstab need, and the unit for systemd.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'USAGE'
Usage: scripts/install.sh [--prefix DIR] [--destdir DIR] [--backend B] [--program FILE]
       scripts/install.sh --uninstall [--prefix DIR] [--destdir DIR]

Builds the program if need be, and installs

  PREFIX/bin/ipfs-persist-mount
  /sbin/mount.fuse.ipfs-persist-mount     a link to it: `mount -t fuse.ipfs-persist-mount`, and fstab
  /sbin/umount.fuse.ipfs-persist-mount    a link to it: `umount` waits until the store is closed
  PREFIX/lib/systemd/system/ipfs-persist-mount@.service

An ordinary user gets the program alone, since the rest belongs to the system.

  --prefix DIR    where to install [default: /usr/local; for an ordinary user ~/.local]
  --destdir DIR   put everything below DIR, as packagers do; the links and the unit name paths without it
  --backend B     build with what this backend needs [default: all, which compiles RocksDB once, about
                  15 minutes with 2 processors; `file` builds in a minute, without badger and pebble]
  --program FILE  install this program instead of building one
  --uninstall     remove what was installed; stores and configuration stay
  --help          this text

CARGO_TARGET_DIR  where to build [default: ~/.cache/ipfs-persist-mount/target]
USAGE
}

prefix=
destdir=
backend=all
program=
uninstall=no
while [ $# -gt 0 ]; do
    case $1 in
        --prefix | --destdir | --backend | --program)
            [ $# -gt 1 ] || misuse "$1 needs a value"
            case $1 in
                --prefix) prefix=$2 ;;
                --destdir) destdir=$2 ;;
                --backend) backend=$2 ;;
                --program) program=$2 ;;
            esac
            shift 2
            ;;
        --uninstall)
            uninstall=yes
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) misuse "unknown argument: $1" ;;
    esac
done

system=no
if [ "$(id -u)" = 0 ] || [ -n "$destdir" ]; then
    system=yes
fi
if [ -z "$prefix" ]; then
    prefix=/usr/local
    if [ $system = no ]; then
        prefix=${HOME:?HOME is not set}/.local
    fi
fi
for path in "$prefix" ${destdir:+"$destdir"}; do
    case $path in
        /*) ;;
        *) misuse "not an absolute path: $path" ;;
    esac
done

name=ipfs-persist-mount
bin=$prefix/bin
# mount(8) and umount(8) look for helpers in /sbin. Where that is a link, a package must not bring a
# directory in its place.
sbin=/sbin
if [ -n "$destdir" ] && [ ! -e "$destdir/sbin" ]; then
    sbin=$(readlink -f /sbin)
fi
helpers=("$sbin/mount.fuse.$name" "$sbin/umount.fuse.$name")
unit=$prefix/lib/systemd/system/$name@.service

# told FILE: says that something was installed.
told() {
    say "installed $destdir$1"
}

# A link that leads to our program is ours.
is_our_link() {
    [ -L "$1" ] && [ "$(readlink "$1")" = "$bin/$name" ]
}

uninstall() {
    local helper
    if [ $system = yes ]; then
        for helper in "${helpers[@]}"; do
            if is_our_link "$destdir$helper"; then
                rm "$destdir$helper"
            fi
        done
        rm -f "$destdir$unit"
    fi
    rm -f "$destdir$bin/$name"
    say "removed what was installed below $destdir$prefix; stores and /etc/$name stay"
}

# Asked before anything is installed.
check_helpers() {
    local helper
    for helper in "${helpers[@]}"; do
        if [ -e "$destdir$helper" ] && ! is_our_link "$destdir$helper"; then
            fail "$destdir$helper is there already and is not ours" "look what it is, and remove it"
        fi
    done
}

install_helpers() {
    local helper
    mkdir -p "$destdir$sbin"
    for helper in "${helpers[@]}"; do
        ln -sfn "$bin/$name" "$destdir$helper"
        told "$helper"
    done
}

install_unit() {
    mkdir -p "$destdir${unit%/*}"
    sed "s|@BINDIR@|$bin|" "$repository/systemd/$name@.service" >"$destdir$unit"
    chmod 644 "$destdir$unit"
    told "$unit"
}

if [ $uninstall = yes ]; then
    uninstall
    exit 0
fi

if [ $system = yes ]; then
    check_helpers
fi
if [ -z "$program" ]; then
    choose_target_dir
    check_cargo
    prepare_build "$backend"
    built=$(mktemp "${TMPDIR:-/tmp}/$name.XXXXXX")
    trap 'rm -f "$built"' EXIT
    end_on_signals
    build_program "$built"
    program=$built
fi
[ -f "$program" ] || fail "there is no program at $program" "leave out --program to build one"

mkdir -p "$destdir$bin"
# Beside and renamed: a mount may be running the program that is replaced.
install -m 755 "$program" "$destdir$bin/.$name.new"
mv "$destdir$bin/.$name.new" "$destdir$bin/$name"
told "$bin/$name"
if [ $system = yes ]; then
    install_helpers
    install_unit
fi
if ! has fusermount3; then
    say "fusermount3 is not there: ordinary users need the package fuse3 to mount"
fi
