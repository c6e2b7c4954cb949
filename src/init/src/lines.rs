//! Cuts a stream of bytes into lines. Pure, and without an allocation per line.

/// A longer line goes on in the next record.
pub const LINE_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole line, or the last part of a long one.
    Line,
    /// A part of a line that goes on in the next piece.
    Part,
}

/// Holds what came after the last newline until the rest of its line is there.
#[derive(Default)]
pub struct Splitter {
    partial: Vec<u8>,
}

impl Splitter {
    /// Takes what was read and hands on each piece that is now known to be one.
    pub fn push(&mut self, mut data: &[u8], mut emit: impl FnMut(Piece, &[u8])) {
        while !data.is_empty() {
            let room = LINE_MAX - self.partial.len();
            // One more than fits: a newline there ends a line of exactly the longest length.
            let window = data.get(..=room).unwrap_or(data);
            match window.iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    let (line, rest) = data.split_at(at);
                    self.line(line, &mut emit);
                    data = rest.get(1..).unwrap_or_default();
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
                }
                None => {
                    self.partial.extend_from_slice(data);
                    return;
                }
            }
        }
    }

    /// The stream is over: what is left is a line without its newline.
    pub fn finish(&mut self, mut emit: impl FnMut(Piece, &[u8])) {
        if !self.partial.is_empty() {
            self.line(&[], &mut emit);
        }
    }

    fn line(&mut self, end: &[u8], emit: &mut impl FnMut(Piece, &[u8])) {
        // Most lines come whole: they go from the read buffer to the batch without a copy in between.
        if self.partial.is_empty() {
            return emit(Piece::Line, trimmed(end));
        }
        self.partial.extend_from_slice(end);
        emit(Piece::Line, trimmed(&self.partial));
        self.partial.clear();
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

fn trimmed(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\r").unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<(Piece, Vec<u8>)> {
        let mut pieces = Vec::new();
        let mut splitter = Splitter::default();
        for chunk in chunks {
            splitter.push(chunk, |piece, text| pieces.push((piece, text.to_vec())));
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
        check(&["a\rb\n"], &["a\rb"]);
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
}
