//! Where a body ends, and which of its bytes are passed on.

use super::chunk::{Chunked, Kind, Malformed};

/// The framing of a message's body, counting down as bytes are taken.
#[derive(Clone, Copy, Debug)]
pub enum Body {
    /// None, or all of it taken.
    Empty,
    /// So many bytes are left.
    Length(u64),
    /// Chunks, passed on as they are.
    Chunked(Chunked),
    /// Chunks, of which only the data is passed on (to a client of HTTP/1.0).
    Unchunked(Chunked),
    /// Everything until the sender closes; only in responses.
    UntilClose,
}

/// The first run of bytes that share a fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many bytes.
    pub len: usize,
    pass: Pass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    AsTheyAre,
    AsCrLf,
    NotAtAll,
}

impl Run {
    fn whole(len: usize) -> Self {
        Self { len, pass: Pass::AsTheyAre }
    }

    /// What is passed on of the input that it was taken from.
    pub fn passed(self, input: &[u8]) -> &[u8] {
        match self.pass {
            Pass::AsTheyAre => input.get(..self.len).unwrap_or_default(),
            Pass::AsCrLf => b"\r\n",
            Pass::NotAtAll => b"",
        }
    }
}

/// A body's framing without its counters, for tests and logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// See [`Body::Empty`].
    Empty,
    /// See [`Body::Length`].
    Length(u64),
    /// See [`Body::Chunked`].
    Chunked,
    /// See [`Body::UntilClose`].
    UntilClose,
}

impl Body {
    /// Whether nothing more belongs to this body.
    pub fn done(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Length(n) => *n == 0,
            Self::Chunked(machine) | Self::Unchunked(machine) => machine.done(),
            Self::UntilClose => false,
        }
    }

    /// The framing alone.
    pub fn kind(&self) -> BodyKind {
        match self {
            Self::Empty => BodyKind::Empty,
            Self::Length(n) => BodyKind::Length(*n),
            Self::Chunked(_) | Self::Unchunked(_) => BodyKind::Chunked,
            Self::UntilClose => BodyKind::UntilClose,
        }
    }

    /// Takes the first run off the input. What remains after the end belongs to the next message.
    pub fn take(&mut self, input: &[u8]) -> Result<Run, Malformed> {
        match self {
            Self::Empty => Ok(Run::whole(0)),
            Self::Length(left) => {
                let len = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= len as u64;
                Ok(Run::whole(len))
            }
            Self::UntilClose => Ok(Run::whole(input.len())),
            Self::Unchunked(machine) => {
                let (len, kind) = machine.run(input)?;
                Ok(Run { len, pass: if kind == Kind::Data { Pass::AsTheyAre } else { Pass::NotAtAll } })
            }
            Self::Chunked(machine) => take_chunks(machine, input),
        }
    }
}

/// Joins framing and data to one run, so that they are written at once.
fn take_chunks(machine: &mut Chunked, input: &[u8]) -> Result<Run, Malformed> {
    let mut len = 0;
    while let Some(rest) = input.get(len..).filter(|rest| !rest.is_empty() && !machine.done()) {
        let before = *machine;
        let (n, kind) = machine.run(rest)?;
        let pass = match kind {
            Kind::Frame | Kind::Data => {
                len += n;
                continue;
            }
            Kind::Trailer => Pass::NotAtAll,
            Kind::BareLf => Pass::AsCrLf,
        };
        if len == 0 {
            return Ok(Run { len: n, pass });
        }
        *machine = before;
        break;
    }
    Ok(Run::whole(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(mut body: Body, input: &[u8]) -> (Vec<u8>, usize) {
        let (mut out, mut at) = (vec![], 0);
        while !body.done() && at < input.len() {
            let run = body.take(&input[at..]).unwrap();
            assert!(run.len > 0);
            out.extend(run.passed(&input[at..]));
            at += run.len;
        }
        (out, input.len() - at)
    }

    #[test]
    fn passes_what_belongs_to_it() {
        let chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\nNEXT";
        assert_eq!(passed(Body::Length(3), b"abcde"), (b"abc".to_vec(), 2));
        assert_eq!(passed(Body::Chunked(Chunked::request()), chunks).0, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
        assert_eq!(passed(Body::Unchunked(Chunked::response()), chunks), (b"abcde".to_vec(), 4));
        assert_eq!(passed(Body::UntilClose, b"abc"), (b"abc".to_vec(), 0));
        let bare = b"3\nabc\r\n2\nd\n\n0\nX: y\n\nNEXT";
        assert_eq!(passed(Body::Chunked(Chunked::response()), bare).0, b"3\r\nabc\r\n2\r\nd\n\r\n0\r\n\r\n");
        assert_eq!(passed(Body::Unchunked(Chunked::response()), bare), (b"abcd\n".to_vec(), 4));
    }
}
