//! Runs steps in a build container: its user without rights, its limits, its network, its folders, its end.
//!
//! Invariant: when a run ends, however it ends, its container is gone or will be removed by its deterministic name.

use super::slots::{Permit, Slots};
use super::sources::APP_UID;
use super::{BuildAsk, Builder};
use crate::Parts;
use domain::ids::DeployId;
use domain::instance::{INIT_AT, INSTALL_LABEL, KIND_LABEL, SPOOL_AT};
use domain::output::Help;
use domain::refusal::Code;
use domain::{InstallId, Refusal, text};
use engine::images::{BUNDLE, CA_VARIABLES, Stack};
use engine::{Attachment, InstanceSpec, Limits, Mount, Status};
use jobs::Job;
use log_format::{Source, SpoolKey, SpoolRecord, SpoolStream};
use logs::SpoolMeta;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;
use system::fault::{Fault, Result};
use system::host_checks::bytes_below;
use system::tasks::blocking;
use tokio::time::sleep;

const STEPS_AT: &str = "/.hoist/steps.json";
/// How often the disk is measured.
const DISK_EVERY: Duration = Duration::from_secs(2);
/// The longest silence before the last lines of a step that has ended.
const REST_MAX: Duration = Duration::from_secs(10);
/// Lines that are repeated of what a registry's client said.
const SAID_MAX: usize = 3;
/// Lines of a step's output that are looked through when it fails.
const LAST_MAX: usize = 400;
/// The longest lookup.
const ASK_MAX: Duration = Duration::from_secs(120);
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One sandbox to run to its end.
pub struct Sandbox {
    /// What tells it from the deploy's other sandboxes.
    pub part: String,
    /// The build stack's image.
    pub image: String,
    /// Steps, as hoist-init reads them.
    pub steps: PathBuf,
    /// The titles of the steps.
    pub titles: Vec<String>,
    /// Folders it sees.
    pub mounts: Vec<Mount>,
    /// The folders whose size is watched: all that it can fill on the disk.
    pub watched: Vec<PathBuf>,
}

/// The beginning of the names of a deploy's sandboxes.
pub fn name_prefix(install: &InstallId, deploy: DeployId) -> String {
    format!("hoist-{install}-b{deploy}-")
}

/// The environment that every step starts with.
pub fn base_env(p: &Parts, ask: &BuildAsk, stack: &Stack) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = [
        ("PATH", PATH),
        ("HOME", "/tmp/home"),
        ("LANG", "C.UTF-8"),
        ("CI", "true"),
        ("STACK", "heroku-24"),
        ("SOURCE_VERSION", ask.commit.as_str()),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into();
    if let Some(mirror) = &stack.mirror {
        env.insert(buildpacks::MIRROR.to_owned(), mirror.main.clone());
        env.insert(buildpacks::SECURITY.to_owned(), mirror.security.clone());
    }
    if p.settings.ca_bundle.is_some() {
        env.extend(CA_VARIABLES.map(|name| (name.to_owned(), BUNDLE.to_owned())));
    }
    env
}

impl Builder {
    /// A place among the sandboxes at work; says so when it must wait.
    pub(super) async fn slot(&self, p: &Parts, ask: &BuildAsk, job: &Job) -> Result<Permit> {
        let began = tokio::time::Instant::now();
        let place = self.slots.acquire(p, &ask.app, job).await;
        // However busy the server is, a build has its time.
        ask.waited.add(began.elapsed());
        place
    }

    /// The places for builds at work.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }
}

/// A build that is out of time.
pub fn too_long(p: &Parts) -> Refusal {
    Refusal::new(Code::BuildTimeout, format!("the build took longer than {} s", p.settings.build_timeout.as_secs()))
        .next("make it shorter, or raise build-timeout in the server's configuration")
}

/// The container's name and the spool's.
fn names(p: &Parts, ask: &BuildAsk, part: &str) -> Result<(String, SpoolKey)> {
    Ok((format!("{}{part}", name_prefix(&p.install, ask.deploy)), format!("b{}-{part}", ask.deploy).parse()?))
}

/// Ends what an earlier try left running under this name, and its output, before anything is laid out for the next.
pub async fn clear(p: &Parts, ask: &BuildAsk, part: &str) -> Result<()> {
    let (name, key) = names(p, ask, part)?;
    p.engine.remove(&name).await?;
    p.logs.finish(&key).await
}

/// Runs the sandbox, of whose name nothing is left ([`clear`]); its output goes to the job and into the app's log.
pub async fn run(p: &Parts, ask: &BuildAsk, job: &Job, sandbox: &Sandbox) -> Result<()> {
    let (name, key) = names(p, ask, &sandbox.part)?;
    start(p, ask, &name, &key, sandbox).await?;
    let mut lines = p.logs.watch(&key).await?;
    let mut screen = Screen { job, titles: &sandbox.titles, step: 0, help: Help::default(), last: VecDeque::new() };
    let end = watch_end(p, &name);
    tokio::pin!(end);
    let full = watch_disk(p, sandbox);
    tokio::pin!(full);
    let ended = loop {
        // Not biased: a flood of lines must not keep the limits from being looked at.
        tokio::select! {
            Some(line) = lines.recv() => screen.show(&line),
            status = &mut end => break status,
            refused = &mut full => break Err(refused.into()),
            () = tokio::time::sleep_until(ask.ends()) => {
                break Err(too_long(p).into());
            }
        }
    };
    let finished = if ended.is_ok() {
        // Nothing writes any more: finishing the spool ends its lines.
        let rest = async {
            while let Ok(Some(line)) = tokio::time::timeout(REST_MAX, lines.recv()).await {
                screen.show(&line);
            }
        };
        let (removed, finished, ()) = tokio::join!(p.engine.remove(&name), p.logs.finish(&key), rest);
        removed?;
        finished
    } else {
        p.engine.remove(&name).await?;
        p.logs.finish(&key).await
    };
    if let Err(err) = finished {
        // A flood takes longer to store than a build should wait; the sweep finishes it.
        tracing::info!(%key, "a build's spool is not stored yet: {}", err.chain());
    }
    verdict(p, &screen, ended?)
}

fn verdict(p: &Parts, screen: &Screen<'_>, status: Status) -> Result<()> {
    let title = screen.titles.get(screen.step).map_or("a build step", String::as_str);
    match status {
        Status::Exited { code: 0, .. } => Ok(()),
        Status::Exited { out_of_memory: true, .. } => {
            let limit = text::human_bytes(p.settings.build_memory);
            Err(Refusal::new(Code::BuildMemory, format!("out of memory: {title}"))
                .why(format!("a build may use {limit}"))
                .next("raise build-memory in the server's configuration")
                .into())
        }
        Status::Exited { code, .. } => {
            let no = Refusal::new(Code::BuildFailed, format!("{} failed with status {code}", act(title)));
            let lines: Vec<&str> = screen.last.iter().map(String::as_str).collect();
            Err(match buildpacks::explain(title, &lines) {
                Some(cause) => cause.next.into_iter().fold(no.why(cause.why), Refusal::next).into(),
                None => no.next("fix the cause shown above, commit, push again").into(),
            })
        }
        Status::Created | Status::Running { .. } => Err(Fault::plain("a build that runs was taken as ended").into()),
    }
}

/// What failed, of a step's title: `Running npm run build` is the command itself.
fn act(title: &str) -> String {
    title.strip_prefix("Running ").map_or_else(|| title.to_owned(), |command| format!("`{command}`"))
}

/// Runs one program without an app's files and returns what it printed; its errors are part of the refusal.
pub async fn ask(p: &Parts, ask: &BuildAsk, stack: &Stack, part: &str, argv: Vec<String>) -> Result<String> {
    let folder = p.layout.builds().join(format!("{}-{part}", ask.deploy));
    let file = folder.join("steps.json");
    let steps =
        serde_json::json!({"steps": [{"name": part, "argv": argv, "cwd": "/tmp", "env": base_env(p, ask, stack)}]});
    let (make, write, body) = (folder.clone(), file.clone(), steps.to_string());
    blocking("write a step", move || {
        std::fs::create_dir_all(&make).map_err(|err| Fault::new("cannot make a build's folder", err))?;
        super::assemble::write_whole(&write, body.as_bytes())
    })
    .await?;
    let sandbox = Sandbox {
        part: part.to_owned(),
        image: stack.image.clone(),
        steps: file,
        titles: vec![],
        mounts: vec![Mount::Tmpfs { at: "/tmp".to_owned(), size: 500_000_000 }],
        watched: vec![folder.clone()],
    };
    clear(p, ask, part).await?;
    let (name, key) = names(p, ask, part)?;
    start(p, ask, &name, &key, &sandbox).await?;
    let ended = tokio::time::timeout(ASK_MAX, watch_end(p, &name)).await;
    let lines = p.logs.recent(&key, 20_000).await?;
    if matches!(ended, Ok(Ok(_))) {
        let (removed, finished) = tokio::join!(p.engine.remove(&name), p.logs.finish(&key));
        removed?;
        finished?;
    } else {
        p.engine.remove(&name).await?;
        p.logs.finish(&key).await?;
    }
    let remove = folder.clone();
    blocking("remove a build's folder", move || {
        let _ = std::fs::remove_dir_all(&remove);
        Ok(())
    })
    .await?;
    let of = |stream: SpoolStream| {
        lines.iter().filter(|l| l.stream == stream).map(|l| l.text.clone()).collect::<Vec<_>>().join("\n")
    };
    match ended {
        Ok(Ok(Status::Exited { code: 0, .. })) => Ok(of(SpoolStream::Out)),
        Ok(Ok(_)) => Err(failed_lookup(&of(SpoolStream::Err)).into()),
        Ok(Err(err)) => Err(err),
        Err(_) => Err(Refusal::new(Code::LookupSlow, format!("no answer within {} s", ASK_MAX.as_secs())).into()),
    }
}

/// Why a registry's client failed: its last lines, and what to do where the cause is known.
fn failed_lookup(said: &str) -> Refusal {
    let lines: Vec<String> =
        said.lines().map(|line| text::plain(line.trim())).filter(|line| !line.is_empty()).collect();
    let words: Vec<&str> = lines.iter().map(String::as_str).collect();
    let no = Refusal::new(Code::LookupFailed, "its client failed");
    match buildpacks::explain("", &words) {
        Some(cause) => cause.next.into_iter().fold(no.why(cause.why), Refusal::next),
        None => no.why(words.split_at(words.len().saturating_sub(SAID_MAX)).1.join("\n")),
    }
}

async fn start(p: &Parts, ask: &BuildAsk, name: &str, key: &SpoolKey, sandbox: &Sandbox) -> Result<()> {
    let network = p.net.build_network()?;
    p.engine.ensure_network(&network).await?;
    let meta = SpoolMeta {
        key: key.clone(),
        app: ask.app.clone(),
        source: Source::Build,
        process: String::new(),
        instance: String::new(),
        release: 0,
    };
    p.logs.follow(meta).await?;
    let bind = |host: PathBuf, at: &str, writable| Mount::Bind { host, at: at.to_owned(), writable };
    let mut mounts = vec![
        bind(p.init.clone(), INIT_AT, false),
        bind(p.logs.writer_dir(key), SPOOL_AT, true),
        bind(sandbox.steps.clone(), STEPS_AT, false),
    ];
    if let Some(bundle) = &p.settings.ca_bundle {
        mounts.push(bind(bundle.clone(), BUNDLE, false));
    }
    mounts.extend(sandbox.mounts.iter().cloned());
    let user = format!("{APP_UID}:{APP_UID}");
    let argv = [INIT_AT, "--user", &user, "--spool", SPOOL_AT, "--cwd", "/", "--steps", STEPS_AT];
    let spec = InstanceSpec {
        name: name.to_owned(),
        image: sandbox.image.clone(),
        argv: argv.iter().map(|a| (*a).to_owned()).collect(),
        env: BTreeMap::new(),
        cwd: None,
        capabilities: vec!["SETUID".to_owned(), "SETGID".to_owned()],
        // What lies outside the watched folders cannot be filled.
        read_only: true,
        mounts,
        limits: Limits {
            memory: p.settings.build_memory,
            cpu_millis: p.settings.build_cpu,
            pids: 1_024,
            files: 16_384,
        },
        attachment: Attachment { network: network.name, address: None },
        hostname: "build".to_owned(),
        labels: BTreeMap::from([
            (INSTALL_LABEL.to_owned(), p.install.to_string()),
            (KIND_LABEL.to_owned(), "build".to_owned()),
            ("hoist.app".to_owned(), ask.app.to_string()),
        ]),
    };
    Ok(p.starts.ensure(&p.engine, &p.tasks, spec).await?)
}

async fn watch_end(p: &Parts, name: &str) -> Result<Status> {
    loop {
        match p.engine.wait(name).await {
            Ok(status @ Status::Exited { .. }) => return Ok(status),
            Err(engine::EngineError::NotFound(_)) => {
                return Err(Refusal::new(Code::BuildGone, "the build's container was removed by somebody")
                    .next("push again")
                    .into());
            }
            // Docker is away for now: the build goes on without it.
            Ok(Status::Created | Status::Running { .. }) | Err(_) => sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn watch_disk(p: &Parts, sandbox: &Sandbox) -> Refusal {
    let limit = p.settings.build_disk;
    loop {
        sleep(DISK_EVERY).await;
        let folders = sandbox.watched.clone();
        let measure = move || Ok(folders.iter().map(|folder| bytes_below(folder, limit)).sum());
        let bytes: u64 = blocking("measure a build", measure).await.unwrap_or(0);
        if bytes > limit {
            return Refusal::new(Code::BuildDisk, format!("the build wrote more than {}", text::human_bytes(limit)))
                .why("or it nested folders more than 200 deep, which are not counted and taken for too much")
                .next("write less, or raise build-disk in the server's configuration");
        }
    }
}

/// What the pusher sees of a sandbox.
struct Screen<'a> {
    job: &'a Job,
    titles: &'a [String],
    step: usize,
    help: Help,
    /// The end of what the step printed, from which its failure is explained.
    last: VecDeque<String>,
}

impl Screen<'_> {
    fn show(&mut self, line: &SpoolRecord) {
        match line.stream {
            SpoolStream::System => {
                if let Some(n) = line.text.strip_prefix("step-start ").and_then(|n| n.trim().parse::<usize>().ok()) {
                    self.step = n;
                    self.help = Help::default();
                    self.last.clear();
                    if let Some(title) = self.titles.get(n) {
                        self.job.head(title);
                    }
                } else if line.text.ends_with("no space left") || line.text.contains("lines dropped") {
                    self.job.warn(&line.text);
                }
            }
            SpoolStream::Out | SpoolStream::Err | SpoolStream::Router => {
                let line = text::plain(&line.text);
                if self.last.len() >= LAST_MAX {
                    self.last.pop_front();
                }
                self.last.push_back(line.clone());
                if self.help.keep(&line) {
                    self.job.detail(line);
                }
            }
        }
    }
}
