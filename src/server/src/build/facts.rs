//! Facts that a plan needs from outside: asked in a sandbox by the registries' ordinary clients, kept for a day.

use super::{BUILD_STACK, BuildAsk, Builder, sandbox};
use crate::deploy::Job;
use crate::fault::{Fault, Result};
use crate::platform::Parts;
use crate::tasks::blocking;
use buildpacks::{Facts, Question};
use domain::Refusal;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How old an answer may be.
const FRESH: Duration = Duration::from_secs(86_400);

impl Builder {
    pub(super) async fn facts(&self, p: &Parts, ask: &BuildAsk, job: &Job, questions: &[Question]) -> Result<Facts> {
        let mut facts = Facts::default();
        for question in questions {
            let Question::NpmVersions { package } = question;
            let versions = self.npm_versions(p, ask, job, package).await?;
            facts.npm_versions.insert(package.clone(), versions);
        }
        Ok(facts)
    }

    async fn npm_versions(&self, p: &Parts, ask: &BuildAsk, job: &Job, package: &str) -> Result<Vec<String>> {
        let path = p.layout.facts().join(format!("npm-{}.json", package.replace('/', "-")));
        if let Some(versions) = kept(&path, Some(FRESH)).await? {
            return Ok(versions);
        }
        let name = if package.starts_with("node-") { "Node.js" } else { package };
        job.detail(format!("Looking up the versions of {name}"));
        let _slot = self.slot(job).await?;
        let stack = self.stack(p, BUILD_STACK, job).await?;
        let argv = ["npm", "view", package, "versions", "--json"].map(str::to_owned).to_vec();
        match sandbox::ask(p, ask, &stack.image, &format!("fact-{}", short(package)), argv).await {
            Ok(text) => {
                let versions: Vec<String> = serde_json::from_str(&text)
                    .map_err(|err| Fault::new(format!("cannot read the versions of {package}"), err))?;
                keep(&path, &versions).await?;
                Ok(versions)
            }
            Err(err) => match kept(&path, None).await? {
                Some(versions) => {
                    job.warn(format!(
                        "The package registry does not answer; using the versions of {package} known before"
                    ));
                    Ok(versions)
                }
                None => Err(Refusal::new("registry-unreachable", format!("cannot look up the versions of {package}"))
                    .why(err.lines().join("; "))
                    .next("check the server's way to the npm registry, then push again")
                    .into()),
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
    let (path, text): (PathBuf, String) = (path.to_path_buf(), serde_json::to_string(versions)?);
    blocking("keep a fact", move || super::assemble::write_whole(&path, text.as_bytes())).await
}
