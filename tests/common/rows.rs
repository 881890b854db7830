//! Cases x backends: a test program without a harness of its own that names the product,
//! `file::spellings_open_one_inode`.

use libtest_mimic::{Arguments, Trial};

/// A case and the name that it has: the name of its function.
pub type Case = (&'static str, fn(&'static str));

/// The cases of a list of functions that take a backend's name.
#[macro_export]
macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        &[$((stringify!($case), $case as fn(&'static str))),*]
    };
}

/// Runs each row: every case of it with every one of its backends, one after the other unless asked
/// otherwise. A case that is just starting a process has copies of all files of this program until
/// that process has begun: it keeps the mounts of other cases busy and sends them closes that they
/// did not make. Mounts need /dev/fuse: without it nothing runs, loudly.
pub fn main(rows: &[(Vec<&'static str>, &[Case])]) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = arguments.test_threads.or(Some(1));
    let mut trials = Vec::new();
    for (backends, cases) in rows {
        for (backend, (name, case)) in backends.iter().flat_map(|b| cases.iter().map(move |case| (*b, *case)))
        {
            let run = move || {
                if super::fuse_available() {
                    case(backend);
                }
                Ok(())
            };
            trials.push(Trial::test(format!("{backend}::{name}"), run));
        }
    }
    libtest_mimic::run(&arguments, trials).exit()
}
