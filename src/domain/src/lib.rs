//! Every decision of Hoist, as pure functions over plain data.
//!
//! Invariant: no I/O, no clock, no randomness, no `async`; time and ids are arguments, maps are ordered, and no input
//! makes it panic. Absent on purpose: SQL, Docker words, HTTP, git objects.

pub mod access;
pub mod addresses;
pub mod audit;
pub mod backoff;
pub mod command;
pub mod config;
pub mod deploy;
pub mod domains;
pub mod formation;
pub mod hostname;
