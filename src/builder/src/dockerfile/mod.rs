//! From a commit with a Dockerfile to an image in the engine. The builder does the work (`crate::daemon`); here is what goes
//! in, what is seen of it, what it may use, how it is ended, and how its image comes to the engine.

mod context;
mod watch;

use super::scripts;
use super::sources::Sources;
use super::times::Part;
use super::{BuildAsk, Builder, Made};
use crate::Parts;
use crate::daemon::{Group, Lease, Limits, away};
use buildpacks::{Base, Stack};
use context::Context;
use domain::config::ConfigVars;
use domain::dockerfile::{self, BuildSettings, Declared, Failure, Launch, Line, Progress};
use domain::procfile::ProcessTable;
use domain::{Commit, Secret, procfile, text};
use engine::images::{Digest, archive, base, borrow};
use engine::{BuildError, Built, EngineError, ImageBuild, Login};
use jobs::Job;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use store::{App, Build, BuildStatus};
use system::clock::now;
use system::fault::{Act, Fault, Result};
use system::tasks::blocking;
use tokio::sync::mpsc;
use tokio::time::Instant;
use watch::Watch;

/// Separates one app's cache mounts from all others'.
const CACHE_NAMESPACE: &str = "BUILDKIT_CACHE_MOUNT_NS";
/// What the pusher is told when nothing else is said for so long.
const SILENCE: Duration = Duration::from_secs(15);
/// Reports on their way.
const REPORTS_MAX: usize = 256;
/// Processes and threads of a build.
const PROCESSES: u64 = 1_024;
/// Files by which an app could be built in another way.
const OTHERS: [&str; 6] = ["package.json", "requirements.txt", "pyproject.toml", "Pipfile", "go.mod", "index.html"];
/// Contents that files had earlier; what was made of the oldest the builder has dropped long since.
const GONE_MAX: usize = 20_000;
/// Variables that would change the builder itself.
const RESERVED: &str = "BUILDKIT_";

/// Whether the app is built from a Dockerfile: its setting decides, then the file.
pub(super) fn wanted(app: &App, sources: &Sources) -> bool {
    match app.settings.buildpack.as_deref() {
        Some(name) => name == "dockerfile",
        None => app.settings.build.dockerfile.is_some() || sources.tree.has_file(dockerfile::DOCKERFILE),
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
        let root = app.settings.root.as_deref();
        let read = Context::read(&repos, &app.id, &commit, root, &app.settings.build, None)?;
        Ok(Given {
            commit,
            path: read.path,
            root: app.settings.root,
            declared: read.declared,
            settings: app.settings.build,
        })
    })
    .await
}

/// One build's circumstances.
#[derive(Clone, Copy)]
pub(super) struct Order<'a> {
    pub p: &'a Parts,
    pub ask: &'a BuildAsk,
    pub job: &'a Job,
    pub app: &'a App,
    pub sources: &'a Arc<Sources>,
}

impl Builder {
    /// Builds a commit by its Dockerfile.
    pub(super) async fn build_dockerfile(&self, order: Order<'_>, config: &ConfigVars) -> Result<Made> {
        let Order { p, ask, job, app, sources } = order;
        let context = context_of(order).await?;
        let begun = Instant::now();
        let _place = self.dockerfiles.acquire(p, &app.id, job).await?;
        ask.waited.add(begun.elapsed());
        if app.settings.buildpack.is_none()
            && let Some(other) = OTHERS.iter().find(|file| sources.tree.has_file(file))
        {
            let name = &app.name;
            job.detail(format!("The Dockerfile goes before {other}; otherwise: apps:set {name} buildpack=NAME"));
        }
        let lease = p.image_builder.lease(p.engine.as_ref(), |said| job.detail(said)).await?;
        let builder = builder_version(p).await;
        if let Some(no) = dockerfile::mode_in_letters(&context.text(), &context.path, &builder) {
            return Err(no.into());
        }
        // `FROM hoist/stack-run` must find them without any registry.
        for (stack, kind) in stacks_of(&context.declared) {
            self.give_stack(p, &lease, stack, kind, job).await?;
        }
        let group = lease.group(&app.id);
        let build = image_build(order, config, Arc::clone(&context), &group).await?;
        let hosts = p.store.read(|tx| tx.registries()).await?.into_iter().map(|one| one.host).collect::<Vec<_>>();
        p.image_builder.reach(&hosts).await?;
        let built = run_build(order, &context, build, &lease, &group).await?;
        let tag = super::image_name(p, ask, &app.image_key);
        let handed = self.hand_over(order, &lease, &built, &tag).await;
        // Its name there is a secret, and has done its work.
        if let Err(err) = lease.kit.forget(&built.name).await {
            tracing::warn!("an image stays in the builder for now: {err}");
        }
        handed?;
        let image = built.manifest;
        let facts = p.engine.image_facts(&tag).await?.unwrap_or_default();
        let table = context.procfile.as_deref().map(procfile::parse).transpose()?;
        let (processes, launch, said) = dockerfile::launch(&facts, table, app.settings.build.port, app.name.as_str())?;
        for line in said {
            job.detail(line);
        }
        look_at_scripts(sources, &context, &processes, &launch).await?;
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

    /// Makes sure that the builder has a stack, in the version that is beside us.
    async fn give_stack(&self, p: &Parts, lease: &Lease, stack: Stack, kind: Base, job: &Job) -> Result<()> {
        let name = super::stack_name(stack, kind);
        super::stack_there(p, stack, &name)?;
        let begun = Instant::now();
        let wanted = base(&self.registry, &p.settings.stacks, &name, p.settings.ca_bundle.as_deref()).await?;
        // Two builds that find it missing give it twice, which is only slow.
        if let Some(exact) = wanted.names.last()
            && lease.kit.has(exact).await.map_err(away)?
        {
            return Ok(());
        }
        job.detail(format!("Giving the builder the stack {name}, once"));
        let pieces = archive(self.registry.blobs(), &wanted.manifest, &wanted.names, &p.tasks);
        lease.kit.give(pieces).await.map_err(away)?;
        // Nothing else would ever remove an older one: a gigabyte each.
        for old in wanted.outdated(&lease.kit.names().await.map_err(away)?) {
            lease.kit.forget(&old).await.map_err(away)?;
        }
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        job.detail(format!("Stack {name} made ready in {}", domain::time::human_millis(took)));
        Ok(())
    }

    /// The engine pulls from us what the builder keeps: only layers that it lacks.
    async fn hand_over(&self, order: Order<'_>, lease: &Lease, built: &Built, tag: &str) -> Result<()> {
        let Order { p, ask, job, .. } = order;
        let begun = Instant::now();
        let manifest: Digest = built.manifest.parse().act(|| "the builder does not say what it made")?;
        let folder = lease.blob("");
        let borrowed = borrow(self.registry.blobs(), &manifest, move |hex| folder.join(hex)).await?;
        let reference = self.registry.reference(&format!("hoist/{}-{}", p.install, ask.app), &manifest);
        match p.engine.pull(&reference, tag).await {
            Err(err @ EngineError::LayerGone(_)) => {
                return Err(Fault::new("a layer that was just built is gone", err).transient().into());
            }
            pulled => pulled.map_err(system::fault::Error::from)?,
        }
        drop(borrowed);
        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        job.detail(format!("Image stored in {}", domain::time::human_millis(took)));
        Ok(())
    }
}

async fn context_of(Order { p, ask, job, app, .. }: Order<'_>) -> Result<Arc<Context>> {
    let (repos, id, commit, settings) =
        (p.repos.clone(), app.id.clone(), ask.commit.clone(), app.settings.build.clone());
    let root = app.settings.root.clone();
    let times = Part::new(&p.layout.layer_records(app.id.as_str()), "dockerfile");
    let read = move || {
        let mut marking = times.begin(now());
        let context = Context::read(&repos, &id, &commit, root.as_deref(), &settings, Some(&mut marking))?;
        // Before the build: what it makes of these files is used again, even if it fails.
        times.keep(&marking.end(None, GONE_MAX))?;
        Ok(context)
    };
    let context = blocking("read the commit", read).await?;
    job.head(format!("Building {}", text::plain(&context.path)));
    let size = text::human_bytes(context.bytes());
    let out = match context.left_out {
        0 => String::new(),
        n => format!("; .dockerignore leaves out {n}"),
    };
    job.detail(format!("{}, {size}{out}", text::counted(context.files(), "file")));
    if let Some(syntax) = &context.syntax {
        job.detail(format!("# syntax={}: the builder's built-in one is used", text::plain(syntax)));
    }
    Ok(Arc::new(context))
}

async fn image_build(
    Order { p, ask, job, app, .. }: Order<'_>,
    config: &ConfigVars,
    context: Arc<Context>,
    group: &Group,
) -> Result<ImageBuild> {
    let settings = &app.settings.build;
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
    let logins = registries.into_iter().filter(|one| !one.user.is_empty());
    let registries = logins.map(|one| (one.host, Login { user: one.user, password: one.password })).collect();
    Ok(ImageBuild {
        id: format!("hoist-{}-{}-{:08x}", p.install, ask.deploy, rand::random::<u32>()),
        group: group.path.clone(),
        shared_key: format!("{}-{}", p.install, app.id),
        dockerfile: dockerfile::DOCKERFILE.to_owned(),
        target: settings.target.clone(),
        args,
        labels: BTreeMap::from([
            (domain::instance::INSTALL_LABEL.to_owned(), p.install.to_string()),
            ("hoist.app".to_owned(), app.id.to_string()),
        ]),
        secrets,
        registries,
        no_cache: ask.clear_cache,
        files: context,
    })
}

/// Runs the build under its limits to its end; the image's id.
async fn run_build(
    Order { p, ask, job, app, sources }: Order<'_>,
    context: &Context,
    build: ImageBuild,
    lease: &Lease,
    group: &Group,
) -> Result<Built> {
    let limits = Limits { memory: p.settings.build_memory, cpu_millis: p.settings.build_cpu, processes: PROCESSES };
    let limited = group.clone();
    blocking("limit a build", move || Ok(limited.limit(limits).act(|| "cannot limit a build")?)).await?;
    let killed_before = group.killed();
    let watch = Watch::new(p, lease, group).await?.over();
    let (reports, mut heard) = mpsc::channel(REPORTS_MAX);
    let work = lease.kit.build(build, &reports);
    tokio::pin!(work, watch);
    let mut screen = Screen { job, progress: Progress::default(), said: Instant::now() };
    let done = loop {
        tokio::select! {
            Some(report) = heard.recv() => screen.show(&report),
            done = &mut work => break done,
            no = &mut watch => return Err(no.into()),
            () = tokio::time::sleep_until(ask.ends()) => return Err(super::sandbox::too_long(p).into()),
            () = tokio::time::sleep_until(screen.said + SILENCE) => screen.wait(),
        }
    };
    while let Ok(report) = heard.try_recv() {
        screen.show(&report);
    }
    let out_of_memory = group.killed() > killed_before;
    group.remove();
    match done {
        Ok(built) => Ok(built),
        Err(BuildError::Engine(err)) => Err(away(err)),
        Err(BuildError::Failed(message)) => {
            let (step, tail) = screen.progress.failure().unwrap_or_default();
            say_again(job, &step, &tail);
            if let Some(no) = script_of_step(sources, &step, &tail).await? {
                return Err(super::refusal(no).into());
            }
            let failure = Failure {
                step,
                tail,
                message,
                app: app.name.to_string(),
                out_of_memory,
                memory: text::human_bytes(p.settings.build_memory),
                dockerfile: context.path.clone(),
                left_out: context.left_out,
                builder: builder_version(p).await,
            };
            Err(dockerfile::explain(&failure).into())
        }
    }
}

/// The version of the engine that builds, without Debian's part of it.
async fn builder_version(p: &Parts) -> String {
    let version = p.image_builder.version().await.map(|version| version.engine).unwrap_or_default();
    version.split('+').next().unwrap_or_default().to_owned()
}

/// A script of the commit that cannot start, where the Dockerfile plainly copies it.
async fn look_at_scripts(
    sources: &Arc<Sources>,
    context: &Arc<Context>,
    processes: &ProcessTable,
    launch: &Launch,
) -> Result<()> {
    let (sources, context) = (Arc::clone(sources), Arc::clone(context));
    let (processes, launch) = (processes.clone(), launch.clone());
    let no = blocking("look at scripts", move || {
        let text = context.text();
        let of = |(name, command): (&domain::ProcessType, &String)| {
            let words = launch.argv(name.as_str(), command);
            scripts::of_image(&sources, &text, &launch.workdir, &words)
        };
        Ok(processes.iter().find_map(of))
    });
    no.await?.map_or(Ok(()), |no| Err(super::refusal(no).into()))
}

/// The same for a step that failed with the words that such a script leads to.
async fn script_of_step(sources: &Arc<Sources>, step: &str, tail: &[String]) -> Result<Option<buildpacks::Refusal>> {
    let said = tail.join("\n").to_ascii_lowercase();
    if !["permission denied", "not found", "no such file"].iter().any(|words| said.contains(words)) {
        return Ok(None);
    }
    let (sources, step) = (Arc::clone(sources), step.to_owned());
    blocking("look at scripts", move || Ok(scripts::of_step(&sources, &step))).await
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
