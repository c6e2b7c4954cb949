//! The bare repositories, one per app, and how git is started on them.
//!
//! Invariant: a repository's config is ours in full and rewritten when it differs; no setting of the host or of a user
//! takes part. Git reads what strangers send, so every git runs within walls and in a number that is bounded; only this
//! folder starts it. Absent: what a push means; see `glue`.

use super::{layout, shallow};
use crate::lfs::Moving;
use domain::places::{GitPlaces, Kind, Takes, git_places};
use domain::push::BranchName;
use domain::refusal::Code;
use domain::{AppId, Refusal};
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use system::fault::{Act, Error, Fault, Result};
use system::places::Places;
use system::proc::{self, Limits, Program};
use system::restrictions::{Group, Walls};
use system::tasks;
use tokio_util::sync::CancellationToken;

/// `proc-receive` came with 2.29.
const GIT_MIN: (u32, u32) = (2, 29);
/// How long a small call of git may take.
pub(super) const GIT_SECONDS: u64 = 20;
/// Memory of each of git's processes: 500,000 objects are taken in with 88 MB. With what else a push has, and what the server
/// reads of it, it stays below 150 MB.
pub(super) const GIT_MEMORY: u64 = 100_000_000;
/// The same for giving out and for tidying, which hold a whole history at once.
pub(super) const WHOLE_MEMORY: u64 = 200_000_000;
/// What all take together, for how many there may be.
const TAKES: Takes = Takes { receiving: 125_000_000, fetching: 205_000_000, waiting: 8_000_000 };

/// Where everything lies.
#[derive(Debug, Clone)]
pub struct ReposConfig {
    /// DATA: repositories are under `repos`, hooks under `hooks`.
    pub data: PathBuf,
    /// The program whose `hook NAME` the shims run: this binary.
    pub bin: PathBuf,
    /// The admin socket, on which hooks call back.
    pub socket: PathBuf,
    /// Bytes of memory for all of git's programs together.
    pub memory: u64,
    /// The name of their control group; none is made without.
    pub group: Option<String>,
    /// Pushes of one user that may be open at once.
    pub pushes_each: usize,
}

/// All repositories of this installation. Clones share one state.
#[derive(Debug, Clone)]
pub struct Repos(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: ReposConfig,
    walls: Walls,
    /// Packs that come in, and go out.
    receiving: Places,
    fetching: Places,
    /// Pushes that are open.
    pushes: Places,
    live: Mutex<HashMap<String, Arc<Live>>>,
    /// Apps that git-lfs brings objects to or fetches them from.
    moving: Mutex<HashMap<AppId, Weak<Moving>>>,
}

/// The random name of one push's connection; who knows it may speak for that push, so it is not printed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PushTicket(String);

/// A push whose connection is open.
#[derive(Debug)]
pub(super) struct Live {
    pub app: AppId,
    /// The `shallow` file as git found it when the push began, or older.
    shallow: shallow::Stamp,
    /// The pack is here: limits for receiving no longer count.
    pub received: CancellationToken,
    /// We ended the connection because nothing moved on it: the pusher did not leave.
    pub silent: CancellationToken,
}

/// A folder of objects that git has not accepted yet, within one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine(PathBuf);

impl PushTicket {
    /// A new one.
    pub fn random() -> PushTicket {
        let bytes: [u8; 16] = rand::random();
        PushTicket(bytes.iter().map(|b| format!("{b:02x}")).collect())
    }
    /// Its text, as `Receiver` gets it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PushTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<ticket>")
    }
}

impl Quarantine {
    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Repos {
    /// Checks git's version and writes the hooks.
    pub async fn open(config: ReposConfig) -> Result<Repos> {
        let (data, name, total) = (config.data.clone(), config.group.clone(), config.memory);
        let group = tasks::blocking("cannot prepare the repositories", move || {
            fs::create_dir_all(data.join("repos")).act(|| "cannot make the folder of the repositories")?;
            layout::write_hooks(&data.join("hooks"))?;
            Ok(name.and_then(|name| Group::make(&name, total)))
        })
        .await?;
        if config.group.is_some() && group.is_none() {
            tracing::info!(
                "git's programs have no control group here: each has its own limit, and their number is bounded"
            );
        }
        let walls = Walls { bin: config.bin.clone(), memory: GIT_MEMORY, group };
        let GitPlaces { receiving, fetching, pushes } = git_places(config.memory, TAKES, config.pushes_each);
        let repos = Repos(Arc::new(Inner {
            walls,
            receiving: Places::new(Kind::Receiving, receiving),
            fetching: Places::new(Kind::Fetching, fetching),
            pushes: Places::new(Kind::Pushes, pushes),
            config,
            live: Mutex::default(),
            moving: Mutex::default(),
        }));
        let version = repos.version().await?;
        if version < GIT_MIN {
            let (have, need) = (format!("{}.{}", version.0, version.1), format!("{}.{}", GIT_MIN.0, GIT_MIN.1));
            return Err(Refusal::new(Code::GitTooOld, format!("git is version {have}; pushes need {need} or newer"))
                .next("install a newer git on the server")
                .into());
        }
        Ok(repos)
    }

    /// Git's version.
    pub async fn version(&self) -> Result<(u32, u32)> {
        let program = self.git(&self.0.config.data).arg("version");
        let text = proc::run(&program, b"", Limits::seconds(GIT_SECONDS)).await?.success("git does not run")?.text();
        let mut numbers = text.trim_start_matches("git version ").split(['.', '-', ' ']).map_while(|n| n.parse().ok());
        match (numbers.next(), numbers.next()) {
            (Some(major), Some(minor)) => Ok((major, minor)),
            _ => Err(Fault::plain(format!("cannot read git's version from {text:?}")).into()),
        }
    }

    /// The repository's folder.
    pub fn path(&self, app: &AppId) -> PathBuf {
        self.0.config.data.join("repos").join(format!("{app}.git"))
    }

    /// Makes the repository exist with our config. Cheap when it does.
    pub async fn ensure(&self, app: &AppId) -> Result<()> {
        let (path, hooks) = (self.path(app), self.0.config.data.join("hooks"));
        tasks::blocking("cannot make a repository", move || Ok(layout::ensure(&path, &hooks)?)).await?;
        self.settle(app).await;
        Ok(())
    }

    /// Removes the repository. It leaves its name first, so that half a removal is not half a repository.
    pub async fn remove(&self, app: &AppId) -> Result<()> {
        let (path, gone) = (self.path(app), self.0.config.data.join("repos").join(format!("{app}.removed")));
        tasks::blocking("cannot remove a repository", move || {
            if path.exists() {
                fs::rename(&path, &gone).act(|| format!("cannot move {}", path.display()))?;
            }
            if gone.exists() {
                fs::remove_dir_all(&gone).act(|| format!("cannot remove {}", gone.display()))?;
            }
            Ok(())
        })
        .await
    }

    /// Points HEAD at the deploy branch, so that `git clone` checks it out.
    pub async fn set_head(&self, app: &AppId, branch: &BranchName) -> Result<()> {
        let program = self.git_in(app).args(["symbolic-ref", "HEAD", &branch.full()]);
        proc::run(&program, b"", Limits::seconds(GIT_SECONDS)).await?.success("cannot set HEAD")?;
        Ok(())
    }

    /// Tidies the repository if more than `packs_max` packs lie in it (each push brings one) and no push is open; whether
    /// it did.
    pub async fn tidy_above(&self, app: &AppId, packs_max: usize) -> Result<bool> {
        let packs = self.path(app).join("objects/pack");
        let count = tasks::blocking("cannot count packs", move || {
            let entries = fs::read_dir(&packs).act(|| format!("cannot list {}", packs.display()))?;
            Ok(entries.flatten().filter(|e| e.path().extension().is_some_and(|x| x == "pack")).count())
        })
        .await?;
        if count <= packs_max || self.open_pushes(app) > 0 {
            return Ok(false);
        }
        self.tidy(app).await?;
        Ok(true)
    }

    /// Packs what many pushes left and drops objects that nothing has named for a day.
    pub async fn tidy(&self, app: &AppId) -> Result<()> {
        // One at a time: the reconciler asks for one a sweep.
        let walls = self.walls().with_memory(WHOLE_MEMORY);
        let program = self.git_in(app).args(["gc", "--quiet", "--prune=1.day.ago"]).within(&walls);
        let limits = Limits { deadline: Duration::from_secs(1800), output_max: 1 << 16 };
        proc::run(&program, b"", limits).await?.success(format!("cannot tidy the repository of {app}"))?;
        Ok(())
    }

    /// The app whose push this is; `None` when its connection has ended.
    pub fn app_of(&self, push: &str) -> Option<AppId> {
        self.live(push).map(|live| live.app.clone())
    }

    /// Whether a push with shallow boundaries can no longer end well, because another one changed the repository's since
    /// it began: git would abort after the release is live. Asked when the push's turn comes; refuse it then.
    pub fn shallow_stale(&self, push: &str) -> bool {
        self.live(push).is_none_or(|live| live.shallow != shallow::stamp(&self.path(&live.app)))
    }

    /// The quarantine that a hook named, if it is one of the app's repository.
    pub fn quarantine(&self, app: &AppId, named: &str) -> Result<Quarantine> {
        let objects = self.path(app).join("objects");
        let wrong = || Fault::plain(format!("{named:?} is not a quarantine of {app}"));
        let folder = Path::new(named).file_name().and_then(|n| n.to_str()).ok_or_else(wrong)?;
        let real = fs::canonicalize(named).act(|| format!("cannot find the quarantine {named:?}"))?;
        let parent = fs::canonicalize(&objects).act(|| format!("cannot find {}", objects.display()))?;
        let ours = layout::is_quarantine(folder) && real.parent() == Some(&parent);
        if ours { Ok(Quarantine(real)) } else { Err(wrong().into()) }
    }

    /// Git with nothing of the host's or a user's settings.
    pub(super) fn git(&self, cwd: &Path) -> Program {
        git_program(cwd).within(self.walls())
    }

    /// Git within an app's repository.
    pub(super) fn git_in(&self, app: &AppId) -> Program {
        let path = self.path(app);
        self.git(&path).env("GIT_DIR", &path)
    }

    pub(super) fn walls(&self) -> &Walls {
        &self.0.walls
    }

    /// Packs that come in.
    pub(super) fn receiving(&self) -> &Places {
        &self.0.receiving
    }

    /// Packs that go out.
    pub(super) fn fetching(&self) -> &Places {
        &self.0.fetching
    }

    /// Pushes that are open.
    pub fn pushes(&self) -> &Places {
        &self.0.pushes
    }

    /// Takes the control group away at the server's end; what still runs in it keeps it.
    pub fn close(&self) {
        if let Some(group) = &self.0.walls.group {
            group.remove();
        }
    }

    pub(super) fn config(&self) -> &ReposConfig {
        &self.0.config
    }

    pub(super) fn live(&self, push: &str) -> Option<Arc<Live>> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner).get(push).cloned()
    }

    /// When something last moved on the app's connections of LFS; while one is held, all that ask get the same.
    pub(crate) fn moving(&self, app: &AppId) -> Arc<Moving> {
        let mut all = self.0.moving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(moving) = all.get(app).and_then(Weak::upgrade) {
            return moving;
        }
        all.retain(|_, moving| moving.strong_count() > 0);
        let moving = Arc::new(Moving::new());
        all.insert(app.clone(), Arc::downgrade(&moving));
        moving
    }

    /// Whether a push is open, or git-lfs is at work.
    pub(crate) fn is_at_work(&self, app: &AppId) -> bool {
        let moving = self.0.moving.lock().unwrap_or_else(PoisonError::into_inner);
        moving.get(app).is_some_and(|moving| moving.strong_count() > 0) || self.open_pushes(app) > 0
    }

    pub(super) fn enter(&self, ticket: &PushTicket, app: &AppId) -> Entered {
        let (received, silent) = (CancellationToken::new(), CancellationToken::new());
        let live = Arc::new(Live { app: app.clone(), shallow: shallow::stamp(&self.path(app)), received, silent });
        let mut all = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(ticket.0.clone(), live.clone());
        Entered { repos: self.clone(), ticket: ticket.clone(), live }
    }

    /// Brings the `shallow` file up to date, unless a push is open: git would abort it. What fails here is tried again
    /// at the next push, and does not change how this one ended.
    pub(super) async fn settle(&self, app: &AppId) {
        if self.open_pushes(app) > 0 {
            return;
        }
        let path = self.path(app);
        let done = tasks::blocking("cannot settle shallow boundaries", move || Ok(shallow::settle(&path)?)).await;
        if let Err(Error::Fault(fault)) = done {
            tracing::warn!(app = %app, "{}", fault.chain());
        }
    }

    fn open_pushes(&self, app: &AppId) -> usize {
        let all = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().filter(|l| l.app == *app).count()
    }

    /// Removes quarantines left by a git that was killed, unless another push to the app may own them.
    pub(super) async fn sweep(&self, app: &AppId) {
        let path = self.path(app);
        let age = if self.open_pushes(app) > 1 { layout::QUARANTINE_AGE_MAX } else { Duration::ZERO };
        let done = tasks::blocking("cannot clean a repository", move || Ok(layout::sweep(&path, age)?)).await;
        if let Err(Error::Fault(fault)) = done {
            tracing::warn!(app = %app, "{}", fault.chain());
        }
    }
}

/// A push in the list of open ones; leaves it when dropped.
pub(super) struct Entered {
    repos: Repos,
    ticket: PushTicket,
    pub live: Arc<Live>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.repos.0.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.ticket.0);
    }
}

pub(super) fn git_program(cwd: &Path) -> Program {
    Program::new("git", cwd)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_ATTR_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        // Else each thread of git's keeps memory of its own.
        .env("MALLOC_ARENA_MAX", "1")
        // The folder is ours whoever owns it after a restore; git would refuse with "dubious ownership".
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
}
