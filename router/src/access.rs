//! Access lines: one per request, in Heroku's form, carried to the spools by one thread.
//!
//! A worker never waits for the disk: lines travel in batches over a bounded channel, and when it is full they are
//! dropped, counted per spool, and the count becomes a line of its own.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt::Write as _,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{config::RouterError, spool::Spool};

/// How a request went.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) code: Option<(&'a str, &'a str)>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) host: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) forwarded: &'a str,
    pub(crate) peer: IpAddr,
    pub(crate) instance: &'a str,
    pub(crate) connect: Duration,
    pub(crate) service: Duration,
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) minor: u8,
    pub(crate) tls: bool,
}

/// One line on its way to a spool.
#[derive(Debug)]
pub(crate) struct Line {
    key: Arc<str>,
    micros: u64,
    text: String,
}

/// A worker's end of the log.
pub(crate) struct Sink {
    batch: RefCell<Vec<Line>>,
    out: SyncSender<Vec<Line>>,
    lost: RefCell<HashMap<Arc<str>, u64>>,
    losing: Cell<bool>,
    pub(crate) wake: tokio::sync::Notify,
}

const BATCH: usize = 2048;
const BATCHES: usize = 16;
const OPEN_SPOOLS: usize = 128;
/// How long lines may lie in a worker before they are sent.
pub(crate) const FLUSH_EVERY: Duration = Duration::from_millis(20);

/// Unix time in microseconds.
pub(crate) fn micros_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
}

impl Entry<'_> {
    /// The line. Everything a client wrote is escaped and cut, so that it cannot forge a line.
    pub(crate) fn line(&self) -> String {
        let mut line = String::with_capacity(224);
        match self.code {
            // Maintenance is what the owner asked for.
            Some((code, desc)) => {
                let at = if code == "H80" { "info" } else { "error" };
                let _ = write!(line, "at={at} code={code} desc=\"");
                escape(&mut line, desc, 200);
                line.push_str("\" ");
            }
            None => line.push_str("at=info "),
        }
        line.push_str("method=");
        escape(&mut line, self.method, 32);
        line.push_str(" path=\"");
        escape(&mut line, self.path, 2048);
        line.push_str("\" host=");
        escape(&mut line, self.host, 260);
        line.push_str(" request_id=");
        line.push_str(self.request_id);
        line.push_str(" fwd=\"");
        if !self.forwarded.is_empty() {
            escape(&mut line, self.forwarded, 256);
            line.push_str(", ");
        }
        let tail = (self.peer, self.instance, self.connect.as_millis(), self.service.as_millis());
        let _ = write!(line, "{}\" instance={} connect={}ms service={}ms", tail.0, tail.1, tail.2, tail.3);
        let (status, bytes, minor, tls) = (self.status, self.bytes, self.minor, self.tls);
        let _ = write!(line, " status={status} bytes={bytes} protocol=http1.{minor} tls={tls}");
        line
    }
}

fn escape(line: &mut String, text: &str, max: usize) {
    let plain = |b: u8| (b'!'..=b'~').contains(&b) && b != b'"' && b != b'\\';
    if text.len() <= max && text.bytes().all(plain) {
        line.push_str(text);
        return;
    }
    for byte in text.bytes().take(max) {
        match byte {
            b'"' | b'\\' => line.extend(['\\', char::from(byte)]),
            b' '..=b'~' => line.push(char::from(byte)),
            _ => {
                let _ = write!(line, "\\x{byte:02x}");
            }
        }
    }
}

impl Sink {
    fn new(out: SyncSender<Vec<Line>>) -> Self {
        let lost = RefCell::new(HashMap::new());
        Self { batch: RefCell::new(vec![]), out, lost, losing: Cell::new(false), wake: tokio::sync::Notify::new() }
    }

    pub(crate) fn push(&self, key: &Arc<str>, text: String) {
        if self.losing.get() {
            self.report_lost();
        }
        let len = {
            let mut batch = self.batch.borrow_mut();
            batch.push(Line { key: key.clone(), micros: micros_now(), text });
            batch.len()
        };
        if len == 1 {
            self.wake.notify_one();
        } else if len >= BATCH {
            self.flush();
        }
    }

    /// Sends what has gathered, or drops and counts it.
    pub(crate) fn flush(&self) {
        let batch = self.batch.take();
        if batch.is_empty() {
            return;
        }
        if let Err(full) = self.out.try_send(batch) {
            let (std::sync::mpsc::TrySendError::Full(batch) | std::sync::mpsc::TrySendError::Disconnected(batch)) =
                full;
            self.losing.set(true);
            let mut lost = self.lost.borrow_mut();
            for line in batch {
                // A line that itself tells of lost ones carries its number on.
                let n = line.text.strip_prefix("at=warning desc=\"").and_then(|t| t.split(' ').next()?.parse().ok());
                *lost.entry(line.key).or_default() += n.unwrap_or(1);
            }
        }
    }

    fn report_lost(&self) {
        self.losing.set(false);
        let micros = micros_now();
        let line = |(key, n)| Line { key, micros, text: format!("at=warning desc=\"{n} access lines dropped\"") };
        self.batch.borrow_mut().extend(self.lost.take().into_iter().map(line));
    }
}

/// The log thread and the way to it.
pub(crate) struct Log {
    out: SyncSender<Vec<Line>>,
    thread: JoinHandle<()>,
}

impl Log {
    pub(crate) fn start(logs: PathBuf, ring_bytes: u64) -> Result<Self, RouterError> {
        let (out, lines) = sync_channel(BATCHES);
        let thread = std::thread::Builder::new()
            .name("log".into())
            .stack_size(128 << 10)
            .spawn(move || write_lines(&logs, ring_bytes, &lines))
            .map_err(|_| RouterError::Thread { name: "log".into() })?;
        Ok(Self { out, thread })
    }

    pub(crate) fn sink(&self) -> Sink {
        Sink::new(self.out.clone())
    }

    /// Ends when all sinks are gone; the caller has joined the workers before. A hung disk is left behind.
    pub(crate) fn finish(self, patience: Duration) {
        drop(self.out);
        let end = std::time::Instant::now() + patience;
        while !self.thread.is_finished() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn write_lines(logs: &std::path::Path, ring_bytes: u64, lines: &Receiver<Vec<Line>>) {
    let mut spools: HashMap<Arc<str>, Spool> = HashMap::new();
    while let Ok(batch) = lines.recv() {
        let mut touched: Vec<Arc<str>> = vec![];
        for line in batch {
            if !spools.contains_key(&line.key) {
                if spools.len() >= OPEN_SPOOLS {
                    // Dropping flushes; reopening counts the newest segment, which is rare beyond so many busy apps.
                    spools.clear();
                    touched.clear();
                }
                let Ok(spool) = Spool::open(logs, &line.key, ring_bytes) else { continue };
                spools.insert(line.key.clone(), spool);
            }
            let Some(spool) = spools.get_mut(&line.key) else { continue };
            if spool.write(line.micros, &line.text).is_err() {
                // A full disk: start again from what reached the file.
                spools.remove(&line.key);
            } else if touched.last() != Some(&line.key) {
                touched.push(line.key);
            }
        }
        for key in touched {
            if spools.get_mut(&key).is_some_and(|spool| spool.flush().is_err()) {
                spools.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>() -> Entry<'a> {
        Entry {
            code: None,
            method: "GET",
            path: "/",
            host: "h",
            request_id: "id",
            forwarded: "",
            peer: [1, 2, 3, 4].into(),
            instance: "web.1",
            connect: Duration::ZERO,
            service: Duration::from_millis(18),
            status: 200,
            bytes: 13,
            minor: 1,
            tls: false,
        }
    }

    #[test]
    fn looks_like_herokus() {
        let info = "at=info method=GET path=\"/\" host=h request_id=id fwd=\"1.2.3.4\" instance=web.1 connect=0ms \
                    service=18ms status=200 bytes=13 protocol=http1.1 tls=false";
        assert_eq!(entry().line(), info);
        let code = Some(("H12", "Request timeout"));
        let error = Entry { code, path: "/\"\n\u{e4}\\", forwarded: "9.9.9.9", ..entry() }.line();
        assert!(
            error.starts_with(
                "at=error code=H12 desc=\"Request timeout\" method=GET path=\"/\\\"\\x0a\\xc3\\xa4\\\\\" "
            )
        );
        assert!(error.contains("fwd=\"9.9.9.9, 1.2.3.4\""));
    }

    #[test]
    fn drops_are_counted() {
        let (out, lines) = sync_channel(1);
        let sink = Sink::new(out);
        let key: Arc<str> = "a".into();
        for n in 0..3 {
            sink.push(&key, format!("line {n}"));
            sink.flush();
        }
        assert_eq!(lines.recv().unwrap().len(), 1);
        sink.push(&key, "line 3".into());
        sink.flush();
        let texts: Vec<_> = lines.recv().unwrap().into_iter().map(|l| l.text).collect();
        assert_eq!(texts, ["at=warning desc=\"2 access lines dropped\"", "line 3"]);
    }
}
