//! The end-to-end harness: a real server, the real git and ssh, a small HTTP client of its own.
//!
//! A [`World`] is one installation in a folder of its own; when it is dropped, nothing of it may be left in the engine.
//! Invariant: nothing sleeps to synchronise; waiting is [`wait_for`] a state with a deadline.

#![allow(clippy::disallowed_methods, reason = "a harness runs programs and threads of its own")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what fails in a harness is a failed test"
)]

mod app;
pub mod engine;
mod http;
mod load;
mod memory;
mod outside;
mod proc;
mod programs;
mod seed;
mod serve;
mod sshd;
mod terminal;
mod user;
mod wait;
mod world;

pub use app::App;
pub use http::{Client, Response};
pub use load::Report;
pub use memory::{Peak, peak};
pub use outside::Outside;
pub use proc::{Output, Running, quoted, run};
pub use programs::{only_listed, program};
pub use serve::processes;
pub use sshd::HostSshd;
pub use terminal::Terminal;
pub use user::User;
pub use wait::{try_for, wait_for};
pub use world::{World, binary, hoist, repository};
