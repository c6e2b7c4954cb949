//! From a commit with a Dockerfile to an image in the engine. The engine's own builder does the work; here is what goes in,
//! what is seen of it, what it may use, and how it is ended.

mod context;
mod limits;
mod watch;

use super::sources::Sources;
use super::{BuildAsk, Builder, Made};
use crate::clock::now;
use crate::deploy::Job;
use crate::engine::{BuildError, ImageBuild, Login};
use crate::fault::Result;
use crate::platform::Parts;
use crate::store::{App, Build, BuildStatus};
use crate::tasks::blocking;
use buildpacks::{Base, Stack};
use context::Context;
use domain::config::ConfigVars;
use domain::dockerfile::{self, BuildSettings, Declared, Failure, Line, Progress};
use domain::{Commit, Refusal, Secret, procfile, text};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Separates one app's cache mounts from all others'.
const CACHE_NAMESPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";
/// What the pusher is told when nothing else is said for so long.
const SILENCE: Duration = Duration::from_secs(15);
/// Reports on their way.
const REPORTS_MAX: usize = 256;
/// Bytes of earlier results that the engine keeps for later builds.
const CACHE_KEPT: u64 = 10_000_000_000;
/// Files by which an app could be built in another way.
const OTHERS: [&str; 6] = ["package.json", "requirements.txt", "pyproject.toml", "Pipfile", "go.mod", "index.html"];
/// Variables that would change the builder itself.
const RESERVED: &str = "BUILDKIT_";

/// Whether the app is built from a Dockerfile: its setting decides, then the file.
pub(super) fn wanted(app: &App, sources: &Sources) -> bool {
    match app.buildpack.as_deref() {
        Some(name) => name == "dockerfile",
        None => app.build_settings.dockerfile.is_some() || sources.tree.has_file(dockerfile::DOCKERFILE),
    }
}

/// What an app's Dockerfile and its settings say, without building.
#[derive(Debug)]
pub struct Given {
    /// The commit.
    pub commit: Commit,
    /// The Dockerfile's path in the repository.
    pub path: String,
    /// The folder that is the app, where it is not the whole repository.
    pub root: Option<String>,
    /// What it declares.
    pub declared: Declared,
    /// The app's settings.
    pub settings: BuildSettings,
}

/// Reads them.
pub(super) async fn given(p: &Parts, app: App, commit: &Commit) -> Result<Given> {
    let (repos, commit) = (p.repos.clone(), commit.clone());
    blocking("read the commit", move || {
        let root = app.root.as_deref();
        let read = Context::read(&repos, &app.id, &commit, root, &app.build_settings)?;
        Ok(Given { commit, path: read.path, root: app.root, declared: read.declared, settings: app.build_settings })
    })
    .await
}

/// Takes away what a build of a server that was killed left behind, unless another server's build runs just now.
pub async fn clear_dockerfile() {
    if limits::leftover()
        && let Err(err) = crate::net::open_default_bridge().await
    {
        tracing::warn!("the default bridge stays closed to the unknown: {}", err.lines().join("; "));
    }
}

/// One build's circumstances.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub p: &'a Parts,
    pub ask: &'a BuildAsk,
    pub job: &'a Job,
    pub app: &'a App,
}

impl Builder {
    /// Builds a commit by its Dockerfile.
    pub(super) async fn build_dockerfile(
        &self,
        order: Order<'_>,
        config: &ConfigVars,
        sources: &Sources,
    ) -> Result<Made> {
        let Order { p, ask, job, app } = order;
        let context = context_of(order).await?;
        if app.buildpack.is_none()
            && let Some(other) = OTHERS.iter().find(|file| sources.tree.has_file(file))
        {
            let name = &app.name;
            job.detail(format!("The Dockerfile goes before {other}; otherwise: apps:set {name} buildpack=NAME"));
        }
        // `FROM hoist/stack-run` must find them without any registry.
        for (stack, base) in stacks_of(&context.declared) {
            self.stack_by_its_names(p, stack, base, job).await?;
        }
        let tag = super::image_name(p, ask, &app.image_key);
        let build = image_build(order, config, Arc::clone(&context), &tag).await?;
        let image = run_build(order, &context, build).await?;
        let facts = p.engine.image_facts(&tag).await?.unwrap_or_default();
        let table = context.procfile.as_deref().map(procfile::parse).transpose()?;
        let (processes, launch, said) = dockerfile::launch(&facts, table, app.build_settings.port, app.name.as_str())?;
        for line in said {
            job.detail(line);
        }
        let build = Build {
            id: ask.build,
            app: ask.app.clone(),
            commit: ask.commit.clone(),
            status: BuildStatus::Running,
            language: "Dockerfile".to_owned(),
            image: Some(tag),
            digest: Some(image),
            launch: Some(launch),
            processes,
            why: None,
            actor: String::new(),
            started: now(),
            ended: None,
        };
        let (id, pins) = (ask.app.clone(), p.store.clone());
        Ok(Made { build, pins: pins.read(move |tx| tx.pins(&id)).await? })
    }
}

async fn context_of(Order { p, ask, job, app }: Order<'_>) -> Result<Arc<Context>> {
    let (repos, id, commit, settings) =
        (p.repos.clone(), app.id.clone(), ask.commit.clone(), app.build_settings.clone());
    let root = app.root.clone();
    let read = blocking("read the commit", move || Context::read(&repos, &id, &commit, root.as_deref(), &settings));
    let mut context = read.await?;
    job.head(format!("Building {}", text::plain(&context.path)));
    let size = text::human_bytes(context.bytes());
    let out = match context.left_out {
        0 => String::new(),
        n => format!("; .dockerignore leaves out {n}"),
    };
    job.detail(format!("{} files, {size}{out}", context.files()));
    if let Some(syntax) = context.syntax.clone() {
        // One that somebody fetched by hand is used as the file asks for it.
        match p.engine.has_image(&syntax).await? {
            true => context.keep_syntax(),
            false => job.detail(format!("# syntax={}: the engine's built-in one is used", text::plain(&syntax))),
        }
    }
    if !app.build_settings.build_secrets.is_empty() {
        // What a step made of a secret is known to the builder by the step's text alone, which others can write too.
        let own = Sha256::digest(format!("steps of {}", app.image_key));
        context.keep_apart(&own.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    Ok(Arc::new(context))
}

async fn image_build(
    Order { p, ask, job, app }: Order<'_>,
    config: &ConfigVars,
    context: Arc<Context>,
    tag: &str,
) -> Result<ImageBuild> {
    let settings = &app.build_settings;
    let mut args = declared_vars(&settings.build_args, config, &app.name, "build-args", job);
    args.retain(|name, _| !name.starts_with(RESERVED));
    args.insert(CACHE_NAMESPACE.to_owned(), Secret::new(format!("{}-{}", p.install, app.id)));
    let secrets = declared_vars(&settings.build_secrets, config, &app.name, "build-secrets", job);
    // One that is declared and has no value was warned about already.
    let declared = |name: &&String| settings.build_secrets.iter().any(|one| one.as_str() == name.as_str());
    for name in context.declared.secrets.iter().filter(|name| !declared(name)) {
        let name = text::plain(name);
        job.warn(format!("the secret {name} is not offered: apps:set {} build-secrets={name}", app.name));
    }
    let registries = p.store.read(|tx| tx.registries()).await?;
    let registries =
        registries.into_iter().map(|one| (one.host, Login { user: one.user, password: one.password })).collect();
    Ok(ImageBuild {
        id: format!("hoist-{}-{}-{:08x}", p.install, ask.deploy, rand::random::<u32>()),
        tag: tag.to_owned(),
        shared_key: format!("{}-{}", p.install, app.id),
        dockerfile: dockerfile::DOCKERFILE.to_owned(),
        target: settings.target.clone(),
        args,
        labels: BTreeMap::from([
            (crate::deploy::spec::INSTALL_LABEL.to_owned(), p.install.to_string()),
            ("hoist.app".to_owned(), app.id.to_string()),
        ]),
        secrets,
        registries,
        no_cache: ask.clear_cache,
        files: context,
    })
}

/// Runs the build under its limits to its end; the image's id.
async fn run_build(Order { p, ask, job, app }: Order<'_>, context: &Context, build: ImageBuild) -> Result<String> {
    let began = Instant::now();
    let mut held = limits::Held::acquire(p, job).await?;
    // Waiting for others is not its own time.
    let deadline = ask.deadline + began.elapsed();
    held.close(p.net.guard_default_bridge(p.engine.as_ref()).await?);
    let (reports, mut heard) = mpsc::channel(REPORTS_MAX);
    let work = p.engine.build_image(build, &reports);
    let (watch, closed) = (watch::over(p, &held), held.keep_closed(p.engine.as_ref()));
    tokio::pin!(work, watch, closed);
    let mut screen = Screen { job, progress: Progress::default(), said: Instant::now() };
    let done = loop {
        tokio::select! {
            Some(report) = heard.recv() => screen.show(&report),
            done = &mut work => break done,
            no = &mut watch => return Err(no.into()),
            no = &mut closed => return Err(no),
            () = tokio::time::sleep_until(deadline) => return Err(too_long(p)),
            () = tokio::time::sleep_until(screen.said + SILENCE) => screen.wait(),
        }
    };
    while let Ok(report) = heard.try_recv() {
        screen.show(&report);
    }
    let out_of_memory = held.out_of_memory();
    // What later builds can use is kept within a budget; a full disk is worse than a slow build.
    if let Err(err) = p.engine.prune_build_cache(CACHE_KEPT).await {
        tracing::info!("the build cache is not pruned: {err}");
    }
    match done {
        Ok(image) => Ok(image),
        Err(BuildError::Engine(err)) => Err(err.into()),
        Err(BuildError::Failed(message)) => {
            let (step, tail) = screen.progress.failure().unwrap_or_default();
            say_again(job, &step, &tail);
            let failure = Failure {
                step,
                tail,
                message,
                app: app.name.to_string(),
                out_of_memory,
                memory: text::human_bytes(p.settings.build_memory),
                dockerfile: context.path.clone(),
                left_out: context.left_out,
            };
            Err(dockerfile::explain(&failure).into())
        }
    }
}

/// The stacks that a Dockerfile builds on: `hoist/stack-run`, `hoist/stack-build:deb12`.
fn stacks_of(declared: &Declared) -> Vec<(Stack, Base)> {
    let mut found = Vec::new();
    for (prefix, base) in [("hoist/stack-run", Base::Run), ("hoist/stack-build", Base::Build)] {
        for stack in [Stack::Deb13, Stack::Deb12] {
            let named = format!("{prefix}:{}", stack.name());
            let latest = format!("{prefix}:latest");
            let means = |image: &String| {
                *image == named || (stack == Stack::default() && (image == prefix || *image == latest))
            };
            if declared.images.iter().any(means) {
                found.push((stack, base));
            }
        }
    }
    found
}

struct Screen<'a> {
    job: &'a Job,
    progress: Progress,
    said: Instant,
}

impl Screen<'_> {
    fn show(&mut self, report: &dockerfile::Report) {
        for line in self.progress.take(report) {
            self.said = Instant::now();
            match line {
                Line::Head(text) => self.job.head(text),
                Line::Detail(text) => self.job.detail(text),
            }
        }
    }

    fn wait(&mut self) {
        self.said = Instant::now();
        let millis = u64::try_from(now().0 / 1_000).unwrap_or(0);
        self.job.detail(self.progress.waiting(millis));
    }
}

/// The failed step and its last lines once more: after parallel steps they may be far up.
fn say_again(job: &Job, step: &str, tail: &[String]) {
    if step.is_empty() {
        return;
    }
    job.head(format!("Failed: {step}"));
    for line in tail {
        job.detail(format!("  {line}"));
    }
}

/// The config vars that a setting names; those that are not set are said.
fn declared_vars(
    names: &[String],
    config: &ConfigVars,
    app: &domain::AppName,
    setting: &str,
    job: &Job,
) -> BTreeMap<String, Secret<String>> {
    let mut found = BTreeMap::new();
    for name in names {
        match config.iter().find(|(key, _)| key.as_str() == name) {
            Some((_, value)) => {
                found.insert(name.clone(), value.clone());
            }
            None => job.warn(format!("{setting} names {name}, which is not set: config:set {app} {name}=VALUE")),
        }
    }
    found
}

fn too_long(p: &Parts) -> crate::fault::Error {
    let limit = p.settings.build_timeout;
    Refusal::new("build-timeout", format!("the build took longer than {limit} s"))
        .next("make it shorter, or raise build-timeout in the server's configuration")
        .into()
}
