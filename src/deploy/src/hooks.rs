//! Runs the operator's hooks: files of root in the `hooks` folder of the data folder, told what happens in JSON.
//!
//! Invariant: a file that somebody else than root could have written is never run, and where its consent is needed that
//! counts as a no. No config var reaches a hook. What a hook starts ends with it.

use async_trait::async_trait;
use domain::deploy::Effect;
use domain::hooks::{self, Document, Facts, Screen, Trouble};
use jobs::Job;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use system::fault::{Error, Result};
use system::proc::{self, Program};
use system::tasks::blocking;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// How long output may still flow after a hook has ended.
const DRAIN_MAX: Duration = Duration::from_secs(2);
/// The variable by which a job's hooks are known in the process table; its value names installation and job.
const MARK: &str = "HOIST_JOB";

/// One file to run, or why it is not.
#[derive(Debug, Clone)]
struct Found {
    /// `pre-build`, `pre-build.d/10-name`.
    label: String,
    path: PathBuf,
    safe: Result<(), String>,
}

/// One run of a hook.
#[derive(Debug)]
pub struct Call<'a> {
    /// Which.
    pub effect: Effect,
    /// What it is told.
    pub document: Document,
    /// What its processes are known by, also to a later control process.
    pub mark: String,
    /// Whether an earlier control process may have begun it.
    pub resumed: bool,
    /// Who hears what it says.
    pub job: &'a Job,
}

/// The operator's say in deploys.
#[async_trait]
pub trait Hooks: Send + Sync + std::fmt::Debug {
    /// The steps at which there is one.
    async fn present(&self) -> Result<BTreeSet<Effect>>;
    /// Runs all of a step in order of name; the first that fails ends it with its refusal.
    async fn run(&self, call: Call<'_>) -> Result<()>;
}

/// The files in a folder.
#[derive(Debug, Clone)]
pub struct Files {
    /// `DATA/hooks`.
    pub folder: PathBuf,
    /// Seconds that one may take.
    pub limit: Duration,
}

#[async_trait]
impl Hooks for Files {
    async fn present(&self) -> Result<BTreeSet<Effect>> {
        let folder = self.folder.clone();
        blocking("look for hooks", move || {
            Ok(Effect::ALL
                .into_iter()
                .filter(|e| hooks::name(*e).is_some_and(|name| !find(&folder, name).is_empty()))
                .collect())
        })
        .await
    }

    async fn run(&self, call: Call<'_>) -> Result<()> {
        let Some(name) = hooks::name(call.effect) else { return Ok(()) };
        let folder = self.folder.clone();
        let found = blocking("look for hooks", move || Ok(find(&folder, name))).await?;
        if call.resumed && !found.is_empty() {
            // What the dead server's hook still does would go on beside its second run.
            let left = call.mark.clone();
            let ended = blocking("end a hook that was left", move || Ok(proc::end_marked(MARK, &left))).await?;
            tracing::info!(mark = call.mark, ended, "processes of a hook that was left");
        }
        for file in found {
            call.job.head(format!("Running the server's hook {}", file.label));
            let screen = Mutex::new(Screen::default());
            let ended = run_one(self.limit, &call, &file, &screen).await;
            let screen = screen.into_inner().unwrap_or_else(PoisonError::into_inner);
            for line in screen.rest() {
                call.job.detail(format!("{}: {line}", file.label));
            }
            if let Err(trouble) = ended {
                tracing::warn!(mark = call.mark, hook = file.label, "{trouble:?}");
                return Err(Error::from(hooks::refusal(&file.label, &trouble, &screen.cause())));
            }
        }
        Ok(())
    }
}

async fn run_one(limit: Duration, call: &Call<'_>, file: &Found, screen: &Mutex<Screen>) -> Result<(), Trouble> {
    let (document, mark) = (&call.document, &call.mark);
    file.safe.clone().map_err(Trouble::Unsafe)?;
    let told = |name: &str, value: &Option<String>| (name.to_owned(), value.clone().unwrap_or_default());
    let mut program = Program::new(&file.path, Path::new("/"));
    for (name, value) in [
        (MARK.to_owned(), mark.to_owned()),
        ("HOIST_HOOK".to_owned(), document.hook.clone()),
        ("HOIST_APP".to_owned(), document.app.name.clone()),
        ("HOIST_KIND".to_owned(), document.kind.clone()),
        ("HOIST_ACTOR".to_owned(), document.actor.clone()),
        ("HOIST_REPOSITORY".to_owned(), document.repository.clone()),
        told("HOIST_COMMIT", &document.commit),
        told("HOIST_RELEASE", &document.release),
    ] {
        program = program.env(name, value);
    }
    let mut running = proc::start(&program).map_err(|err| Trouble::NoStart(cause(&err)))?;
    let (stdin, stdout, stderr) = running.pipes();
    let text = format!("{}\n", serde_json::to_string(document).unwrap_or_default());
    let feed = async {
        if let Some(mut pipe) = stdin {
            // A hook need not read it.
            let _ = pipe.write_all(text.as_bytes()).await;
        }
    };
    let say = |line: &str| {
        let shown = screen.lock().unwrap_or_else(PoisonError::into_inner).take(line);
        if let Some(line) = shown {
            call.job.detail(format!("{}: {line}", file.label));
        }
    };
    let talk = async { tokio::join!(feed, each_line(stdout, &say), each_line(stderr, &say)) };
    tokio::pin!(talk);
    let deadline = tokio::time::sleep(limit);
    tokio::pin!(deadline);
    let mut talked = false;
    let ended = loop {
        tokio::select! {
            code = running.wait() => break Ok(code),
            _ = &mut talk, if !talked => talked = true,
            () = &mut deadline => break Err(Trouble::Slow(limit.as_secs())),
        }
    };
    drop(running);
    if !talked {
        let _ = tokio::time::timeout(DRAIN_MAX, &mut talk).await;
    }
    match ended? {
        Ok(0) => Ok(()),
        Ok(code) => Err(Trouble::Exit(code)),
        Err(err) => Err(Trouble::NoStart(cause(&err))),
    }
}

fn cause(err: &Error) -> String {
    match err {
        Error::Refused(no) => no.what.clone(),
        Error::Fault(fault) => fault.chain(),
    }
}

/// Reads to the end; hands on each line, of very long ones their beginning.
async fn each_line(pipe: Option<impl AsyncRead + Unpin>, say: &impl Fn(&str)) {
    let Some(mut pipe) = pipe else { return };
    let (mut line, mut buf) = (Vec::new(), vec![0; 8 * 1024]);
    loop {
        let n = match pipe.read(&mut buf).await {
            Ok(0) | Err(_) => break,
            Ok(n) => n,
        };
        for byte in buf.iter().take(n) {
            match byte {
                b'\n' => {
                    say(&String::from_utf8_lossy(&line));
                    line.clear();
                }
                byte if line.len() < 4 * hooks::LINE_MAX => line.push(*byte),
                _ => {}
            }
        }
        // A flood must leave the others their turn.
        tokio::task::yield_now().await;
    }
    if !line.is_empty() {
        say(&String::from_utf8_lossy(&line));
    }
}

/// `NAME` itself, then what lies in `NAME.d`, without what begins with a dot.
fn find(folder: &Path, name: &str) -> Vec<Found> {
    let mut found: Vec<Found> = look(folder, name.to_owned(), name).into_iter().collect();
    let inside = folder.join(format!("{name}.d"));
    let Ok(entries) = std::fs::read_dir(&inside) else { return found };
    let mut names: Vec<String> = entries
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|n| !n.starts_with('.'))
        .collect();
    names.sort();
    found.extend(names.iter().filter_map(|file| look(&inside, format!("{name}.d/{file}"), file)));
    found
}

fn look(folder: &Path, label: String, file: &str) -> Option<Found> {
    let path = folder.join(file);
    std::fs::symlink_metadata(&path).ok()?;
    let facts =
        |path: &Path| std::fs::metadata(path).map(|m| Facts { is_file: m.is_file(), owner: m.uid(), mode: m.mode() });
    let safe = match (facts(&path), facts(folder)) {
        (Ok(file), Ok(folder)) => hooks::vet(file, folder),
        (Err(err), _) | (_, Err(err)) => Err(err.to_string()),
    };
    Some(Found { label, path, safe })
}
