//! What df shows of a mount.

use ipfs_persist_mount::datastore::backend;

use super::common::raw::{put, statvfs};
use super::common::rows::Case;
use super::common::{Bench, bytes, cid_of, sh_ok};

pub const EVERY: &[Case] =
    crate::cases![df_shows_the_backing_file_system_less_the_reserve, df_of_a_smaller_reserve_is_larger];

/// > `df` and `df -i` show the file system of the data directory less the reserve.
fn df_shows_the_backing_file_system_less_the_reserve(backend_name: &'static str) {
    let bench = Bench::new(backend_name);
    let mount = bench.mount();
    let space = statvfs(&mount.mnt);
    assert!(space.fragment_size() > 0 && space.name_max() == 255);
    assert!(space.blocks() >= space.blocks_free() && space.blocks_free() >= space.blocks_available());
    assert!(space.files() >= space.files_free() && space.files_free() >= space.files_available());
    assert!(space.blocks_available() > 0);
    let bytes_of = |blocks: u64, space: &nix::sys::statvfs::Statvfs| blocks * space.fragment_size();
    let available = bytes_of(space.blocks_available(), &space);
    if backend(backend_name).unwrap().default_path.is_some() {
        let reserve = 100 << 20;
        let backing = statvfs(bench.path());
        // Others use the file system too while this runs.
        let slack = 256 << 20;
        let wanted = bytes_of(backing.blocks_available(), &backing) - reserve;
        assert!(available.abs_diff(wanted) < slack, "{available} {wanted}");
        // As df computes it: what is used, and what an ordinary user may use.
        let used = bytes_of(backing.blocks() - backing.blocks_free(), &backing);
        let total = bytes_of(space.blocks(), &space);
        assert!(total.abs_diff(used + wanted) < slack, "{total} {used} {wanted}");
    } else {
        assert!(available <= 1 << 30, "the default of --memory-limit");
        let content = bytes(1, 2 << 20);
        put(&mount.path(cid_of(&content)), &content).unwrap();
        let after = statvfs(&mount.mnt);
        assert!(bytes_of(after.blocks_available(), &after) <= available - (2 << 20));
    }
    let row = sh_ok(bench.path(), "df --output=iused,iavail,ipcent,used,avail,pcent mnt | tail -1");
    for column in row.split_whitespace() {
        let number = column.trim_end_matches('%');
        assert!(number == "-" || number.parse::<u64>().is_ok(), "{row}");
    }
    sh_ok(bench.path(), "stat -f mnt && df -h mnt && df -i mnt");
    mount.unmount();
}

/// The reserve is what `--min-free-space` says, and what does not fit under it is 0, not negative.
///
/// > `df` and `df -i` show the file system of the data directory less the reserve.
fn df_of_a_smaller_reserve_is_larger(backend_name: &'static str) {
    if backend(backend_name).unwrap().default_path.is_none() {
        let bench = Bench::new(backend_name);
        let mount = bench.mount_with(&["--memory-limit", "8MiB"]);
        let space = statvfs(&mount.mnt);
        assert_eq!(space.blocks() * space.fragment_size(), 8 << 20);
        mount.unmount();
        return;
    }
    let bench = Bench::new(backend_name);
    let available = |reserve: &str| {
        let mount = bench.mount_with(&["--min-free-space", reserve]);
        let space = statvfs(&mount.mnt);
        mount.unmount();
        space.blocks_available() * space.fragment_size()
    };
    let (little, much, all) = (available("1MiB"), available("1GiB"), available("1000TiB"));
    assert!(little > much && little - much > 512 << 20, "{little} {much}");
    assert_eq!(all, 0);
}
