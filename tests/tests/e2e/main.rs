//! The real suite: one test binary, a module per subject. Each test has a server of its own (`e2e::World`).

#![allow(clippy::disallowed_methods, reason = "tests run programs and threads of their own")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod ahead;
mod bombs;
mod ci;
mod circles;
mod config;
mod crash;
mod crowds;
mod disk;
mod dockerfile;
mod docs;
mod doctor;
mod domains;
mod failures;
mod heal;
mod hooks;
mod hostile;
mod install;
mod languages;
mod lfs;
mod locks;
mod logs;
mod mistakes;
mod outside;
mod people;
mod permissions;
mod processes;
mod push;
mod quota;
mod registry;
mod rights;
mod run;
mod run_life;
mod share;
mod sockets;
mod ssh_audit;
mod start;
mod submodules;
mod team;
mod tidy;
mod validators;
mod web;
mod windows;
