//! What every part of the server stands on: faults, tasks, programs, files and limits of this machine, the configuration.
//!
//! Absent: apps, releases, the store, the engine.

pub mod clock;
pub mod dns;
pub mod fault;
pub mod frames;
pub mod io;
pub mod layout;
pub mod places;
pub mod probes;
pub mod proc;
pub mod rights;
pub mod settings;
pub mod systemd;
pub mod tasks;
pub mod trash;
pub mod walls;
pub mod whole;
