//! Facts that a plan needs from outside: asked in a sandbox by the registries' ordinary clients, kept for a day.

use super::{BuildAsk, Builder, sandbox};
use crate::Parts;
use buildpacks::{Base, Facts, Question, Stack};
use domain::Refusal;
use domain::refusal::Code;
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
        for question in &missing {
            job.detail(format!("Looking up the versions of {}", question.name));
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
        let answers = missing.iter().map(|question| look_up(p, ask, job, &stack, question));
        let answers = futures_util::future::try_join_all(answers).await?;
        for (question, answer) in missing.iter().zip(answers) {
            facts.insert(question, answer);
        }
        Ok(facts)
    }
}

/// The answers that are young enough, and the questions that have none.
async fn fresh<'a>(p: &Parts, questions: &'a [Question]) -> Result<(Facts, Vec<&'a Question>)> {
    let (mut facts, mut missing) = (Facts::default(), Vec::new());
    for question in questions {
        match kept(&path(p, question), Some(FRESH)).await? {
            Some(answer) => facts.insert(question, answer),
            None => missing.push(question),
        }
    }
    Ok((facts, missing))
}

async fn look_up(
    p: &Parts,
    ask: &BuildAsk,
    job: &Job,
    stack: &images::Stack,
    question: &Question,
) -> Result<Vec<String>> {
    let at = path(p, question);
    let part = format!("fact-{}", short(&question.id));
    let answer = match sandbox::ask(p, ask, stack, &part, question.argv.clone()).await {
        Ok(text) => (question.read)(&text).filter(|list| !list.is_empty()).ok_or_else(|| {
            Refusal::new(Code::LookupUnclear, format!("the answer about {} is not a list", question.name)).into()
        }),
        Err(err) => Err(err),
    };
    let err = match answer {
        Ok(list) => {
            keep(&at, &list).await?;
            return Ok(list);
        }
        Err(err) => err,
    };
    match kept(&at, None).await? {
        Some(list) => {
            job.warn(format!(
                "The package registry does not answer; using the versions of {} known before",
                question.name
            ));
            Ok(list)
        }
        None => {
            let (why, next) = match err {
                Error::Refused(no) if !no.why.is_empty() => (no.why, no.next),
                err => (err.lines().join("\n"), Vec::new()),
            };
            let no =
                Refusal::new(Code::RegistryUnreachable, format!("cannot look up the versions of {}", question.name));
            let no = next.into_iter().fold(no.why(why), Refusal::next);
            Err(no.next(format!("check whether the server reaches {}, then push again", question.registry)).into())
        }
    }
}

/// What was found out at earlier builds, of whatever age; a question without an answer is left open.
pub(super) async fn known(p: &Parts, questions: &[Question]) -> Result<Facts> {
    let mut facts = Facts::default();
    for question in questions {
        if let Some(answer) = kept(&path(p, question), None).await? {
            facts.insert(question, answer);
        }
    }
    Ok(facts)
}

/// Where an answer is kept.
fn path(p: &Parts, question: &Question) -> PathBuf {
    p.layout.facts().join(format!("{}.json", question.id))
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
