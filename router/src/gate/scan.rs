//! Finds the end of a head, byte by byte as it arrives, and enforces its line rules.
//!
//! Every line ends in CRLF (of an app, LF will do), no CR stands elsewhere, no field line starts with a blank (obs-fold),
//! and the limits hold before the head is complete. Looks at each byte once, however slowly they come.

use super::head::{HeadLimits, Refused};

/// Where the search stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    at: usize,
    line: usize,
    lines: usize,
    start: usize,
    lenient: bool,
}

/// A complete head within the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte, after one empty line that old clients send.
    pub start: usize,
    /// The byte after its closing empty line.
    pub end: usize,
    /// How many fields it has.
    pub fields: usize,
}

impl Scan {
    /// For an app's answer: a line may end in LF alone. Nobody but the app's own visitors would suffer from a second reading.
    pub fn response() -> Self {
        Self { lenient: true, ..Self::default() }
    }

    /// Looks at what arrived since; `None` means that the head is not complete.
    pub fn advance(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Option<Span>, Refused> {
        while let Some(found) = buf.get(self.at..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let end = self.at + found;
            let line = buf.get(self.line..end).unwrap_or_default();
            let first = self.lines == 0;
            self.at = end + 1;
            self.line = end + 1;
            let text = match line.strip_suffix(b"\r") {
                Some(text) => text,
                None if self.lenient => line,
                None => return Err(Refused::bad("bare LF")),
            };
            if text.is_empty() && first {
                if self.start > 0 {
                    return Err(Refused::bad("empty request line"));
                }
                self.start = end + 1;
                continue;
            }
            if text.is_empty() {
                let too_large = end + 1 > limits.head;
                let span = Span { start: self.start, end: end + 1, fields: self.lines - 1 };
                return if too_large { Err(TOO_LARGE) } else { Ok(Some(span)) };
            }
            check_line(text, first, limits)?;
            self.lines += 1;
            if self.lines > limits.fields + 1 {
                return Err(Refused { status: 431, why: "too many header fields" });
            }
        }
        self.at = buf.len();
        let pending = buf.len().saturating_sub(self.line);
        check_length(pending, self.lines == 0, limits)?;
        if buf.len() > limits.head { Err(TOO_LARGE) } else { Ok(None) }
    }
}

const TOO_LARGE: Refused = Refused { status: 431, why: "head too large" };

fn check_line(text: &[u8], first: bool, limits: &HeadLimits) -> Result<(), Refused> {
    check_length(text.len(), first, limits)?;
    if memchr::memchr2(b'\r', 0, text).is_some() {
        return Err(Refused::bad("CR or NUL within a line"));
    }
    match text.first() {
        Some(b' ' | b'\t') if first => Err(Refused::bad("blank before the request line")),
        Some(b' ' | b'\t') => Err(Refused::bad("folded header line")),
        Some(_) | None => Ok(()),
    }
}

fn check_length(len: usize, first: bool, limits: &HeadLimits) -> Result<(), Refused> {
    match first {
        // One more for a CR that waits for its LF.
        true if len > limits.first_line + 1 => Err(Refused { status: 414, why: "request line too long" }),
        false if len > limits.field_line + 1 => Err(Refused { status: 431, why: "header line too long" }),
        true | false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &[u8]) -> Result<Option<Span>, Refused> {
        Scan::default().advance(text, &HeadLimits::REQUEST)
    }

    /// The verdict must not depend on how the bytes are cut.
    fn slow(text: &[u8]) -> Result<Option<Span>, Refused> {
        let mut scan = Scan::default();
        for n in 0..=text.len() {
            match scan.advance(&text[..n], &HeadLimits::REQUEST) {
                Ok(None) => {}
                other => return other,
            }
        }
        Ok(None)
    }

    #[test]
    fn finds_the_end_however_it_arrives() {
        for (text, want) in [
            (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest"[..], Ok(Some(Span { start: 0, end: 27, fields: 1 }))),
            (b"\r\nGET / HTTP/1.1\r\n\r\n", Ok(Some(Span { start: 2, end: 20, fields: 0 }))),
            (b"GET / HTTP/1.1\r\nHost: a\r\n", Ok(None)),
            (b"\r\n\r\n", Err(Refused::bad("empty request line"))),
            (b"GET / HTTP/1.1\nHost: a\r\n\r\n", Err(Refused::bad("bare LF"))),
            (b"GET / HTTP/1.1\r\nHost: a\n\r\n", Err(Refused::bad("bare LF"))),
            (b"GET / HTTP/1.1\r\nA: b\r\n\n", Err(Refused::bad("bare LF"))),
            (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", Err(Refused::bad("CR or NUL within a line"))),
            (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", Err(Refused::bad("folded header line"))),
            (b"GET / HTTP/1.1\r\n A: b\r\n\r\n", Err(Refused::bad("folded header line"))),
        ] {
            assert_eq!(whole(text), want, "{}", text.escape_ascii());
            assert_eq!(slow(text), want, "slow {}", text.escape_ascii());
        }
    }

    #[test]
    fn limits_hold_before_the_end() {
        let HeadLimits { first_line, field_line, fields, head } = HeadLimits::REQUEST;
        let line = |n: usize| [b"GET /".as_slice(), &vec![b'a'; n]].concat();
        assert_eq!(whole(&line(first_line - 5)), Ok(None));
        assert_eq!(whole(&line(first_line)).unwrap_err().status, 414);
        let field = |n: usize| [b"GET / HTTP/1.1\r\nA: ".as_slice(), &vec![b'a'; n]].concat();
        assert_eq!(whole(&field(field_line - 3)), Ok(None));
        assert_eq!(whole(&field(field_line)).unwrap_err().status, 431);
        let many = |n: usize| [b"GET / HTTP/1.1\r\n".as_slice(), &b"A: b\r\n".repeat(n)].concat();
        assert_eq!(whole(&many(fields)), Ok(None));
        assert_eq!(whole(&many(fields + 1)).unwrap_err().status, 431);
        let big = [b"A: ".as_slice(), &[b'a'; 8000], b"\r\n"].concat().repeat(head / 8000 + 1);
        assert_eq!(whole(&[b"GET / HTTP/1.1\r\n".as_slice(), &big].concat()).unwrap_err().status, 431);
    }

    #[test]
    fn an_apps_lines_may_end_in_lf() {
        let limits = HeadLimits::RESPONSE;
        for (text, want) in [
            (&b"HTTP/1.1 200 OK\nA: b\n\nrest"[..], Ok(Some(Span { start: 0, end: 22, fields: 1 }))),
            (b"HTTP/1.1 200 OK\r\nA: b\n\r\n", Ok(Some(Span { start: 0, end: 24, fields: 1 }))),
            (b"HTTP/1.1 200 OK\nA: b\r\n\n", Ok(Some(Span { start: 0, end: 23, fields: 1 }))),
            (b"HTTP/1.1 200 OK\nA: b\n", Ok(None)),
            (b"HTTP/1.1 200 OK\nA: b\rc\n\n", Err(Refused::bad("CR or NUL within a line"))),
            (b"HTTP/1.1 200 OK\nA: b\r\r\n\n", Err(Refused::bad("CR or NUL within a line"))),
            (b"HTTP/1.1 200 OK\nA: b\n c\n\n", Err(Refused::bad("folded header line"))),
        ] {
            assert_eq!(Scan::response().advance(text, &limits), want, "{}", text.escape_ascii());
            let mut scan = Scan::response();
            let slow = (0..=text.len()).map(|n| scan.advance(&text[..n], &limits)).find(|got| *got != Ok(None));
            assert_eq!(slow.unwrap_or(Ok(None)), want, "slow {}", text.escape_ascii());
        }
    }
}
