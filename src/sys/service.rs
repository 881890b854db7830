//! What the service manager is told (systemd's sd_notify(3)), if one listens.
//!
//! Invariant: a service manager that cannot be reached changes nothing for the mount.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Names the socket on which the service manager listens; `@` stands for the zero byte with which the
/// names of abstract sockets begin.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// How long a manager that does not read keeps us.
const SEND_WAIT: Duration = Duration::from_secs(5);

/// A step in the life of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState<'a> {
    /// It can be used: its process, and what it does, in words.
    Ready(u32, &'a str),
    /// It has begun to end.
    Stopping(&'a str),
    /// It could not begin: an errno, and the error in words.
    Failed(i32, &'a str),
}

impl ServiceState<'_> {
    /// The assignments that sd_notify(3) describes, one in each line.
    fn message(self) -> String {
        let (state, text) = match self {
            ServiceState::Ready(pid, text) => (format!("READY=1\nMAINPID={pid}"), text),
            ServiceState::Stopping(text) => ("STOPPING=1".to_owned(), text),
            ServiceState::Failed(errno, text) => (format!("ERRNO={errno}"), text),
        };
        // A line end would begin another assignment.
        format!("{state}\nSTATUS={}\n", text.lines().next().unwrap_or_default())
    }
}

/// Tells the service manager that has started this process, if one has. It listens to the process that it
/// knows: of a mount in the background, to the command until that has named the daemon and ended.
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
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(SEND_WAIT))?;
    socket.send_to_addr(message.as_bytes(), &address).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_assignments_in_lines() {
        let ready = ServiceState::Ready(7, "mounted\nREADY=0").message();
        assert_eq!(ready, "READY=1\nMAINPID=7\nSTATUS=mounted\n");
        assert_eq!(ServiceState::Stopping("closing").message(), "STOPPING=1\nSTATUS=closing\n");
        assert_eq!(ServiceState::Failed(5, "no").message(), "ERRNO=5\nSTATUS=no\n");
    }
}
