//! The table of languages. A new one is a folder with its row, and a line here.
//! Invariant: everything that names the languages one by one is made from this table, or compared with it by a test.
//! Absent: Dockerfiles, which the engine builds: of them there is only the name.

use crate::detect::DOCKERFILE;
use crate::language::{Language, Languages};
use crate::{go, node, procfile, python, static_site};

pub(crate) const LANGUAGES: Languages = Languages {
    rows: &[&node::LANGUAGE, &python::LANGUAGE, &go::LANGUAGE, &static_site::LANGUAGE, &procfile::LANGUAGE],
    announced: &[
        ("Gemfile", "Ruby apps"),
        ("composer.json", "PHP apps"),
        ("Cargo.toml", "Rust apps"),
        ("pom.xml", "Java apps"),
    ],
};

/// The names that an app's buildpack setting may have.
pub const BUILDPACKS: [&str; LANGUAGES.rows.len() + 1] = names(DOCKERFILE.0, Which::All);

/// The buildpacks that fetch something which all apps share, by name.
pub const FETCHING: [&str; count(Which::Fetching)] = names("", Which::Fetching);

#[derive(Clone, Copy)]
enum Which {
    All,
    Fetching,
}

const fn wanted(row: &Language, which: Which) -> bool {
    matches!(which, Which::All) || !row.usual.is_empty()
}

const fn count(which: Which) -> usize {
    let (mut n, mut rows) = (0, LANGUAGES.rows);
    while let [row, rest @ ..] = rows {
        n += wanted(row, which) as usize;
        rows = rest;
    }
    n
}

/// The names of these rows, and after them `last`, as far as there is room.
const fn names<const N: usize>(last: &'static str, which: Which) -> [&'static str; N] {
    let mut names = [last; N];
    let mut free: &mut [&'static str] = &mut names;
    let mut rows = LANGUAGES.rows;
    while let [row, rest @ ..] = rows {
        if wanted(row, which)
            && let [slot, more @ ..] = free
        {
            *slot = row.name;
            free = more;
        }
        rows = rest;
    }
    names
}
