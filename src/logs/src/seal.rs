//! Seals complete segments, one at a time for the whole installation, and keeps logs within their budget on the disk.
//!
//! Sealing has a task of its own: it waits for the disk, which must not hold up storing lines.

use super::app::AppLog;

use super::sealed::SealedWriter;
use super::spool::read_at;
use super::store::{self, Segment};
use super::{Logs, Shared, lock, marks, nicely};
use domain::AppId;
use log_format::View;
use log_format::budget::{self, Segments};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use system::fault::Result;
use system::tasks::blocking;
use tokio::sync::Notify;

/// After a failure, for instance of a full disk.
const RETRY: Duration = Duration::from_secs(10);
const READ: usize = 1024 * 1024;

/// Which apps have something to seal.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    apps: Mutex<BTreeSet<AppId>>,
    pushed: Notify,
}

impl Waiting {
    pub fn push(&self, app: &AppId) {
        if lock(&self.apps).insert(app.clone()) {
            self.pushed.notify_one();
        }
    }

    async fn next(&self) -> AppId {
        loop {
            if let Some(app) = lock(&self.apps).pop_first() {
                return app;
            }
            self.pushed.notified().await;
        }
    }
}

impl Logs {
    /// Starts the task that seals.
    pub(super) fn start_sealing(&self) {
        let shared = Arc::clone(&self.shared);
        self.shared.tasks.spawn("logs-seal", move |stop| async move {
            loop {
                let app = tokio::select! { app = shared.waiting.next() => app, () = stop.cancelled() => return };
                let sealing = Arc::clone(&shared);
                let done = blocking("seal a log segment", move || Ok(nicely(|| sealing.seal(&app)))).await;
                if let Ok(Some(app)) = done {
                    shared.waiting.push(&app);
                    tokio::select! { () = tokio::time::sleep(RETRY) => {}, () = stop.cancelled() => return }
                }
            }
        });
    }
}

impl Shared {
    /// Seals one segment of an app; returns the app if that failed.
    fn seal(&self, app: &AppId) -> Option<AppId> {
        let log: Arc<AppLog> = lock(&self.apps).get(app).cloned()?;
        if let Err(err) = log.seal_one() {
            tracing::warn!(%err, %app, "cannot seal a log segment; trying again");
            return Some(app.clone());
        }
        if log.wants_sealing() {
            self.waiting.push(app);
        }
        self.keep_total();
        None
    }

    /// Deletes what is over the budget of the installation.
    pub(super) fn keep_total(&self) {
        let open: BTreeMap<AppId, Arc<AppLog>> = lock(&self.apps).clone();
        let mut sizes: BTreeMap<AppId, Segments> = lock(&self.unopened).clone();
        sizes.extend(open.iter().map(|(app, log)| (app.clone(), log.sizes())));
        for (app, number) in budget::excess(&sizes, self.config.budget) {
            match self.app(&app) {
                Ok(log) => log.delete(number),
                Err(err) => tracing::warn!(%err, %app, "cannot open a log to delete of it"),
            }
        }
    }

    /// The sizes of logs that nothing is written to, and which therefore stay closed.
    pub(super) fn measure(&self, apps: &Path) -> Result<()> {
        for entry in std::fs::read_dir(apps).into_iter().flatten().flatten() {
            let app = entry.file_name().to_str().and_then(|name| name.parse::<AppId>().ok());
            let Some(app) = app.filter(|app| !lock(&self.apps).contains_key(app)) else { continue };
            let segments: Segments = std::fs::read_dir(entry.path())
                .into_iter()
                .flatten()
                .flatten()
                .filter_map(|file| Some((store::number_of(file.file_name().to_str()?)?, file.metadata().ok()?.len())))
                .collect();
            lock(&self.unopened).insert(app, segments);
        }
        self.keep_total();
        Ok(())
    }
}

/// Writes the sealed form of a plain segment; returns its length.
pub(super) fn write(dir: &Path, segment: &Segment, to: &Path) -> io::Result<u64> {
    let path = segment.path(dir);
    let marks =
        marks::recover(&path, segment.bytes, segment.first)?.map(|found| found.marks_text()).unwrap_or_default();
    let file = File::open(&path)?;
    let mut sealed = SealedWriter::create(to, segment.first)?;
    let (mut at, mut written) = (0, segment.first);
    while at < segment.bytes {
        let room = usize::try_from(segment.bytes - at).unwrap_or(READ).min(READ);
        let mut bytes = read_at(&file, at, room)?;
        let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(bytes.len(), |n| n + 1);
        if whole == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(whole);
        at += whole as u64;
        for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty() && line.first() != Some(&b'@')) {
            let line = String::from_utf8_lossy(line);
            // A line that is no record keeps its number.
            let lost = || log_format::Record::platform(domain::Timestamp::default(), "a damaged line");
            match View::decode(&line) {
                Some(view) => sealed.push(&view)?,
                None => sealed.push(&lost().view())?,
            }
            written += 1;
        }
    }
    if written != segment.next {
        tracing::warn!(segment = %path.display(), written, expected = segment.next, "a log segment has another number of lines");
    }
    sealed.finish(marks)
}
