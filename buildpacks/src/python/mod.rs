//! Python: what requirements and lock files say, installed by uv, made into layers.
//! Invariant: a changed line of source reinstalls nothing and, without collectstatic, starts no container.
//! Absent: conda, setup.py alone, Pythons that Debian does not have.

mod app;
mod asked;
mod causes;
mod debian;
mod dependencies;
mod layers;
mod locking;
mod locks;
mod project;
mod range;
mod requirements;
mod start;
#[cfg(test)]
mod tests;
mod tool;
mod unlocked;
mod version;

use crate::language::{Claim, Language, Look};
use crate::refusal::Refusal;
use crate::static_site;
use crate::tree::{FILE_MAX, LOCK_MAX, SOURCE_MAX, Tree};

pub(crate) const LANGUAGE: Language = Language {
    name: "python",
    aliases: &["heroku/python"],
    signs: &["requirements.txt", "pyproject.toml"],
    add: "requirements.txt (Python)",
    looks: &[
        Look::Into("uv.lock", LOCK_MAX),
        Look::Into("poetry.lock", LOCK_MAX),
        Look::Into("Pipfile.lock", LOCK_MAX),
        Look::Into("pyproject.toml", FILE_MAX),
        Look::Into("Pipfile", FILE_MAX),
        Look::Into(".python-version", FILE_MAX),
        Look::Into("runtime.txt", FILE_MAX),
        Look::Into("manage.py", FILE_MAX),
        Look::There("setup.py"),
        Look::IntoEach(requirements::may_be_list, FILE_MAX),
        Look::IntoEach(start::may_hold_app, SOURCE_MAX),
        Look::IntoEach(start::is_settings, SOURCE_MAX),
    ],
    claim,
    ask: app::ask,
    plan: app::plan,
    lock: Some(locking::LOCKING),
    causes: causes::CAUSES,
    explain: causes::explain,
    usual: &[("requirements.txt", "flask==3.1.0\n"), ("Procfile", "web: python -m flask run\n")],
};

/// Files any of which makes an app a Python app.
const SIGNS: [&str; 8] = [
    "requirements.txt",
    "uv.lock",
    "poetry.lock",
    "Pipfile.lock",
    "Pipfile",
    "pyproject.toml",
    "manage.py",
    "setup.py",
];

fn claim(tree: &Tree) -> Result<Claim, Refusal> {
    if !SIGNS.iter().any(|name| tree.0.contains_key(*name)) {
        return Ok(Claim::None);
    }
    // Sites that Node.js makes have Python for their tools.
    let site = tree.0.contains_key("package.json") && static_site::present(tree);
    Ok(if site { Claim::Tools } else { Claim::Likely })
}
