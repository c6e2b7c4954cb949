//! The driver, its effects and the reconciler over fakes.

mod crash;
mod events;
mod log;
mod usual;
