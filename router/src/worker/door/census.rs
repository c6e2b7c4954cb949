//! What workers know of each other: what each can do for one more, and how many connections all have of a source.
//!
//! The latter is in a table of fixed size. Two sources may share a cell in one row, hardly in both; the keys are random,
//! so nobody chooses whose.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU8, AtomicU32, Ordering},
};

use crate::source::Source;

pub(crate) struct Census {
    /// What each worker can do, as a number.
    able: Box<[AtomicU8]>,
    rows: [(RandomState, Box<[AtomicU32]>); 2],
}

/// What a worker can do for one more connection; the best comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Able {
    /// It has a free place.
    Room,
    /// It must close one that waits.
    Full,
    /// It has none that waits.
    Stuck,
}

const CELLS: usize = 1 << 14;

impl Census {
    pub(crate) fn new(workers: usize) -> Self {
        let row = || (RandomState::new(), (0..CELLS).map(|_| AtomicU32::new(0)).collect());
        let able = (0..workers).map(|_| AtomicU8::new(Able::Room as u8)).collect();
        Self { able, rows: [row(), row()] }
    }

    /// A worker says what it can do.
    pub(super) fn publish(&self, worker: usize, able: Able) {
        if let Some(mine) = self.able.get(worker) {
            mine.store(able as u8, Ordering::Relaxed);
        }
    }

    /// Whether some worker can do more than this.
    pub(super) fn exceeds(&self, able: Able) -> bool {
        self.able.iter().any(|other| other.load(Ordering::Relaxed) < able as u8)
    }

    /// How many connections all workers have of a source.
    pub(super) fn of(&self, source: Source) -> u32 {
        self.cells(source).map(|n| n.load(Ordering::Relaxed)).min().unwrap_or(0)
    }

    pub(super) fn enter(&self, source: Source) {
        for cell in self.cells(source) {
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn leave(&self, source: Source) {
        for cell in self.cells(source) {
            cell.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn cells(&self, source: Source) -> impl Iterator<Item = &AtomicU32> {
        let cell = move |(keys, row): &(RandomState, Box<[AtomicU32]>)| {
            usize::try_from(keys.hash_one(source)).unwrap_or(usize::MAX) % row.len().max(1)
        };
        self.rows.iter().filter_map(move |row| row.1.get(cell(row)))
    }

    /// Nobody is anywhere.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let cells = self.rows.iter().flat_map(|row| row.1.iter());
        self.able.iter().all(|able| able.load(Ordering::Relaxed) == Able::Room as u8)
            && cells.map(|n| n.load(Ordering::Relaxed)).max() == Some(0)
    }
}
