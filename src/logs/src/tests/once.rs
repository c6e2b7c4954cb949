//! Lines of events: each once, whatever is told again and wherever a kill falls.

use super::core::{open_log, stored};
use crate::app::AppLog;
use crate::{LogsConfig, Numbered};
use domain::Timestamp;
use log_format::Record;
use std::path::Path;
use std::time::Instant;

const EVENTS: u64 = 40;

fn open(root: &Path) -> AppLog {
    let config = LogsConfig { segment_bytes: 600, ..LogsConfig::at(root.to_owned()) };
    open_log(root, &config, Instant::now()).0
}

fn record(text: String) -> Record {
    Record::platform(Timestamp(5), text)
}

fn tell(log: &AppLog, number: u64, newest: u64) -> bool {
    let lines = vec![record(format!("event {number}")), record(format!("more of {number}"))];
    log.append_once(Numbered { number, newest }, lines, Timestamp(5)).0
}

fn told(log: &AppLog) -> Vec<String> {
    stored(log).into_iter().map(|r| r.text).filter(|text| text != "a note").collect()
}

fn all(to: u64) -> Vec<String> {
    (1..=to).flat_map(|n| [format!("event {n}"), format!("more of {n}")]).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn killed_at_any_byte_and_told_again_each_is_there_once() {
    let root = tempfile::tempdir().unwrap();
    let log = open(root.path());
    for number in 1..=EVENTS {
        assert!(tell(&log, number, EVENTS) && tell(&log, number, EVENTS));
        log.append(vec![record("a note".to_owned())], Timestamp(5));
    }
    assert_eq!(told(&log), all(EVENTS));
    drop(log);
    let store = root.path().join("store");
    let newest = std::fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name()).max().unwrap();
    let bytes = std::fs::metadata(store.join(&newest)).unwrap().len();
    assert!(std::fs::read_dir(&store).unwrap().count() > 3 && bytes > 100, "{newest:?} has {bytes} bytes");
    for cut in 0..=bytes {
        let again = tempfile::tempdir().unwrap();
        copy(&store, &again.path().join("store"));
        let file = std::fs::File::options().write(true).open(again.path().join("store").join(&newest)).unwrap();
        file.set_len(cut).unwrap();
        let log = open(again.path());
        for number in 1..=EVENTS {
            assert!(tell(&log, number, EVENTS));
        }
        assert_eq!(told(&log), all(EVENTS), "cut at {cut} of {bytes}");
    }
}

#[test]
fn what_could_not_be_stored_is_told_again_and_stored_once() {
    let root = tempfile::tempdir().unwrap();
    let log = open(root.path());
    assert!(tell(&log, 1, 9));
    let (store, away) = (root.path().join("store"), root.path().join("away"));
    std::fs::rename(&store, &away).unwrap();
    assert!(!tell(&log, 2, 9) && !tell(&log, 2, 9) && !tell(&log, 3, 9));
    // More than waits for room: none of it is lost, it is only not taken in.
    for number in 4..2_000 {
        assert!(!tell(&log, number, 2_000));
    }
    std::fs::rename(&away, &store).unwrap();
    for number in 2..2_000 {
        assert!(tell(&log, number, 2_000), "{number}");
    }
    assert_eq!(told(&log), all(1_999));
}

/// An older database was put in the place of the one that the log goes with: its numbers begin again.
#[test]
fn a_log_that_knows_larger_numbers_than_there_are_takes_new_ones() {
    let root = tempfile::tempdir().unwrap();
    let log = open(root.path());
    for number in 1..=5 {
        assert!(tell(&log, number, 5));
    }
    assert!(tell(&log, 3, 3) && tell(&log, 3, 3) && tell(&log, 4, 4));
    let mut want = all(5);
    want.extend(["event 3", "more of 3", "event 4", "more of 4"].map(str::to_owned));
    assert_eq!(told(&log), want);
}
