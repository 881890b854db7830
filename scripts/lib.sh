# shellcheck shell=bash
# What the scripts share. It is sourced, never run.
#
# A script that sources this file has the repository's root in `repository`, and an environment in
# which numbers and orders do not depend on the user's language.

# shellcheck disable=SC2034 # used by the scripts
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

export LC_ALL=C

# The program's own variables would change what the scripts do.
while IFS= read -r variable; do
    unset "$variable"
done < <(compgen -e | grep -E '^(BACKEND|DATA_PATH|IPFS_PERSIST_MOUNT_.*)$' || true)

say() {
    printf '%s\n' "$*"
}

# fail MESSAGE [WHAT TO DO]
fail() {
    printf 'error: %s\n' "$1" >&2
    if [ $# -gt 1 ]; then
        printf 'hint: %s\n' "$2" >&2
    fi
    exit 1
}

# misuse MESSAGE: the arguments are wrong.
misuse() {
    printf 'error: %s\nhint: scripts/%s --help\n' "$1" "$(basename "$0")" >&2
    exit 2
}

# The time in microseconds.
now() {
    printf '%s' "${EPOCHREALTIME/./}"
}

# seconds_since TIME: with one decimal.
seconds_since() {
    local tenths=$(((${EPOCHREALTIME/./} - $1) / 100000))
    printf '%d.%d s' $((tenths / 10)) $((tenths % 10))
}

# in_mb BYTES
in_mb() {
    printf '%d.%d MB' $(($1 / 1000000)) $(($1 / 100000 % 10))
}

has() {
    command -v "$1" >/dev/null 2>&1
}

# A target directory outside of the checkout, so that the next clone builds only what is new.
choose_target_dir() {
    local cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
    if [ -z "${CARGO_TARGET_DIR:-}" ]; then
        CARGO_TARGET_DIR=${cache:+$cache/ipfs-persist-mount/target}
        CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$repository/target}
    fi
    mkdir -p "$CARGO_TARGET_DIR" || fail "cannot make $CARGO_TARGET_DIR" "set CARGO_TARGET_DIR to a directory that you can write to"
    CARGO_TARGET_DIR=$(cd "$CARGO_TARGET_DIR" && pwd)
    export CARGO_TARGET_DIR
}

# The cargo that is there must be able to build the program.
check_cargo() {
    if ! has cargo && [ -x "${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo" ]; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    fi
    has cargo || fail "cargo is not installed" "install Rust with rustup (https://rustup.rs), then start this script again"
    local wanted found oldest
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$repository/Cargo.toml")
    found=$(cargo --version | cut -d ' ' -f 2)
    oldest=$(printf '%s\n%s\n' "$wanted" "${found%%-*}" | sort -V | sed -n 1p)
    if [ "$oldest" != "$wanted" ]; then
        fail "cargo $found is too old: the program needs Rust $wanted" "rustup update stable"
    fi
}

# The kernel's side of FUSE must be there; no package brings it.
check_fuse_device() {
    local why hint="load the kernel module with \`modprobe fuse\`; a container needs \`--device /dev/fuse --cap-add SYS_ADMIN\`"
    [ -e /dev/fuse ] || fail "/dev/fuse is missing, so nothing can be mounted" "$hint"
    # Opening it, since permissions alone do not tell what a container allows.
    if ! why=$( (: <>/dev/fuse) 2>&1); then
        if [ "$(id -u)" != 0 ]; then
            hint="as root: chmod 666 /dev/fuse"
        fi
        fail "/dev/fuse cannot be opened: ${why##*: }" "$hint"
    fi
}

# need COMMAND:PACKAGE...: installs the packages of the commands that are missing.
need() {
    local pair missing=()
    for pair in "$@"; do
        if ! has "${pair%%:*}" && [ ! -x "/usr/sbin/${pair%%:*}" ] && [ ! -x "/sbin/${pair%%:*}" ]; then
            missing+=("${pair#*:}")
        fi
    done
    if [ ${#missing[@]} -gt 0 ]; then
        # A command may need more than one package.
        # shellcheck disable=SC2068
        install_packages ${missing[@]}
    fi
}

install_packages() {
    local as_root=() packages="$*"
    has apt-get || fail "these packages are missing (Debian's names): $packages" "install them with this system's package manager"
    if [ "$(id -u)" != 0 ]; then
        has sudo || fail "these packages are missing: $packages" "as root: apt-get update && apt-get install $packages"
        as_root=(sudo)
        if [ ! -t 0 ]; then
            as_root+=(--non-interactive)
        fi
    fi
    say "Installing $packages"
    # A server that comes with a package is not wanted as a service: unless somebody has decided on that
    # already, none is started meanwhile.
    # shellcheck disable=SC2016 # expanded by the inner shell
    if ! "${as_root[@]}" apt-get update --quiet=2 ||
        ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive sh -c '
            if [ -d "${0%/*}" ] && [ ! -e "$0" ]; then
                trap "rm -f $0" EXIT
                trap "exit 1" HUP INT TERM
                printf "#!/bin/sh\nexit 101\n" >"$0"
                chmod 755 "$0"
            fi
            apt-get install --quiet=2 --yes --no-install-recommends "$@"' \
            /usr/sbin/policy-rc.d "$@" </dev/null; then
        fail "could not install $packages" "as root: apt-get update && apt-get install $packages"
    fi
}

# needs_rocksdb BACKEND: whether this backend, by its name or an alias, comes with RocksDB.
needs_rocksdb() {
    case $1 in
        badger* | pebble*) return 0 ;;
        *) return 1 ;;
    esac
}

# rocksdb_is_compiled: whether the target directory has, complete, the RocksDB that Cargo.lock names.
rocksdb_is_compiled() {
    local version output
    version=$(sed -n '/^name = "rust-librocksdb-sys"$/{n;s/^version = "\(.*\)"$/\1/p}' "$repository/Cargo.lock")
    for output in "$CARGO_TARGET_DIR"/release/build/rust-librocksdb-sys-*/output; do
        # Cargo writes `output` when the build script has ended, and the script names its sources.
        if [ -s "${output%/output}/out/librocksdb.a" ] && [ -e "$output" ] &&
            grep --quiet --fixed-strings "/rust-librocksdb-sys-$version" "$output"; then
            return 0
        fi
    done
    return 1
}

# has_libclang: whether bindgen will find libclang, and libclang its own headers.
has_libclang() {
    if [ -n "${LIBCLANG_PATH:-}" ]; then
        # A directory or the file itself; whoever sets it knows.
        [ -f "$LIBCLANG_PATH" ] || compgen -G "$LIBCLANG_PATH/libclang*.so*" >/dev/null
        return
    fi
    compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null ||
        compgen -G '/usr/lib*/clang/*/include/stddef.h' >/dev/null || return 1
    # libclang-cpp is another library. The whole list is read, so that nobody writes into a closed pipe.
    { /sbin/ldconfig -p 2>/dev/null | awk '{ print $1 }' || true; compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' || true; } |
        grep --extended-regexp '(^|/)libclang(-[0-9.]+)?\.so(\.|$)' >/dev/null
}

# prepare_build all|BACKEND...: chooses how to build for these backends, says what takes long, and
# installs what is missing for it. RocksDB is in the build if a backend needs it or if it is
# compiled already.
prepare_build() {
    local backend missing=()
    build_kind=small
    if rocksdb_is_compiled; then
        build_kind=full
        return
    fi
    for backend in "$@"; do
        if [ "$backend" = all ] || needs_rocksdb "$backend"; then
            build_kind=full
        fi
    done
    if [ $build_kind = small ]; then
        return
    fi
    has "${CXX:-c++}" || missing+=(g++)
    has_libclang || missing+=(libclang-dev)
    if [ ${#missing[@]} -gt 0 ]; then
        install_packages "${missing[@]}"
    fi
    say "RocksDB is compiled once, about 15 minutes with 2 processors (there are $(nproc) here); later builds take a minute"
}

# alone COMMAND...: runs it while no other script builds or tests in the same target directory, where
# another clone would replace the program under its hands.
alone() {
    local lock=$CARGO_TARGET_DIR/.scripts-lock
    flock --nonblock "$lock" true || say "Waiting for another run in $CARGO_TARGET_DIR"
    flock --close "$lock" "$@"
}

# build_program FILE: builds the program as prepare_build has chosen, and copies it there.
build_program() {
    local features=()
    if [ "$build_kind" = small ]; then
        features=(--no-default-features)
    fi
    # shellcheck disable=SC2016 # expanded by the inner shell
    alone bash -c 'cd "$1" && cargo build --release --locked "${@:4}" && cp "$2" "$3"' build \
        "$repository" "$CARGO_TARGET_DIR/release/ipfs-persist-mount" "$1" "${features[@]}" </dev/null
}

# mounts_below DIR: mounts of the program in a directory, the newest first.
mounts_below() {
    # The mount table writes a space as \040.
    DIR=${1// /\\040} awk '
        {
            for (separator = 7; separator < NF && $separator != "-"; separator++);
            if ($(separator + 1) == "fuse.ipfs-persist-mount" && index($5, ENVIRON["DIR"] "/") == 1) {
                mount[++count] = $5
            }
        }
        END { while (count) print mount[count--] }' /proc/self/mountinfo
}

# detach_below DIR: detaches whatever mounts_below shows, whoever is using it.
detach_below() {
    local mount
    while IFS= read -r mount; do
        mount=$(printf '%b' "$mount")
        umount --lazy "$mount" 2>/dev/null || fusermount3 -u -z "$mount" 2>/dev/null || true
    done < <(mounts_below "$1")
}

# status_of MOUNTPOINT FIELD: what a mount says of itself.
status_of() {
    sed -n "s/^ *\"$2\": \"*\([^,\"]*\).*/\1/p" "$1/.ipfs-persist/status.json"
}

# Signals end this shell, and each of its subshells that says so, between two commands: without a
# trap bash takes no notice of a signal that the command which it waits for has survived.
end_on_signals() {
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    trap 'exit 141' PIPE
}
