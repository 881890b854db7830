//! What the program prints besides its log: errors, notices, and lines of a result.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use crate::Error;

/// The name that every line on standard error begins with.
const PROGRAM: &str = "ipfs-persist-mount";

/// An error as people see it: one line, and a line with the hint if there is one.
pub(super) fn error_text(error: &Error) -> String {
    text_of(&error.to_string(), error)
}

fn text_of(message: &str, error: &Error) -> String {
    let mut text = format!("{PROGRAM}: {message}\n");
    let hint = error.verdict().hint;
    if !hint.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}

/// What [`error_text`] has made, without the name of the program.
pub(super) fn without_program(text: &str) -> &str {
    text.strip_prefix(PROGRAM).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(text)
}

/// The exit code of an error.
pub(super) fn exit_code(error: &Error) -> u8 {
    error.verdict().exit as u8
}

/// Shows an error on standard error and returns its exit code.
pub(super) fn fail(error: &Error) -> ExitCode {
    to_stderr(&error_text(error));
    ExitCode::from(exit_code(error))
}

/// Shows an error about one of several files or other things, and returns its exit code.
pub(super) fn fail_at(file: &Path, error: &Error) -> ExitCode {
    to_stderr(&text_of(&format!("{}: {error}", file.display()), error));
    ExitCode::from(exit_code(error))
}

/// Says something on standard error that must be seen, without asking for it.
pub(super) fn notice(text: &str) {
    to_stderr(&format!("{PROGRAM}: {text}\n"));
}

/// Writes text that is ready. Where standard error is closed there is nobody left to tell.
pub(super) fn to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Ends a command that wrote its result to standard output. A reader that has closed the pipe
/// has what it wanted.
pub(super) fn finish(written: io::Result<()>, code: ExitCode) -> crate::Result<ExitCode> {
    match written.and_then(|()| io::stdout().flush()) {
        Ok(()) => Ok(code),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(code),
        Err(source) => Err(Error::io("write to standard output", source)),
    }
}

/// A result for programs.
pub(super) fn json<T: Serialize>(value: &T) -> crate::Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::io("write JSON", error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_line_and_a_hint() {
        let error = Error::NotMounted { path: "/mnt/x".into() };
        let text = error_text(&error);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "ipfs-persist-mount: /mnt/x is not a mount of ipfs-persist-mount");
        assert!(lines[1].starts_with("hint: `findmnt"));
        assert_eq!((lines.len(), exit_code(&error)), (2, 8));
    }

    #[test]
    fn an_error_without_a_hint_is_one_line() {
        let text = error_text(&Error::NotPermitted { what: "no" });
        assert_eq!(text, "ipfs-persist-mount: no\n");
    }
}
