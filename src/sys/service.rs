//! What the service manager is told (systemd's sd_notify(3)), if one listens.
//!
//! Invariant: a service manager that cannot be reached changes nothing for the mount.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Names the socket on which the service manager listens; `@` stands for the zero byte with which the
/// names of abstract sockets begin.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// A step in the life of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState<'a> {
    /// It can be used; what it does, in words.
    Ready(&'a str),
    /// It has begun to end.
    Stopping(&'a str),
    /// It could not begin: an errno, and the error in words.
    Failed(i32, &'a str),
}

impl ServiceState<'_> {
    /// The assignments that sd_notify(3) describes, one in each line.
    fn message(self) -> String {
        let (state, text) = match self {
            // Of a service in the background the manager knows only the process that has ended.
            ServiceState::Ready(text) => (format!("READY=1\nMAINPID={}", std::process::id()), text),
            ServiceState::Stopping(text) => ("STOPPING=1".to_owned(), text),
            ServiceState::Failed(errno, text) => (format!("ERRNO={errno}"), text),
        };
        // A line end would begin another assignment.
        format!("{state}\nSTATUS={}\n", text.lines().next().unwrap_or_default())
    }
}

/// Tells the service manager that has started this process, if one has.
pub fn tell_service_manager(state: ServiceState<'_>) {
    if let Err(error) = tell(&state.message()) {
        tracing::warn!(%error, ?state, "the service manager could not be told");
    }
}

fn tell(message: &str) -> io::Result<()> {
    let Some(name) = std::env::var_os(NOTIFY_SOCKET) else { return Ok(()) };
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(&name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_assignments_in_lines() {
        let pid = std::process::id();
        let ready = ServiceState::Ready("mounted\nREADY=0").message();
        assert_eq!(ready, format!("READY=1\nMAINPID={pid}\nSTATUS=mounted\n"));
        assert_eq!(ServiceState::Stopping("closing").message(), "STOPPING=1\nSTATUS=closing\n");
        assert_eq!(ServiceState::Failed(5, "no").message(), "ERRNO=5\nSTATUS=no\n");
    }
}
