//! The driver, its effects and the reconciler over fakes.

mod crash;
mod log;
mod usual;
