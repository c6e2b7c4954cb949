//! Which buildpack builds these files.
//! Invariant: the app's setting wins; then what can be started as a server; then what can be served as a site.
//! Absent: Dockerfiles and buildpacks by address, named in the refusal.

use crate::node::{self, Package};
use crate::plan::Settings;
use crate::refusal::{Refusal, quote};
use crate::static_site::{self, Site};
use crate::tree::{Kind, Tree};

/// What builds the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Buildpack {
    Node,
    Static,
    /// A site that a Node.js build makes.
    BuiltSite(Site),
}

/// Files whose name decides, in their right spelling.
const DECIDING: [&str; 8] = [
    "package.json",
    "package-lock.json",
    "Procfile",
    "index.html",
    "static.json",
    "Staticfile",
    "server.js",
    "Dockerfile",
];
/// Signs of what is not built here yet.
const LATER: [(&str, &str); 9] = [
    ("Dockerfile", "Dockerfiles"),
    ("requirements.txt", "Python apps"),
    ("pyproject.toml", "Python apps"),
    ("Pipfile", "Python apps"),
    ("go.mod", "Go apps"),
    ("Gemfile", "Ruby apps"),
    ("composer.json", "PHP apps"),
    ("Cargo.toml", "Rust apps"),
    ("pom.xml", "Java apps"),
];

pub(crate) fn detect(tree: &Tree, settings: &Settings) -> Result<Buildpack, Refusal> {
    match settings.buildpack.as_deref().map(str::trim) {
        None | Some("") => {}
        Some("node" | "nodejs" | "heroku/nodejs") => return Ok(built_site(tree)?.unwrap_or(Buildpack::Node)),
        Some("static" | "static-site" | "heroku/static" | "staticfile") => return Ok(Buildpack::Static),
        Some(other) => {
            let why = format!("the app's buildpack setting is {}; there are: node, static", quote(other));
            let next = "set the buildpack to node or static, or remove the setting to let the files decide";
            return Err(Refusal::new("unknown-buildpack", "this buildpack is not here", why, next));
        }
    }
    if !tree.0.contains_key("package.json") {
        return if static_site::present(tree) { Ok(Buildpack::Static) } else { Err(nothing(tree)) };
    }
    if let Some(site) = built_site(tree)? {
        return Ok(site);
    }
    let Some(package) = Package::read(tree)? else { return Ok(Buildpack::Node) };
    let builds = node::build_script(&package).is_some();
    if static_site::present(tree) && !builds && !node::serves(tree, &package) {
        return Ok(Buildpack::Static);
    }
    Ok(Buildpack::Node)
}

/// A package.json that builds and does not serve, with a file that names the site's root.
fn built_site(tree: &Tree) -> Result<Option<Buildpack>, Refusal> {
    let Some(package) = Package::read(tree)? else { return Ok(None) };
    if node::serves(tree, &package) || node::build_script(&package).is_none() {
        return Ok(None);
    }
    let site = Site::read(tree)?.filter(|site| site.root_named && !site.root.is_empty());
    Ok(site.map(Buildpack::BuiltSite))
}

fn nothing(tree: &Tree) -> Refusal {
    const LOOKED: &str = "looked for: package.json, static.json, Staticfile, index.html, public/index.html";
    const WHAT: &str = "nothing here can be built";
    if tree.0.is_empty() {
        let next = "commit the app's files (`git add .`, `git commit`) and push";
        return Refusal::new("nothing-to-build", WHAT, format!("the commit has no files. {LOOKED}"), next);
    }
    let mut later: Vec<&str> =
        LATER.iter().filter(|(file, _)| tree.0.contains_key(*file)).map(|(_, what)| *what).collect();
    later.dedup();
    let mut next: Vec<String> =
        misspelt(tree).into_iter().map(|(is, should)| format!("git mv {is} {should}")).collect();
    next.extend(in_folder(tree));
    next.push("add a package.json (Node.js) or an index.html (static site), commit and push".to_owned());
    let why = match later.is_empty() {
        true => LOOKED.to_owned(),
        false => format!("building {} comes next and is not there yet. {LOOKED}", later.join(" and ")),
    };
    Refusal { code: "nothing-to-build".into(), what: WHAT.into(), why, next }
}

/// An app that lies in a folder of the repository.
fn in_folder(tree: &Tree) -> Option<String> {
    let plain = |folder: &str| folder.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    let mut folders =
        tree.0.keys().filter_map(|path| path.strip_suffix("/package.json").or(path.strip_suffix("/index.html")));
    let folder = folders.find(|folder| plain(folder))?;
    Some(format!("the app is in {folder}/? `git push hoist $(git subtree split --prefix {folder}):refs/heads/main`"))
}

/// Files that are named almost like one that decides: as they are, as they should be.
fn misspelt(tree: &Tree) -> Vec<(String, &'static str)> {
    let at_root = tree.0.keys().filter(|path| !path.contains('/'));
    let right = |path: &String| {
        let should = DECIDING.iter().find(|name| name.eq_ignore_ascii_case(path))?;
        (*should != path && !tree.0.contains_key(*should)).then(|| (path.clone(), *should))
    };
    at_root.filter_map(right).collect()
}

/// What any app should be told.
pub(crate) fn warnings(tree: &Tree) -> Vec<String> {
    let spelling = misspelt(tree).into_iter();
    let mut warnings: Vec<String> = spelling
        .map(|(is, should)| format!("{is} is not read: its name must be {should} (`git mv {is} {should}`)"))
        .collect();
    let submodules = tree.0.iter().filter(|(_, entry)| entry.kind == Kind::Submodule);
    warnings.extend(submodules.take(5).map(|(path, _)| {
        format!("{} is a submodule: its files are not in the push and not in the image", quote(path))
    }));
    warnings
}
