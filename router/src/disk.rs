//! The journal's thread: a hung disk delays acknowledgements and nothing else.

use std::{
    path::PathBuf,
    sync::mpsc::{SyncSender, sync_channel},
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use crate::{
    config::RouterError,
    journal::{Delta, Journal, Stored},
};

/// The longest wait for the disk.
const SYNC_MAX: Duration = Duration::from_secs(30);

/// The thread that owns the journal.
pub(crate) struct Disk(SyncSender<(Job, oneshot::Sender<Result<bool, String>>)>);

/// What it is told to write.
pub(crate) enum Job {
    Install(Stored),
    Append(Delta),
    Compact(Stored),
}

impl Disk {
    /// Reads the table and starts the thread; it ends with this value.
    pub(crate) fn open(dir: PathBuf) -> Result<(Self, Stored), RouterError> {
        let (mut journal, stored) = Journal::open(&dir)?;
        let (jobs, inbox) = sync_channel::<(Job, oneshot::Sender<Result<bool, String>>)>(4);
        let work = move || {
            while let Ok((job, reply)) = inbox.recv() {
                let result = match job {
                    Job::Install(table) => journal.install(&table),
                    Job::Append(delta) => journal.append(&delta),
                    Job::Compact(table) => journal.compact(&table),
                };
                let _ = reply.send(result.map(|()| journal.wants_compaction()).map_err(|err| chain(&err)));
            }
        };
        let thread = std::thread::Builder::new().name("journal".into()).stack_size(512 << 10).spawn(work);
        thread.map_err(|_| RouterError::Thread { name: "journal".into() })?;
        Ok((Self(jobs), stored))
    }

    /// Hands a job over at once; the future is its result.
    pub(crate) fn start(&self, job: Job) -> impl Future<Output = Result<bool, String>> + use<> {
        let (reply, answer) = oneshot::channel();
        let sent = self.0.try_send((job, reply)).is_ok();
        async move {
            match timeout(SYNC_MAX, answer).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) if sent => Err("the journal thread ended".into()),
                Ok(Err(_)) | Err(_) => Err("the disk does not answer".into()),
            }
        }
    }
}

fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
