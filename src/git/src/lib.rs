//! Git: bare repositories, the receiving and serving of packs, hooks that call back, and reading of trees.
//!
//! Invariants: nothing is ever checked out on the host, no symbolic link is followed, no filter and no hook but ours
//! runs, and no text of a user reaches a revision parser. git2 lives here and nowhere else; what moves a ref or takes
//! a pack is the `git` program, whose locking, quarantine and syncing to disk we keep.

mod frames;
mod head;
mod hook;
mod hook_server;
mod layout;
pub mod lfs;
mod messages;
mod pktline;
mod read;
mod refs;
mod repos;
mod serve;
mod shallow;
mod sideband;
mod slugignore;
mod submodules;
mod walk;

pub use frames::{Frames, SocketFrames};
pub use hook::hook_main;
pub use hook_server::{HookFrames, LineSender, Receiver, serve_hook};
pub use messages::{Hello, JudgeAsk, Judged, ReceiveAsk, RefOutcome, RefReply};
pub use read::{CommitInfo, FileEntry, Gitlink, Kind, Reader, TreeEntry, blob_id};
pub use repos::{PushTicket, Quarantine, Repos, ReposConfig};

#[cfg(test)]
mod tests;
