//! The plan of a Python app.
//! Invariant: what is decided is said, with the file that it comes from.
//! Absent: what the layers are made of.

use super::dependencies::Dependencies;
use super::layers::{self, Make};
use super::start::{self, Django};
use super::tool::tools;
use super::unlocked::wanted;
use super::{locks, version};
use crate::defaults::Left;
use crate::facts::{Facts, Question, Stop, missing};
use crate::plan::{Pins, Plan, Settings};
use crate::refusal::{Refusal, quote};
use crate::tree::{Found, Tree};
use std::collections::BTreeMap;

pub(crate) fn ask(tree: &Tree, settings: &Settings, pins: &Pins) -> Result<Vec<Question>, Refusal> {
    let nothing = Facts::default();
    let mut questions = missing(version::choose(tree, settings, pins, &nothing))?;
    let found = match wanted(tree)? {
        Some(manager) => Some(Dependencies::of(manager)),
        None => locks::read(tree)?,
    };
    for tool in tools(tree, found.as_ref()) {
        questions.extend(missing(tool.choose(pins, &nothing))?);
    }
    Ok(questions)
}

pub(crate) fn plan(tree: &Tree, settings: &Settings, pins: &Pins, facts: &Facts) -> Result<Plan, Refusal> {
    let (mut decided, mut warnings) = (Vec::new(), Vec::new());
    let python = version::choose(tree, settings, pins, facts).map_err(|stop| unknown(stop, "Python"))?;
    let dependencies = locks::read(tree)?;
    let django = Django::find(tree).filter(|_| dependencies.as_ref().is_none_or(|found| found.may_have("django")));
    let left = Left::of(tree);
    if left != Left::All {
        decided.push("processes from Procfile".into());
    }
    let processes = match (start::find(tree, django.as_ref(), dependencies.as_ref()), &left) {
        (Ok(start), _) if left.takes(&start.command) => {
            decided.push(format!("web: {} (from {})", quote(&start.command), left.from(&start.from)));
            BTreeMap::from([("web".to_owned(), start.command)])
        }
        (Err(no), Left::All) => return Err(no),
        (Ok(_) | Err(_), _) => BTreeMap::new(),
    };
    let mut new_pins = Pins::from([("python".to_owned(), python.version.to_string())]);
    let mut said = vec![python.decided.clone()];
    for tool in tools(tree, dependencies.as_ref()) {
        let (version, line) = tool.choose(pins, facts).map_err(|stop| unknown(stop, tool.name))?;
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

/// Why a version could not be chosen.
pub(crate) fn unknown(stop: Stop, name: &str) -> Refusal {
    stop.refusal(&format!("the version of {name} cannot be chosen"), "the registry")
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
    let unsure = dependencies.is_some_and(|found| found.unsure);
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
    if !whitenoise && !unsure {
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
