#!/usr/bin/env bash
# Checks what each backend keeps across remounts, killed daemons and mistakes, and prints a table.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Files of each of the two sets that are copied.
BLOCKS_DEFAULT=200
BLOCKS_MIN=12
BLOCKS_MAX=100000
# Copies that run at the same time while the daemon is killed.
WRITERS=4
# How long to wait for what should happen at once.
PATIENCE_SECS=60
# Free space for each block of a set, with what engines need beside, and for everything else.
FREE_BYTES_PER_BLOCK=500000
FREE_BYTES_MIN=300000000
# The checks, in this order: each begins with what the one before has left.
CHECKS=(clean flags wrong deletes killed)

usage() {
    cat <<'USAGE'
Usage: scripts/persistence-check.sh [OPTIONS] [BACKEND...]

Builds ipfs-persist-mount, and checks with real mounts what each backend keeps. Without BACKEND it
takes every one that is in the build. It prints a table of backends and checks:

  clean    unmounted and mounted again: the same names and the same bytes
  flags    the same under --verify-reads always, another --max-block-size, --strict, the marker in
           place of --backend, and --read-only, which also changes nothing in the data directory.
           Exit code 2 of an engine that cannot be opened read-only is its documented answer
  wrong    with another --backend: exit code 4, and nothing in the data directory changes
  deletes  what was removed stays away after a remount, what was not is still there
  killed   the daemon is killed with SIGKILL while files are being copied: after a remount every
           file whose cp had returned 0 is there and right, and the store can be used

A backend that keeps nothing must be empty after each remount, and say so when it is mounted.

  --blocks N  files in each of the two sets that are copied [default: 200]
  --keep      leave data directories and logs there
  --help      this text

Exit codes: 0 all is as it should be, 1 something is not, 2 wrong usage.

badger and pebble need RocksDB, which is compiled once, about 15 minutes with 2 processors. With
only other backends named it is left out. Debian and Ubuntu: missing packages are installed.
CARGO_TARGET_DIR  where to build [default: ~/.cache/ipfs-persist-mount/target]
TMPDIR            where the stores and the mount points are made [default: /tmp]
USAGE
}

blocks=$BLOCKS_DEFAULT
keep=no
asked=()
while [ $# -gt 0 ]; do
    case $1 in
        --blocks)
            [ $# -ge 2 ] || misuse "--blocks needs a value"
            blocks=$2
            shift 2
            ;;
        --blocks=*)
            blocks=${1#*=}
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
        -*) misuse "unknown argument: $1" ;;
        *)
            asked+=("$1")
            shift
            ;;
    esac
done
if ! [[ $blocks =~ ^[1-9][0-9]{0,5}$ ]] || [ "$blocks" -lt $BLOCKS_MIN ] || [ "$blocks" -gt $BLOCKS_MAX ]; then
    misuse "--blocks is a number from $BLOCKS_MIN to $BLOCKS_MAX"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/ipfs-persist-check.XXXXXX")
lists=$work/lists
program=$work/ipfs-persist-mount
failed=no
finished=no
mkdir "$lists"

# What a backend has of its own; set by use_backend.
backend='' durable='' dir='' mnt='' data='' logs=''

use_backend() {
    backend=$1
    durable=$2
    dir=$work/$backend
    mnt=$dir/mnt
    data=$dir/data
    logs=$dir/logs
}

# Ends the daemon that the current backend may still have, and its mount.
bring_down() {
    local pid
    if [ -n "$(mounts_below "$dir")" ]; then
        "$program" unmount --timeout 5 "$mnt" >/dev/null 2>&1 || detach_below "$dir"
    fi
    if [ -e "$dir/pid" ]; then
        pid=$(cat "$dir/pid")
        if [ "/proc/$pid/exe" -ef "$program" ]; then
            kill -KILL "$pid" 2>/dev/null || true
        fi
        rm -f "$dir/pid"
    fi
}

clean_up() {
    local status=$? place
    trap - EXIT
    trap '' INT TERM HUP PIPE
    for place in "$work"/*/mnt; do
        if [ -d "$place" ] || [ -e "${place%/mnt}/pid" ]; then
            use_backend "$(basename "${place%/mnt}")" ''
            bring_down
        fi
    done
    if [ -n "$(mounts_below "$work")" ]; then
        # Nothing may be removed through a mount.
        say "still mounted: $(mounts_below "$work")" >&2
    elif [ $keep = yes ]; then
        rm -rf "$program" "$lists"
        say "Data directories and logs are in $work"
    elif [ $failed = yes ]; then
        rm -rf "$program" "$lists" "$work"/*/mnt "$work"/*/data
        say "The logs are in $work; --keep leaves the data directories there too" >&2
    else
        rm -rf "$work"
    fi
    if [ $finished = no ]; then
        say "persistence-check: not finished (exit code $status)" >&2
    fi
    exit "$status"
}
trap clean_up EXIT
end_on_signals

# Lines `NAME DURABLE ALIAS...` of the backends that are in this build.
list_backends() {
    "$program" backends --json | python3 -c '
import json, sys
for row in json.load(sys.stdin):
    if row["built_in"]:
        print(row["name"], "yes" if row["durable"] else "no", *row["aliases"])'
}

# Two sets of different files: bytes that compress and bytes that do not, from none at all to the
# largest block. Every third is named by a CID of version 0, so that names of both kinds must last.
make_files() {
    local set_name
    python3 - "$work/files" "$blocks" <<'PYTHON'
import os, random, sys

directory, count = sys.argv[1], int(sys.argv[2])
random.seed(20)
for set_name in "ab":
    os.makedirs(f"{directory}/{set_name}")
    for index in range(count):
        size = [10, 100, 1000, 5000, 40000, 300000][index % 6]
        head = f"{set_name}{index} ".encode()
        if index % 2:
            body = random.randbytes(size)
        else:
            body = b'{"name": "a block", "number": %d}\n' % index * (size // 30 + 1)
        content = head + body
        if index == 1:
            content = content * ((2 << 20) // len(content) + 1)
            content = content[: 2 << 20]
        if index == 2:
            content = b"" if set_name == "a" else set_name.encode()
        with open(f"{directory}/{set_name}/{index:06}", "wb") as file:
            file.write(content)
PYTHON
    for set_name in a b; do
        find "$work/files/$set_name" -type f | sort >"$lists/paths"
        awk 'NR % 3 == 0' "$lists/paths" | xargs -d '\n' "$program" cid --cid-version 0 -- >"$lists/cids"
        awk 'NR % 3 != 0' "$lists/paths" | xargs -d '\n' "$program" cid -- >>"$lists/cids"
        sed 's/  / /' "$lists/cids" >"$lists/$set_name"
    done
    # What sha256sum, a tool that knows nothing of CIDs, says of the bytes behind each name.
    cat "$lists/a" "$lists/b" | cut -d ' ' -f 2- | xargs -d '\n' sha256sum -- |
        paste -d ' ' - <(cat "$lists/a" "$lists/b" | cut -d ' ' -f 1) |
        awk '{ print $1 "  " $3 }' >"$lists/sums"
}

# mount_store FLAGS...: mounts the store of the current backend.
mount_store() {
    "$program" --background --backend "$backend" --data-path "$data" --log-file "$logs/mount.log" "$@" "$mnt" \
        2>>"$logs/mount.err" || return
    status_of "$mnt" pid >"$dir/pid"
}

# remount FLAGS...: mounts again; the exit code 0 is wanted.
remount() {
    mount_store "$@" || fail "mounting again failed (${*:-no further flags}): $(tail -n 2 "$logs/mount.err" | tr '\n' ' ')"
}

unmount_store() {
    "$program" unmount "$mnt" 2>>"$logs/mount.err" ||
        fail "unmounting failed: $(tail -n 2 "$logs/mount.err" | tr '\n' ' ')"
    rm "$dir/pid"
}

# copy_all LIST: copies what a list of `CID PATH` names, several files at once.
copy_all() {
    sed 's/^\([^ ]*\) \(.*\)$/\2\n\1/' "$1" |
        (cd "$mnt" && xargs -d '\n' -n 2 -P $WRITERS cp -T -- 2>"$logs/copy.log") ||
        fail "copying failed: $(head -n 1 "$logs/copy.log"): $(tail -n 1 "$mnt/.ipfs-persist/errors")"
}

# listing: the names in the mount, sorted.
listing() {
    # shellcheck disable=SC2012 # ls is what is tried here, and CIDs have no odd characters
    ls -U "$mnt" | sort
}

# compare_bytes NAMES: reads every block in the list of names and compares it with its file.
compare_bytes() {
    awk 'NR == FNR { wanted[$1]; next } $2 in wanted' "$1" "$lists/sums" >"$dir/sums"
    [ "$(wc -l <"$dir/sums")" = "$(wc -l <"$1")" ] || fail "there are blocks whose bytes nobody has copied in"
    if [ -s "$dir/sums" ] && ! (cd "$mnt" && sha256sum --check --quiet --strict "$dir/sums") >"$logs/compare.log" 2>&1; then
        fail "the bytes differ: $(head -n 1 "$logs/compare.log")"
    fi
}

# compare NAMES: the mount has exactly these names, and the right bytes under each.
compare() {
    if ! listing | diff "$1" - >"$logs/listing.log"; then
        fail "the names differ: $(grep -c '^<' "$logs/listing.log" || true) missing, $(grep -c '^>' "$logs/listing.log" || true) too many"
    fi
    compare_bytes "$1"
}

# A backend that keeps nothing is empty, and has said so.
must_be_empty() {
    [ -z "$(listing)" ] || fail "there are blocks after a remount, although the backend is said to be volatile"
    grep --quiet 'persists nothing' "$logs/mount.err" || fail "the mount does not say that nothing persists"
    [ ! -e "$data" ] || fail "a backend without files has made $data"
    say "empty, as it says" >"$dir/cell"
}

# snapshot: every file of the data directory with its bytes, and without the lock, which says who
# holds the store.
snapshot() {
    (
        cd "$data"
        find . -mindepth 1 ! -path ./lock -printf '%P %y %m %s\n' | sort
        find . -type f ! -path ./lock -exec sha256sum -- {} + | sort
    )
}

check_clean() {
    mount_store || fail "mounting failed: $(tail -n 2 "$logs/mount.err" | tr '\n' ' ')"
    copy_all "$lists/a"
    cut -d ' ' -f 1 "$lists/a" | sort >"$dir/names"
    compare "$dir/names"
    unmount_store
    remount
    if [ "$durable" = yes ]; then
        compare "$dir/names"
    else
        must_be_empty
    fi
    unmount_store
}

check_flags() {
    local flags
    for flags in "--verify-reads always" "--max-block-size 64KiB" "--strict"; do
        # shellcheck disable=SC2086 # a flag and its value
        remount $flags
        compare "$dir/names"
        unmount_store
    done
    "$program" --background --data-path "$data" --log-file "$logs/mount.log" "$mnt" 2>>"$logs/mount.err" ||
        fail "without --backend it does not mount: $(tail -n 2 "$logs/mount.err" | tr '\n' ' ')"
    status_of "$mnt" pid >"$dir/pid"
    [ "$(status_of "$mnt" backend)" = "$backend" ] || fail "without --backend it is mounted as $(status_of "$mnt" backend)"
    compare "$dir/names"
    unmount_store
    check_read_only
}

check_read_only() {
    local code=0 name path
    snapshot >"$dir/before"
    mount_store --read-only || code=$?
    if [ $code = 2 ]; then
        say "ok, never read-only" >"$dir/cell"
    elif [ $code != 0 ]; then
        fail "--read-only ends with exit code $code: $(tail -n 2 "$logs/mount.err" | tr '\n' ' ')"
    else
        compare "$dir/names"
        read -r name path <"$lists/b"
        ! cp -T -- "$path" "$mnt/$name" 2>/dev/null || fail "a read-only mount took a block"
        unmount_store
    fi
    snapshot | diff "$dir/before" - >"$logs/snapshot.log" ||
        fail "--read-only changed the data directory: $(sed -n 2p "$logs/snapshot.log")"
}

check_wrong() {
    local other code count=0
    snapshot >"$dir/before"
    while read -r other; do
        if [ "$other" = "$backend" ]; then
            continue
        fi
        code=0
        "$program" --background --backend "$other" --data-path "$data" "$mnt" 2>>"$logs/wrong.err" || code=$?
        [ $code = 4 ] || fail "--backend $other on a store of $backend ends with exit code $code, not 4"
        snapshot | diff "$dir/before" - >"$logs/snapshot.log" ||
            fail "--backend $other changed the data directory: $(sed -n 2p "$logs/snapshot.log")"
        count=$((count + 1))
    done <"$lists/durable"
    if [ $count = 0 ]; then
        say "no other here" >"$dir/cell"
    else
        say "ok, $count others" >"$dir/cell"
    fi
    remount
    compare "$dir/names"
    unmount_store
}

check_deletes() {
    remount
    awk 'NR % 3 == 0' "$dir/names" >"$dir/removed"
    awk 'NR % 3 != 0' "$dir/names" >"$dir/kept"
    (cd "$mnt" && xargs -d '\n' -a "$dir/removed" rm --) || fail "removing failed"
    mv "$dir/kept" "$dir/names"
    compare "$dir/names"
    unmount_store
    remount
    compare "$dir/names"
    unmount_store
}

# copy_until_killed LIST DONE: copies one file after the other, until one fails, and notes each whose
# cp returned 0.
copy_until_killed() {
    local name path
    while read -r name path; do
        cp -T -- "$path" "$mnt/$name" 2>>"$logs/killed.log" || break
        say "$name" >>"$2"
    done <"$1"
}

# Kills the daemon when half of the files have been copied, and waits for its end.
kill_at_half() {
    local pid deadline
    pid=$(cat "$dir/pid")
    deadline=$((SECONDS + PATIENCE_SECS))
    while [ "$(cat "$dir"/done.* | wc -l)" -lt $((blocks / 2)) ]; do
        [ $SECONDS -lt $deadline ] || fail "half of the files are not copied after $PATIENCE_SECS s"
        sleep 0.01
    done
    [ "/proc/$pid/exe" -ef "$program" ] || fail "process $pid is not the daemon of this mount"
    kill -KILL "$pid"
    while [ "/proc/$pid/exe" -ef "$program" ]; do
        [ $SECONDS -lt $deadline ] || fail "process $pid has not ended"
        sleep 0.01
    done
    rm "$dir/pid"
}

check_killed() {
    local writer
    mount_store || fail "mounting failed: $(tail -n 2 "$logs/mount.err" | tr '\n' ' ')"
    for ((writer = 0; writer < WRITERS; writer++)); do
        awk -v n=$writer -v of=$WRITERS 'NR % of == n' "$lists/b" >"$dir/todo.$writer"
        : >"$dir/done.$writer"
    done
    # Whatever happens, nobody goes on copying into a directory on which nothing is mounted any more.
    trap 'jobs -pr | xargs --no-run-if-empty kill 2>/dev/null || true; wait' EXIT
    for ((writer = 0; writer < WRITERS; writer++)); do
        copy_until_killed "$dir/todo.$writer" "$dir/done.$writer" &
    done
    kill_at_half
    wait
    trap - EXIT
    sort "$dir"/done.* >"$dir/done"
    remount
    if [ "$durable" != yes ]; then
        must_be_empty
        unmount_store
        return
    fi
    check_after_kill
    say "ok, $(wc -l <"$dir/done") copied" >"$dir/cell"
}

check_after_kill() {
    local gone
    listing >"$dir/found"
    sort -u "$dir/names" "$dir/done" >"$dir/acknowledged"
    [ -z "$(comm -23 "$dir/acknowledged" "$dir/found")" ] ||
        fail "$(comm -23 "$dir/acknowledged" "$dir/found" | wc -l) blocks are missing whose cp had returned 0"
    compare_bytes "$dir/found"
    copy_all "$lists/b"
    cut -d ' ' -f 1 "$lists/b" | sort -u - "$dir/acknowledged" >"$dir/names"
    compare "$dir/names"
    gone=$(head -n 1 "$dir/names")
    rm -- "$mnt/$gone" || fail "nothing can be removed after the kill"
    sed -i 1d "$dir/names"
    unmount_store
    remount
    compare "$dir/names"
    unmount_store
}

# run_check NAME: runs a check of the current backend, and notes its result for the table.
run_check() {
    local begun code cell
    begun=$(now)
    say ok >"$dir/cell"
    # Not in a condition, where bash would go on after a command that fails.
    set +e
    (
        set -e
        end_on_signals
        "check_$1"
    )
    code=$?
    set -e
    cell=$(cat "$dir/cell")
    if [ $code != 0 ]; then
        failed=yes
        cell=FAILED
        bring_down
    fi
    printf '%s' "$cell" >"$dir/result.$1"
    printf '%-10s %-8s %7s  %s\n' "$backend" "$1" "$(seconds_since "$begun")" "$cell"
    return 0
}

check_backend() {
    local name
    use_backend "$1" "$2"
    mkdir -p "$mnt" "$logs"
    for name in "${CHECKS[@]}"; do
        if [ "$durable" != yes ] && [ "$name" != clean ] && [ "$name" != killed ]; then
            printf '-' >"$dir/result.$name"
        elif grep --quiet FAILED "$dir"/result.* 2>/dev/null; then
            printf 'not run' >"$dir/result.$name"
        else
            run_check "$name"
        fi
    done
}

print_table() {
    local name place check
    printf '%-10s' backend
    printf ' %-19s' "${CHECKS[@]}" | sed 's/ *$//'
    printf '\n'
    while read -r name _; do
        place=$work/$name
        {
            printf '%-10s' "$name"
            for check in "${CHECKS[@]}"; do
                printf ' %-19s' "$(cat "$place/result.$check")"
            done
        } | sed 's/ *$//'
        printf '\n'
    done <"$lists/chosen"
}

# Which backends to check, by the names and aliases asked for.
choose_backends() {
    local name
    list_backends >"$lists/built"
    awk '$2 == "yes" { print $1 }' "$lists/built" >"$lists/durable"
    if [ ${#asked[@]} -eq 0 ]; then
        cp "$lists/built" "$lists/chosen"
        return
    fi
    for name in "${asked[@]}"; do
        awk -v name="$name" '$1 == name { print; next } { for (i = 3; i <= NF; i++) if ($i == name) { print; next } }' \
            "$lists/built" >"$lists/found"
        [ -s "$lists/found" ] || misuse "no backend named $name is in the build; there are $(cut -d ' ' -f 1 "$lists/built" | tr '\n' ' ')"
        cat "$lists/found" >>"$lists/all"
    done
    awk '!seen[$1]++' "$lists/all" >"$lists/chosen"
}

begun=$(now)
say "ipfs-persist-mount: what survives"
say
check_cargo
check_fuse_device
choose_target_dir
need fusermount3:fuse3 cc:"gcc libc6-dev" python3:python3
if [ ${#asked[@]} -eq 0 ]; then
    prepare_build all
else
    prepare_build "${asked[@]}"
fi
[ "$(df --output=avail --block-size=1 "$work" | tail -n 1)" -ge $((FREE_BYTES_MIN + blocks * FREE_BYTES_PER_BLOCK)) ] ||
    fail "less than $(in_mb $((FREE_BYTES_MIN + blocks * FREE_BYTES_PER_BLOCK))) are free in ${TMPDIR:-/tmp}" \
        "set TMPDIR to a directory with more room, or use fewer --blocks"
build_program "$program"
choose_backends
make_files

while read -r name is_durable _; do
    check_backend "$name" "$is_durable" </dev/null
    if [ $keep = no ] && [ $failed = no ]; then
        rm -rf "$data"
    fi
done <"$lists/chosen"

say
print_table
say
finished=yes
if [ $failed = yes ]; then
    say "Something is not as it should be (after $(seconds_since "$begun"))." >&2
    exit 1
fi
say "All is as it should be: $blocks files and again $blocks, $(seconds_since "$begun") in all."
