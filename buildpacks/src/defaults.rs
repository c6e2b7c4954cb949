//! What answers requests where the Procfile does not say it: the language's own command, as on Heroku. Without a Procfile it is
//! the plan's; with one that names no `web`, beside its types.
//!
//! Absent: the grammar of Procfiles (crate `domain` has it). What cannot be read here is taken as one that names all.

use crate::tree::{Found, Tree};

/// What the Procfile leaves to the language.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// There is no Procfile: every process type.
    All,
    /// It names no `web`; the commands that it has.
    Web(Vec<String>),
    /// Nothing.
    Nothing,
}

impl Left {
    /// Looks at the app's Procfile.
    pub(crate) fn of(tree: &Tree) -> Left {
        if !tree.has_file("Procfile") {
            return Left::All;
        }
        let Found::File(content) = tree.find("Procfile") else { return Left::Nothing };
        let Ok(text) = std::str::from_utf8(content) else { return Left::Nothing };
        let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let named: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
        // `Web: …` is a mistake that is told of later; a second command would hide it.
        match named.iter().any(|(name, _)| name.trim().eq_ignore_ascii_case("web")) {
            true => Left::Nothing,
            false => Left::Web(named.iter().map(|(_, command)| command.trim().to_owned()).collect()),
        }
    }

    /// Whether the language's `web` is to be started by this command. Not where the Procfile runs the same under another name:
    /// then that is what the app is.
    pub(crate) fn takes(&self, command: &str) -> bool {
        match self {
            Left::All => true,
            Left::Web(others) => !others.iter().any(|other| other.trim_start_matches("exec ") == command),
            Left::Nothing => false,
        }
    }

    /// Where a command comes from, with that the Procfile has none.
    pub(crate) fn from(&self, from: &str) -> String {
        match self {
            Left::All | Left::Nothing => from.to_owned(),
            Left::Web(_) => format!("{from}; the Procfile has no web"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tree;

    #[test]
    fn what_a_procfile_leaves() {
        let left = |text: &str| Left::of(&tree(&format!("-- Procfile\n{text}")));
        assert_eq!(Left::of(&tree("-- app.py")), Left::All);
        for names_it in ["web: x", "release: y\r\n web : x", "\u{feff}web: x", "Web: x"] {
            assert_eq!(left(names_it), Left::Nothing, "{names_it:?}");
        }
        for names_none in ["release: y\n", "# web: x\nworker: y", "webhook: y"] {
            assert_eq!(left(names_none), Left::Web(vec!["y".to_owned()]), "{names_none:?}");
        }
        let worker = left("worker: exec node bot.js\n");
        assert!(!worker.takes("node bot.js") && worker.takes("npm start"));
        assert_eq!(worker.from("server.js"), "server.js; the Procfile has no web");
    }
}
