//! The tools of a build that come from the Python registry: uv, and Poetry where it locked.
//! Invariant: the newest at the first build, which then stays until it no longer fits what the app asks for.
//! Absent: prereleases.

use super::dependencies::{Dependencies, Manager};
use super::project::{get, table};
use super::range::{Range, Version};
use crate::facts::{Facts, Question, Stop};
use crate::plan::Pins;
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::Tree;

/// A tool of the build that comes from the Python registry.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// What the app asks for.
    range: Option<(Range, String)>,
}

/// The tools that installing these needs.
pub(crate) fn tools(tree: &Tree, dependencies: Option<&Dependencies>) -> Vec<Tool> {
    let Some(found) = dependencies else { return Vec::new() };
    let required = table(tree, "pyproject.toml").ok().flatten().and_then(|project| {
        let text = get(&project, &["tool", "uv", "required-version"])?.as_str()?.to_owned();
        Some((Range::parse(&text)?, text))
    });
    let mut tools = vec![Tool { name: "uv", range: required }];
    if found.manager == Manager::Poetry {
        tools.push(Tool { name: "poetry", range: None });
    }
    tools
}

/// Asks for all published versions of a package of the Python registry.
fn published(package: &str) -> Question {
    let argv = ["python3", "-m", "pip", "--disable-pip-version-check", "index", "versions", package];
    Question {
        id: format!("pypi-{package}"),
        name: package.to_owned(),
        registry: "the Python registry",
        argv: argv.map(str::to_owned).to_vec(),
        read: |text| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix("Available versions:"))?;
            Some(line.split(',').map(|version| version.trim().to_owned()).collect())
        },
    }
}

impl Tool {
    fn wants(&self, version: Version) -> bool {
        self.range.as_ref().is_none_or(|(range, _)| range.fits(version))
    }

    /// Its version, and how that came about.
    pub(crate) fn choose(&self, pins: &Pins, facts: &Facts) -> Result<(String, String), Stop> {
        let asked = match &self.range {
            Some((_, text)) => format!("{} in tool.uv.required-version", quote(text)),
            None => "the newest".to_owned(),
        };
        let fits = |pin: &&String| Version::parse(pin).is_some_and(|version| self.wants(version));
        if let Some(pin) = pins.get(self.name).filter(fits) {
            let asked = if self.range.is_some() { format!("{asked}, ") } else { String::new() };
            return Ok((pin.clone(), format!("{} {pin} ({asked}as at the last build)", self.name)));
        }
        let published = facts.get(published(self.name))?;
        let newest = published.iter().filter_map(|text| Version::parse(text)).filter(|v| self.wants(*v)).max();
        match newest {
            Some(version) => Ok((version.to_string(), format!("{} {version} ({asked})", self.name))),
            None => {
                let why = format!("{asked} fits nothing that is published");
                let next = format!("correct or remove what asks for {} in pyproject.toml, commit and push", self.name);
                let what = format!("there is no such {}", self.name);
                Err(Refusal::new(Code::ToolVersionUnavailable, what, why, &next).into())
            }
        }
    }
}
