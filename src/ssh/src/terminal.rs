//! What little a terminal needs: line ends going out, Enter and Ctrl-C coming in.

use bytes::Bytes;

/// Turns `\n` into `\r\n` across chunks.
#[derive(Debug, Default)]
pub struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    /// The next chunk as a terminal wants it.
    pub fn convert(&mut self, bytes: &Bytes) -> Bytes {
        let mut out = Vec::with_capacity(bytes.len() + 16);
        for byte in bytes {
            if *byte == b'\n' && !self.after_cr {
                out.push(b'\r');
            }
            self.after_cr = *byte == b'\r';
            out.push(*byte);
        }
        Bytes::from(out)
    }
}

/// What somebody typed.
#[derive(Debug, PartialEq, Eq)]
pub enum Typed {
    /// Bytes, Enter as a line feed.
    Bytes(Bytes),
    /// Bytes, then Ctrl-D.
    End(Bytes),
    /// Ctrl-C.
    Interrupt,
}

/// Reads a chunk from a terminal in raw mode.
pub fn typed(bytes: &Bytes) -> Typed {
    if bytes.contains(&3) {
        return Typed::Interrupt;
    }
    let text: Vec<u8> = bytes.iter().take_while(|b| **b != 4).map(|b| if *b == b'\r' { b'\n' } else { *b }).collect();
    if text.len() < bytes.len() { Typed::End(Bytes::from(text)) } else { Typed::Bytes(Bytes::from(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends() {
        let mut ends = LineEnds::default();
        let out: Vec<Bytes> = ["a\nb\r\n", "\n", "c\r", "\nd"].iter().map(|t| ends.convert(&Bytes::from(*t))).collect();
        assert_eq!(out, ["a\r\nb\r\n", "\r\n", "c\r", "\nd"]);
    }

    #[test]
    fn keys() {
        assert_eq!(typed(&Bytes::from("ls\r")), Typed::Bytes(Bytes::from("ls\n")));
        assert_eq!(typed(&Bytes::from("x\u{4}y")), Typed::End(Bytes::from("x")));
        assert_eq!(typed(&Bytes::from("x\u{3}")), Typed::Interrupt);
    }
}
