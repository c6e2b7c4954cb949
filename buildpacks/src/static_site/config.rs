//! What static.json (Heroku's) or Staticfile (Cloud Foundry's) says about a site.
//! Invariant: text of the app that reaches the web server's configuration holds no quote, brace, backslash or control
//! character, so that it can be nothing but a value.
//! Absent: proxies and logging settings (warned about); passwords (refused, as leaving them out would open the site).

use crate::json;
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::{Found, Tree};
use serde_json::{Map, Value};

/// Most routes, redirects and headers together.
const RULES_MAX: usize = 1000;

/// How a site is served.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Site {
    /// The folder served, relative to the app's; empty: the app's.
    pub(crate) root: String,
    pub(crate) root_named: bool,
    pub(crate) built: bool,
    /// Paths that are answered with a page if no file has that path: pattern, page.
    pub(crate) routes: Vec<(String, String)>,
    /// From, to, status.
    pub(crate) redirects: Vec<(String, String, u16)>,
    /// Pattern, name, value.
    pub(crate) headers: Vec<(String, String, String)>,
    /// The page for what is not there.
    pub(crate) error_page: String,
    pub(crate) warnings: Vec<String>,
}

impl Site {
    /// What the files say; none if neither is there.
    pub(crate) fn read(tree: &Tree) -> Result<Option<Site>, Refusal> {
        let blank = Site { error_page: "/404.html".into(), ..Site::default() };
        if let Some(object) = json::object(tree, "static.json")? {
            return from_json(blank, &object).map(Some);
        }
        match tree.find("Staticfile") {
            Found::File(content) => from_staticfile(blank, tree, &String::from_utf8_lossy(content)).map(Some),
            Found::Nothing | Found::NotAFile | Found::Unread => Ok(None),
        }
    }
}

fn from_json(mut site: Site, object: &Map<String, Value>) -> Result<Site, Refusal> {
    for (name, value) in object {
        match name.as_str() {
            "root" => site.set_root("static.json", value.as_str().unwrap_or_default())?,
            "routes" => site.add_routes(value)?,
            "redirects" => site.add_redirects(value)?,
            "headers" => site.add_headers(value)?,
            "error_page" => site.error_page = page(value.as_str().unwrap_or_default())?,
            "basic_auth" | "basic_auth_config" if *value != Value::Bool(false) => return Err(password("static.json")),
            // Always so here: clean addresses, and the router's HTTPS.
            "clean_urls" | "https_only" | "basic_auth" | "basic_auth_config" | "encoding" => {}
            _ => site.warnings.push(format!("static.json: {} is not known here and is passed over", quote(name))),
        }
    }
    if site.routes.len() + site.redirects.len() + site.headers.len() > RULES_MAX {
        let why = format!("routes, redirects and headers are more than {RULES_MAX}");
        let next = "write fewer, with patterns such as /old/**";
        return Err(Refusal::new(Code::TooManyRules, "static.json has too many rules", why, next));
    }
    // The longest pattern is the most precise.
    site.routes.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
    Ok(site)
}

fn from_staticfile(mut site: Site, tree: &Tree, text: &str) -> Result<Site, Refusal> {
    if tree.0.contains_key("Staticfile.auth") {
        return Err(password("Staticfile.auth"));
    }
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.split(" #").next().unwrap_or("").trim();
        if line.is_empty() || line.starts_with('#') || line.starts_with("---") {
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.trim().trim_matches(['"', '\'']);
        match (name.trim(), value) {
            ("root", root) => site.set_root("Staticfile", root)?,
            ("pushstate", "enabled" | "true") => site.routes = vec![("*".into(), "/index.html".into())],
            ("pushstate" | "force_https", _) => {}
            (name, _) => {
                site.warnings.push(format!("Staticfile: {} is not known here and is passed over", quote(name)))
            }
        }
    }
    Ok(site)
}

impl Site {
    fn set_root(&mut self, file: &str, root: &str) -> Result<(), Refusal> {
        let names: Vec<&str> =
            root.trim_start_matches('/').split('/').filter(|name| !matches!(*name, "" | ".")).collect();
        if names.contains(&"..")
            || !names.iter().all(|name| literal(name))
            || names.iter().any(|name| name.contains(' '))
        {
            let why = format!("root is {}", quote(root));
            let next = format!("name a folder of the app in {file}, such as \"root\": \"public\"");
            return Err(Refusal::new(
                Code::BadSiteRoot,
                format!("{file} names a root that cannot be served"),
                why,
                &next,
            ));
        }
        self.root = names.join("/");
        self.root_named = true;
        Ok(())
    }

    fn add_routes(&mut self, value: &Value) -> Result<(), Refusal> {
        for (from, to) in value.as_object().into_iter().flatten() {
            self.routes.push((pattern(from)?, page(to.as_str().unwrap_or_default())?));
        }
        Ok(())
    }

    fn add_redirects(&mut self, value: &Value) -> Result<(), Refusal> {
        for (from, to) in value.as_object().into_iter().flatten() {
            let target = to.get("url").or(Some(to)).and_then(Value::as_str).unwrap_or_default();
            let status = to.get("status").and_then(Value::as_u64).unwrap_or(301);
            let status = u16::try_from(status).ok().filter(|status| matches!(status, 301 | 302 | 303 | 307 | 308));
            match status {
                Some(status) if literal(target) && !target.is_empty() => {
                    self.redirects.push((pattern(from)?, target.to_owned(), status));
                }
                Some(_) | None => return Err(unusable("redirects", from)),
            }
        }
        Ok(())
    }

    fn add_headers(&mut self, value: &Value) -> Result<(), Refusal> {
        for (path, headers) in value.as_object().into_iter().flatten() {
            for (name, value) in headers.as_object().into_iter().flatten() {
                let value = value.as_str().filter(|value| literal(value));
                let token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
                match value {
                    Some(value) if token => self.headers.push((pattern(path)?, name.clone(), value.to_owned())),
                    Some(_) | None => return Err(unusable("headers", name)),
                }
            }
        }
        Ok(())
    }
}

/// Whether a text can stand between quotes in the configuration as it is.
fn literal(text: &str) -> bool {
    !text.contains(['"', '`', '\\', '{', '}']) && !text.contains(char::is_control)
}

/// Heroku's `/**` and `/a/*` as Caddy's path patterns.
fn pattern(path: &str) -> Result<String, Refusal> {
    if !path.starts_with('/') || !literal(path) || path.contains(' ') {
        return Err(unusable("paths", path));
    }
    let path = path.replace("**", "*");
    Ok(if path == "/*" { "*".to_owned() } else { path })
}

fn page(path: &str) -> Result<String, Refusal> {
    let path = path.trim_start_matches('/');
    if path.is_empty() || !literal(path) || path.contains([' ', '*']) || path.split('/').any(|name| name == "..") {
        return Err(unusable("pages", path));
    }
    Ok(format!("/{path}"))
}

fn unusable(what: &str, text: &str) -> Refusal {
    let why = format!("{} cannot be used", quote(text));
    let next = "write paths with a leading / and without spaces, values without quotes, braces and backslashes";
    Refusal::new(Code::BadSiteRule, format!("static.json: one of the {what} is not right"), why, next)
}

fn password(file: &str) -> Refusal {
    let why = format!("{file} asks for a password, which is not supported here: the site would be open to all");
    let next = format!("take it out of {file} to publish the site to all, commit and push");
    Refusal::new(Code::SitePassword, "this site is not served without its password", why, &next)
}
