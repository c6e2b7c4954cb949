//! The control process put together: SSH, the admin socket, and what they reach; and the words of the command line.

pub mod admin;
pub mod cli;
pub mod dataplane;
pub mod first_admin;
pub mod forget;
pub mod serve;
pub mod shell;
