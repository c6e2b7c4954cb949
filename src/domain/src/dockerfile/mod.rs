//! Dockerfiles as far as they need decisions: settings, what is left out of the context, what the file declares, how the
//! image is started, what the pusher sees, what a failure means.
//!
//! Invariant: pure; text of the app is never trusted to be well-formed. Absent: building,
//! which the builder does, and judging what a Dockerfile may fetch: walls stand around the builder.

mod declared;
mod explain;
mod ignore;
mod launch;
mod newer;
mod progress;
pub(crate) mod settings;
#[cfg(test)]
mod tests;

pub use declared::{Declared, Syntax, declared, syntax};
pub use explain::{Failure, explain};
pub use ignore::Ignore;
pub use launch::{DEFAULT_PORT, ImageFacts, Launch, ROOT_CAPABILITIES, launch};
pub use newer::mode_in_letters;
pub use progress::{Line, Log, Progress, Report, Status, Step};
pub use settings::{BuildSettings, DOCKERFILE};
