//! A server below the commands in one process: the real store, driver, effects, reconciler and logs over fakes of everything
//! that runs on the outside. A deploy takes milliseconds, and a [`Fuse`] ends the process, or fails a call, at any of its calls.

mod fuse;
mod wire;
mod world;

pub use fuse::{Blow, Fuse, Point};
pub use wire::Wire;
pub use world::{Life, World};
