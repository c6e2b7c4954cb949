//! The router's own table on disk: a snapshot and an append-only journal, every record checksummed and synced.
//!
//! `snapshot` holds the whole table, `journal` the changes since; both carry the snapshot's series, so a journal is never
//! applied to a table it was not written for. One older pair stays as `.prev`. A torn tail of a journal is ignored; a
//! damaged snapshot is set aside as `snapshot.damaged` and the older one is used; two damaged ones refuse the start.
//! Blocking: it belongs on a thread of its own. It knows nothing of workers.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    config::RouterError,
    table::{Route, RouteKey},
};

/// The table as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The boot of the machine that confirmed the addresses.
    pub boot_id: String,
    /// The number of the table.
    pub generation: u64,
    /// All routes.
    pub routes: Vec<Route>,
}

/// One change to the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The number of the table afterwards.
    pub generation: u64,
    /// The number of the table that it changes.
    pub base: u64,
    /// Routes that are new or replaced.
    pub upsert: Vec<Route>,
    /// Routes that are gone.
    pub remove: Vec<RouteKey>,
}

/// The files, ready for the next record.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    series: u64,
    file: Option<File>,
    bytes: u64,
    snapshot_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct SnapshotFile {
    series: u64,
    table: Stored,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct JournalHead {
    series: u64,
    /// The snapshot of this series says the same as its predecessor with its whole journal.
    derived: bool,
}

const MAGIC: &[u8] = b"hoist-routes 1\n";
/// A journal larger than this and than its snapshot is compacted.
const COMPACT_ABOVE: u64 = 1 << 20;

impl Journal {
    /// Reads what is there, or begins with an empty table.
    pub fn open(dir: &Path) -> Result<(Self, Stored), RouterError> {
        fs::create_dir_all(dir).map_err(RouterError::io("create", dir))?;
        let (series, mut table) = load_snapshot(dir)?;
        let (mut current, mut newest) = (series, series);
        let mut whole = true;
        let had_snapshot = series > 0;
        for name in ["journal.prev", "journal"] {
            let Some((head, deltas, clean)) = load_journal(&dir.join(name))? else { continue };
            newest = newest.max(head.series);
            let follows = head.series == current + 1 && head.derived && whole;
            if head.series != current && !follows {
                continue;
            }
            current = head.series;
            let mut map = by_key(table.routes);
            for delta in deltas {
                if delta.base == table.generation {
                    apply(&mut map, &delta);
                    table.generation = delta.generation;
                }
            }
            table.routes = map.into_values().collect();
            whole = clean;
        }
        let mut journal = Self { dir: dir.to_path_buf(), series: newest, file: None, bytes: 0, snapshot_bytes: 0 };
        if had_snapshot {
            // A fresh pair: the old journal, torn or not, stays as .prev with its bytes.
            journal.write_snapshot(&table, whole && current == newest)?;
        }
        Ok((journal, table))
    }

    /// Writes a table that does not follow from the previous one, and syncs it.
    pub fn install(&mut self, table: &Stored) -> Result<(), RouterError> {
        self.write_snapshot(table, false)
    }

    /// Appends a change and syncs it. After an error only `install` helps.
    pub fn append(&mut self, delta: &Delta) -> Result<(), RouterError> {
        let path = self.dir.join("journal");
        let Some(mut file) = self.file.take() else {
            let err = io::Error::other("no snapshot was written before");
            return Err(RouterError::Io { act: "append to", path, err });
        };
        let record = record(&to_json(delta));
        file.write_all(&record).and_then(|()| file.sync_data()).map_err(RouterError::io("append to", path))?;
        self.bytes += record.len() as u64;
        self.file = Some(file);
        Ok(())
    }

    /// Whether the journal has grown enough to be folded into a new snapshot.
    pub fn wants_compaction(&self) -> bool {
        self.file.is_some() && self.bytes > COMPACT_ABOVE.max(self.snapshot_bytes)
    }

    /// Folds the journal into a snapshot of the same table.
    pub fn compact(&mut self, table: &Stored) -> Result<(), RouterError> {
        self.write_snapshot(table, true)
    }

    fn write_snapshot(&mut self, table: &Stored, derived: bool) -> Result<(), RouterError> {
        self.file = None;
        let series = self.series + 1;
        let at = |name: &str| self.dir.join(name);
        let snapshot = [MAGIC, &record(&to_json(&SnapshotFile { series, table: table.clone() }))].concat();
        let head = [MAGIC, &record(&to_json(&JournalHead { series, derived }))].concat();
        write_synced(&at("snapshot.new"), &snapshot)?;
        let mut journal = write_synced(&at("journal.new"), &head)?;
        rename_if_there(&at("journal"), &at("journal.prev"))?;
        rename_if_there(&at("snapshot"), &at("snapshot.prev"))?;
        rename_if_there(&at("snapshot.new"), &at("snapshot"))?;
        rename_if_there(&at("journal.new"), &at("journal"))?;
        File::open(&self.dir).and_then(|d| d.sync_all()).map_err(RouterError::io("sync", &self.dir))?;
        journal.flush().map_err(RouterError::io("write", at("journal")))?;
        self.series = series;
        self.bytes = 0;
        self.snapshot_bytes = snapshot.len() as u64;
        self.file = Some(journal);
        Ok(())
    }
}

fn by_key(routes: Vec<Route>) -> BTreeMap<RouteKey, Route> {
    routes.into_iter().map(|r| (r.key(), r)).collect()
}

fn apply(map: &mut BTreeMap<RouteKey, Route>, delta: &Delta) {
    for key in &delta.remove {
        map.remove(key);
    }
    for route in &delta.upsert {
        map.insert(route.key(), route.clone());
    }
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    // Our own types have string keys only, which is all that could fail.
    serde_json::to_vec(value).unwrap_or_default()
}

fn record(payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(payload.len() + 8);
    out.extend(len.to_be_bytes());
    out.extend(crc32fast::hash(payload).to_be_bytes());
    out.extend(payload);
    out
}

/// The first record of the bytes and what follows it; `None` when it is torn or does not match its checksum.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, rest) = rest.split_first_chunk::<4>()?;
    let (payload, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    (crc32fast::hash(payload) == u32::from_be_bytes(*crc)).then_some((payload, rest))
}

fn load_snapshot(dir: &Path) -> Result<(u64, Stored), RouterError> {
    let path = dir.join("snapshot");
    let prev = dir.join("snapshot.prev");
    match (read_snapshot(&path)?, read_snapshot(&prev)?) {
        (Some(Ok(file)), _) | (None, Some(Ok(file))) => Ok((file.series, file.table)),
        (None, None) => Ok((0, Stored::default())),
        (Some(Err(_)), Some(Ok(file))) => {
            rename_if_there(&path, &dir.join("snapshot.damaged"))?;
            Ok((file.series, file.table))
        }
        (Some(Err(why)), _) => Err(RouterError::Damaged { path, why }),
        (None, Some(Err(why))) => Err(RouterError::Damaged { path: prev, why }),
    }
}

fn read_snapshot(path: &Path) -> Result<Option<Result<SnapshotFile, String>>, RouterError> {
    let Some(bytes) = read_if_there(path)? else { return Ok(None) };
    let Some(body) = bytes.strip_prefix(MAGIC) else { return Ok(Some(Err("its first line is not ours".into()))) };
    let Some((payload, _)) = split_record(body) else { return Ok(Some(Err("its checksum does not match".into()))) };
    Ok(Some(serde_json::from_slice(payload).map_err(|err| err.to_string())))
}

type Loaded = (JournalHead, Vec<Delta>, bool);

/// The readable part of a journal, and whether that is all of it.
fn load_journal(path: &Path) -> Result<Option<Loaded>, RouterError> {
    let Some(bytes) = read_if_there(path)? else { return Ok(None) };
    let Some((head, mut rest)) = bytes.strip_prefix(MAGIC).and_then(split_record) else { return Ok(None) };
    let Ok(head) = serde_json::from_slice(head) else { return Ok(None) };
    let mut deltas = vec![];
    while let Some((payload, after)) = split_record(rest) {
        let Ok(delta) = serde_json::from_slice(payload) else { break };
        deltas.push(delta);
        rest = after;
    }
    Ok(Some((head, deltas, rest.is_empty())))
}

fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, RouterError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(RouterError::io("read", path)(err)),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<File, RouterError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(RouterError::io("create", path))?;
    file.write_all(bytes).and_then(|()| file.sync_data()).map_err(RouterError::io("write", path))?;
    Ok(file)
}

fn rename_if_there(from: &Path, to: &Path) -> Result<(), RouterError> {
    match fs::rename(from, to) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => Err(RouterError::io("rename", from)(err)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Action;

    fn route(host: &str) -> Route {
        let action = Action::Serve { targets: vec![] };
        Route { host: host.parse().unwrap(), path: "/".parse().unwrap(), log: None, action }
    }

    fn delta(generation: u64, host: &str) -> Delta {
        Delta { generation, base: generation - 1, upsert: vec![route(host)], remove: vec![] }
    }

    /// Generation 1 with host a, then 2 and 3 with b and c.
    fn filled(dir: &Path) {
        let (mut journal, empty) = Journal::open(dir).unwrap();
        assert_eq!(empty, Stored::default());
        assert!(journal.append(&delta(1, "x")).is_err());
        journal.install(&Stored { boot_id: "b".into(), generation: 1, routes: vec![route("a")] }).unwrap();
        journal.append(&delta(2, "b")).unwrap();
        journal.append(&delta(3, "c")).unwrap();
    }

    fn hosts(dir: &Path) -> (u64, String) {
        let (_, table) = Journal::open(dir).unwrap();
        assert_eq!(table.boot_id, "b");
        (table.generation, table.routes.iter().map(|r| r.host.to_string()).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn comes_back_as_it_was_however_often() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        for _ in 0..3 {
            assert_eq!(hosts(dir.path()), (3, "a,b,c".into()));
        }
        let (mut journal, table) = Journal::open(dir.path()).unwrap();
        journal.append(&delta(4, "d")).unwrap();
        let routes = [table.routes, vec![route("d")]].concat();
        journal.compact(&Stored { generation: 4, routes, boot_id: "b".into() }).unwrap();
        journal.append(&Delta { remove: vec![route("a").key()], ..delta(5, "e") }).unwrap();
        assert_eq!(hosts(dir.path()), (5, "b,c,d,e".into()));
    }

    #[test]
    fn torn_anywhere_is_a_prefix() {
        let full = tempfile::tempdir().unwrap();
        filled(full.path());
        let bytes = fs::read(full.path().join("journal")).unwrap();
        let snapshot = fs::read(full.path().join("snapshot")).unwrap();
        let mut seen = vec![];
        for cut in (0..=bytes.len()).rev().step_by(5) {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("snapshot"), &snapshot).unwrap();
            fs::write(dir.path().join("journal"), &bytes[..cut]).unwrap();
            seen.push(hosts(dir.path()));
            // And it can be written to afterwards.
            let (mut journal, table) = Journal::open(dir.path()).unwrap();
            journal.append(&delta(table.generation + 1, "z")).unwrap();
            assert!(hosts(dir.path()).1.ends_with('z'));
        }
        seen.dedup();
        assert_eq!(seen, [(3, "a,b,c".into()), (2, "a,b".into()), (1, "a".into())]);
    }

    #[test]
    fn damaged_snapshot_falls_back_and_two_refuse() {
        let dir = tempfile::tempdir().unwrap();
        filled(dir.path());
        hosts(dir.path()); // Opening folds the journal in and leaves the older pair as .prev.
        let path = dir.path().join("snapshot");
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(hosts(dir.path()), (3, "a,b,c".into()));
        assert_eq!(fs::read(dir.path().join("snapshot.damaged")).unwrap(), bytes);
        fs::write(&path, &bytes).unwrap();
        fs::write(dir.path().join("snapshot.prev"), "junk").unwrap();
        assert!(matches!(Journal::open(dir.path()), Err(RouterError::Damaged { .. })));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}
