//! What git says to its client, on the way: where git fell over one of our walls, its last words ("index-pack died of signal
//! 11") become plain ones. Everything else goes through as it is.
//!
//! Invariant: what is no packet of git's is passed on untouched, and so is all that follows. Absent: I/O.

use bytes::{Bytes, BytesMut};
use domain::Refusal;
use domain::push::{Fall, fell};
use domain::text::warning;

/// Bytes of a packet's head.
const HEAD: usize = 4;
/// Words of git's that come from a wall, or from the kernel that defends one.
const FALLS: [(&str, Fall); 5] = [
    ("died of signal 9", Fall::Total),
    ("died of signal 11", Fall::Deep),
    ("ut of memory", Fall::Own),
    ("annot allocate memory", Fall::Own),
    ("died of signal", Fall::Own),
];
/// What the client prints of the report: its own words stand around it.
const REASON: &str = "too large for the server, see above";
/// A line of git's that is longer is passed on in pieces.
const LINE_MAX: usize = 1_000;

/// Rewrites one connection's output.
#[derive(Debug)]
pub(super) struct Sideband {
    what: &'static str,
    memory: u64,
    buffer: BytesMut,
    /// Of the line that git is writing.
    tail: Vec<u8>,
    /// Not packets, or nothing to look for any more.
    clear: bool,
    fell: bool,
}

impl Sideband {
    /// `what` is taken in or given out: "push", "fetch"; each of its processes may have `memory` bytes.
    pub(super) fn new(what: &'static str, memory: u64) -> Sideband {
        Sideband { what, memory, buffer: BytesMut::new(), tail: Vec::new(), clear: false, fell: false }
    }

    /// Looks for nothing from here on.
    pub(super) fn pass(&mut self) {
        self.clear = true;
    }

    /// What the client gets for these bytes of git's, as far as they are whole.
    pub(super) fn through(&mut self, bytes: Bytes) -> Bytes {
        if self.clear && self.buffer.is_empty() && self.tail.is_empty() {
            return bytes;
        }
        self.buffer.extend_from_slice(&bytes);
        let mut out = BytesMut::new();
        while !self.clear {
            let Some(head) = self.buffer.get(..HEAD) else { return out.freeze() };
            let Some(length) = length(head) else {
                self.clear = true;
                break;
            };
            if self.buffer.len() < length {
                return out.freeze();
            }
            let packet = self.buffer.split_to(length);
            self.packet(&packet, &mut out);
        }
        self.flush_tail(&mut out);
        out.extend_from_slice(&self.buffer.split());
        out.freeze()
    }

    /// The rest, where git has ended.
    pub(super) fn end(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        self.flush_tail(&mut out);
        out.extend_from_slice(&self.buffer.split());
        out.freeze()
    }

    fn packet(&mut self, packet: &[u8], out: &mut BytesMut) {
        match packet.get(HEAD..).and_then(<[u8]>::split_first) {
            Some((2, text)) => self.text(text, out),
            Some((3, _)) if self.fell => send(out, 3, format!("{REASON}\n").as_bytes()),
            Some((1, report)) if self.fell => {
                self.flush_tail(out);
                send(out, 1, &reworded(report));
            }
            Some((_, _)) | None => {
                self.flush_tail(out);
                out.extend_from_slice(packet);
            }
        }
    }

    /// Git's packets end anywhere; its lines end with a newline, and those of its progress with a return.
    fn text(&mut self, text: &[u8], out: &mut BytesMut) {
        self.tail.extend_from_slice(text);
        while let Some(end) = self.tail.iter().position(|b| matches!(b, b'\n' | b'\r')) {
            let line: Vec<u8> = self.tail.drain(..=end).collect();
            self.line(&line, out);
        }
        if self.tail.len() > LINE_MAX {
            self.flush_tail(out);
        }
    }

    fn flush_tail(&mut self, out: &mut BytesMut) {
        let rest = std::mem::take(&mut self.tail);
        if !rest.is_empty() {
            self.line(&rest, out);
        }
    }

    fn line(&mut self, line: &[u8], out: &mut BytesMut) {
        let text = String::from_utf8_lossy(line);
        match FALLS.iter().find(|(words, _)| text.contains(words)) {
            None => send(out, 2, line),
            Some((_, fall)) if !self.fell => {
                self.fell = true;
                let no: Refusal = fell(self.what, *fall, self.memory);
                let lines: Vec<String> = no.lines().iter().map(|line| format!("{}\n", warning(line))).collect();
                send(out, 2, lines.concat().as_bytes());
            }
            Some(_) => {}
        }
    }
}

/// The report holds packets of its own: what was unpacked, what became of each ref.
fn reworded(mut report: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(length) = report.get(..HEAD).and_then(length).filter(|l| *l <= report.len()) {
        let (packet, rest) = report.split_at(length);
        report = rest;
        let text = String::from_utf8_lossy(packet.get(HEAD..).unwrap_or_default());
        let words: Vec<&str> = text.trim_end().splitn(3, ' ').collect();
        let said = match words.as_slice() {
            ["unpack", "ok"] | ["ok", ..] => None,
            ["unpack", ..] => Some(format!("unpack {REASON}\n")),
            ["ng", name, _] => Some(format!("ng {name} {REASON}\n")),
            _ => None,
        };
        match said {
            Some(said) => out.extend(format!("{:04x}{said}", said.len() + HEAD).bytes()),
            None => out.extend_from_slice(packet),
        }
    }
    out.extend_from_slice(report);
    out
}

fn send(out: &mut BytesMut, band: u8, bytes: &[u8]) {
    for piece in bytes.chunks(65_000) {
        out.extend_from_slice(format!("{:04x}", piece.len() + HEAD + 1).as_bytes());
        out.extend_from_slice(&[band]);
        out.extend_from_slice(piece);
    }
}

/// The length of a packet, its head included; a special one (flush) has none of its own.
fn length(head: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(head).ok().filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))?;
    match usize::from_str_radix(digits, 16).ok()? {
        n @ 0..HEAD => (n != 3).then_some(HEAD),
        n => Some(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn band(band: u8, text: &str) -> String {
        let mut out = BytesMut::new();
        send(&mut out, band, text.as_bytes());
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn through(wire: &str, piece: usize) -> String {
        let mut sideband = Sideband::new("push", 100_000_000);
        let mut out = Vec::new();
        for bytes in wire.as_bytes().chunks(piece) {
            out.extend(sideband.through(Bytes::copy_from_slice(bytes)));
        }
        out.extend(sideband.end());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_not_a_fall_goes_through() {
        let report = "000eunpack ok\n0017ok refs/heads/main\n0000";
        let good = format!("0008NAK\n{}{}{}0000", band(2, "Resolving 1%\r"), band(2, "done.\n"), band(1, report));
        for (wire, piece) in [(good.as_str(), 1), (&good, 7), (&good, 9_999), ("PACKand anything 0009", 3), ("00", 1)] {
            assert_eq!(through(wire, piece), wire);
        }
        let mut sideband = Sideband::new("push", 1);
        sideband.pass();
        assert_eq!(sideband.through(Bytes::from_static(b"0009\x02fatal")), "0009\x02fatal");
    }

    #[test]
    fn a_fall_is_told_in_plain_words_once() {
        let report = "0024unpack index-pack abnormal exit\n0026ng refs/heads/main unpacker error\n0000";
        let wire = format!(
            "{}{}{}{}0000",
            band(2, "Receiving 1%\rfatal: Out of mem"),
            band(2, "ory, malloc failed (tried to allocate 9 bytes)\nerror: index-pack died of "),
            band(2, "signal 11\n"),
            band(1, report)
        );
        for piece in [1, 10, 9_999] {
            let said = through(&wire, piece);
            assert_eq!(said.matches("more than 100.0 MB of memory").count(), 1, "{said}");
            assert!(said.contains("Receiving 1%") && said.contains("next: "), "{said}");
            assert!(!said.contains("malloc") && !said.contains("signal") && !said.contains("abnormal"), "{said}");
            assert!(
                said.contains("unpack too large for the server") && said.contains("main too large for the server"),
                "{said}"
            );
        }
        let said = through(&band(2, "error: index-pack died of signal 9"), 3);
        assert!(said.contains("push again"), "{said}");
    }
}
