//! One deploy in flight: what it says, who listens, how it ends, and the wish to cancel it.
//!
//! Invariant: nobody who listens can slow the job down; a late listener gets everything from the first line.

use domain::Refusal;
use domain::deploy::Deploy;
use domain::text;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Lines kept in memory for listeners; the file has all up to [`FILE_MAX`].
const LINES_MAX: usize = 50_000;
/// Bytes of a job's file.
const FILE_MAX: usize = 50_000_000;

/// A deploy in flight.
#[derive(Debug, Clone)]
pub struct Job(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: i64,
    cancel: CancellationToken,
    why: Mutex<Option<Refusal>>,
    said: Mutex<Said>,
    news: Notify,
}

#[derive(Debug)]
struct Said {
    lines: Vec<String>,
    file: Option<File>,
    bytes: usize,
    end: Option<Deploy>,
}

/// What a listener hears next.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A line, without its newline.
    Line(String),
    /// The job is over.
    End(Deploy),
}

impl Job {
    /// A job that writes what it says to `file` too (appending: a resumed job goes on in its file).
    pub fn new(id: i64, file: &Path) -> Job {
        let file = File::options().create(true).append(true).open(file).ok();
        let said = Said { lines: Vec::new(), file, bytes: 0, end: None };
        Job(Arc::new(Shared {
            id,
            cancel: CancellationToken::new(),
            why: Mutex::new(None),
            said: Mutex::new(said),
            news: Notify::new(),
        }))
    }

    /// The deploy's id.
    pub fn id(&self) -> i64 {
        self.0.id
    }

    /// Fires when somebody wants the job cancelled; what it means is decided by the driver.
    pub fn cancelled(&self) -> &CancellationToken {
        &self.0.cancel
    }

    /// Asks for the job to be cancelled.
    pub fn cancel(&self, why: Refusal) {
        lock(&self.0.why).get_or_insert(why);
        self.0.cancel.cancel();
    }

    /// Why it was cancelled.
    pub fn cancel_reason(&self) -> Refusal {
        lock(&self.0.why).clone().unwrap_or_else(|| Refusal::new("cancelled", "cancelled"))
    }

    /// Says a line as it is.
    pub fn say(&self, line: impl Into<String>) {
        let line = line.into();
        {
            let mut said = lock(&self.0.said);
            if said.bytes < FILE_MAX {
                said.bytes += line.len() + 1;
                if let Some(file) = said.file.as_mut() {
                    let _ = file.write_all(format!("{line}\n").as_bytes());
                }
            }
            if said.lines.len() < LINES_MAX {
                said.lines.push(line);
            } else if said.lines.len() == LINES_MAX {
                said.lines.push(text::warning("more output is in `builds:output`"));
            }
        }
        self.0.news.notify_waiters();
    }

    /// Says a section head.
    pub fn head(&self, line: impl AsRef<str>) {
        self.say(text::head(line.as_ref()));
    }

    /// Says a detail under the head.
    pub fn detail(&self, line: impl AsRef<str>) {
        self.say(text::detail(line.as_ref()));
    }

    /// Says what went wrong.
    pub fn warn(&self, line: impl AsRef<str>) {
        self.say(text::warning(line.as_ref()));
    }

    /// Ends the job for all listeners.
    pub fn finish(&self, state: Deploy) {
        {
            let mut said = lock(&self.0.said);
            said.end = Some(state);
            said.file = None;
        }
        self.0.news.notify_waiters();
    }

    /// Listens from the first line on.
    pub fn listen(&self) -> Listener {
        Listener { job: self.clone(), next: 0 }
    }

    /// Waits for the end.
    pub async fn end(&self) -> Deploy {
        let mut listener = Listener { job: self.clone(), next: usize::MAX };
        loop {
            if let Heard::End(state) = listener.hear().await {
                return state;
            }
        }
    }
}

/// One who listens to a job.
#[derive(Debug)]
pub struct Listener {
    job: Job,
    next: usize,
}

impl Listener {
    /// The next line, or the end. Cancel-safe.
    pub async fn hear(&mut self) -> Heard {
        loop {
            let job = self.job.clone();
            let news = job.0.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            {
                let said = lock(&self.job.0.said);
                if let Some(line) = said.lines.get(self.next) {
                    self.next += 1;
                    return Heard::Line(line.clone());
                }
                if let Some(end) = &said.end {
                    return Heard::End(end.clone());
                }
            }
            news.await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ReleaseNumber;

    #[tokio::test]
    async fn late_listeners_hear_everything() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("1.log");
        let job = Job::new(1, &file);
        job.head("Building");
        job.detail("step");
        let end = Deploy::Live { release: ReleaseNumber(1), acknowledged: true };
        job.finish(end.clone());
        let mut late = job.listen();
        assert_eq!(late.hear().await, Heard::Line("-----> Building".into()));
        assert_eq!(late.hear().await, Heard::Line("       step".into()));
        assert_eq!(late.hear().await, Heard::End(end.clone()));
        assert_eq!(job.end().await, end);
        assert_eq!(std::fs::read_to_string(file).unwrap(), "-----> Building\n       step\n");
    }
}
