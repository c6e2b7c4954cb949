//! Hoist's data plane: hosts and paths in, running targets out.
//!
//! [`run`] is the process `hoist router`; [`client`] is how the control process speaks to it; [`table`] are the words
//! they share. The router serves from its own disk while everything else is dead. It knows no app, no Docker, no
//! database, and prints nothing.

mod access;
pub mod client;
pub mod code;
mod config;
mod control;
mod control_socket;
mod disk;
pub mod gate;
pub mod headers;
pub mod journal;
pub mod proto;
mod run;
mod source;
pub mod spool;
pub mod table;
mod worker;
mod worker_pool;

pub use client::RouterClient;
pub use config::{Limits, RouterConfig, RouterError};
pub use gate::HeadLimits;
pub use run::{Ready, run};
pub use source::{BadNetwork, Network};
