//! The admin socket: commands of the local administrator, and the calls of git's hooks.
//!
//! `DATA/run/admin.sock`, for root and the server's own user only. Frames both ways (see `frames`); the first is a hello
//! that says what follows. Standard input is sent only on request, one piece at a time, so that the server always reads
//! and notices at once when the client ends.
//! Absent: parsing (the words arrive as the client's shell split them) and any meaning of a hook's frames.

mod client;
pub mod frames;
mod hook;
mod server;
#[cfg(test)]
mod tests;

pub use client::run_command;
pub use hook::{HookClient, HookHandler, HookIo};
pub use server::{LocalShell, Server};

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

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
}
