//! Who listens inside an instance, read from the kernel's files of its network namespace.

use domain::listeners::{Connection, Listener, connection, parse};
use std::io::{self, Read};
use std::net::SocketAddr;

/// Bytes read of each file; a busy instance has many connections, its listeners come first.
const FILE_MAX: u64 = 1 << 20;

/// The TCP listeners in the network namespace of the process `pid` (an instance's init, as [`super::Status::Running`] has it).
pub fn listeners(pid: u32) -> io::Result<Vec<Listener>> {
    Ok(parse(&read(pid, "tcp")?, &read(pid, "tcp6")?))
}

/// What became in there of the connection that was made from `from` to `port`.
pub fn taken(pid: u32, from: SocketAddr, port: u16) -> io::Result<Connection> {
    Ok(connection(&read(pid, "tcp")?, &read(pid, "tcp6")?, from, port))
}

fn read(pid: u32, file: &str) -> io::Result<String> {
    let mut text = String::new();
    match std::fs::File::open(format!("/proc/{pid}/net/{file}")) {
        Ok(open) => open.take(FILE_MAX).read_to_string(&mut text).map(|_| text),
        // A kernel without IPv6 has no tcp6; a process that is gone has neither.
        Err(err) if err.kind() == io::ErrorKind::NotFound && file == "tcp6" => Ok(text),
        Err(err) => Err(err),
    }
}
