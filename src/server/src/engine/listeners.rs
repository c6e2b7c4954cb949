//! Who listens inside an instance, read from the kernel's files of its network namespace.

use domain::listeners::{Listener, parse};
use std::io::{self, Read};

/// Bytes read of each file; a busy instance has many connections, its listeners come first.
const FILE_MAX: u64 = 1 << 20;

/// The TCP listeners in the network namespace of the process `pid` (an instance's init, as [`super::Status::Running`] has it).
pub fn listeners(pid: u32) -> io::Result<Vec<Listener>> {
    Ok(parse(&read(pid, "tcp")?, &read(pid, "tcp6")?))
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
