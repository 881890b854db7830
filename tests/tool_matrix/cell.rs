//! What a cell of the table says of one run.

use super::place::{Control, Report};
use super::row::{Kind, failure};
use super::state::Effect;

/// Errors that tools may print, by the words of the C library.
fn errnos() -> impl Iterator<Item = (&'static str, String)> {
    macro_rules! names {
        ($($name:ident)*) => { [$((stringify!($name), libc::$name)),*] };
    }
    let names = names!(EACCES EBADMSG EBUSY EEXIST EFBIG EINVAL EIO EISDIR ENODEV ENOENT ENOMEM ENOSPC ENOSYS
        ENOTCONN ENOTDIR ENOTEMPTY EOPNOTSUPP EPERM EROFS ESTALE ETXTBSY EXDEV);
    names.into_iter().map(|(name, number)| {
        let words = std::io::Error::from_raw_os_error(number).to_string();
        (name, words.split(" (os error").next().unwrap().to_owned())
    })
}

/// The errors that a tool has printed, in the order of their first words.
pub fn told(stderr: &str) -> Option<String> {
    let mut found: Vec<(usize, &str)> = Vec::new();
    for (name, words) in errnos() {
        // node prints the name.
        let places = [stderr.find(&words), stderr.find(&format!("{name}: "))];
        found.extend(places.into_iter().flatten().min().map(|place| (place, name)));
    }
    found.sort_unstable();
    let names: Vec<&str> = found.into_iter().map(|(_, name)| name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The cell of a run.
pub fn cell(kind: Kind, report: &Report, control: &Control, effect: &Effect) -> String {
    let reads = matches!(kind, Kind::Read | Kind::List);
    let told = told(&report.stderr);
    let said = match &told {
        Some(names) => names.clone(),
        None if report.stderr.is_empty() => "no words".to_owned(),
        None => "own words".to_owned(),
    };
    if report.exit != 0 {
        let failed = failure(&said, u8::try_from(report.exit).unwrap_or(u8::MAX));
        return match effect {
            Effect::Nothing => failed,
            Effect::Done if reads => failed,
            Effect::Done => format!("{failed}, done"),
            Effect::Other(what) => format!("{failed}, {what}"),
        };
    }
    let warning = (report.stderr != control.report.stderr).then_some(said);
    let done = match effect {
        _ if reads && report.stdout != control.report.stdout => "other output",
        Effect::Done => "ok",
        Effect::Nothing if reads => "ok",
        Effect::Nothing => "nothing",
        Effect::Other(what) => what,
    };
    match warning {
        Some(said) => format!("{done}, warns {said}"),
        None if control.report.exit != 0 => format!("{done}, and an ordinary directory refuses it"),
        None => done.to_owned(),
    }
}
