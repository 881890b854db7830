//! Kubo (`ipfs`), where it is installed: a daemon of its own repository, offline, asked over its HTTP API by
//! one connection that is kept.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::outcome::{During as _, Outcome, fail};
use crate::peers;
use crate::run::Run;
use crate::served::{Served, in_session_of_its_own};

/// The name in the tables.
pub const KUBO: &str = "ipfs";
/// Separates the parts of a request; blocks of the benchmarks do not have it in them.
const BOUNDARY: &str = "ipfs-persist-mount-benchmark-boundary";

/// A daemon, and the connection to it.
#[derive(Debug)]
pub struct Kubo {
    connection: Mutex<BufReader<TcpStream>>,
    /// The daemon.
    pub served: Served,
}

impl Kubo {
    /// Starts a daemon on a new repository; `None` if Kubo is not installed.
    pub fn start(run: &mut Run, topic: &str) -> Outcome<Option<Self>> {
        if peers::version(KUBO, "--version").is_none() {
            run.results.miss(KUBO, "not found");
            return Ok(None);
        }
        let repository = run.place(topic, KUBO)?;
        set_up(&repository, &["init"])?;
        set_up(&repository, &["config", "Addresses.API", "/ip4/127.0.0.1/tcp/0"])?;
        set_up(&repository, &["config", "--json", "Addresses.Gateway", "[]"])?;
        set_up(&repository, &["config", "--json", "Addresses.Swarm", "[]"])?;
        let mut command = in_session_of_its_own(KUBO);
        prepare(&mut command, &repository).args(["daemon", "--offline"]).stderr(Stdio::null());
        let (served, said) = Served::process(command, &repository, |line| line.contains("Daemon is ready"))?;
        let port =
            said.iter().find_map(|line| line.split_once("API server listening on /ip4/127.0.0.1/tcp/"));
        let Some((_, port)) = port else { return fail("Kubo does not say where its API is") };
        let stream = TcpStream::connect(format!("127.0.0.1:{}", port.trim())).during("connect to Kubo")?;
        stream.set_nodelay(true)?;
        Ok(Some(Self { connection: Mutex::new(BufReader::new(stream)), served }))
    }

    /// Stores a block as raw, with sha2-256.
    pub fn put(&self, bytes: &[u8]) -> Outcome<()> {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"block\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let body = [head.as_bytes(), bytes, tail.as_bytes()].concat();
        self.ask("block/put?cid-codec=raw", &body).map(|_| ())
    }

    /// The bytes of a block.
    pub fn get(&self, cid: &str) -> Outcome<Vec<u8>> {
        self.ask(&format!("block/get?arg={cid}"), &[])
    }

    fn ask(&self, what: &str, body: &[u8]) -> Outcome<Vec<u8>> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let kind = if body.is_empty() {
            String::new()
        } else {
            format!("Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n")
        };
        let length = body.len();
        let head = format!(
            "POST /api/v0/{what} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n{kind}\r\n"
        );
        connection.get_mut().write_all(&[head.as_bytes(), body].concat())?;
        let answer = read_answer(&mut connection).during(format!("ask Kubo {what}"))?;
        Ok(answer)
    }
}

fn prepare<'a>(command: &'a mut Command, repository: &Path) -> &'a mut Command {
    command.env("IPFS_PATH", repository).env("IPFS_TELEMETRY", "off").stdin(Stdio::null())
}

fn set_up(repository: &Path, arguments: &[&str]) -> Outcome<()> {
    let mut command = Command::new(KUBO);
    let output = prepare(&mut command, repository).args(arguments).output().during("start Kubo")?;
    if output.status.success() {
        return Ok(());
    }
    fail(format!("ipfs {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr)))
}

/// An answer of HTTP/1.1, with a length or in chunks (RFC 9112).
fn read_answer(connection: &mut BufReader<TcpStream>) -> Outcome<Vec<u8>> {
    let status = read_line(connection)?;
    let (mut length, mut chunked) = (0, false);
    loop {
        let line = read_line(connection)?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        chunked |= line.starts_with("transfer-encoding:") && line.contains("chunked");
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body)?;
    if chunked {
        read_chunks(connection, &mut body)?;
    }
    if status.split(' ').nth(1) == Some("200") {
        return Ok(body);
    }
    fail(format!("{status}: {}", String::from_utf8_lossy(&body)))
}

fn read_chunks(connection: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> Outcome<()> {
    loop {
        let size = usize::from_str_radix(&read_line(connection)?, 16)?;
        if size == 0 {
            // What follows the last chunk.
            while !read_line(connection)?.is_empty() {}
            return Ok(());
        }
        let from = body.len();
        body.resize(from + size, 0);
        connection.read_exact(body.get_mut(from..).unwrap_or_default())?;
        read_line(connection)?;
    }
}

fn read_line(connection: &mut BufReader<TcpStream>) -> Outcome<String> {
    let mut line = String::new();
    if connection.read_line(&mut line)? == 0 {
        return fail("the connection was closed");
    }
    Ok(line.trim_end().to_owned())
}
