#!/usr/bin/env bash
# Everything that a change must pass: formatting, lints, tests with real mounts, dependencies,
# scripts, and nothing left behind.
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() {
    cat <<'USAGE'
Usage: scripts/test.sh

Runs every check, stops at the first that fails, and names it in the last line. RocksDB is compiled
for it once, about 15 minutes with 2 processors.
Debian and Ubuntu: packages that the tests use and that are missing are installed.

  --help  this text

CI=true           a test that cannot mount fails instead of being skipped
CARGO_TARGET_DIR  where to build [default: ~/.cache/ipfs-persist-mount/target]
TMPDIR            where the tests mount [default: /tmp]
USAGE
}

case ${1:-} in
    '') ;;
    -h | --help)
        usage
        exit 0
        ;;
    *) misuse "unknown argument: $1" ;;
esac

# A directory of this run alone, and a variable that every process of the tests inherits: what is
# left behind is told apart from what was there before, and from other runs.
work=$(mktemp -d "${TMPDIR:-/tmp}/ipfs-persist-mount-test.XXXXXX")
mark=IPFS_PERSIST_TEST_RUN=$(basename "$work")
mkdir "$work/tmp"
# Some tests act as an ordinary user.
chmod 711 "$work"
chmod 1777 "$work/tmp"

name=
passed=no
skipped=()
begun=$(now)

# Processes that the tests have started and that are still there.
left_processes() {
    local environ
    for environ in /proc/[0-9]*/environ; do
        if tr '\0' '\n' <"$environ" | grep --quiet --line-regexp --fixed-strings "$mark"; then
            environ=${environ#/proc/}
            say "${environ%/environ}"
        fi
    done 2>/dev/null
}

left_loop_devices() {
    local backing
    for backing in /sys/block/loop*/loop/backing_file; do
        if [ -e "$backing" ] && grep --quiet --fixed-strings "$work/" "$backing"; then
            backing=${backing#/sys/block/}
            say "/dev/${backing%%/*}"
        fi
    done
}

# Every mount in the directory of this run, of whatever kind.
left_mounts() {
    awk -v dir="$work/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo
}

clean_up() {
    local status=$? pid mount device
    trap - EXIT
    trap '' INT TERM HUP PIPE
    # Mounts first: that ends their daemons in good order.
    detach_below "$work"
    left_mounts | tac | while IFS= read -r mount; do
        umount --lazy "$mount" || true
    done
    left_loop_devices | while IFS= read -r device; do
        losetup --detach "$device" || true
    done
    left_processes | while IFS= read -r pid; do
        kill -KILL "$pid" 2>/dev/null || true
    done
    if [ -z "$(left_mounts)" ]; then
        rm -rf "$work"
    fi
    say
    if [ $passed = yes ]; then
        say "test.sh: all passed in $(seconds_since "$begun")"
    else
        say "test.sh: FAILED: ${name:-preparation} (after $(seconds_since "$begun"))"
    fi
    exit "$status"
}
trap clean_up EXIT
end_on_signals

# step NAME COMMAND...: announces it, runs it, and tells how long it took. Ends the script if it fails.
step() {
    name=$1
    local step_begun status=0
    step_begun=$(now)
    say
    say "==> $name"
    shift
    "$@" </dev/null || status=$?
    if [ $status -ne 0 ]; then
        exit $status
    fi
    say "    $name: ok, $(seconds_since "$step_begun")"
}

# skip NAME WHY: a check whose tool is not here. It says so again at the end.
skip() {
    say
    say "==> $1: SKIPPED: $2"
    skipped+=("$1")
}

tools() {
    check_cargo
    check_fuse_device
    need fusermount3:fuse3 cc:"gcc libc6-dev" which:debianutils setpriv:util-linux \
        rsync:rsync getfattr:attr mkfs.ext4:e2fsprogs python3:python3 strace:strace \
        busybox:busybox cpio:cpio curl:curl getfacl:acl nginx:nginx node:nodejs patch:patch perl:perl \
        sqlite3:sqlite3 unzip:unzip vim:vim zip:zip
    prepare_build all
    say "$(rustc --version), $(cargo clippy --version), kernel $(uname -r), $(nproc) processors"
    say "building in $CARGO_TARGET_DIR"
}

# The file system exerciser; it is kept with what was built.
install_fsx() {
    if [ ! -x "$CARGO_TARGET_DIR/tools/bin/fsx" ] && ! has fsx; then
        cargo install --quiet --locked --root "$CARGO_TARGET_DIR/tools" --version 0.3.2 fsx
    fi
}

run_tests() {
    # Under nohup, mounts would rightly ignore the hangup that tests send them.
    alone env --default-signal=HUP "$mark" TMPDIR="$work/tmp" cargo test --release --locked --no-fail-fast
}

# The program that the tests have built, with every backend.
run_demo() {
    alone env "$mark" TMPDIR="$work/tmp" "$CARGO_TARGET_DIR/release/ipfs-persist-mount" demo --blocks 100
}

run_persistence_check() {
    env "$mark" TMPDIR="$work/tmp" scripts/persistence-check.sh --blocks 24
}

nothing_left() {
    local what bad=0
    what=$(left_mounts)
    if [ -n "$what" ]; then
        say "mounts are left: $what"
        bad=1
    fi
    what=$(left_loop_devices)
    if [ -n "$what" ]; then
        say "loop devices are left: $what"
        bad=1
    fi
    what=$(left_processes)
    if [ -n "$what" ]; then
        say "processes are left:"
        # shellcheck disable=SC2086 # one argument for each process
        ps -o pid,ppid,lstart,args -p "$(printf '%s' "$what" | tr '\n' ',')" || true
        bad=1
    fi
    return $bad
}

cd "$repository"
choose_target_dir
# Where mount(8) and useradd live is not in everybody's path.
PATH=$PATH:/usr/sbin:/sbin

name="tools"
tools
step "cargo fmt" cargo fmt --check
if has shellcheck; then
    step "shellcheck" shellcheck --external-sources scripts/*.sh .ci/run
else
    skip "shellcheck" "it is not installed (apt-get install shellcheck)"
fi
if has cargo-deny; then
    step "cargo deny" cargo deny --locked check bans licenses sources
    if cargo deny --locked fetch db </dev/null >/dev/null 2>&1; then
        step "advisories" cargo deny --locked check advisories
    else
        skip "advisories" "their database cannot be fetched"
    fi
else
    skip "cargo deny" "it is not installed (cargo install --locked cargo-deny)"
fi
step "cargo clippy" cargo clippy --release --locked --all-targets -- -D warnings
step "cargo clippy without RocksDB" \
    cargo clippy --release --locked --no-default-features --all-targets -- -D warnings
step "fsx" install_fsx
step "cargo test" run_tests
step "demo" run_demo
step "persistence check" run_persistence_check
step "nothing left behind" nothing_left

if [ ${#skipped[@]} -gt 0 ]; then
    say
    say "Not checked here: ${skipped[*]}"
fi
passed=yes
