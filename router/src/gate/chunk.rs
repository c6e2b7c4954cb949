//! The chunked coding as a state machine: says of each byte whether it is framing, data or trailer.
//!
//! Strict: sizes are 1 to 15 hex digits, every line ends in CRLF, no blanks. In requests a chunk extension is refused,
//! since readers disagree about them. An app's lines may end in LF alone; that is said, so that what leaves has CRLF. Never
//! buffers, never looks ahead.

/// What a run of bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Chunk sizes, line ends and the closing line.
    Frame,
    /// The body itself.
    Data,
    /// A trailer field, which is dropped.
    Trailer,
    /// An LF that ends a line alone: one byte.
    BareLf,
}

/// The bytes are not the chunked coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Where a reader of the chunked coding stands.
#[derive(Clone, Copy, Debug)]
pub struct Chunked {
    state: State,
    size: u64,
    /// Bytes of the current extension or of all trailers so far.
    spent: u32,
    /// Bytes of all extensions so far.
    extended: u32,
    /// Trailers so far.
    trailers: u8,
    /// What is taken of apps and not of clients: extensions, bare LF.
    lenient: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8 },
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

const LINE_MAX: u32 = 256;
/// Other readers have these two limits for a whole body too.
const EXTENSIONS_MAX: u32 = 16 << 10;
const TRAILERS: u8 = 100;
const TRAILERS_MAX: u32 = 8192;

impl Chunked {
    /// For a request: no extensions.
    pub fn request() -> Self {
        Self { state: State::Size { digits: 0 }, size: 0, spent: 0, extended: 0, trailers: 0, lenient: false }
    }

    /// For a response: extensions of visible bytes pass, and lines that end in LF.
    pub fn response() -> Self {
        Self { lenient: true, ..Self::request() }
    }

    /// Whether the closing line was seen.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// The length of the first run of one kind in the input; zero only for no input or after the end.
    pub fn run(&mut self, input: &[u8]) -> Result<(usize, Kind), Malformed> {
        if self.state == State::Data {
            let n = usize::try_from(self.size).unwrap_or(usize::MAX).min(input.len());
            self.size -= n as u64;
            if self.size == 0 {
                self.state = State::DataCr;
            }
            return Ok((n, Kind::Data));
        }
        let mut n = 0;
        let mut kind = Kind::Frame;
        for byte in input {
            if matches!(self.state, State::Done | State::Data) {
                break;
            }
            let next = self.step(*byte)?;
            let of_byte = kind_of(self.state, *byte, next);
            if n > 0 && (of_byte != kind || kind == Kind::BareLf) {
                break;
            }
            kind = of_byte;
            self.enter(next, *byte);
            n += 1;
        }
        Ok((n, kind))
    }

    fn step(&mut self, byte: u8) -> Result<State, Malformed> {
        Ok(match (self.state, byte) {
            (State::Size { digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < 15 => {
                State::Size { digits: digits + 1 }
            }
            (State::Size { digits: 1.. }, b'\r') => State::SizeLf,
            (State::Size { digits: 1.. }, b';') if self.lenient => State::Extension,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, b'\t' | b' '..=b'~') if self.spent < LINE_MAX && self.extended < EXTENSIONS_MAX => {
                State::Extension
            }
            (State::SizeLf, b'\n') => self.after_size(),
            (State::Size { digits: 1.. } | State::Extension, b'\n') if self.lenient => self.after_size(),
            (State::DataCr, b'\n') if self.lenient => State::Size { digits: 0 },
            (State::TrailerStart, b'\n') if self.lenient => State::Done,
            (State::TrailerValue, b'\n') if self.lenient => State::TrailerStart,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { digits: 0 },
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart, b) if is_token(b) && self.trailers < TRAILERS => State::TrailerName,
            (State::TrailerName, b) if is_token(b) && self.spent < TRAILERS_MAX => State::TrailerName,
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerValue, b'\r') => State::TrailerLf,
            (State::TrailerValue, b'\t' | b' '..=b'~' | 0x80..) if self.spent < TRAILERS_MAX => State::TrailerValue,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => State::Done,
            _ => return Err(Malformed),
        })
    }

    fn in_trailers(&self) -> bool {
        matches!(self.state, State::TrailerLf | State::TrailerValue)
    }

    fn after_size(&self) -> State {
        if self.size > 0 { State::Data } else { State::TrailerStart }
    }

    fn enter(&mut self, next: State, byte: u8) {
        match next {
            State::Size { digits: 1.. } => self.size = self.size * 16 + u64::from(hex(byte)),
            State::Extension => (self.spent, self.extended) = (self.spent + 1, self.extended + 1),
            State::TrailerName | State::TrailerValue => self.spent += 1,
            State::Size { digits: 0 } => (self.size, self.spent) = (0, 0),
            State::Data => self.spent = 0,
            State::TrailerStart if !self.in_trailers() => self.spent = 0,
            State::TrailerLf => self.trailers += 1,
            State::TrailerStart if self.state == State::TrailerValue => self.trailers += 1,
            State::SizeLf | State::DataCr | State::DataLf => {}
            State::TrailerStart | State::EndLf | State::Done => {}
        }
        self.state = next;
    }
}

/// A byte belongs to a trailer line if it starts, continues or ends one.
fn kind_of(from: State, byte: u8, to: State) -> Kind {
    let ends = matches!(from, State::TrailerLf | State::TrailerValue);
    if ends || matches!(to, State::TrailerName | State::TrailerValue) {
        return Kind::Trailer;
    }
    let after_cr = matches!(from, State::SizeLf | State::DataLf | State::EndLf);
    if byte == b'\n' && !after_cr { Kind::BareLf } else { Kind::Frame }
}

fn hex(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => 0,
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Data, framing as passed on, rest; or nothing when malformed or unfinished.
    fn decode(mut machine: Chunked, input: &[u8], step: usize) -> Option<(Vec<u8>, Vec<u8>, usize)> {
        let (mut data, mut passed, mut at) = (vec![], vec![], 0);
        while !machine.done() {
            let piece = &input[at..input.len().min(at + step)];
            let (n, kind) = machine.run(piece).ok()?;
            if n == 0 {
                return None;
            }
            if kind == Kind::Data {
                data.extend(&piece[..n]);
            }
            match kind {
                Kind::Frame | Kind::Data => passed.extend(&piece[..n]),
                Kind::BareLf => passed.extend(b"\r\n"),
                Kind::Trailer => {}
            }
            at += n;
        }
        Some((data, passed, input.len() - at))
    }

    fn check(input: &str, request: Option<(&str, &str, usize)>, response: bool) {
        for step in [1, 2, 3, 1000] {
            let want = request.map(|(d, p, r)| (d.as_bytes().to_vec(), p.as_bytes().to_vec(), r));
            assert_eq!(decode(Chunked::request(), input.as_bytes(), step), want, "{input:?} by {step}");
            assert_eq!(decode(Chunked::response(), input.as_bytes(), step).is_some(), response, "{input:?} by {step}");
        }
    }

    #[test]
    fn strict_and_independent_of_cuts() {
        check("0\r\n\r\n", Some(("", "0\r\n\r\n", 0)), true);
        check("3\r\nabc\r\n0\r\n\r\nrest", Some(("abc", "3\r\nabc\r\n0\r\n\r\n", 4)), true);
        check("A\r\n0123456789\r\n00\r\n\r\n", Some(("0123456789", "A\r\n0123456789\r\n00\r\n\r\n", 0)), true);
        check("1\r\na\r\n0\r\nX: y\r\nZ: w\r\n\r\n", Some(("a", "1\r\na\r\n0\r\n\r\n", 0)), true);
        check("1;x=y\r\na\r\n0\r\n\r\n", None, true);
        // Of an app the CR is the third byte, and the LF ends the line.
        check("3\r\nab\r\n0\r\n\r\n", None, true);
        for bad in [
            "3\r\nabcd\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "-1\r\n\r\n",
            "\r\nabc\r\n0\r\n\r\n",
            "g\r\n\r\n",
            "1000000000000000\r\n",
            "3\r\r\nabc\r\n0\r\n\r\n",
            "0\r\n x: y\r\n\r\n",
            "0\r\nx y: z\r\n\r\n",
            "0\r\nx\r\n\r\n",
            "1;a\nb\r\na\r\n0\r\n\r\n",
            "\nabc\r\n0\r\n\r\n",
            "3\rabc\r\n0\r\n\r\n",
            "3\r\nabc\r0\r\n\r\n",
            "3\n\nabc\n0\n\n",
            "0\nx\n\n",
            "0\r\nx: y\r\r\n\r\n",
            "3\r\nabc",
        ] {
            check(bad, None, false);
        }
        for (lf, crlf) in [
            ("3\nabc\n0\n\n", "3\r\nabc\r\n0\r\n\r\n"),
            ("3\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            ("3\r\nabc\n0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            ("3;x=y\nabc\r\n0\r\n\n", "3;x=y\r\nabc\r\n0\r\n\r\n"),
            ("2\n\n\n\n0\nx: y\nz: w\r\n\n", "2\r\n\n\n\r\n0\r\n\r\n"),
            ("0\r\nx: y\n\r\n", "0\r\n\r\n"),
            ("0\n\n", "0\r\n\r\n"),
        ] {
            check(lf, None, true);
            for step in [1, 2, 3, 1000] {
                let (_, passed, rest) = decode(Chunked::response(), lf.as_bytes(), step).unwrap();
                assert_eq!((passed.as_slice(), rest), (crlf.as_bytes(), 0), "{lf:?} by {step}");
            }
        }
        check(&format!("0\r\nx: {}\r\n\r\n", "y".repeat(9000)), None, false);
        check(&format!("1;{}\r\na\r\n0\r\n\r\n", "y".repeat(300)), None, false);
        let lines = |n| format!("0\r\n{}\r\n", "x: y\r\n".repeat(n));
        check(&lines(100), Some(("", "0\r\n\r\n", 0)), true);
        check(&lines(101), None, false);
        check(&lines(101).replace('\r', ""), None, false);
        let extended = |n| format!("{}0\r\n\r\n", format!("1;{}\r\na\r\n", "y".repeat(127)).repeat(n));
        check(&extended(128), None, true);
        check(&extended(129), None, false);
    }
}
