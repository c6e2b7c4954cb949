//! From a commit to an image in the engine: plan, layers (most of them known already), image, pull.
//!
//! Invariant: a layer whose key is known is not built, packed, hashed or sent. Everything here may be run again after a
//! crash. The build's steps see nothing of the host but their own folders.

mod asked;
mod assemble;
pub mod daemon;
mod dockerfile;
mod facts;
mod keys;
mod locks;
mod pack;
mod prefetch;
mod sandbox;
mod scripts;
mod single_flight;
mod slots;
mod sources;
mod submodules;
mod times;
mod workspace;

pub use dockerfile::Given;
pub use locks::LockFile;
pub use slots::{Permit, Person, Slots};

pub use asked::{How, Planned};

use asked::Asked;
use async_trait::async_trait;
use buildpacks::{Base, Plan};
use daemon::ImageBuilder;
use domain::config::ConfigVars;
use domain::ids::DeployId;
use domain::procfile::{self, ProcessTable};
use domain::refusal::Code;
use domain::{InstallId, Refusal};
use engine::images::{Budget, Layer, Registry, Stack, ensure_stack};
use engine::{Engine, EngineError, Starts};
use git::Repos;
use jobs::{BuildAsk, Builds, Job, Made};
use logs::Logs;
use net::Net;
use routes::Sites;
use sources::Sources;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::{Build, BuildStatus, Store};
use system::clock::now;
use system::fault::{Act, Error, Fault, Result};
use system::layout::Layout;
use system::settings::Settings;
use system::tasks::{Tasks, blocking};
use tokio::sync::Mutex;

/// The stacks of an installation: that of apps which ask for none.
pub const STACKS: [&str; 2] = ["deb13-run", "deb13-build"];

/// Bytes of blobs: what the engine does not have yet, or may ask for again.
const BLOBS: Budget = Budget { bytes: 5_000_000_000, keep_younger: Duration::from_secs(3_600) };
/// How long the end of a failed job waits for Docker to remove its sandboxes.
const DISCARD_MAX: Duration = Duration::from_secs(2);

/// What builds work with.
#[derive(Debug, Clone)]
pub struct Parts {
    /// The configuration.
    pub settings: Settings,
    /// Where everything lies.
    pub layout: Layout,
    /// This installation's id.
    pub install: InstallId,
    /// State.
    pub store: Store,
    /// Where sandboxes run and images go.
    pub engine: Arc<dyn Engine>,
    /// Starts of sandboxes that are under way.
    pub starts: Starts,
    /// Where their output goes.
    pub logs: Logs,
    /// Where commits come from.
    pub repos: Repos,
    /// Their network.
    pub net: Net,
    /// What builds Dockerfiles.
    pub image_builder: Arc<ImageBuilder>,
    /// The init on the host, mounted into every sandbox.
    pub init: PathBuf,
    /// Where apps answer.
    pub sites: Sites,
    /// Everything that is spawned.
    pub tasks: Tasks,
}

/// Builds images. One per control process.
#[derive(Debug)]
pub struct Builder {
    p: Parts,
    registry: Registry,
    /// Places for sandboxes at work, on the whole host. What only fetches (look-ups, a runtime and its installer) shares one.
    slots: Slots,
    /// Places for Dockerfiles, each of whose builds has limits of its own.
    dockerfiles: Slots,
    stacks: Mutex<BTreeMap<String, Stack>>,
    /// Layers for all apps that are being made.
    flights: single_flight::Flights,
    packs: single_flight::Packs,
    ahead: prefetch::Ahead,
}

/// Everything one build works with.
struct Work<'a> {
    p: &'a Parts,
    job: &'a Job,
    ask: &'a BuildAsk,
    plan: Plan,
    sources: Arc<Sources>,
    /// The word in the names of the app's images that nobody is told.
    image_key: String,
    config: ConfigVars,
    /// The stack by name, and the identity of its images.
    stack: buildpacks::Stack,
    stacks: String,
}

impl Builder {
    /// A builder that hands images over through `registry` and runs `slots` sandboxes at a time.
    pub fn new(p: Parts, registry: Registry, slots: usize) -> Builder {
        Builder {
            p,
            registry,
            slots: Slots::new(slots),
            dockerfiles: Slots::new(slots.max(2)),
            stacks: Mutex::default(),
            flights: single_flight::Flights::default(),
            packs: single_flight::Packs::default(),
            ahead: prefetch::Ahead::default(),
        }
    }

    fn say_plan(&self, job: &Job, plan: &Plan, processes: &ProcessTable, procfile: bool) {
        job.head(format!("Building with {}", plan.language));
        for line in &plan.decided {
            job.detail(line);
        }
        for line in &plan.warnings {
            job.warn(line);
        }
        let names: Vec<&str> = processes.keys().map(domain::ProcessType::as_str).collect();
        let from = if procfile { "Procfile declares types" } else { "Default types" };
        job.detail(format!("{from} -> {}", names.join(", ")));
    }

    /// A stack image in the engine; made once, then known.
    async fn stack(&self, p: &Parts, stack: buildpacks::Stack, base: Base, job: &Job) -> Result<Stack> {
        let mut known = self.stacks.lock().await;
        let name = stack_name(stack, base);
        if let Some(stack) = known.get(&name) {
            return Ok(stack.clone());
        }
        stack_there(p, stack, &name)?;
        let begun = now();
        let made = ensure_stack(p.engine.as_ref(), &self.registry, &p.settings.stacks, &name).await?;
        let took = now().millis_since(begun);
        if took > 1_000 {
            job.detail(format!("Stack {name} made ready in {}", domain::time::human_millis(took)));
        }
        known.insert(name, made.clone());
        Ok(made)
    }

    /// Layers, image, pull. If the engine misses a layer whose bytes are gone, everything is packed again, once.
    async fn make_image(&self, work: &Work<'_>, run: &Stack) -> Result<(String, String)> {
        let mut use_known = !work.ask.clear_cache;
        loop {
            let layers = self.layers(work, use_known).await?;
            match self.image(work, run, layers).await {
                Err(EngineErrorOr::Gone) if use_known => {
                    work.job.detail("A kept layer is gone; packing again");
                    use_known = false;
                }
                Err(EngineErrorOr::Gone) => return Err(Fault::plain("a layer just packed is gone").into()),
                Err(EngineErrorOr::Other(err)) => return Err(err),
                Ok(named) => return Ok(named),
            }
        }
    }

    async fn image(&self, work: &Work<'_>, run: &Stack, layers: Vec<Layer>) -> Result<(String, String), EngineErrorOr> {
        let p = work.p;
        let tag = image_name(p, work.ask, &work.image_key);
        let config = assemble::image_config(work, run, &layers);
        let blobs = Arc::clone(self.registry.blobs());
        let manifest = blocking("describe the image", move || Ok(config.assemble(&blobs)?)).await?;
        let digest = manifest.to_string();
        let (app, wanted) = (work.ask.app.clone(), digest.clone());
        let same = p.store.read(move |tx| tx.build_with_digest(&app, &wanted)).await?.and_then(|b| b.image);
        if let Some(image) = same
            && p.engine.has_image(&image).await.map_err(Error::from)?
        {
            work.job.detail("Nothing changed: the image is the same");
            return Ok((image, digest));
        }
        let reference = self.registry.reference(&format!("hoist/{}-{}", p.install, work.ask.app), &manifest);
        let begun = now();
        match p.engine.pull(&reference, &tag).await {
            Err(EngineError::LayerGone(_)) => return Err(EngineErrorOr::Gone),
            other => other.map_err(Error::from)?,
        }
        let size: u64 = layers.iter().map(|l| l.size).sum();
        let took = domain::time::human_millis(now().millis_since(begun));
        work.job
            .detail(format!("Image stored in {took} ({} besides the base system)", domain::text::human_bytes(size)));
        Ok((tag, digest))
    }
}

#[async_trait]
impl Builds for Builder {
    async fn build(&self, ask: &BuildAsk, job: &Job) -> Result<Made> {
        let made = self.build_commit(ask, job).await;
        let Err(Error::Refused(no)) = made else { return made };
        let id = ask.app.clone();
        let app = self.p.store.read(move |tx| tx.the_app(&id)).await?;
        Err(no.for_app(app.name.as_str()).into())
    }

    /// Removes the oldest blobs until the rest fits. What is missed later is packed again.
    async fn prune(&self) -> Result<()> {
        let blobs = Arc::clone(self.registry.blobs());
        blocking("prune blobs", move || {
            let pruned = blobs.prune(BLOBS, &std::collections::BTreeSet::new(), std::time::SystemTime::now())?;
            if pruned.removed > 0 {
                tracing::info!(removed = pruned.removed, bytes = pruned.freed, "blobs pruned");
            }
            Ok(())
        })
        .await
    }

    async fn discard(&self, deploy: DeployId) -> Result<()> {
        let p = &self.p;
        // With Docker away, the reconciler removes it later: a sandbox without a job in flight is a stray.
        match tokio::time::timeout(DISCARD_MAX, remove_sandboxes(p, deploy)).await {
            Ok(Ok(())) => {}
            Ok(Err(err)) => tracing::info!(%deploy, "a sandbox stays for now: {err}"),
            Err(_) => tracing::info!(%deploy, "a sandbox stays for now: Docker is slow"),
        }
        // A flood takes longer to store than the one who cancelled it should wait.
        let (logs, prefix) = (p.logs.clone(), format!("b{deploy}-"));
        p.tasks.spawn("finish a build's spools", move |stop| async move {
            tokio::select! {
                done = logs.finish_all(&prefix) => if let Err(err) = done {
                    tracing::info!(%deploy, "a build's spool is not stored yet: {}", err.chain());
                },
                () = stop.cancelled() => {}
            }
        });
        let (root, packs) = (p.layout.builds(), self.packs.clone());
        p.tasks.spawn("remove a build's folder", move |stop| async move {
            // A layer of it may still be packed, and would be kept without what is removed here. What stays goes at the
            // next start.
            tokio::select! { () = packs.settled(deploy) => {}, () = stop.cancelled() => return }
            let removed = blocking("remove a build's folder", move || {
                workspace::remove_of(&root, deploy);
                Ok(())
            });
            if let Err(err) = removed.await {
                tracing::warn!(%deploy, "{}", err.chain());
            }
        });
        Ok(())
    }

    fn is_ahead(&self, number: DeployId) -> bool {
        Builder::is_ahead(self, number)
    }
}

impl Builder {
    async fn build_commit(&self, ask: &BuildAsk, job: &Job) -> Result<Made> {
        let p = &self.p;
        let mut asked = Asked::read(p, &ask.app, &ask.commit).await?;
        if asked.sources.has_submodules() {
            self.fetch_submodules(ask, job, &asked).await?;
            asked = Asked::read(p, &ask.app, &ask.commit).await?;
        }
        if dockerfile::wanted(&asked.app, &asked.sources) {
            let order = dockerfile::Order { p, ask, job, app: &asked.app, sources: &asked.sources };
            return self.build_dockerfile(order, &asked.config).await;
        }
        let questions = buildpacks::ask(&asked.sources.tree, &asked.settings, &asked.pins).map_err(refusal)?;
        let facts = self.facts(p, ask, job, asked.settings.stack, &questions).await?;
        let (asked, said) = self.lock(ask, job, asked, &facts).await?;
        let Asked { app, sources, settings, pins, config } = asked;
        let mut plan = buildpacks::plan(&sources.tree, &settings, &pins, &facts).map_err(refusal)?;
        plan.warnings.splice(0..0, said);
        let processes = processes(&sources, &plan)?;
        self.say_plan(job, &plan, &processes, sources.has_procfile());
        look_at_scripts(&sources, &processes, job).await?;
        let stack = settings.stack;
        let run = self.stack(p, stack, Base::Run, job).await?;
        let stacks = stacks_id(p, &run, stack).await?;
        let pins = plan.pins.clone();
        let language = plan.language.clone();
        let work = Work { p, job, ask, plan, sources, image_key: app.image_key, config, stack, stacks };
        let (image, digest) = self.make_image(&work, &run).await?;
        let build = Build {
            id: ask.build,
            app: ask.app.clone(),
            commit: ask.commit.clone(),
            status: BuildStatus::Running,
            language,
            image: Some(image),
            digest: Some(digest),
            launch: None,
            processes,
            why: None,
            actor: String::new(),
            started: now(),
            ended: None,
        };
        Ok(Made { build, pins })
    }
}

async fn remove_sandboxes(p: &Parts, deploy: DeployId) -> Result<(), EngineError> {
    let prefix = sandbox::name_prefix(&p.install, deploy);
    p.starts.settled(&prefix).await;
    for seen in engine::ours(p.engine.as_ref(), &p.install).await? {
        if seen.name.starts_with(&prefix) {
            p.engine.remove(&seen.name).await?;
        }
    }
    Ok(())
}

/// Why an image was not handed over.
enum EngineErrorOr {
    /// A layer's bytes are gone.
    Gone,
    /// Anything else.
    Other(Error),
}

impl From<Error> for EngineErrorOr {
    fn from(err: Error) -> EngineErrorOr {
        EngineErrorOr::Other(err)
    }
}

/// The name of a build's image in the engine. Whoever can name an image of another app in a Dockerfile reads it, so that
/// there is a word in it that nobody is told.
fn image_name(p: &Parts, ask: &BuildAsk, image_key: &str) -> String {
    format!("hoist/{}-{}:b{}-{}", p.install, ask.app, ask.build, image_key)
}

/// `deb13-run`: the name of a stack's tar.
fn stack_name(stack: buildpacks::Stack, base: Base) -> String {
    match base {
        Base::Build => format!("{}-build", stack.name()),
        Base::Run => format!("{}-run", stack.name()),
    }
}

/// Whether a stack's two images, by its own name, lie in the folder of stacks.
pub fn stack_is_installed(stacks: &std::path::Path, name: &str) -> bool {
    ["run", "build"].iter().all(|image| stacks.join(format!("{name}-{image}.json")).exists())
}

fn stack_there(p: &Parts, stack: buildpacks::Stack, name: &str) -> Result<()> {
    if p.settings.stacks.join(format!("{name}.json")).exists() {
        return Ok(());
    }
    let no = Refusal::new(Code::NoStack, format!("the stack {name} is not in {}", p.settings.stacks.display()));
    let no = no.next(format!("scripts/stacks --stack {} makes it, as the administrator of the server", stack.name()));
    Err(match stack {
        buildpacks::Stack::Deb13 => no.into(),
        buildpacks::Stack::Deb12 => no.next("or take the default stack: apps:set APP stack=").into(),
    })
}

/// The identity of both images of a stack. Only a digest is needed of the build stack: the engine gets it when a sandbox
/// must run.
async fn stacks_id(p: &Parts, run: &Stack, stack: buildpacks::Stack) -> Result<String> {
    Ok(format!("{} {}", run.layer.digest, stack_digest(p, &stack_name(stack, Base::Build)).await?))
}

async fn stack_digest(p: &Parts, name: &str) -> Result<String> {
    let path = p.settings.stacks.join(format!("{name}.json"));
    blocking("read a stack's digest", move || {
        let Ok(text) = std::fs::read(&path) else { return Ok("none".to_owned()) };
        let value: serde_json::Value =
            serde_json::from_slice(&text).act(|| format!("cannot read {}", path.display()))?;
        Ok(value.get("digest").and_then(serde_json::Value::as_str).unwrap_or("none").to_owned())
    })
    .await
}

/// Scripts that cannot start are said, or refused, before anything is built.
async fn look_at_scripts(sources: &Arc<Sources>, processes: &ProcessTable, job: &Job) -> Result<()> {
    let (sources, processes) = (Arc::clone(sources), processes.clone());
    let (stops, said) = blocking("look at scripts", move || Ok(scripts::look(&sources, &processes))).await?;
    for no in said {
        job.warn(format!("{}: {}", no.what, no.why));
        no.next.iter().for_each(|next| job.detail(next));
    }
    stops.map_or(Ok(()), |no| Err(refusal(no).into()))
}

/// The process table: the Procfile, and what the plan has beside it.
fn processes(sources: &Sources, plan: &Plan) -> Result<ProcessTable> {
    let mut table = match &sources.procfile {
        Some(bytes) => procfile::parse(bytes)?,
        None => ProcessTable::new(),
    };
    for (name, command) in &plan.processes {
        table.entry(name.parse()?).or_insert_with(|| command.clone());
    }
    Ok(table)
}

fn refusal(no: buildpacks::Refusal) -> Refusal {
    Refusal { code: no.code, what: no.what, why: no.why, next: no.next }
}
