//! Every decision of Hoist, as pure functions over plain data.
//!
//! Invariant: no I/O, no clock, no randomness, no `async`; time and ids are arguments, maps are ordered, and no input
//! makes it panic. Absent on purpose: SQL, Docker words, HTTP, git objects.

pub mod access;
pub mod addresses;
pub mod app_settings;
pub mod audit;
pub mod backoff;
pub mod config;
pub mod deploy;
pub mod dockerfile;
pub mod doctor;
pub mod domains;
pub mod door;
pub mod event;
pub mod fair;
pub mod flood;
pub mod floors;
pub mod formation;
pub mod hooks;
pub mod hosting;
pub mod hostname;
pub mod ids;
pub mod images;
pub mod instance;
pub mod leaving;
pub mod listeners;
pub mod names;
pub mod output;
pub mod people;
pub mod places;
pub mod procfile;
pub mod programs;
pub mod push;
pub mod queue;
pub mod quota;
pub mod reconcile;
pub mod report;
pub mod room;
pub mod routing;
pub mod run;
pub mod secret;
pub mod share;
pub mod text;
pub mod time;
pub mod words;

pub use hostname::Hostname;
pub use names::{AppId, AppName, Commit, InstallId, InstanceId, ProcessType, ReleaseNumber, UserName, VarName};
pub use refusal::{self, Refusal};
pub use secret::Secret;
pub use time::Timestamp;
