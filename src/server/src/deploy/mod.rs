//! Deploys: the shell around `domain::deploy`. The driver asks for the next step, writes the intent, runs the effect,
//! writes the outcome; a restart loads the open rows and goes on in the same loop.

pub mod boot;
mod driver;
mod effects;
mod hooks;
pub mod job;
pub mod network;
pub mod once;
mod oneoff;
pub mod quota;
pub mod spec;
pub mod turns;

pub use driver::Deploys;
pub use job::{Heard, Job, Said};
pub use once::Held;
