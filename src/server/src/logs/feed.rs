//! What flows to one `tail`: a bounded queue between the store's writer, which never waits, and a reader that may be slow.

use domain::Timestamp;
use domain::log::{Filter, Record, View};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Records waiting for one slow reader before its lines are skipped.
const WAITING_MAX: usize = 4096;

/// The queue of one `tail`.
#[derive(Debug)]
pub(super) struct Feed {
    filter: Filter,
    queue: Mutex<Queue>,
    filled: Notify,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Record>,
    skipped: u64,
    skipped_at: Timestamp,
}

impl Feed {
    pub fn new(filter: Filter) -> Feed {
        Feed { filter, queue: Mutex::default(), filled: Notify::new(), closed: AtomicBool::new(false) }
    }

    /// Hands on a record that was stored; never waits.
    pub fn push(&self, view: &View<'_>) {
        if !self.filter.matches(view) {
            return;
        }
        let mut queue = self.lock();
        if queue.skipped > 0 || queue.waiting.len() >= WAITING_MAX {
            queue.skipped += 1;
            queue.skipped_at = view.time;
        } else {
            queue.waiting.push_back(view.to_record());
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// The next records in order; `None` once closed and empty. What was skipped is said where it is missing.
    pub async fn next(&self) -> Option<Vec<Record>> {
        loop {
            let records = self.take();
            if !records.is_empty() {
                return Some(records);
            }
            if self.is_closed() {
                return None;
            }
            self.filled.notified().await;
        }
    }

    fn take(&self) -> Vec<Record> {
        let mut queue = self.lock();
        let mut records: Vec<Record> = std::mem::take(&mut queue.waiting).into();
        let skipped = std::mem::take(&mut queue.skipped);
        if skipped > 0 {
            let text = format!("{skipped} {} skipped: this reader is slower than the log", lines(skipped));
            records.push(Record::platform(queue.skipped_at, text));
        }
        records
    }

    /// No more comes: the reader left, or the app is gone.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// "line" or "lines".
pub(super) fn lines(n: u64) -> &'static str {
    if n == 1 { "line" } else { "lines" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed() {
        let feed = Feed::new(Filter::default());
        let record = |n: usize| Record::platform(Timestamp(n as i64), n.to_string());
        for n in 0..WAITING_MAX + 10 {
            feed.push(&record(n).view());
        }
        let got = feed.next().await.unwrap();
        assert_eq!(got.len(), WAITING_MAX + 1);
        assert_eq!(got.last().unwrap().text, "10 lines skipped: this reader is slower than the log");
        feed.push(&record(7).view());
        feed.close();
        assert_eq!(feed.next().await.unwrap()[0].text, "7");
        assert!(feed.next().await.is_none());
    }
}
