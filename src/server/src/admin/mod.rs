//! The admin socket: commands of the local administrator, and the calls of git's hooks.
//!
//! `DATA/run/admin.sock`, for root and the server's own user only. Frames both ways (see `frames`); the first is a hello
//! that says what follows. Standard input is sent only on request, one piece at a time, so that the server always reads
//! and notices at once when the client ends.
//! Absent: parsing (the words arrive as the client's shell split them) and any meaning of a hook's frames.

mod carry;
mod client;
mod hook;
mod server;
mod session;
mod share;
#[cfg(test)]
mod tests;

pub use client::run_command;
pub use hook::{HookClient, HookHandler, HookIo};
pub use server::{LocalShell, Server};
pub use session::{authorized_keys, run_session};
pub use share::{Gatekeeper, ShareServer};

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The socket of the server that runs on a data folder.
pub fn socket_path(data: &Path) -> PathBuf {
    data.join("run").join("admin.sock")
}

/// The first frame.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Hello {
    /// Run a command.
    Command {
        /// The words.
        argv: Vec<String>,
        /// Whether its output goes to a terminal.
        tty: bool,
        /// Whether standard input will be sent on request; otherwise it is empty.
        stdin: bool,
    },
    /// sshd asks for the line of a key in `authorized_keys`.
    Key {
        /// `SHA256:…`.
        fingerprint: String,
        /// The program that asks, to be named in the forced command.
        program: String,
    },
}

/// The first frame on the socket for sshd's sessions.
#[derive(Debug, Serialize, Deserialize)]
struct Session {
    /// What sshd was given for this login.
    ticket: String,
    /// The line that the client sent; empty: none.
    line: String,
    /// The client's wish for git's protocol.
    git_protocol: Option<String>,
    /// The client's address, as sshd says it.
    peer: Option<SocketAddr>,
    /// Whether its output goes to a terminal.
    tty: bool,
    /// Whether standard input will be sent on request.
    stdin: bool,
}

/// How long a client may take to say what it wants.
const HELLO_MAX: Duration = Duration::from_secs(5);
