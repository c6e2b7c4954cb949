//! Notices new data in spools through one inotify descriptor: no polling, no descriptor per spool.

use super::app::Handle;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::unix::AsyncFd;

/// Events taken at a time.
const EVENTS_MAX: usize = 1024;

/// The inotify descriptor and whose watch is whose.
#[derive(Debug)]
pub(super) struct Watcher {
    fd: AsyncFd<OwnedFd>,
    spools: Mutex<BTreeMap<i32, Arc<Handle>>>,
}

impl Watcher {
    pub fn new() -> io::Result<Watcher> {
        let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        #[allow(
            deprecated,
            reason = "its successor is unsafe, for types whose descriptor may change; OwnedFd's does not"
        )]
        let fd = AsyncFd::new(fd)?;
        Ok(Watcher { fd, spools: Mutex::default() })
    }

    /// Watches a spool's folder. It goes by itself when the folder goes.
    pub fn add(&self, dir: &Path, spool: Arc<Handle>) -> io::Result<()> {
        let flags = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        self.watch(dir, flags, spool)
    }

    /// Watches a file, by whatever name it is written; not through a link.
    pub fn add_file(&self, file: &Path, spool: Arc<Handle>) -> io::Result<()> {
        self.watch(file, WatchFlags::MODIFY | WatchFlags::DONT_FOLLOW, spool)
    }

    fn watch(&self, path: &Path, flags: WatchFlags, spool: Arc<Handle>) -> io::Result<()> {
        let mut spools = self.spools.lock().unwrap_or_else(PoisonError::into_inner);
        let id = inotify::add_watch(self.fd.get_ref(), path, flags)?;
        spools.insert(id, spool);
        Ok(())
    }

    /// Waits until spools have new data and returns them, each once; all of them if events were lost.
    pub async fn changed(&self) -> io::Result<Vec<Arc<Handle>>> {
        loop {
            let mut ready = self.fd.readable().await?;
            let Ok(events) = ready.try_io(|fd| read_events(fd.get_ref())) else { continue };
            let events = events?;
            let mut spools = self.spools.lock().unwrap_or_else(PoisonError::into_inner);
            if events.values().any(|flags| flags.contains(ReadFlags::QUEUE_OVERFLOW)) {
                return Ok(spools.values().cloned().collect());
            }
            let mut changed = Vec::new();
            for (id, flags) in events {
                if flags.contains(ReadFlags::IGNORED) {
                    spools.remove(&id);
                } else if let Some(spool) = spools.get(&id) {
                    changed.push(Arc::clone(spool));
                }
            }
            if !changed.is_empty() {
                return Ok(changed);
            }
        }
    }
}

fn read_events(fd: &OwnedFd) -> io::Result<BTreeMap<i32, ReadFlags>> {
    let mut space = [MaybeUninit::uninit(); 16 * 1024];
    let mut reader = Reader::new(fd, &mut space);
    let mut events: BTreeMap<i32, ReadFlags> = BTreeMap::new();
    for _ in 0..EVENTS_MAX {
        match reader.next() {
            Ok(event) => {
                let flags = event.events();
                *events.entry(event.wd()).or_insert(ReadFlags::empty()) |= flags;
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) if !events.is_empty() => break,
            Err(err) => return Err(err.into()),
        }
    }
    Ok(events)
}
