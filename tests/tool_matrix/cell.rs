//! What a cell of the table says of one run.

use super::place::Report;
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
pub fn cell(kind: Kind, report: &Report, control: &Report, effect: &Effect) -> String {
    let said = match (told(&report.stderr), told(&report.stdout)) {
        (Some(names), _) => names,
        // zip does not separate them.
        (None, Some(names)) if report.exit != 0 => names,
        _ if report.stderr.is_empty() && report.stdout.is_empty() => "no words".to_owned(),
        _ => "own words".to_owned(),
    };
    if report.exit != 0 {
        let failed = failure(&said, u8::try_from(report.exit).unwrap_or(u8::MAX));
        return match effect {
            Effect::Nothing | Effect::Done => failed,
            Effect::Other(what) => format!("{failed}, {what}"),
        };
    }
    let mut done = match effect {
        Effect::Done => "ok".to_owned(),
        Effect::Nothing if kind == Kind::Change => "unchanged".to_owned(),
        Effect::Nothing => "silent".to_owned(),
        Effect::Other(what) if what.starts_with("leaves ") => format!("ok, {what}"),
        Effect::Other(what) => what.clone(),
    };
    if report.stdout != control.stdout {
        done += ", other output";
    }
    if report.stderr != control.stderr {
        done += &format!(", warns {said}");
    }
    if control.exit != 0 {
        done += ", and fails in an ordinary directory";
    }
    done
}

/// What a cell shows of one run: that of the row, where the row leaves open whether the tool warns.
pub fn settled(cell: String, expected: &str) -> String {
    let Some((done, errno)) = expected.split_once(", may warn ") else { return cell };
    let known = cell == done || cell == format!("{done}, warns {errno}");
    if known { expected.to_owned() } else { cell }
}
