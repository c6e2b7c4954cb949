//! Images: deterministic layers, their configuration and manifest, and the loopback registry that engines pull them from.
//!
//! Invariant: the same input gives the same bytes, so what did not change is neither sent nor unpacked again. Nothing
//! here follows a symbolic link of an app. Absent: compression (a layer's digest is its diff id), pushing, tags.

mod again;
mod archive;
mod blobs;
mod digest;
mod folder;
mod layer;
mod oci;
mod registry;
mod stack;
mod times;

#[cfg(test)]
mod live;

pub use again::pack_again;
pub use archive::{Borrowed, archive, borrow};
pub use blobs::{BlobStore, BlobWriter, Budget, Pruned};
pub use digest::{Digest, Layer};
pub use folder::FolderSource;
pub use layer::{Entry, LayerOptions, LayerWriter, Node};
pub use oci::{EPOCH, ImageConfig, architecture};
pub use registry::{Registry, Served};
pub use stack::{BUNDLE, Base, CA_VARIABLES, Stack, base, ensure_stack};
pub use times::{ContentId, FIXED, Mark, Marking, Times};
