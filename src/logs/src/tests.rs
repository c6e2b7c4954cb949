//! Tests of the logs: a writer that keeps to the spool's protocol, and what must hold however it is interrupted.

mod core;
mod flow;
mod once;
mod segments;
mod writer;
