//! The router over real sockets: every test starts its own on port 0 with a folder of its own. No sleeps: states are
//! waited for, with a deadline.

#![allow(clippy::disallowed_methods, reason = "tests spawn and run programs of their own")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod harness;

mod change;
mod claims;
mod crowd;
mod differential;
mod disk;
mod forward;
mod hostile;
mod hosts;
mod limits;
mod process;
mod upgrade;
