//! A writer of spools for tests, with a small ring, and small helpers.

use domain::{AppId, Timestamp};
use log_format::spool::{FILES, Header};
use log_format::{SpoolRecord, SpoolStream};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes as `hoist-init` does: to the current file, and at its limit to the other one from its beginning.
pub struct Writer {
    dir: PathBuf,
    file: Option<File>,
    limit: usize,
    len: usize,
    seq: u64,
    pub count: u64,
}

impl Writer {
    pub fn new(dir: &Path, limit: usize) -> Writer {
        std::fs::create_dir_all(dir).unwrap();
        Writer { dir: dir.to_owned(), file: None, limit, len: 0, seq: 0, count: 0 }
    }

    pub fn line(&mut self, text: &str) {
        self.batch(&[text.to_owned()]);
    }

    /// Numbered lines `PREFIX-N`, N counting over the spool's life, in one write per segment.
    pub fn numbered(&mut self, prefix: &str, n: u64) {
        let start = self.count;
        for from in (start..start + n).step_by(500) {
            let texts: Vec<String> = (from..(start + n).min(from + 500)).map(|i| format!("{prefix}-{i}")).collect();
            self.batch(&texts);
        }
    }

    fn batch(&mut self, texts: &[String]) {
        let mut bytes = Vec::new();
        for text in texts {
            if self.file.is_none() || self.len + bytes.len() > self.limit {
                self.flush(&mut bytes);
                self.switch();
            }
            let time = Timestamp(1_000_000_000 + self.count as i64);
            SpoolRecord { time, stream: SpoolStream::Out, continued: false, text: text.clone() }.encode(&mut bytes);
            self.count += 1;
        }
        self.flush(&mut bytes);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        if self.file.is_none() {
            self.switch();
        }
        self.flush(&mut bytes.to_vec());
    }

    fn flush(&mut self, bytes: &mut Vec<u8>) {
        if let Some(file) = &mut self.file {
            file.write_all(bytes).unwrap();
            self.len += bytes.len();
        }
        bytes.clear();
    }

    fn switch(&mut self) {
        if self.file.is_some() {
            self.seq += 1;
        }
        let path = self.dir.join(FILES[usize::try_from(self.seq % 2).unwrap()]);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(path).unwrap();
        let header = Header { seq: self.seq, first: self.count }.to_string();
        file.write_all(header.as_bytes()).unwrap();
        self.len = header.len();
        self.file = Some(file);
    }
}

pub fn app(n: u8) -> AppId {
    AppId::from_random([n, n / 32, 2, 3, 4, 5, 6, 7])
}
