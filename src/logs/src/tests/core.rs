//! The blocking core: the ring, and the store cut off at every byte.

use super::writer::{Writer, app};
use crate::app::AppLog;
use crate::bucket::Floods;
use crate::grep::Wanted;
use crate::ready::Next;
use crate::scan::Cursor;
use crate::spool::SpoolReader;
use crate::{LogsConfig, SpoolMeta, scan};
use domain::{InstanceId, Timestamp};
use log_format::budget::Budget;
use log_format::{Filter, Record, Source, SpoolKey};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn texts(chunk: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(chunk).lines().map(|l| l.splitn(3, ' ').nth(2).unwrap_or("").to_owned()).collect()
}

fn read_all(reader: &mut SpoolReader, last: bool) -> (Vec<String>, u64) {
    let (mut lines, mut dropped) = (Vec::new(), 0);
    loop {
        let chunk = reader.read(4096, last).unwrap();
        lines.extend(texts(&chunk.lines));
        dropped += chunk.dropped;
        if chunk.at_end {
            return (lines, dropped);
        }
    }
}

#[test]
fn a_ring_is_read_across_switches() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = SpoolReader::new(dir.path().to_owned(), None);
    assert_eq!(read_all(&mut reader, false), (vec![], 0));
    let mut writer = Writer::new(dir.path(), 2000);
    let mut all = Vec::new();
    for _ in 0..50 {
        writer.numbered("n", 37);
        let (lines, dropped) = read_all(&mut reader, false);
        assert_eq!(dropped, 0);
        all.extend(lines);
    }
    assert_eq!(all, (0..50 * 37).map(|n| format!("n-{n}")).collect::<Vec<_>>());
}

#[test]
fn what_was_overwritten_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = SpoolReader::new(dir.path().to_owned(), None);
    let mut writer = Writer::new(dir.path(), 2000);
    let mut seen = 0;
    for burst in [10, 1000, 3, 5000, 1] {
        writer.numbered("n", burst);
        let (lines, dropped) = read_all(&mut reader, false);
        seen += dropped + lines.len() as u64;
        assert_eq!(seen, writer.count);
        assert_eq!(*lines.last().unwrap(), format!("n-{}", writer.count - 1));
    }
    let mut late = SpoolReader::new(dir.path().to_owned(), None);
    let (lines, dropped) = read_all(&mut late, false);
    assert_eq!(dropped + lines.len() as u64, writer.count);
    let newest = SpoolReader::new(dir.path().to_owned(), None).newest(500).unwrap();
    assert_eq!(*texts(&newest).last().unwrap(), format!("n-{}", writer.count - 1));
    assert!(newest.len() <= 500 && newest.len() > 300);
}

#[test]
fn a_torn_line_waits_for_its_end_or_the_spools() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = SpoolReader::new(dir.path().to_owned(), None);
    let mut writer = Writer::new(dir.path(), 2000);
    writer.line("whole");
    writer.raw(b"1000 o to");
    assert_eq!(read_all(&mut reader, false).0, ["whole"]);
    writer.raw(b"rn\n1000 o never en");
    assert_eq!(read_all(&mut reader, false).0, ["torn"]);
    assert_eq!(read_all(&mut reader, true).0, ["never en"]);
    assert_eq!(read_all(&mut reader, true).0, [""; 0]);
}

#[test]
fn hostile_spools_are_no_danger() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "hoist-spool 1 0 0\n1 o secret\n").unwrap();
    std::os::unix::fs::symlink("secret", dir.path().join("0")).unwrap();
    std::fs::create_dir(dir.path().join("1")).unwrap();
    let mut reader = SpoolReader::new(dir.path().to_owned(), None);
    assert_eq!(read_all(&mut reader, true), (vec![], 0));
    std::fs::remove_file(dir.path().join("0")).unwrap();
    let mut bytes = format!("hoist-spool 1 {0} {0}\n", 1_u64 << 53).into_bytes();
    bytes.extend(vec![b'x'; 200_000]);
    bytes.extend(b"\n5 o after\n");
    std::fs::write(dir.path().join("0"), bytes).unwrap();
    let (lines, dropped) = read_all(&mut reader, true);
    assert_eq!(lines.last().unwrap(), "after");
    assert!(dropped > 0);
}

/// Two files of 15 TB that hold nothing: the end is reached, and what was there before it is kept.
#[test]
fn endless_files_are_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let spool = root.path().join("i1");
    std::fs::create_dir(&spool).unwrap();
    for (seq, name) in ["0", "1"].into_iter().enumerate() {
        let path = spool.join(name);
        std::fs::write(&path, format!("hoist-spool 1 {seq} {seq}\n5 o kept {seq}\n")).unwrap();
        std::fs::File::options().write(true).open(&path).unwrap().set_len(15 << 40).unwrap();
    }
    let begun = Instant::now();
    let (log, _) = open_log(root.path(), &LogsConfig::at(root.path().to_owned()), begun);
    let key = SpoolKey::instance(InstanceId(1));
    log.follow(meta(1, key.as_str(), "web.1"), 1, &spool, None);
    let mut drained = log.drain(&key).unwrap();
    let mut turns: u64 = 0;
    while drained.try_recv().is_err() {
        log.mark_dirty(&key);
        // A second each: what was passed over is charged, and must be earned again before the next line.
        log.turn(begun + Duration::from_secs(turns), Timestamp(5));
        turns += 1;
        assert!(turns < 1_000 && begun.elapsed() < Duration::from_secs(60), "no end in sight after {turns} turns");
    }
    let texts: Vec<String> = stored(&log).into_iter().map(|r| r.text).collect();
    assert!(texts.iter().any(|t| t == "kept 0") && texts.iter().any(|t| t == "kept 1"), "{texts:?}");
    assert!(
        texts.iter().filter(|t| t.contains("TB passed over: damaged") || t.contains("GB passed over: damaged")).count()
            >= 2,
        "{texts:?}"
    );
    assert!(texts.len() < 100, "{}", texts.len());
    let recent = SpoolReader::new(spool, None).newest(1000).unwrap();
    assert!(recent.len() <= 1000);
}

/// Who rewrites a file of holes all the time pays for what is read, as if it had logged that much.
#[test]
fn reading_holes_is_charged() {
    let root = tempfile::tempdir().unwrap();
    let spool = root.path().join("i1");
    std::fs::create_dir(&spool).unwrap();
    let begun = Instant::now();
    let (log, _) = open_log(root.path(), &LogsConfig::at(root.path().to_owned()), begun);
    let key = SpoolKey::instance(InstanceId(1));
    log.follow(meta(1, key.as_str(), "web.1"), 1, &spool, None);
    let mut waited = false;
    for seq in 0..40 {
        std::fs::write(spool.join("0"), format!("hoist-spool 1 {seq} {seq}\n")).unwrap();
        std::fs::File::options().write(true).open(spool.join("0")).unwrap().set_len(16 << 20).unwrap();
        log.mark_dirty(&key);
        while !waited {
            match log.turn(begun, Timestamp(5)) {
                Next::Again => {}
                Next::After(_) => waited = true,
                Next::Idle => break,
            }
        }
    }
    assert!(waited, "640 MB of holes were read at once");
}

#[test]
fn times_and_lines_that_no_writer_writes() {
    let root = tempfile::tempdir().unwrap();
    let spool = root.path().join("i1");
    std::fs::create_dir(&spool).unwrap();
    let text = format!(
        "hoist-spool 1 0 0\n9223372036854775807 o of the future\n7 o of today\n8 r at=info forged\n8 o {}\n9 o last\n",
        "x".repeat(100_000)
    );
    std::fs::write(spool.join("0"), text).unwrap();
    let (log, _) = open_log(root.path(), &LogsConfig::at(root.path().to_owned()), Instant::now());
    let key = SpoolKey::instance(InstanceId(1));
    log.follow(meta(1, key.as_str(), "web.1"), 1, &spool, None);
    let clock = Timestamp(1_000_000_000_000);
    log.mark_dirty(&key);
    while log.turn(Instant::now(), clock) == Next::Again {}
    let mut drained = log.drain(&key).unwrap();
    let mut turns = 0;
    while drained.try_recv().is_err() {
        log.mark_dirty(&key);
        log.turn(Instant::now(), clock);
        turns += 1;
        assert!(turns < 10, "not drained after {turns} turns");
    }
    let found = stored(&log);
    assert!(found.iter().all(|r| r.time <= clock), "{found:?}");
    let of = |text: &str| found.iter().find(|r| r.text == text).unwrap_or_else(|| panic!("{text}: {found:?}"));
    assert_eq!((of("of the future").time, of("of today").time), (clock, Timestamp(7)));
    assert_eq!(of("at=info forged").source, Source::App);
    of("1 line dropped: damaged in the spool");
    of("last");
}

pub fn meta(n: u8, key: &str, instance: &str) -> SpoolMeta {
    let process = instance.split('.').next().unwrap_or_default().to_owned();
    SpoolMeta {
        key: key.parse().unwrap(),
        app: app(n),
        source: Source::App,
        process,
        instance: instance.to_owned(),
        release: 3,
    }
}

pub fn open_log(root: &Path, config: &LogsConfig, now: Instant) -> (AppLog, crate::store::Marks) {
    let floods = Arc::new(Floods::new(config.floods));
    AppLog::open(&app(1), &root.join("store"), config, &floods, now).unwrap()
}

/// What is stored: read backwards and forwards, which must be the same, with numbers that leave none out.
pub fn stored(log: &AppLog) -> Vec<Record> {
    let (snapshot, wanted) = (log.snapshot(), Wanted::new(Filter::default()).unwrap());
    let found = scan::back(&snapshot.dir, &snapshot.segments, &wanted, usize::MAX, usize::MAX).unwrap();
    let mut cursor = Cursor::at(snapshot.segments.first().map_or(0, |s| s.first));
    let mut forwards = Vec::new();
    while cursor.id < snapshot.end {
        let step = scan::forward(&snapshot, &mut cursor, &wanted).unwrap();
        assert_eq!(step.missed, 0);
        forwards.extend(step.records);
    }
    let backwards: Vec<Record> = found.records.into_iter().rev().collect();
    assert_eq!(backwards.len(), forwards.len());
    assert!(backwards == forwards, "one way reads something else");
    assert!(forwards.windows(2).all(|w| w[0].id + 1 == w[1].id), "numbers without a gap");
    assert_eq!(forwards.last().map_or(snapshot.end, |r| r.id + 1), snapshot.end);
    forwards
}

/// A log with two spools, opened as a new process would.
struct Core {
    log: AppLog,
    keys: Vec<SpoolKey>,
}

impl Core {
    fn open(root: &Path) -> Core {
        let config = LogsConfig { segment_bytes: 6000, ..LogsConfig::at(root.to_owned()) };
        let (log, marks) = open_log(root, &config, Instant::now());
        let keys: Vec<SpoolKey> = ["i1", "i2"].map(|k| k.parse().unwrap()).into();
        for (key, instance) in keys.iter().zip(["web.1", "web.2"]) {
            let at = marks.get(key).map(|m| m.position);
            log.follow(meta(1, key.as_str(), instance), 1, &root.join(key.as_str()), at);
            log.mark_dirty(key);
        }
        Core { log, keys }
    }

    fn turn(&self) -> Next {
        self.keys.iter().for_each(|key| self.log.mark_dirty(key));
        self.log.turn(Instant::now(), Timestamp(5))
    }

    fn stored(&self, instance: &str) -> Vec<String> {
        stored(&self.log).into_iter().filter(|r| r.instance == instance).map(|r| r.text).collect()
    }
}

pub fn numbered(prefix: &str, n: u64) -> Vec<String> {
    (0..n).map(|n| format!("{prefix}-{n}")).collect()
}

/// Copies a state on disk, so that one history is cut off at many places.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

#[test]
fn a_kill_at_any_byte_leaves_no_gap_and_no_double() {
    let root = tempfile::tempdir().unwrap();
    let (mut one, mut two) =
        (Writer::new(&root.path().join("i1"), 1 << 20), Writer::new(&root.path().join("i2"), 1 << 20));
    let (mut states, mut before) = (0, 0);
    for step in 0..12 {
        one.numbered("a", 20 + step);
        two.numbered("b", 7);
        // A new process each time: nothing but the disk carries over.
        let core = Core::open(root.path());
        core.turn();
        let newest = core.log.snapshot().segments.pop().unwrap();
        let from = if newest.bytes > before { before } else { 0 };
        before = newest.bytes;
        // Older segments are sealed at some of the steps, and some at a later one.
        if step % 3 == 1 {
            core.log.seal_one().unwrap();
        }
        drop(core);
        // The last write cut off at every 23rd byte, and at both of its ends.
        for cut in (from..=newest.bytes).step_by(23).chain([newest.bytes]) {
            let copied = tempfile::tempdir().unwrap();
            copy(root.path(), copied.path());
            let name = newest.path(Path::new(""));
            let file = std::fs::OpenOptions::new().write(true).open(copied.path().join("store").join(name)).unwrap();
            file.set_len(cut).unwrap();
            let core = Core::open(copied.path());
            while core.turn() == Next::Again {}
            assert_eq!(core.stored("web.1"), numbered("a", one.count), "step {step} cut {cut}");
            assert_eq!(core.stored("web.2"), numbered("b", two.count), "step {step} cut {cut}");
            states += 1;
        }
    }
    assert!(states > 150, "{states}");
    assert!(Core::open(root.path()).log.snapshot().segments.len() > 2);
}

#[test]
fn the_budget_deletes_the_oldest_segment() {
    let root = tempfile::tempdir().unwrap();
    let config = LogsConfig {
        segment_bytes: 20_000,
        budget: Budget { app: 100_000, total: 1 << 30 },
        ..LogsConfig::at(root.path().to_owned())
    };
    let (log, _) = open_log(root.path(), &config, Instant::now());
    let key = SpoolKey::instance(InstanceId(1));
    log.follow(meta(1, key.as_str(), "web.1"), 1, &root.path().join("i1"), None);
    let mut writer = Writer::new(&root.path().join("i1"), 1 << 24);
    for _ in 0..100 {
        writer.numbered("n", 100);
        log.mark_dirty(&key);
        log.turn(Instant::now(), Timestamp(5));
        assert!(log.snapshot().segments.iter().map(|s| s.bytes).sum::<u64>() <= 100_000);
    }
    let found = stored(&log);
    assert_eq!(found.last().unwrap().text, "n-9999");
    assert!(found.len() > 1000 && found.windows(2).all(|w| w[0].time.0 + 1 == w[1].time.0));
}

#[test]
fn a_flood_is_shed_and_counted() {
    let root = tempfile::tempdir().unwrap();
    let config = LogsConfig { rate: 400_000, burst: 1_000_000, ..LogsConfig::at(root.path().to_owned()) };
    let start = Instant::now();
    let (log, _) = open_log(root.path(), &config, start);
    let key = SpoolKey::instance(InstanceId(1));
    log.follow(meta(1, key.as_str(), "web.1"), 1, &root.path().join("i1"), None);
    let mut writer = Writer::new(&root.path().join("i1"), 2 << 20);
    // Ten seconds of 40,000 lines each, in steps of 100 ms.
    for step in 0..100_u64 {
        writer.numbered("flood", 4000);
        log.mark_dirty(&key);
        let now = start + Duration::from_millis(100 * step);
        while log.turn(now, Timestamp(5)) == Next::Again {}
    }
    let drained = log.drain(&key).unwrap();
    let mut now = start + Duration::from_secs(11);
    for _ in 0..1000 {
        log.turn(now, Timestamp(5));
        log.mark_dirty(&key);
        now += Duration::from_millis(1);
    }
    drained.blocking_recv().unwrap();
    let found = stored(&log);
    let counters: Vec<u64> = found
        .iter()
        .filter(|r| r.source == Source::Platform)
        .map(|r| r.text.split(' ').next().unwrap().parse().unwrap())
        .collect();
    let kept = found.len() - counters.len();
    assert_eq!(kept as u64 + counters.iter().sum::<u64>(), writer.count);
    assert!((2..=15).contains(&counters.len()), "{counters:?}");
    assert_eq!(found.last().unwrap().text, format!("flood-{}", writer.count - 1));
    let bytes: u64 = log.snapshot().segments.iter().map(|s| s.bytes).sum();
    assert!(bytes < 400_000 * 12 + 1_000_000 + 3_000_000, "{bytes}");
}

#[test]
fn a_full_disk_costs_no_line_that_the_spool_still_has() {
    let root = tempfile::tempdir().unwrap();
    let small = root.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let options = Some(c"size=64k");
    if rustix::mount::mount("tmpfs", &small, "tmpfs", rustix::mount::MountFlags::empty(), options).is_err() {
        eprintln!("skipped: mounting a small file system needs root");
        return;
    }
    let config = LogsConfig::at(root.path().to_owned());
    let (log, _) = open_log(&small, &config, Instant::now());
    let key = SpoolKey::instance(InstanceId(1));
    log.follow(meta(1, key.as_str(), "web.1"), 1, &root.path().join("i1"), None);
    let mut writer = Writer::new(&root.path().join("i1"), 1 << 20);
    std::fs::write(small.join("ballast"), vec![0; 50_000]).unwrap();
    let mut failed = 0;
    for _ in 0..20 {
        writer.numbered("n", 50);
        log.mark_dirty(&key);
        failed += u32::from(matches!(log.turn(Instant::now(), Timestamp(5)), Next::After(_)));
    }
    let line = log_format::Record::platform(Timestamp(2_000_000_000), "kept for later");
    assert_ne!(log.append(vec![line], Timestamp(5)), Next::Idle);
    std::fs::remove_file(small.join("ballast")).unwrap();
    while log.turn(Instant::now(), Timestamp(5)) != Next::Idle {}
    let found = stored(&log);
    rustix::mount::unmount(&small, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert!(failed > 5, "{failed}");
    let mut want = numbered("n", writer.count);
    want.push("kept for later".to_owned());
    assert_eq!(found.into_iter().map(|r| r.text).collect::<Vec<_>>(), want);
}
