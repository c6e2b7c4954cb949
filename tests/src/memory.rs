//! How much memory the server and what it starts take at most while something runs, looked at in /proc.
//!
//! Of a child it is the proportional set (`Pss`: its own pages, and its part of those it shares), files it reads included; of
//! the server the growth of its own pages (`RssAnon`): files that it only reads are the kernel's to take back.

use crate::serve::processes;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(5);

/// What was seen.
#[derive(Debug, Clone, Default)]
pub struct Peak {
    /// Bytes of the server's growth and its children's together, at most.
    pub bytes: u64,
    /// What that was, by name.
    pub of: BTreeMap<String, u64>,
    /// Looks taken.
    pub looks: u64,
}

/// Runs `during` and says what the server and all that it started took at most meanwhile; its router aside.
pub fn peak<R>(world: &World, during: impl FnOnce() -> R) -> (R, Peak) {
    let server = processes(&world.data(), "serve");
    let server = *server.first().expect("a server runs");
    let before = field(&format!("/proc/{server}/status"), "RssAnon:");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut peak = Peak::default();
            while !stop.load(Ordering::Acquire) {
                look(server, before, &mut peak);
                // Pacing, not waiting for anything.
                std::thread::sleep(EVERY);
            }
            peak
        });
        let _at_the_end = Ends(&stop);
        let result = during();
        stop.store(true, Ordering::Release);
        (result, looking.join().unwrap())
    })
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn look(server: u32, before: u64, peak: &mut Peak) {
    let growth = field(&format!("/proc/{server}/status"), "RssAnon:").saturating_sub(before);
    let mut of = BTreeMap::from([("server".to_owned(), growth)]);
    for pid in below(server) {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<String> =
            line.split(|b| *b == 0).take(3).map(|w| String::from_utf8_lossy(w).into_owned()).collect();
        if words.get(1).is_none_or(|word| word != "router") {
            *of.entry(words.join(" ")).or_default() += field(&format!("/proc/{pid}/smaps_rollup"), "Pss:");
        }
    }
    let bytes = of.values().sum();
    peak.looks += 1;
    if bytes > peak.bytes {
        (peak.bytes, peak.of) = (bytes, of);
    }
}

/// All that a process started, and what those did.
fn below(top: u32) -> BTreeSet<u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    let pids: Vec<u32> = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok()).collect();
    let parent = |pid: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        text.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let parents: BTreeMap<u32, u32> = pids.iter().filter_map(|pid| Some((*pid, parent(pid)?))).collect();
    let mut found = BTreeSet::from([top]);
    loop {
        let more: Vec<u32> = parents
            .iter()
            .filter(|(pid, up)| found.contains(up) && !found.contains(pid))
            .map(|(pid, _)| *pid)
            .collect();
        if more.is_empty() {
            found.remove(&top);
            return found;
        }
        found.extend(more);
    }
}

/// A number of kB in a file of /proc, in bytes; 0 where the process is gone.
fn field(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}
