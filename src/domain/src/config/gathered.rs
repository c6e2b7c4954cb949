//! What the readers of files gather: config vars, and what is wrong in which line. Invariant: no problem holds a value.

use super::vars::ConfigVars;
use crate::names::VarName;
use crate::secret::Secret;
use std::collections::BTreeMap;

/// What is wrong in a file and where; never a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// The line, from 1 on.
    pub line: usize,
    /// A sentence.
    pub what: String,
}

/// One assignment that was read.
pub(super) struct Assigned {
    pub line: usize,
    pub name: String,
    pub value: String,
}

/// Vars by name while they are gathered; a name that is there twice is a problem.
#[derive(Default)]
pub(super) struct Gathered {
    vars: ConfigVars,
    lines: BTreeMap<VarName, usize>,
    pub problems: Vec<Problem>,
}

impl Gathered {
    pub fn add(&mut self, found: Assigned) {
        let Assigned { line, name, value } = found;
        // The text of a line that is no assignment may be part of a secret: it is not repeated.
        let Ok(name) = name.parse::<VarName>() else {
            return self.problem(line, "what stands before = is no name (letters, digits and _, no digit first)");
        };
        if value.contains('\0') {
            return self.problem(line, format!("the value of {name} has a NUL byte"));
        }
        match self.lines.insert(name.clone(), line) {
            Some(before) => self.problem(line, format!("{name} is set in line {before} already")),
            None => {
                self.vars.insert(name, Secret::new(value));
            }
        }
    }

    pub fn problem(&mut self, line: usize, what: impl Into<String>) {
        self.problems.push(Problem { line, what: what.into() });
    }

    pub fn done(self) -> Result<ConfigVars, Vec<Problem>> {
        if self.problems.is_empty() { Ok(self.vars) } else { Err(self.problems) }
    }
}
