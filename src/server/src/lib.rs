//! The control process: SSH, git, builds, releases, reconciling, logs; and the shell around `domain`'s decisions.
//!
//! Layers (a test holds them): ssh → commands → {deploy, store, git}; deploy, reconcile → {store, engine, build, routes};
//! store and engine never see each other.

pub mod admin;
pub mod base;
pub mod build;
pub mod builder;
pub mod cli;
pub mod commands;
pub mod dataplane;
pub mod deploy;
pub mod disks;
pub mod first_admin;
pub mod forget;
pub mod inside;
pub mod platform;
pub mod reconcile;
pub mod routes;
pub mod serve;
pub mod shell;
pub mod ssh;
pub mod usage;
