//! Facts that a plan needs from outside: asked in a sandbox by the registries' ordinary clients, kept for a day.

use super::{BuildAsk, Builder, sandbox};
use crate::Parts;
use buildpacks::{Base, Facts, Question, Stack};
use domain::Refusal;
use engine::images;
use jobs::Job;
use std::path::{Path, PathBuf};
use std::time::Duration;
use system::fault::{Act, Error, Result};
use system::tasks::blocking;

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(86_400);

impl Builder {
    pub(super) async fn facts(
        &self,
        p: &Parts,
        ask: &BuildAsk,
        job: &Job,
        stack: Stack,
        questions: &[Question],
    ) -> Result<Facts> {
        let (facts, missing) = fresh(p, questions).await?;
        if missing.is_empty() {
            return Ok(facts);
        }
        for (_, lookup) in &missing {
            job.detail(format!("Looking up the versions of {}", lookup.name));
        }
        // All at once in one place: they mostly wait for the network.
        let _slot = self.slot(p, ask, job).await?;
        self.answers(p, ask, job, stack, questions).await
    }

    /// The same in a place that is taken.
    pub(super) async fn answers(
        &self,
        p: &Parts,
        ask: &BuildAsk,
        job: &Job,
        stack: Stack,
        questions: &[Question],
    ) -> Result<Facts> {
        let (mut facts, missing) = fresh(p, questions).await?;
        if missing.is_empty() {
            return Ok(facts);
        }
        let stack = self.stack(p, stack, Base::Build, job).await?;
        let answers = missing.iter().map(|(_, lookup)| look_up(p, ask, job, &stack, lookup));
        let answers = futures_util::future::try_join_all(answers).await?;
        for ((question, _), answer) in missing.iter().zip(answers) {
            keep_in(&mut facts, question, answer);
        }
        Ok(facts)
    }
}

/// The answers that are young enough, and the questions that have none.
async fn fresh<'a>(p: &Parts, questions: &'a [Question]) -> Result<(Facts, Vec<(&'a Question, Lookup)>)> {
    let (mut facts, mut missing) = (Facts::default(), Vec::new());
    for question in questions {
        let lookup = Lookup::of(question);
        match kept(&lookup.path(p), Some(FRESH)).await? {
            Some(answer) => keep_in(&mut facts, question, answer),
            None => missing.push((question, lookup)),
        }
    }
    Ok((facts, missing))
}

async fn look_up(p: &Parts, ask: &BuildAsk, job: &Job, stack: &images::Stack, lookup: &Lookup) -> Result<Vec<String>> {
    let path = lookup.path(p);
    let part = format!("fact-{}", short(&lookup.file));
    let answer = match sandbox::ask(p, ask, stack, &part, lookup.argv.clone()).await {
        Ok(text) => (lookup.read)(&text).filter(|list| !list.is_empty()).ok_or_else(|| {
            Refusal::new("lookup-unclear", format!("the answer about {} is not a list", lookup.name)).into()
        }),
        Err(err) => Err(err),
    };
    let err = match answer {
        Ok(list) => {
            keep(&path, &list).await?;
            return Ok(list);
        }
        Err(err) => err,
    };
    match kept(&path, None).await? {
        Some(list) => {
            job.warn(format!(
                "The package registry does not answer; using the versions of {} known before",
                lookup.name
            ));
            Ok(list)
        }
        None => {
            let (why, next) = match err {
                Error::Refused(no) if !no.why.is_empty() => (no.why, no.next),
                err => (err.lines().join("\n"), Vec::new()),
            };
            let no = Refusal::new("registry-unreachable", format!("cannot look up the versions of {}", lookup.name));
            let no = next.into_iter().fold(no.why(why), Refusal::next);
            Err(no.next(format!("check the server's way to {}, then push again", lookup.registry)).into())
        }
    }
}

/// What was found out at earlier builds, of whatever age; a question without an answer is left open.
pub(super) async fn known(p: &Parts, questions: &[Question]) -> Result<Facts> {
    let mut facts = Facts::default();
    for question in questions {
        if let Some(answer) = kept(&Lookup::of(question).path(p), None).await? {
            keep_in(&mut facts, question, answer);
        }
    }
    Ok(facts)
}

fn keep_in(facts: &mut Facts, question: &Question, answer: Vec<String>) {
    match question {
        Question::NpmVersions { package } => drop(facts.npm_versions.insert(package.clone(), answer)),
        Question::PypiVersions { package } => drop(facts.pypi_versions.insert(package.clone(), answer)),
        Question::Pythons { .. } => facts.pythons = Some(answer),
        Question::GoVersions => facts.go_versions = Some(answer),
    }
}

/// How a question is asked, by the ordinary client of its registry.
struct Lookup {
    name: String,
    file: String,
    registry: &'static str,
    argv: Vec<String>,
    read: fn(&str) -> Option<Vec<String>>,
}

impl Lookup {
    /// Where its answer is kept.
    fn path(&self, p: &Parts) -> PathBuf {
        p.layout.facts().join(format!("{}.json", self.file))
    }

    fn of(question: &Question) -> Lookup {
        let words = |argv: &[&str]| argv.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        match question {
            Question::NpmVersions { package } => Lookup {
                name: if package.starts_with("node-") { "Node.js".to_owned() } else { package.clone() },
                file: format!("npm-{}", package.replace('/', "-")),
                registry: "the npm registry",
                argv: words(&["npm", "view", package, "versions", "--json"]),
                read: |text| serde_json::from_str(text).ok(),
            },
            Question::PypiVersions { package } => Lookup {
                name: package.clone(),
                file: format!("pypi-{package}"),
                registry: "the Python registry",
                argv: words(&["python3", "-m", "pip", "--disable-pip-version-check", "index", "versions", package]),
                read: |text| {
                    let line = text.lines().find_map(|line| line.trim().strip_prefix("Available versions:"))?;
                    Some(line.split(',').map(|version| version.trim().to_owned()).collect())
                },
            },
            Question::Pythons { stack } => Lookup {
                name: "Python".to_owned(),
                file: format!("pythons-{}", stack.name()),
                registry: "Debian's packages",
                argv: buildpacks::pythons(*stack),
                read: |text| Some(text.lines().map(|line| line.trim().to_owned()).filter(|l| !l.is_empty()).collect()),
            },
            Question::GoVersions => Lookup {
                name: "Go".to_owned(),
                file: "go".to_owned(),
                registry: "the Go module proxy",
                argv: words(&["env", "GOTOOLCHAIN=local", "go", "list", "-m", "-versions", "golang.org/toolchain"]),
                // `v0.0.1-go1.24.5.linux-amd64`, once for each system.
                read: |text| {
                    let machine = if std::env::consts::ARCH == "aarch64" { ".linux-arm64" } else { ".linux-amd64" };
                    let version = |word: &str| Some(word.strip_suffix(machine)?.split_once("-go")?.1.to_owned());
                    Some(text.split_whitespace().filter_map(version).collect())
                },
            },
        }
    }
}

fn short(package: &str) -> String {
    package.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(24).collect()
}

async fn kept(path: &Path, younger: Option<Duration>) -> Result<Option<Vec<String>>> {
    let path = path.to_path_buf();
    blocking("read a kept fact", move || {
        let Ok(meta) = std::fs::metadata(&path) else { return Ok(None) };
        let age = meta.modified().ok().and_then(|at| at.elapsed().ok()).unwrap_or_default();
        if younger.is_some_and(|limit| age > limit) {
            return Ok(None);
        }
        Ok(std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    })
    .await
}

async fn keep(path: &Path, versions: &[String]) -> Result<()> {
    let (path, text): (PathBuf, String) =
        (path.to_path_buf(), serde_json::to_string(versions).act(|| "cannot write down a fact")?);
    blocking("keep a fact", move || super::assemble::write_whole(&path, text.as_bytes())).await
}
