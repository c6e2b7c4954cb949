//! Python: what requirements and lock files say, installed by uv, made into layers.
//! Invariant: a changed line of source reinstalls nothing and, without collectstatic, starts no container.
//! Absent: conda, setup.py alone, Pythons that Debian does not have.

mod files;
mod layers;
mod requirements;
mod start;
#[cfg(test)]
mod tests;
mod version;

pub(crate) use start::{is_settings, may_hold_app};

use crate::plan::{Facts, Pins, Plan, Question, Settings};
use crate::refusal::{Refusal, quote};
use crate::tree::{Found, Tree};
use files::{Dependencies, Manager};
use layers::Make;
use start::Django;
use std::collections::BTreeMap;
use toml::{Table, Value};
use version::{Range, Stop, Version};

/// Files any of which makes an app a Python app.
pub(crate) const SIGNS: [&str; 8] = [
    "requirements.txt",
    "uv.lock",
    "poetry.lock",
    "Pipfile.lock",
    "Pipfile",
    "pyproject.toml",
    "manage.py",
    "setup.py",
];

pub(crate) fn present(tree: &Tree) -> bool {
    SIGNS.iter().any(|name| tree.0.contains_key(*name))
}

pub(crate) fn ask(tree: &Tree, settings: &Settings, pins: &Pins) -> Result<Vec<Question>, Refusal> {
    let mut questions = Vec::new();
    match version::choose(tree, settings, pins, &Facts::default()) {
        Ok(_) => {}
        Err(Stop::Ask(question)) => questions.push(question),
        Err(Stop::Refuse(refusal)) => return Err(refusal),
    }
    let tools = tools(tree, Dependencies::read(tree)?.as_ref());
    for tool in tools {
        if !tool.fits(pins.get(tool.name)) {
            questions.push(Question::PypiVersions { package: tool.name.into() });
        }
    }
    Ok(questions)
}

pub(crate) fn plan(tree: &Tree, settings: &Settings, pins: &Pins, facts: &Facts) -> Result<Plan, Refusal> {
    let (mut decided, mut warnings) = (Vec::new(), Vec::new());
    let python = match version::choose(tree, settings, pins, facts) {
        Ok(python) => python,
        Err(Stop::Refuse(refusal)) => return Err(refusal),
        Err(Stop::Ask(_)) => return Err(unknown("Python")),
    };
    let dependencies = Dependencies::read(tree)?;
    let django = Django::find(tree).filter(|_| dependencies.as_ref().is_none_or(|found| found.has("django")));
    let processes = if tree.has_file("Procfile") {
        BTreeMap::new()
    } else {
        let start = start::find(tree, django.as_ref(), dependencies.as_ref())?;
        decided.push(format!("web: {} (from {})", quote(&start.command), start.from));
        BTreeMap::from([("web".to_owned(), start.command)])
    };
    if tree.has_file("Procfile") {
        decided.push("processes from Procfile".into());
    }
    let mut new_pins = Pins::from([("python".to_owned(), python.version.to_string())]);
    let mut said = vec![python.decided.clone()];
    for tool in tools(tree, dependencies.as_ref()) {
        let (version, line) = tool.choose(pins.get(tool.name), facts)?;
        new_pins.insert(tool.name.to_owned(), version);
        said.push(line);
    }
    decided.splice(0..0, said);
    warnings.extend(python.warnings.iter().cloned());
    match &dependencies {
        None => decided.push("no dependencies to install".into()),
        Some(found) => {
            decided.push(installs(found));
            warnings.extend(found.warnings.iter().cloned());
        }
    }
    let collectstatic = collectstatic(django.as_ref(), settings, dependencies.as_ref(), &mut decided, &mut warnings);
    if django.is_some() && !tree.has_file("Procfile") {
        warnings.push("migrations are not run: a Procfile with `release: python manage.py migrate` runs them before traffic moves".into());
    }
    for folder in [".venv", "venv", "env"] {
        if tree.0.contains_key(&format!("{folder}/pyvenv.cfg")) {
            warnings.push(format!("{folder} is committed and not used: remove it with `git rm -r --cached {folder}`"));
        }
    }
    let pin = |name: &str| new_pins.get(name).map(String::as_str);
    let make = Make {
        python: &python,
        uv: pin("uv").unwrap_or_default(),
        poetry: pin("poetry"),
        dependencies: dependencies.as_ref(),
        config: &settings.config,
        named: named(tree, dependencies.as_ref(), &settings.config),
        collectstatic,
    };
    let layers = make.layers();
    let launch_env = layers::launch_env(dependencies.as_ref());
    Ok(Plan { language: "Python".into(), decided, warnings, layers, processes, launch_env, pins: new_pins })
}

fn installs(found: &Dependencies) -> String {
    let file = found.manager.file();
    match &found.local {
        Some(why) => format!("uv installs from {file} at every change of the sources: {why}"),
        None => format!("uv installs from {file}; kept until it changes"),
    }
}

fn collectstatic(
    django: Option<&Django>,
    settings: &Settings,
    dependencies: Option<&Dependencies>,
    decided: &mut Vec<String>,
    warnings: &mut Vec<String>,
) -> bool {
    let Some(django) = django else { return false };
    let whitenoise = dependencies.is_some_and(|found| found.has("whitenoise"));
    if settings.config.iter().any(|name| name == "DISABLE_COLLECTSTATIC") {
        decided.push("collectstatic is not run: DISABLE_COLLECTSTATIC is set".into());
        return false;
    }
    if !django.static_root && !whitenoise {
        decided.push("collectstatic is not run: no settings file has STATIC_ROOT".into());
        return false;
    }
    let from = if django.static_root { "STATIC_ROOT in the settings" } else { "whitenoise" };
    decided.push(format!("runs manage.py collectstatic (from {from})"));
    if !whitenoise {
        warnings.push("whitenoise is not among the dependencies: nothing serves the collected static files".into());
    }
    true
}

/// Config vars that requirements files refer to as `${NAME}`.
fn named(tree: &Tree, dependencies: Option<&Dependencies>, config: &[String]) -> Vec<String> {
    let files = dependencies.into_iter().flat_map(|found| &found.files);
    let texts: Vec<String> = files
        .filter_map(|path| match tree.find(path) {
            Found::File(content) => Some(String::from_utf8_lossy(content).into_owned()),
            Found::Nothing | Found::NotAFile | Found::Unread => None,
        })
        .collect();
    let used = |name: &&String| texts.iter().any(|text| text.contains(&format!("${{{name}}}")));
    config.iter().filter(used).cloned().collect()
}

/// Whether a project's own package is among its files.
fn has_package(tree: &Tree, project: &Table) -> bool {
    let name = ["project", "tool.poetry"].iter().find_map(|at| {
        let path: Vec<&str> = at.split('.').chain(["name"]).collect();
        files::get(project, &path).and_then(Value::as_str)
    });
    let module = files::normal(name.unwrap_or_default()).replace('-', "_");
    let listed = files::get(project, &["tool", "poetry", "packages"]).is_some();
    let init = |folder: &str| tree.has_file(&format!("{folder}{module}/__init__.py"));
    !module.is_empty() && (listed || init("") || init("src/"))
}

/// A tool of the build that comes from the Python registry.
struct Tool {
    name: &'static str,
    /// What the app asks for.
    range: Option<(Range, String)>,
}

fn tools(tree: &Tree, dependencies: Option<&Dependencies>) -> Vec<Tool> {
    let Some(found) = dependencies else { return Vec::new() };
    let required = files::table(tree, "pyproject.toml").ok().flatten().and_then(|project| {
        let text = files::get(&project, &["tool", "uv", "required-version"])?.as_str()?.to_owned();
        Some((Range::parse(&text)?, text))
    });
    let mut tools = vec![Tool { name: "uv", range: required }];
    if found.manager == Manager::Poetry {
        tools.push(Tool { name: "poetry", range: None });
    }
    tools
}

impl Tool {
    fn wants(&self, version: Version) -> bool {
        self.range.as_ref().is_none_or(|(range, _)| range.fits(version))
    }

    fn fits(&self, pin: Option<&String>) -> bool {
        pin.and_then(|pin| Version::parse(pin)).is_some_and(|version| self.wants(version))
    }

    fn choose(&self, pin: Option<&String>, facts: &Facts) -> Result<(String, String), Refusal> {
        let asked = match &self.range {
            Some((_, text)) => format!("{} in tool.uv.required-version", quote(text)),
            None => "the newest".to_owned(),
        };
        if let Some(pin) = pin.filter(|_| self.fits(pin)) {
            let asked = if self.range.is_some() { format!("{asked}, ") } else { String::new() };
            return Ok((pin.clone(), format!("{} {pin} ({asked}as at the last build)", self.name)));
        }
        let Some(published) = facts.pypi_versions.get(self.name) else { return Err(unknown(self.name)) };
        let newest = published.iter().filter_map(|text| Version::parse(text)).filter(|v| self.wants(*v)).max();
        match newest {
            Some(version) => Ok((version.to_string(), format!("{} {version} ({asked})", self.name))),
            None => {
                let why = format!("{asked} fits nothing that is published");
                let next = format!("correct or remove what asks for {} in pyproject.toml, commit and push", self.name);
                Err(Refusal::new("tool-version-unavailable", format!("there is no such {}", self.name), why, &next))
            }
        }
    }
}

fn unknown(name: &str) -> Refusal {
    let why = "the list of published versions could not be brought";
    let what = format!("the version of {name} cannot be chosen");
    Refusal::new("versions-unknown", what, why, "push again; the registry may be back")
}
