//! Deploys and what keeps their results running: the shell around `domain::deploy` and `domain::reconcile`.
//!
//! The driver asks for the next step, writes the intent, runs the effect, writes the outcome; a restart loads the open rows and
//! goes on in the same loop. The reconciler reads the store and the engine afresh and removes the difference. What both reach
//! on the outside is behind the traits in [`Parts`].

pub mod app_lock;
pub mod boot;
pub mod branches;
mod consent;
pub mod disks;
mod driver;
mod effects;
mod ending;
pub mod exec;
mod held;
pub mod hooks;
mod log_lines;
pub mod network;
pub mod once;
mod oneoff;
mod platform;
pub mod probe;
pub mod quota;
pub mod reconcile;
pub mod room;
pub mod spec;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::unwrap_used, clippy::panic, clippy::missing_panics_doc, reason = "tests")]
pub mod testing;
#[cfg(test)]
mod tests;

pub use driver::Deploys;
pub use held::Held;
pub use log_lines::LogLines;
pub use platform::{Parts, Platform};
