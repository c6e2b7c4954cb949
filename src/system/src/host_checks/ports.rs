//! Who listens on a TCP port, from /proc: a socket's inode, and the processes that hold it.

use std::collections::BTreeSet;
use std::path::Path;

/// A process that holds a listening socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

/// The processes that hold sockets listening on this port. Only root sees those of others.
pub fn holders(port: u16) -> BTreeSet<Holder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let sockets: BTreeSet<String> = tables.iter().flat_map(|table| listening(table, port)).collect();
    let mut found = BTreeSet::new();
    if sockets.is_empty() {
        return found;
    }
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if holds(&entry.path(), &sockets) {
            let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            found.insert(Holder { pid, name: name.trim().to_owned() });
        }
    }
    found
}

fn holds(process: &Path, sockets: &BTreeSet<String>) -> bool {
    let files = std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    files.filter_map(|file| std::fs::read_link(file.path()).ok()).any(|to| sockets.contains(&*to.to_string_lossy()))
}

/// The listening sockets on a port, as the links in /proc/PID/fd name them.
fn listening(table: &str, port: u16) -> Vec<String> {
    let (wanted, listen) = (format!(":{port:04X}"), "0A");
    let socket = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let ours = fields.get(1)?.ends_with(&wanted) && *fields.get(3)? == listen;
        ours.then(|| Some(format!("socket:[{}]", fields.get(9)?)))?
    };
    table.lines().skip(1).filter_map(socket).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_socket_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let found = holders(listener.local_addr().unwrap().port());
        assert!(found.iter().any(|h| h.pid == std::process::id()), "{found:?}");
    }

    #[test]
    fn only_listening_sockets_of_that_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 42 1 0 100\n\
            1: 0100007F:0050 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 43 1 0 100\n\
            2: 00000000:0051 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 44 1 0 100\n";
        assert_eq!(listening(table, 80), ["socket:[42]"]);
    }
}
