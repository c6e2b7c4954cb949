//! The commands over ssh and the admin socket: [`dispatch`] runs them, a handler for each verb does the work, [`context`] is
//! what handlers reach.

mod apps;
mod audit;
mod base;
mod builds;
mod config;
mod context;
mod crowd;
mod dispatch;
mod doctor;
mod domains;
mod enter;
mod events;
mod follow;
mod git;
mod kept;
mod keys;
mod leaving;
mod logs;
mod maintenance;
mod people;
mod plans;
mod processes;
mod quota;
mod registry;
mod releases;
mod render;
mod reply;
mod run;
pub mod seams;
mod secrets;
mod server;
mod shell;
mod show;
mod sizes;
#[cfg(test)]
mod tests;
mod turn;
pub mod usage;
mod welcome;

pub use context::{Commands, Inner};
pub use git::end_unused;
pub use server::Server;
