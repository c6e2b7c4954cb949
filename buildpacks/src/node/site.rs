//! A static site that a Node.js build makes.
//! Invariant: it has a build script, a file that names the site's root, and nothing that says how to run a server.
//! Absent: what of a site's configuration means what; the languages of sites and servers do not know each other otherwise.

use super::app;
use super::package::{Package, build_script, serves};
use crate::facts::Facts;
use crate::plan::{Pins, Plan, Settings};
use crate::refusal::Refusal;
use crate::static_site::{self, Site};
use crate::tree::Tree;

/// The site, if that is what the build makes.
pub(crate) fn find(tree: &Tree) -> Result<Option<Site>, Refusal> {
    let Some(package) = Package::read(tree)? else { return Ok(None) };
    if serves(tree, &package) || build_script(&package).is_none() {
        return Ok(None);
    }
    Ok(Site::read(tree)?.filter(|site| site.root_named && !site.root.is_empty()))
}

pub(crate) fn plan(tree: &Tree, settings: &Settings, known: (&Pins, &Facts), mut site: Site) -> Result<Plan, Refusal> {
    let mut plan = app::plan(tree, settings, known, Some(site.root.clone()))?;
    plan.language = "Node.js and static site".into();
    plan.decided.push(format!("serves {}, which the build makes", static_site::folder(&site.root)));
    plan.launch_env.clear();
    site.built = true;
    Ok(static_site::serve(plan, site, "server", tree))
}
