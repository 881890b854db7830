#!/usr/bin/env bash
# Builds the program, mounts a store, and carries a tree of real files through it and back.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# What is copied: at most this many files and bytes, each of them no larger than a block may be.
FILES_MAX=3000
BYTES_MAX=300000000
BLOCK_BYTES_MAX=2097152
# How many of the files are also copied under their own names.
ALIASES=50
# Free space that the copies need, with the reserve that the program keeps free.
FREE_BYTES_MIN=$((BYTES_MAX + 200000000))
# Files copied at once.
COPIES_AT_ONCE=4

usage() {
    cat <<'USAGE'
Usage: scripts/quickstart.sh [--backend B] [--keep]

Builds ipfs-persist-mount, mounts a new store on a temporary directory, copies about 3000 files of
this machine in under their CIDs, reads every byte back and compares it, unmounts, mounts again,
and compares again. Everything it made is removed at the end.

  --backend B  the storage engine: file (default), memory, redb, sled, badger or pebble
  --keep       leave the data directory there, and say how to mount it
  --help       this text

badger and pebble need RocksDB, which is compiled once, about 15 minutes with 2 processors. The
others are built without it, in about a minute.

Debian and Ubuntu: missing packages are installed: fuse3, a C compiler for building, and for
RocksDB g++ and libclang-dev.
CARGO_TARGET_DIR  where to build [default: ~/.cache/ipfs-persist-mount/target]
TMPDIR            where the store and the mount point are made [default: /tmp]
USAGE
}

backend='file'
keep=no
while [ $# -gt 0 ]; do
    case $1 in
        --backend)
            [ $# -ge 2 ] || misuse "--backend needs a value"
            backend=$2
            shift 2
            ;;
        --backend=*)
            backend=${1#*=}
            shift
            ;;
        --keep)
            keep=yes
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) misuse "unknown argument: $1" ;;
    esac
done

work=$(mktemp -d "${TMPDIR:-/tmp}/ipfs-persist-mount.XXXXXX")
mnt=$work/mnt
data=$work/data
logs=$work/logs
lists=$work/lists
program=$work/ipfs-persist-mount
daemon=
finished=no
mkdir "$mnt" "$logs" "$lists"

clean_up() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP PIPE
    if [ -n "$(mounts_below "$work")" ]; then
        "$program" unmount --timeout 5 "$mnt" >/dev/null 2>&1 || detach_below "$work"
    fi
    if [ -n "$daemon" ] && [ "/proc/$daemon/exe" -ef "$program" ]; then
        kill -KILL "$daemon" 2>/dev/null || true
    fi
    if [ -n "$(mounts_below "$work")" ]; then
        # Nothing may be removed through a mount.
        say "still mounted: $mnt" >&2
    elif [ $finished = yes ]; then
        if [ $keep = yes ]; then
            rm -rf "$logs" "$lists" "$program"
        else
            rm -rf "$work"
        fi
    else
        rm -rf "$mnt" "$data" "$program"
        if [ -n "$(find "$logs" -type f -size +0 -print -quit)" ]; then
            say "The logs are in $logs" >&2
            rm -rf "$lists"
        else
            rm -rf "$work"
        fi
        say "quickstart: not finished (exit code $status)" >&2
    fi
    exit "$status"
}
trap clean_up EXIT
end_on_signals

begun=$(now)
step_begun=$begun

# done_with STEP RESULT: one line of the report.
done_with() {
    printf '%-12s %7s  %s\n' "$1" "$(seconds_since "$step_begun")" "$2"
    step_begun=$(now)
}

# A backend without files says that it leaves the data path alone.
mount_store() {
    "$program" --background --backend "$backend" --data-path "$data" --log-file "$logs/mount.log" "$mnt"
    daemon=$(status_of "$mnt" pid)
}

unmount_store() {
    "$program" unmount "$mnt"
    daemon=
}

# Regular files of this machine, evenly from all over, in an order that is the same every time.
# Names that lists of lines cannot hold are left out.
choose_files() {
    local roots=() root
    for root in /usr/share /usr/lib /usr/include; do
        if [ -d "$root" ]; then
            roots+=("$root")
        fi
    done
    # Files that vanish meanwhile are no failure.
    { find "${roots[@]}" -xdev -type f -readable -size "-$((BLOCK_BYTES_MAX + 1))c" \
        ! -path $'*\n*' ! -path '*\\*' -printf '%s %p\n' 2>/dev/null || true; } |
        sort -k 2 >"$lists/found"
    awk -v files_max=$FILES_MAX -v bytes_max=$BYTES_MAX -v found="$(wc -l <"$lists/found")" '
        (NR - 1) % (found > files_max ? int(found / files_max) : 1) == 0 && files < files_max {
            if (bytes + $1 > bytes_max) exit
            bytes += $1
            files++
            print
        }' "$lists/found" >"$lists/files"
    cut -d ' ' -f 2- "$lists/files" >"$lists/paths"
}

# Lists that the rest works with: `blocks` has a CID and a path for each content, `sums` what
# sha256sum says of the originals, `expected` the same for the CID names.
name_files() {
    xargs -d '\n' -a "$lists/paths" "$program" cid -- >"$lists/cids"
    xargs -d '\n' -a "$lists/paths" sha256sum -- >"$lists/sums"
    awk '!seen[$1]++' "$lists/cids" >"$lists/blocks"
    cut -d ' ' -f 1 "$lists/blocks" | sort >"$lists/names"
    # Both tools write one line for each file, in the order given: the n-th lines belong together.
    paste -d ' ' <(cut -d ' ' -f 1 "$lists/sums") <(cut -d ' ' -f 1 "$lists/cids") |
        sort -u | sed 's/ /  /' >"$lists/expected"
}

# Files for which a name of their own is plain: not empty, no hidden name, each name once.
choose_aliases() {
    paste -d ' ' <(cut -d ' ' -f 1 "$lists/sums") <(cut -d ' ' -f 1 "$lists/cids") "$lists/files" |
        awk -v wanted=$ALIASES '
            { path = $0; sub(/^[^ ]* [^ ]* [^ ]* /, "", path); name = path; sub(/.*\//, "", name) }
            $3 > 0 && name !~ /^\./ && length(name) < 40 && !seen[name]++ && count++ < wanted {
                print $1 "  " name >sums
                print $2 " " name >cids
                print path >paths
            }' sums="$lists/alias-sums" cids="$lists/alias-cids" paths="$lists/alias-paths"
}

copy_files() {
    sed "s/^\([^ ]*\)  \(.*\)$/\2\n\1/" "$lists/blocks" |
        (cd "$mnt" && xargs -d '\n' -n 2 -P $COPIES_AT_ONCE cp -T -- 2>"$logs/copy.log") ||
        fail "copying failed: $(head -n 1 "$logs/copy.log")" "$(tail -n 1 "$mnt/.ipfs-persist/errors")"
}

copy_aliases() {
    xargs -d '\n' -a "$lists/alias-paths" cp -t "$mnt" -- 2>"$logs/copy.log" ||
        fail "copying failed: $(head -n 1 "$logs/copy.log")" "$(tail -n 1 "$mnt/.ipfs-persist/errors")"
    local cid name
    while read -r cid name; do
        [ "$(readlink "$mnt/.ipfs-persist/names/$name")" = "$cid" ] ||
            fail "$name does not stand for its block $cid"
    done <"$lists/alias-cids"
}

# compare SUMS: reads every file that the list names, in the mount, and compares it.
compare() {
    if ! (cd "$mnt" && sha256sum --check --quiet --strict "$1") >"$logs/compare.log" 2>&1; then
        local name
        name=$(sed -n '1s/: [A-Za-z].*$//p' "$logs/compare.log")
        fail "the bytes read back differ from those copied: $(head -n 1 "$logs/compare.log")" \
            "the original is $(grep -F -m 1 -e "$name  " "$lists/cids" | sed 's/^[^ ]*  //')"
    fi
}

# The listing must be exactly the blocks.
compare_listing() {
    # shellcheck disable=SC2012 # ls is what is tried here, and CIDs have no odd characters
    if ! ls -U "$mnt" | sort | diff "$1" - >"$logs/listing.log"; then
        fail "the listing differs from what was stored: $(sed -n 2p "$logs/listing.log")"
    fi
}

say "ipfs-persist-mount: from a clone to a mounted store and back"
say

check_cargo
check_fuse_device
choose_target_dir
need fusermount3:fuse3 cc:"gcc libc6-dev"
prepare_build "$backend"
[ "$(df --output=avail --block-size=1 "$work" | tail -n 1)" -ge $FREE_BYTES_MIN ] ||
    fail "less than $(in_mb $FREE_BYTES_MIN) are free in ${TMPDIR:-/tmp}" "set TMPDIR to a directory with more room"
done_with tools "$(cargo --version | cut -d ' ' -f 1-2), $(fusermount3 --version | sed 's/ version: / /')"

build_program "$program"
done_with build "$CARGO_TARGET_DIR/release/ipfs-persist-mount$([ "$build_kind" = full ] || say ", without RocksDB")"

choose_files
name_files
choose_aliases
files=$(wc -l <"$lists/paths")
blocks=$(wc -l <"$lists/blocks")
bytes=$(awk '{ bytes += $1 } END { printf "%d", bytes }' "$lists/files")
aliases=$(wc -l <"$lists/alias-paths")
done_with choose "$files files of this machine, $(in_mb "$bytes"); $blocks different contents"

mount_store
durable=$(status_of "$mnt" durable)
name=$(status_of "$mnt" backend)
done_with mount "backend $backend on $mnt"

copy_files
done_with copy "$blocks blocks under their CIDs, each checked and durable when cp returned"
copy_aliases
done_with copy "$aliases files under their own names too"

compare_listing "$lists/names"
done_with list "$blocks names, exactly those copied"

compare "$lists/expected"
compare "$lists/alias-sums"
done_with compare "every byte of $blocks blocks and $aliases aliases is right"

unmount_store
done_with unmount "the store is closed"

mount_store
done_with mount "again"

if [ "$durable" = true ]; then
    compare_listing "$lists/names"
    compare "$lists/expected"
    done_with compare "every byte is still right; names of their own ended with the mount"
else
    compare_listing /dev/null
    done_with list "empty, as it must be: the backend $backend keeps blocks in memory only"
fi

unmount_store
done_with unmount "the store is closed"
finished=yes

say
say "All is well: $files files, $(in_mb "$bytes"), $(seconds_since "$begun") in all."
say
if [ $keep = yes ] && [ "$durable" = true ]; then
    say "The store is in $data. To mount it:"
    say "    $CARGO_TARGET_DIR/release/ipfs-persist-mount --data-path $data --background $mnt"
    say "and later:"
    say "    $CARGO_TARGET_DIR/release/ipfs-persist-mount unmount $mnt"
else
    say "To go on with a store of your own:"
    say "    mkdir blocks"
    say "    $CARGO_TARGET_DIR/release/ipfs-persist-mount --backend $name --background blocks"
    if [ "$durable" = true ]; then
        say "Its data will be in ./data/$name. \`ipfs-persist-mount unmount blocks\` ends it."
    else
        say "\`ipfs-persist-mount unmount blocks\` ends it, and its blocks with it."
    fi
fi
if [ "$build_kind" = small ]; then
    say
    say "The backends badger and pebble are not in this build, which has no RocksDB. To get them:"
    say "    scripts/quickstart.sh --backend badger"
    say "That compiles RocksDB once, about 15 minutes with 2 processors."
fi
