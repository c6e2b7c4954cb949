//! Cuts a stream of bytes into lines. Pure, and without an allocation per line.
//!
//! A line that goes back to its start (a return that no newline follows) is drawn anew, as progress is: its last state
//! counts, and while it grows the state at hand is shown once in [`EVERY`]. Only such lines lose anything.

use std::time::{Duration, Instant};

/// A longer line goes on in the next record.
pub const LINE_MAX: usize = 10_000;
/// How long the state of a line that is drawn anew is held back.
pub const EVERY: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole line, the last part of a long one, or a state of one that is drawn anew.
    Line,
    /// A part of a line that goes on in the next piece.
    Part,
}

/// Holds what came after the last newline until the rest of its line is there.
#[derive(Default)]
pub struct Splitter {
    partial: Vec<u8>,
    /// A return came last: what follows takes the place of `partial`, unless it is a newline.
    returned: bool,
    /// Only in a line with a return: when its state is due to be shown.
    due: Option<Instant>,
    /// `partial` was handed on as it is.
    shown: bool,
}

impl Splitter {
    /// Takes what was read and hands on each piece that is now known to be one.
    pub fn push(&mut self, mut data: &[u8], now: Instant, mut emit: impl FnMut(Piece, &[u8])) {
        while let Some(first) = data.first().copied() {
            if self.returned && !matches!(first, b'\r' | b'\n') {
                self.draw_anew(now, &mut emit);
            }
            let room = LINE_MAX - self.partial.len();
            // One more than fits: a newline there ends a line of exactly the longest length.
            let window = data.get(..=room).unwrap_or(data);
            match window.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                Some(at) => {
                    let (text, rest) = data.split_at(at);
                    let end = rest.iter().position(|byte| *byte != b'\r');
                    data = match end.and_then(|end| rest.get(end..)) {
                        Some([b'\n', after @ ..]) => {
                            self.line(text, &mut emit);
                            after
                        }
                        Some(after) => {
                            self.go_back(text, now);
                            after
                        }
                        None => {
                            self.go_back(text, now);
                            &[]
                        }
                    };
                }
                None if data.len() > room => {
                    let next = window.last().copied().unwrap_or_default();
                    if self.partial.is_empty() {
                        let (part, rest) = data.split_at(character_end(data.get(..room).unwrap_or_default(), next));
                        emit(Piece::Part, part);
                        data = rest;
                    } else {
                        let (fits, rest) = data.split_at(room);
                        self.partial.extend_from_slice(fits);
                        let end = character_end(&self.partial, next);
                        emit(Piece::Part, self.partial.get(..end).unwrap_or_default());
                        self.partial.drain(..end);
                        data = rest;
                    }
                    self.shown = false;
                }
                None => return self.keep(data),
            }
        }
    }

    /// When [`Splitter::show`] has something to do.
    pub fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.shown && !self.partial.is_empty())
    }

    /// Hands on the state of a line that is drawn anew, where it is due: whoever draws it may be at it for long.
    pub fn show(&mut self, now: Instant, mut emit: impl FnMut(Piece, &[u8])) {
        if self.due().is_some_and(|due| due <= now) {
            emit(Piece::Line, &self.partial);
            self.shown = true;
            self.due = Some(now + EVERY);
        }
    }

    /// The stream is over: what is left is a line without its newline.
    pub fn finish(&mut self, mut emit: impl FnMut(Piece, &[u8])) {
        if !self.partial.is_empty() {
            self.line(&[], &mut emit);
        }
    }

    fn keep(&mut self, text: &[u8]) {
        self.partial.extend_from_slice(text);
        self.shown &= text.is_empty();
    }

    fn go_back(&mut self, text: &[u8], now: Instant) {
        self.keep(text);
        self.returned = true;
        self.due = self.due.or(Some(now + EVERY));
    }

    fn draw_anew(&mut self, now: Instant, emit: &mut impl FnMut(Piece, &[u8])) {
        // Where there is always something to read, nobody calls this but we.
        self.show(now, emit);
        self.partial.clear();
        self.returned = false;
        self.shown = false;
    }

    fn line(&mut self, end: &[u8], emit: &mut impl FnMut(Piece, &[u8])) {
        // Most lines come whole: they go from the read buffer to the batch without a copy in between.
        if self.partial.is_empty() {
            emit(Piece::Line, end);
        } else {
            self.keep(end);
            if !self.shown {
                emit(Piece::Line, &self.partial);
            }
            self.partial.clear();
        }
        (self.returned, self.shown, self.due) = (false, false, None);
    }
}

/// Where the last whole character of `text` ends, if `next` comes after it; bytes that are no text are cut anywhere.
fn character_end(text: &[u8], next: u8) -> usize {
    let goes_on = |byte: u8| byte & 0xc0 == 0x80;
    if !goes_on(next) {
        return text.len();
    }
    let begins = text.iter().rev().take(3).position(|byte| !goes_on(*byte));
    begins.map(|back| text.len() - 1 - back).filter(|end| *end > 0).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(Piece, Vec<u8>)> {
        let mut pieces = Vec::new();
        let (mut splitter, now) = (Splitter::default(), Instant::now());
        for chunk in chunks {
            splitter.push(chunk, now, |piece, text| pieces.push((piece, text.to_vec())));
        }
        splitter.finish(|piece, text| pieces.push((piece, text.to_vec())));
        pieces
    }

    fn check(chunks: &[&str], lines: &[&str]) {
        let chunks: Vec<_> = chunks.iter().map(|it| it.as_bytes()).collect();
        let expected: Vec<_> = lines.iter().map(|it| (Piece::Line, it.as_bytes().to_vec())).collect();
        assert_eq!(split(&chunks), expected);
    }

    #[test]
    fn lines_over_reads() {
        check(&[""], &[]);
        check(&["a\nb\n"], &["a", "b"]);
        check(&["a", "b", "\nc"], &["ab", "c"]);
        check(&["\n\n"], &["", ""]);
        check(&["a\r", "\nb\r\n\r\n"], &["a", "b", ""]);
        check(&["\0\u{1b}[0m\n"], &["\0\u{1b}[0m"]);
    }

    #[test]
    fn the_longest_line_is_one_piece_and_one_byte_more_is_two() {
        let longest = vec![b'x'; LINE_MAX];
        assert_eq!(split(&[&longest, b"\n"]), [(Piece::Line, longest.clone())]);
        assert_eq!(split(&[&longest]), [(Piece::Line, longest.clone())]);
        let two = [(Piece::Part, longest.clone()), (Piece::Line, b"y".to_vec())];
        assert_eq!(split(&[&longest, b"y\n"]), two);
        assert_eq!(split(&[&longest, b"y"]), two);
    }

    #[test]
    fn a_character_is_not_cut_in_two() {
        for (text, pad) in [("ä", 1), ("€", 0), ("€", 1), ("\u{1f600}", 1), ("\u{1f600}", 3)] {
            let line = "x".repeat(pad) + &text.repeat(LINE_MAX);
            for size in [LINE_MAX * 5, 1, 7, 4_096] {
                let chunks: Vec<_> = line.as_bytes().chunks(size).collect();
                let parts: Vec<String> =
                    split(&chunks).into_iter().map(|(_, p)| String::from_utf8(p).unwrap()).collect();
                assert_eq!(parts.concat(), line);
                assert!(parts.len() >= text.len() && parts.iter().all(|p| p.len() <= LINE_MAX));
            }
        }
        let no_text = vec![0x80; 25_000];
        assert_eq!(split(&[&no_text]).into_iter().flat_map(|(_, p)| p).collect::<Vec<u8>>(), no_text);
    }

    #[test]
    fn any_chunking_gives_the_same_pieces() {
        let mut stream = Vec::new();
        for length in [0, 1, 9_999, 10_000, 10_001, 20_000, 20_001, 35_000, 3] {
            stream.extend(std::iter::repeat_n(b'a' + (length % 26) as u8, length));
            stream.push(b'\n');
        }
        let whole = split(&[&stream]);
        assert_eq!(whole.iter().filter(|(piece, _)| *piece == Piece::Line).count(), 9);
        for size in [1, 2, 7, 4_096, 9_999, 10_000, 10_001, 65_536] {
            let chunks: Vec<_> = stream.chunks(size).collect();
            assert_eq!(split(&chunks), whole, "chunks of {size}");
        }
    }

    #[test]
    fn of_a_line_that_is_drawn_anew_the_last_state_counts() {
        for (text, lines) in [
            ("1%\r50%\r100%\n", &["100%"][..]),
            ("\r1%\r50%\r100%\ndone\n", &["100%", "done"]),
            ("1%\r\r\r2%\r\r\n", &["2%"]),
            ("1%\r2%\r", &["2%"]),
            ("1%\r", &["1%"]),
            ("1%\r2%", &["2%"]),
            ("a\r\nb\r\n\r\n\n", &["a", "b", "", ""]),
            ("\r\n\r", &[""]),
            ("long\rl\n", &["l"]),
        ] {
            for size in 1..=text.len() {
                let chunks: Vec<_> = text.as_bytes().chunks(size).map(|it| std::str::from_utf8(it).unwrap()).collect();
                check(&chunks, lines);
            }
        }
    }

    #[test]
    fn returns_do_not_count_as_length() {
        let longest = "x".repeat(LINE_MAX);
        check(&[&longest, "\r", "\n"], &[&longest]);
        check(&[&format!("{longest}\r\n")], &[&longest]);
        check(&[&longest, "\ry\n"], &["y"]);
        let two = [(Piece::Part, longest.clone().into_bytes()), (Piece::Line, b"y".to_vec())];
        assert_eq!(split(&[longest.as_bytes(), b"x\ry\n"]), two, "what was handed on stays");
    }

    #[test]
    fn a_state_is_shown_while_the_line_grows() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut splitter = Splitter::default();
        let mut seen: Vec<(u64, String)> = Vec::new();
        let mut step = |at: u64, text: &str| {
            let now = start + Duration::from_millis(at);
            let mut emit = |_: Piece, text: &[u8]| seen.push((at, String::from_utf8(text.to_vec()).unwrap()));
            splitter.show(now, &mut emit);
            splitter.push(text.as_bytes(), now, &mut emit);
            splitter.due().map(|due| due.duration_since(start).as_millis())
        };
        // What has no return waits for its newline.
        assert_eq!(step(0, "no"), None);
        assert_eq!(step(9_000, " return\n"), None);
        assert_eq!(step(10_000, "1%\r"), Some(11_000));
        assert_eq!(step(10_500, "2%\r"), Some(11_000));
        assert_eq!(step(11_000, ""), None, "shown as it is");
        assert_eq!(step(11_100, "3%\r"), Some(12_000));
        // Without a pause the state that is being replaced is shown.
        assert_eq!(step(11_900, "4%\r5%"), Some(12_000));
        assert_eq!(step(13_000, "\n"), None, "the last state was just shown, and is the line");
        assert_eq!(step(14_000, "6%\r7%\n"), None, "quick ones have one state");
        // A line that ends in two writes is no progress.
        assert_eq!(step(15_000, "slow\r"), Some(16_000));
        assert_eq!(step(17_000, "\n"), None);
        assert_eq!(EVERY, second);
        let want = [(9_000, "no return"), (11_000, "2%"), (13_000, "5%"), (14_000, "7%"), (17_000, "slow")];
        assert_eq!(seen, want.map(|(at, text)| (at, text.to_owned())));
    }

    #[test]
    fn endless_progress_needs_no_memory_and_little_space() {
        let (mut splitter, start) = (Splitter::default(), Instant::now());
        let mut shown = Vec::new();
        for n in 0..10_000_u64 {
            let now = start + Duration::from_millis(n);
            splitter.push(format!("\r{n} of many").as_bytes(), now, |_, text| shown.push(text.to_vec()));
            assert!(splitter.partial.capacity() < 64);
        }
        assert_eq!(shown.len(), 9, "one a second");
        assert_eq!(shown[0], b"999 of many");
    }
}
