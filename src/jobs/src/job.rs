//! One deploy in flight: what it says, who listens, how it ends, and the wish to cancel it.
//!
//! Invariant: nobody who listens can slow the job down; a late listener gets everything from the first line.

use domain::deploy::Deploy;
use domain::ids::DeployId;
use domain::refusal::Code;
use domain::text;
use domain::{Refusal, Timestamp};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use system::clock::now;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Bytes of output kept in memory for listeners; beyond it they get only what matters.
const SCREEN_MAX: usize = 4_000_000;
/// The same for a job's file.
const FILE_MAX: usize = 20_000_000;
/// Of output beyond a limit, this many of the last lines are kept until something that matters is said.
const TAIL_LINES: usize = 25;
/// Bytes of each of these lines.
const TAIL_LINE_MAX: usize = 1_000;
/// Where a list entry lies on the heap, and its own size.
const LINE_COST: usize = 48;
/// Characters of the time before a line.
const STAMP: usize = 24;

/// A deploy in flight.
#[derive(Debug, Clone)]
pub struct Job(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    id: DeployId,
    cancel: CancellationToken,
    why: Mutex<Option<Refusal>>,
    said: Mutex<Spoken>,
    news: Notify,
}

#[derive(Debug)]
struct Spoken {
    lines: Vec<Said>,
    screen: Measure,
    file: Option<File>,
    disk: Measure,
    end: Option<Deploy>,
}

/// How much of an output may still be kept whole, and the end of what was not.
#[derive(Debug)]
struct Measure {
    left: usize,
    tail: VecDeque<String>,
    skipped: usize,
}

impl Measure {
    fn new(left: usize) -> Measure {
        Measure { left, tail: VecDeque::new(), skipped: 0 }
    }

    /// The lines to keep now that this one was said. What matters (heads, warnings, the end) always is kept.
    fn take(&mut self, line: &str, matters: bool) -> Vec<String> {
        let cost = line.len() + LINE_COST;
        if !matters {
            if cost <= self.left {
                self.left -= cost;
                return vec![line.to_owned()];
            }
            if self.skipped == 0 && self.tail.is_empty() {
                self.left = 0;
                self.skipped = 1;
                return vec![text::warning("too much output: from here on only its end is kept")];
            }
            self.left = 0;
            self.tail.push_back(line.chars().take(TAIL_LINE_MAX).collect());
            if self.tail.len() > TAIL_LINES {
                self.tail.pop_front();
                self.skipped += 1;
            }
            return Vec::new();
        }
        let mut out = Vec::new();
        if !self.tail.is_empty() {
            out.push(text::warning(&format!("{} not shown", text::counted(self.skipped, "line"))));
            out.extend(self.tail.drain(..));
        }
        out.push(line.to_owned());
        out
    }
}

/// One line and when it was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// When.
    pub at: Timestamp,
    /// The line, without its newline.
    pub text: String,
}

impl Said {
    /// `2024-04-26T16:58:32.943Z the line`; how it lies in the job's file too.
    pub fn stamped(&self) -> String {
        let full = self.at.rfc3339();
        format!("{}Z {}", full.get(..STAMP - 1).unwrap_or(&full), self.text)
    }

    /// A line of a job's file without its time. Those of older servers have none.
    pub fn without_time(stored: &str) -> &str {
        match stored.split_at_checked(STAMP) {
            Some((stamp, rest)) if stamp.starts_with(|c: char| c.is_ascii_digit()) && stamp.ends_with('Z') => {
                rest.strip_prefix(' ').unwrap_or(rest)
            }
            Some(_) | None => stored,
        }
    }
}

/// What a listener hears next.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// A line.
    Line(Said),
    /// The job is over.
    End(Deploy),
}

impl Job {
    /// A job that writes what it says to `file` too (appending: a resumed job goes on in its file).
    pub fn new(id: DeployId, file: &Path) -> Job {
        Job::with(id, File::options().create(true).append(true).open(file).ok())
    }

    /// A job that nobody listens to.
    pub fn unheard(id: DeployId) -> Job {
        Job::with(id, None)
    }

    fn with(id: DeployId, file: Option<File>) -> Job {
        let said = Spoken {
            lines: Vec::new(),
            screen: Measure::new(SCREEN_MAX),
            file,
            disk: Measure::new(FILE_MAX),
            end: None,
        };
        Job(Arc::new(Shared {
            id,
            cancel: CancellationToken::new(),
            why: Mutex::new(None),
            said: Mutex::new(said),
            news: Notify::new(),
        }))
    }

    /// The deploy's id.
    pub fn id(&self) -> DeployId {
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
        lock(&self.0.why).clone().unwrap_or_else(|| Refusal::new(Code::Cancelled, "cancelled"))
    }

    /// Says a line as it is; it matters.
    pub fn say(&self, line: impl Into<String>) {
        self.put(&line.into(), true);
    }

    fn put(&self, line: &str, matters: bool) {
        // Builders and engines name images in full.
        let line = &*domain::images::without_keys(line);
        {
            let mut guard = lock(&self.0.said);
            let said = &mut *guard;
            let at = now();
            if let Some(file) = said.file.as_mut() {
                let mut text = String::new();
                for line in said.disk.take(line, matters) {
                    text.push_str(&Said { at, text: line }.stamped());
                    text.push('\n');
                }
                let _ = file.write_all(text.as_bytes());
            }
            said.lines.extend(said.screen.take(line, matters).into_iter().map(|text| Said { at, text }));
        }
        self.0.news.notify_waiters();
    }

    /// Says a section head.
    pub fn head(&self, line: impl AsRef<str>) {
        self.say(text::head(line.as_ref()));
    }

    /// Says a detail under the head.
    pub fn detail(&self, line: impl AsRef<str>) {
        self.put(&text::detail(line.as_ref()), false);
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
    async fn a_flood_is_bounded_and_its_end_and_reason_are_heard() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("1.log");
        let job = Job::new(DeployId(1), &file);
        let long = "x".repeat(4_000);
        for n in 0..10_000 {
            job.detail(format!("{n} {long}"));
        }
        job.warn("the reason");
        assert!(lock(&job.0.said).lines.iter().map(|l| l.text.len()).sum::<usize>() < SCREEN_MAX + 100_000);
        assert!(std::fs::metadata(&file).unwrap().len() < FILE_MAX as u64 + 100_000);
        let said: Vec<String> = lock(&job.0.said).lines.iter().map(|l| l.text.clone()).collect();
        assert_eq!(said.last().unwrap(), " !     the reason");
        assert!(
            said.get(said.len() - 2).unwrap().contains(" 9999 ") || said.get(said.len() - 2).unwrap().contains("9999")
        );
        assert!(said.iter().any(|line| line.contains("lines not shown")));
    }

    #[tokio::test]
    async fn late_listeners_hear_everything() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("1.log");
        let job = Job::new(DeployId(1), &file);
        job.head("Building");
        job.detail("step");
        let end = Deploy::Live { release: ReleaseNumber(1), acknowledged: true };
        job.finish(end.clone());
        let mut late = job.listen();
        let mut texts = Vec::new();
        while texts.len() < 2
            && let Heard::Line(line) = late.hear().await
        {
            texts.push(line.text);
        }
        assert_eq!(texts, ["-----> Building", "       step"]);
        assert_eq!(late.hear().await, Heard::End(end.clone()));
        assert_eq!(job.end().await, end);
        let stored = std::fs::read_to_string(file).unwrap();
        assert!(stored.lines().all(|l| l.starts_with("20") && l.get(23..25) == Some("Z ")), "{stored}");
        let plain: Vec<&str> = stored.lines().map(Said::without_time).collect();
        assert_eq!(plain, texts);
        assert_eq!(Said::without_time("-----> of an older server, with a Z"), "-----> of an older server, with a Z");
    }
}
