//! Git LFS: the large files that a commit names by pointers. A client brings and fetches them over ssh, by the program that it
//! calls `git-lfs-transfer`; they lie within the app's repository, named by the SHA-256 of their bytes.
//!
//! Invariant: what has an object's name is the whole object. Absent: who may do this, and how much of it; both are asked
//! of the caller.

mod collect;
mod moving;
mod pointer;
mod serve;
mod store;
mod wire;

pub(crate) use moving::Moving;
pub use pointer::{ObjectId, Pointer};
pub(crate) use pointer::{POINTER_MAX, POINTER_MIN};
pub use serve::{Gate, Held};
pub use store::Collected;
pub(crate) use store::Store;

/// Bytes of one object, at most.
pub const OBJECT_MAX: u64 = 2_000_000_000;
