//! Reads a build tool's output as it comes and leaves out help that nobody asked for.

/// One output while it is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Help {
    inside: bool,
}

impl Help {
    /// Takes a line; whether it is worth showing.
    pub fn keep(&mut self, line: &str) -> bool {
        let Some(said) = line.strip_prefix("npm error") else {
            // npm's help is one block of its own lines.
            self.inside = false;
            return true;
        };
        let said = said.trim();
        match said {
            "Usage:" | "Clean install a project" => self.inside = true,
            said if said.starts_with("Run \"npm help") => {
                self.inside = false;
                return false;
            }
            _ => {}
        }
        // The log lies in a folder that is gone by the time anybody could look.
        !self.inside && !said.is_empty() && !said.starts_with("A complete log of this run")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn npms_help_is_left_out() {
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
        let mut help = Help::default();
        let kept: Vec<&str> = said.lines().filter(|l| help.keep(l)).collect();
        assert_eq!(
            kept,
            [
                "npm error code EUSAGE",
                "npm error `npm ci` can only install packages when they are in sync",
                "npm error Invalid: lock file's ms@2.1.2 does not satisfy ms@2.1.3",
                "next"
            ]
        );
        let mut other = Help::default();
        assert!(other.keep("Usage:") && other.keep("") && other.keep("npm error code EOTHER"));
    }
}
