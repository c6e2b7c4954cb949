//! What every part of the server stands on: faults, tasks, programs, files and limits of this machine, the configuration.
//!
//! Absent: apps, releases, the store, the engine.

pub mod clock;
pub mod dns;
pub mod fault;
pub mod frames;
pub mod host_checks;
pub mod io;
pub mod layout;
pub mod places;
pub mod proc;
pub mod restrictions;
pub mod rights;
pub mod settings;
pub mod systemd;
pub mod tasks;
pub mod trash;
pub mod whole;
