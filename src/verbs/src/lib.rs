//! The command surface: one table of verbs; words, parser, help, documentation and audit lines derive from it.
//!
//! Invariant: whatever is typed becomes a [`Request`] or a [`Refusal`] that says what to type instead; never a panic.
//! Absent: handlers (the server's `commands/`), and any shell.

mod arguments;
#[cfg(test)]
mod docs_tests;
mod elsewhere;
mod help;
mod parse;
mod parsed;
mod request;
mod said;
mod spec;
mod table;
#[cfg(test)]
mod tests;
mod verb;

pub use arguments::{Arguments, Nothing};
pub use help::{help_for, help_overview, markdown};
pub use parse::{find, parse, unknown};
pub use parsed::{Parsed, number};
pub use request::{Format, Request, audit_line};
pub use said::{Said, said, said_words};
pub use spec::{AppArg, Arg, Audit, Flag, Group, Shape, Spec, Stdin, Takes};
pub use table::{TABLE, args};
pub use verb::Verb;
