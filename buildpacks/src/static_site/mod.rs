//! Static sites: a folder of files, served by Caddy.
//! Invariant: without a build the app's layer is the sources as they are, and no container is started to make it.
//! Absent: making a site; a Node.js build that does so adds [`serve`] to its plan.

mod caddyfile;
mod config;
#[cfg(test)]
mod tests;

pub(crate) use config::Site;

use crate::defaults::Left;
use crate::facts::Facts;
use crate::language::{Claim, Language, Look, nothing_to_ask, nothing_to_explain};
use crate::plan::{Env, GeneratedFile, Inputs, KeyPart, Layer, Output, Pins, Plan, Scope, Settings, Step};
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::{FILE_MAX, Tree};
use std::collections::BTreeMap;

/// Where the web server lies in the image.
const SERVER: &str = "/opt/caddy";
const CADDYFILE: &str = "/opt/hoist/Caddyfile";

pub(crate) const LANGUAGE: Language = Language {
    name: "static",
    aliases: &["static-site", "heroku/static", "staticfile"],
    signs: &["static.json", "Staticfile", "index.html", "public/index.html"],
    add: "index.html (static site)",
    looks: &[Look::Into("static.json", FILE_MAX), Look::Into("Staticfile", FILE_MAX)],
    claim: |tree| Ok(if present(tree) { Claim::Possible } else { Claim::None }),
    ask: nothing_to_ask,
    plan,
    lock: None,
    causes: &[],
    explain: nothing_to_explain,
    usual: &[],
};

/// Whether files of a site lie where they are looked for.
pub(crate) fn present(tree: &Tree) -> bool {
    ["static.json", "Staticfile"].iter().any(|name| tree.0.contains_key(*name)) || pages(tree).is_some()
}

/// What a folder's first page is called: today, and by older servers. The web server looks for them in this order.
const FIRST_PAGES: [&str; 4] = ["index.html", "index.htm", "default.html", "default.htm"];

fn has_page(tree: &Tree, root: &str, page: &str) -> bool {
    if root.is_empty() { tree.has_file(page) } else { tree.has_file(&format!("{root}/{page}")) }
}

/// The folder with the site's first page, and the page's name: an index.html anywhere before one of another name.
fn pages(tree: &Tree) -> Option<(&'static str, &'static str)> {
    let folder = |page| ["", "public_html", "public"].into_iter().find(|root| has_page(tree, root, page));
    FIRST_PAGES.into_iter().find_map(|page| Some((folder(page)?, page)))
}

fn plan(tree: &Tree, _: &Settings, _: &Pins, _: &Facts) -> Result<Plan, Refusal> {
    let named = Site::read(tree)?;
    let mut site = match named {
        Some(site) => site,
        None => Site { error_page: "/404.html".into(), ..Site::default() },
    };
    let from = if site.root_named {
        let file = if tree.0.contains_key("static.json") { "static.json" } else { "Staticfile" };
        format!("root in {file}")
    } else {
        let (root, page) = pages(tree).ok_or_else(no_pages)?;
        site.root = root.to_owned();
        format!("where {page} is")
    };
    if !tree.has_folder(&site.root) {
        return Err(missing_root(&site.root));
    }
    let app = Layer {
        key: vec![KeyPart::Whole],
        inputs: Inputs::Whole,
        outputs: vec![Output::of_app("", &[])],
        ..Layer::empty("app", Scope::App)
    };
    if !FIRST_PAGES.iter().any(|page| has_page(tree, &site.root, page)) {
        let index = if site.root.is_empty() { "index.html".to_owned() } else { format!("{}/index.html", site.root) };
        site.warnings.push(format!("there is no {}: / answers 404", quote(&index)));
    }
    let plan = Plan {
        language: "Static site".into(),
        decided: vec![format!("serves {} ({from})", folder(&site.root))],
        warnings: Vec::new(),
        layers: vec![app],
        processes: BTreeMap::new(),
        launch_env: Vec::new(),
        pins: Pins::new(),
    };
    Ok(serve(plan, site, "runtime", tree))
}

/// Adds the web server, in a layer of this name, and its configuration.
pub(crate) fn serve(mut plan: Plan, site: Site, name: &str, tree: &Tree) -> Plan {
    plan.layers.insert(0, server(name));
    if let Some(app) = plan.layers.last_mut() {
        let content = caddyfile::render(&site);
        app.image_files.push(GeneratedFile { path: CADDYFILE.into(), content, executable: false });
    }
    let left = Left::of(tree);
    if left != Left::All {
        plan.decided.push("processes from Procfile".into());
    }
    let command = format!("{SERVER}/bin/caddy run --config {CADDYFILE} --adapter caddyfile");
    if left.takes(&command) {
        plan.decided.push(match left {
            Left::All | Left::Nothing => "web: Caddy".to_owned(),
            Left::Web(_) => "web: Caddy (the Procfile has no web)".to_owned(),
        });
        plan.processes.insert("web".into(), command);
    }
    // Caddy notes its configuration there at every start.
    plan.launch_env.push(Env::default("XDG_CONFIG_HOME", "/tmp"));
    plan.launch_env.push(Env::default("XDG_DATA_HOME", "/tmp"));
    plan.launch_env.push(Env::path("PATH", &format!("{SERVER}/bin")));
    plan.warnings.extend(site.warnings);
    plan
}

fn server(name: &str) -> Layer {
    let folder = format!("/layers/{name}");
    let argv = ["install", "-D", "-m", "0755", "/usr/bin/caddy", &format!("{folder}/bin/caddy")];
    Layer {
        key: vec![KeyPart::text("server", "caddy of the build stack"), KeyPart::Stack],
        steps: vec![Step::new("Copying the web server", &argv).at("/tmp")],
        outputs: vec![Output { from: folder, to: SERVER.into(), exclude: Vec::new() }],
        ..Layer::empty(name, Scope::Host)
    }
}

/// A site's root for people.
pub(crate) fn folder(root: &str) -> String {
    if root.is_empty() { "the app's folder".to_owned() } else { format!("{}/", quote(root)) }
}

fn no_pages() -> Refusal {
    let why = "no root is named, and there is no index.html, public_html/index.html or public/index.html";
    let next = "commit index.html, or name the folder in static.json: {\"root\": \"dist\"}";
    Refusal::new(Code::NoSite, "there is no site to serve", why, next)
}

fn missing_root(root: &str) -> Refusal {
    let why = format!("{}/ is named as the site's root, but the commit has no file in it", quote(root));
    Refusal::new(
        Code::SiteRootMissing,
        "there is no site to serve",
        why,
        "commit the folder (is it in .gitignore?), or correct the root",
    )
    .or("if a build makes it: add a package.json with a \"build\" script")
}
