//! The program `ipfs-persist-mount`: everything it does is in the library.

fn main() -> std::process::ExitCode {
    ipfs_persist_mount::cli::run(std::env::args_os().collect())
}
