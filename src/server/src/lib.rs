//! The control process: SSH, git, builds, releases, reconciling, logs; and the shell around `domain`'s decisions.
//!
//! Layers (a test holds them): ssh → commands → {deploy, store, git}; deploy, reconcile → {store, engine, build, routes};
//! store and engine never see each other.

pub mod admin;
pub mod base;
pub mod build;
pub mod builder;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod dataplane;
pub mod deploy;
pub mod disks;
pub mod dns;
pub mod engine;
pub mod fault;
pub mod first_admin;
pub mod forget;
pub mod git;
pub mod images;
pub mod inside;
pub mod io;
pub mod layout;
pub mod logs;
pub mod net;
pub mod places;
pub mod platform;
pub mod probes;
pub mod proc;
pub mod reconcile;
pub mod rights;
pub mod routes;
pub mod serve;
pub mod settings;
pub mod shell;
pub mod ssh;
pub mod store;
pub mod systemd;
pub mod tasks;
pub mod trash;
pub mod usage;
pub mod walls;
