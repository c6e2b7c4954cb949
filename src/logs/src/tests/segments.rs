//! What lies on the disk: the order of lines, older stores, sealed segments and damage to them.

use super::core::{meta, numbered, open_log, stored};
use crate::grep::Wanted;
use crate::ready::Next;
use crate::scan::Cursor;
use crate::{LogsConfig, scan};
use domain::Timestamp;
use log_format::{Filter, Record, SpoolKey};
use std::time::Instant;

#[test]
fn lines_of_several_spools_stand_in_the_order_of_writing() {
    let root = tempfile::tempdir().unwrap();
    let (log, _) = open_log(root.path(), &LogsConfig::at(root.path().to_owned()), Instant::now());
    let mut files = Vec::new();
    for n in 0..3_u64 {
        let key: SpoolKey = format!("i{n}").parse().unwrap();
        let dir = root.path().join(key.as_str());
        log.follow(meta(1, key.as_str(), &format!("web.{n}")), 1, &dir, None);
        std::fs::create_dir_all(&dir).unwrap();
        // Each wrote at times of its own; one of them far more than the others, so that it is read in many pieces.
        let count = if n == 0 { 60_000 } else { 300 };
        let mut text = "hoist-spool 1 0 0\n".to_owned();
        (0..count).for_each(|i| {
            text.push_str(&format!("{} o s{n}-{i}-{}\n", 1000 + i * (60_000 / count) * 10 + n, "x".repeat(60)))
        });
        std::fs::write(dir.join("0"), text).unwrap();
        files.push(key);
    }
    files.iter().for_each(|key| log.mark_dirty(key));
    while log.turn(Instant::now(), Timestamp(2_000_000_000)) == Next::Again {}
    let found = stored(&log);
    assert_eq!(found.len(), 60_600);
    assert!(found.windows(2).all(|w| w[0].time <= w[1].time), "by time");
    for n in 0..3 {
        let of: Vec<i64> = found.iter().filter(|r| r.instance == format!("web.{n}")).map(|r| r.time.0).collect();
        assert!(of.windows(2).all(|w| w[0] < w[1]));
    }
}

/// A store as it was before lines had numbers and segments were sealed.
#[test]
fn an_older_store_is_read_and_sealed() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("store");
    std::fs::create_dir_all(&dir).unwrap();
    for number in 1..=3 {
        let mut text = "@F\ti1 1 0 20 0\n".to_owned();
        (0..100).for_each(|n| {
            text.push_str(&format!("{}\tapp\tweb\tweb.1\t1\to\tn-{}\n", 1000 + n, (number - 1) * 100 + n))
        });
        text.push_str(&format!("@P\ti1 1 0 {} 0\n", 20 + number));
        std::fs::write(dir.join(format!("{number:08}.log")), text).unwrap();
    }
    std::fs::write(dir.join("00000004.log"), "@F\ti1 1").unwrap();
    std::fs::write(dir.join("00000001.sealing"), "cut short").unwrap();
    let open = || open_log(root.path(), &LogsConfig::at(root.path().to_owned()), Instant::now());
    for sealed in 0..3 {
        let (log, marks) = open();
        let all = stored(&log);
        assert_eq!(all.iter().map(|r| r.text.clone()).collect::<Vec<_>>(), numbered("n", 300), "{sealed} sealed");
        assert_eq!((all[0].id, marks.len()), (0, 1));
        assert_eq!(marks.values().next().unwrap().position.offset, 23);
        assert_eq!(log.wants_sealing(), sealed < 2);
        log.seal_one().unwrap();
    }
    // Killed after the sealed file had its name and before the plain one was gone.
    let sealed = std::fs::read_dir(&dir).unwrap().flatten().map(|e| e.file_name().into_string().unwrap());
    let sealed: Vec<String> = sealed.filter(|n| n.ends_with(".zst")).collect();
    assert_eq!(sealed.len(), 2, "{sealed:?}");
    std::fs::write(dir.join("00000002.log"), "@F\t#100\nany\n@P\n").unwrap();
    assert_eq!(stored(&open().0).len(), 300);
    assert!(!dir.join("00000002.log").exists());
    // The one that was being written is gone, as after a power cut: positions are those of the sealed one.
    std::fs::remove_file(dir.join("00000003.log")).unwrap();
    let (log, marks) = open();
    assert_eq!((stored(&log).len(), marks.values().next().unwrap().position.offset), (200, 22));
    assert_eq!(log.append(vec![Record::platform(Timestamp(7), "next")], Timestamp(7)), Next::Idle);
    assert_eq!(stored(&log).last().unwrap().id, 200);
}

#[test]
fn damage_costs_the_lines_it_hits_and_is_told() {
    let root = tempfile::tempdir().unwrap();
    let config = LogsConfig { segment_bytes: 40_000, ..LogsConfig::at(root.path().to_owned()) };
    let (log, _) = open_log(root.path(), &config, Instant::now());
    for n in 0..2000 {
        log.append(vec![Record::platform(Timestamp(n), format!("line {n} {}", "x".repeat(40)))], Timestamp(n));
    }
    while log.wants_sealing() {
        log.seal_one().unwrap();
    }
    let whole = stored(&log);
    assert_eq!(whole.len(), 2000);
    let snapshot = log.snapshot();
    let victim = snapshot.segments[1];
    let path = victim.path(&snapshot.dir);
    let bytes = std::fs::read(&path).unwrap();
    let wanted = Wanted::new(Filter::default()).unwrap();
    let read = || {
        let found = scan::back(&snapshot.dir, &snapshot.segments, &wanted, usize::MAX, usize::MAX).unwrap();
        let (mut cursor, mut records) = (Cursor::at(0), Vec::new());
        while cursor.id < snapshot.end {
            records.extend(scan::forward(&snapshot, &mut cursor, &wanted).unwrap().records);
        }
        assert_eq!(records.len(), found.records.len());
        records
    };
    let inside = usize::try_from(victim.next - victim.first).unwrap();
    for at in (0..bytes.len()).step_by(41).chain([bytes.len() - 1, bytes.len() - 10, bytes.len() - 15]) {
        let mut hit = bytes.clone();
        hit[at] ^= 0x55;
        std::fs::write(&path, &hit).unwrap();
        let records = read();
        let told = records.iter().filter(|r| r.text.contains("cannot be read")).count();
        // A hit on what only zstdcat reads costs nothing.
        assert!(records == whole || (told == 1 && records.len() == 2000 - inside + 1), "byte {at}: {}", records.len());
        assert!(records.iter().all(|r| r.text.contains("cannot be read") || whole[r.id as usize] == *r), "byte {at}");
    }
    for cut in (0..bytes.len()).step_by(97) {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        assert_eq!(read().len(), 2000 - inside + 1, "cut at {cut}");
    }
    std::fs::remove_file(&path).unwrap();
    let mut cursor = Cursor::at(0);
    let mut missed = 0;
    while cursor.id < snapshot.end {
        missed += scan::forward(&snapshot, &mut cursor, &wanted).unwrap().missed;
    }
    assert_eq!(missed as usize, inside);
}
