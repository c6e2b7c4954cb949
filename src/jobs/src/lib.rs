//! A job: what it says, who listens, how it ends; and what a job asks of whoever makes images.
//!
//! Both who drives jobs and who builds for them stand on this, and know nothing of each other.

mod build;
mod job;
mod started;

pub use build::{BuildAsk, Builds, Made, Waited};
pub use job::{Heard, Job, Listener, Said};
pub use started::script;
