//! Which buildpack builds these files.
//! Invariant: the app's setting wins; then what can be started as a server; then what can be served as a site.
//! Absent: Dockerfiles, which the engine builds, and buildpacks by address.

use crate::node::{self, Package};
use crate::plan::Settings;
use crate::python;
use crate::refusal::{Refusal, quote};
use crate::static_site::{self, Site};
use crate::tree::{Kind, Tree};

/// What builds the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Buildpack {
    Node,
    Static,
    Python,
    Go,
    /// A Procfile and no language.
    Shell,
    /// A site that a Node.js build makes.
    BuiltSite(Site),
}

/// Files whose name decides, in their right spelling.
const DECIDING: [&str; 16] = [
    "package.json",
    "package-lock.json",
    "Procfile",
    "index.html",
    "static.json",
    "Staticfile",
    "server.js",
    "Dockerfile",
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "Pipfile.lock",
    "runtime.txt",
    "manage.py",
    "go.mod",
    "Aptfile",
];
/// Signs of what is not built here yet.
const LATER: [(&str, &str); 4] =
    [("Gemfile", "Ruby apps"), ("composer.json", "PHP apps"), ("Cargo.toml", "Rust apps"), ("pom.xml", "Java apps")];

/// The names that an app's buildpack setting may have.
pub const BUILDPACKS: [&str; 6] = ["node", "python", "go", "static", "shell", "dockerfile"];

/// A buildpack's own name for what may be typed for it.
pub fn buildpack_name(text: &str) -> Option<&'static str> {
    Some(match text.trim() {
        "node" | "nodejs" | "heroku/nodejs" => "node",
        "python" | "heroku/python" => "python",
        "go" | "golang" | "heroku/go" => "go",
        "static" | "static-site" | "heroku/static" | "staticfile" => "static",
        "shell" | "procfile" | "null" => "shell",
        "dockerfile" | "docker" => "dockerfile",
        _ => return None,
    })
}

pub(crate) fn detect(tree: &Tree, settings: &Settings) -> Result<Buildpack, Refusal> {
    match settings.buildpack.as_deref().filter(|text| !text.trim().is_empty()).map(|text| (text, buildpack_name(text)))
    {
        None => {}
        Some((_, Some("node"))) => return Ok(built_site(tree)?.unwrap_or(Buildpack::Node)),
        Some((_, Some("python"))) => return Ok(Buildpack::Python),
        Some((_, Some("go"))) => return Ok(Buildpack::Go),
        Some((_, Some("static"))) => return Ok(Buildpack::Static),
        Some((_, Some("shell"))) => return Ok(Buildpack::Shell),
        Some((other, _)) => {
            let known = BUILDPACKS.join(", ");
            let why = format!("the app's buildpack setting is {}; there are: {known}", quote(other));
            let next = "set the buildpack to one of them, or remove the setting to let the files decide";
            return Err(Refusal::new("unknown-buildpack", "this buildpack is not here", why, next));
        }
    }
    let package = Package::read(tree)?;
    // Many apps in other languages have a package.json for their tools: one that starts nothing does not decide.
    let starts =
        package.as_ref().is_some_and(|package| package.script("start").is_some()) || tree.has_file("server.js");
    if !starts && tree.0.contains_key("go.mod") {
        return Ok(Buildpack::Go);
    }
    if !starts && python::present(tree) && !(package.is_some() && static_site::present(tree)) {
        return Ok(Buildpack::Python);
    }
    if !tree.0.contains_key("package.json") {
        if static_site::present(tree) {
            return Ok(Buildpack::Static);
        }
        let later = LATER.iter().any(|(file, _)| tree.0.contains_key(*file));
        return if tree.has_file("Procfile") && !later { Ok(Buildpack::Shell) } else { Err(nothing(tree)) };
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
    const LOOKED: &str = "looked for: Dockerfile, package.json, requirements.txt, pyproject.toml, go.mod, static.json, Staticfile, index.html, public/index.html, Procfile";
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
    next.push("add a package.json (Node.js), requirements.txt (Python), go.mod (Go), index.html (static site), a Procfile (anything that runs as it is) or a Dockerfile, commit and push".to_owned());
    let why = match later.is_empty() {
        true => LOOKED.to_owned(),
        false => format!("building {} comes next and is not there yet. {LOOKED}", later.join(" and ")),
    };
    Refusal { code: "nothing-to-build".into(), what: WHAT.into(), why, next }
}

/// An app that lies in a folder of the repository.
fn in_folder(tree: &Tree) -> Option<String> {
    let plain = |folder: &str| folder.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
    let deciding =
        ["Dockerfile", "package.json", "requirements.txt", "pyproject.toml", "go.mod", "index.html", "Procfile"];
    let holds = |path: &'_ String| {
        let (folder, name) = path.rsplit_once('/')?;
        (deciding.contains(&name) && plain(folder)).then(|| folder.to_owned())
    };
    let folder = tree.0.keys().find_map(holds)?;
    Some(format!("the app is in {folder}/? apps:set APP root={folder}"))
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
