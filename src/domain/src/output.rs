//! Reads a build tool's output as it comes: leaves out help that nobody asked for, and notes the likely cause of a failure.

/// What the usual failures of npm mean: its code, why, what to type.
const NPM: [(&str, &str, &str); 5] = [
    (
        "EUSAGE",
        "package-lock.json does not fit package.json",
        "npm install && git add package-lock.json && git commit -m 'Lock', push again",
    ),
    (
        "ERESOLVE",
        "two packages want different versions of a third",
        "npm install here until it succeeds, commit package.json and package-lock.json, push again",
    ),
    ("E404", "the registry does not have one of the packages", "check its name and version in package.json"),
    ("E401", "the registry wants to know who asks", "set the token that .npmrc names: config:set APP NPM_TOKEN=…"),
    ("E403", "the registry does not let this token read a package", "config:set APP NPM_TOKEN=… with one that may"),
];

/// One output while it is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    in_help: bool,
    cause: Option<(&'static str, &'static str)>,
}

impl Output {
    /// Takes a line; whether it is worth showing.
    pub fn keep(&mut self, line: &str) -> bool {
        let Some(said) = line.strip_prefix("npm error") else {
            // npm's help is one block of its own lines.
            self.in_help = false;
            return true;
        };
        let said = said.trim();
        if let Some(code) = said.strip_prefix("code ") {
            self.cause = NPM.iter().find(|(known, ..)| *known == code).map(|(_, why, next)| (*why, *next));
        }
        match said {
            "Usage:" | "Clean install a project" => self.in_help = true,
            said if said.starts_with("Run \"npm help") => {
                self.in_help = false;
                return false;
            }
            _ => {}
        }
        // The log lies in a folder that is gone by the time anybody could look.
        !self.in_help && !said.is_empty() && !said.starts_with("A complete log of this run")
    }

    /// Why a tool that failed did so and what to type, where that is known.
    pub fn cause(&self) -> Option<(&'static str, &'static str)> {
        self.cause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npms_help_is_left_out_and_its_code_is_understood() {
        let said = "npm error code EUSAGE
npm error
npm error `npm ci` can only install packages when they are in sync
npm error
npm error Invalid: lock file's ms@2.1.2 does not satisfy ms@2.1.3
npm error
npm error Clean install a project
npm error
npm error Usage:
npm error npm ci
npm error   --omit
npm error Run \"npm help ci\" for more info
npm error A complete log of this run can be found in: /x
next";
        let mut output = Output::default();
        let kept: Vec<&str> = said.lines().filter(|l| output.keep(l)).collect();
        assert_eq!(
            kept,
            [
                "npm error code EUSAGE",
                "npm error `npm ci` can only install packages when they are in sync",
                "npm error Invalid: lock file's ms@2.1.2 does not satisfy ms@2.1.3",
                "next"
            ]
        );
        assert_eq!(output.cause().map(|c| c.0), Some("package-lock.json does not fit package.json"));
        let mut other = Output::default();
        assert!(other.keep("Usage:") && other.keep("") && other.keep("npm error code EOTHER"));
        assert_eq!(other.cause(), None);
    }
}
