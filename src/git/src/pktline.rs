//! Git's pkt-line framing: four hex digits of length (themselves counted), then bytes; `0000` is a flush.
//!
//! Absent: side bands and sockets; this reads from and writes to any stream.

use std::io::{self, Read, Write};

/// The longest payload git accepts in one packet.
pub(super) const DATA_MAX: usize = 65_516;

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    /// Bytes, a final newline taken off.
    Data(Vec<u8>),
    /// The end of a section.
    Flush,
}

/// The next packet; `None` at the end of the stream between packets.
pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Packet>> {
    let mut head = [0_u8; 4];
    let mut have = 0;
    while let Some(room) = head.get_mut(have..).filter(|r| !r.is_empty()) {
        match from.read(room) {
            Ok(0) if have == 0 => return Ok(None),
            Ok(0) => return Err(bad("the stream ended within a packet's length")),
            Ok(n) => have += n,
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    let hex = std::str::from_utf8(&head).ok().filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
    let length = hex.and_then(|h| usize::from_str_radix(h, 16).ok()).ok_or_else(|| bad("a length is not hex"))?;
    let Some(size) = length.checked_sub(4) else {
        return if length == 0 { Ok(Some(Packet::Flush)) } else { Err(bad("a special packet that is not expected")) };
    };
    if size > DATA_MAX {
        return Err(bad("a packet is too long"));
    }
    let mut data = vec![0; size];
    from.read_exact(&mut data)?;
    if data.last() == Some(&b'\n') {
        data.pop();
    }
    Ok(Some(Packet::Data(data)))
}

/// All packets up to the next flush, at most `max` of them.
pub(super) fn read_section(from: &mut impl Read, max: usize) -> io::Result<Vec<Vec<u8>>> {
    let mut section = Vec::new();
    loop {
        match read(from)? {
            Some(Packet::Data(data)) if section.len() < max => section.push(data),
            Some(Packet::Data(_)) => return Err(bad("too many packets in one section")),
            Some(Packet::Flush) => return Ok(section),
            None => return Err(bad("the stream ended before a flush")),
        }
    }
}

/// Writes one packet; what is longer than git takes is cut.
pub(super) fn write(to: &mut impl Write, data: &[u8]) -> io::Result<()> {
    let data = data.get(..DATA_MAX).unwrap_or(data);
    write!(to, "{:04x}", data.len() + 4)?;
    to.write_all(data)
}

/// Ends a section and sends what is buffered.
pub(super) fn write_flush(to: &mut impl Write) -> io::Result<()> {
    to.write_all(b"0000")?;
    to.flush()
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &str, want: &str) {
        let mut from = bytes.as_bytes();
        let said = match read_section(&mut from, 3) {
            Ok(section) => {
                section.iter().map(|d| String::from_utf8_lossy(d).into_owned()).collect::<Vec<_>>().join("|")
            }
            Err(err) => format!("! {err}"),
        };
        assert_eq!(said, want, "{bytes:?}");
    }

    #[test]
    fn sections() {
        check("0000", "");
        check("0006a\n0005b0000", "a|b");
        check("00040000", "");
        check("0005a0005b0005c0005d0000", "! too many packets in one section");
        check("0005a", "! the stream ended before a flush");
        check("00", "! the stream ended within a packet's length");
        check("zzzz", "! a length is not hex");
        check("+005a", "! a length is not hex");
        check("0001", "! a special packet that is not expected");
        check("fff5a", "! a packet is too long");
        check("0009a", "! failed to fill whole buffer");
    }

    #[test]
    fn what_is_written_is_read() {
        let mut wire = Vec::new();
        for data in [&b""[..], b"version=1\0atomic", &[0xff; 300]] {
            write(&mut wire, data).unwrap();
        }
        write(&mut wire, &vec![b'x'; DATA_MAX + 9]).unwrap();
        write_flush(&mut wire).unwrap();
        let section = read_section(&mut wire.as_slice(), 9).unwrap();
        assert_eq!(section.iter().map(Vec::len).collect::<Vec<_>>(), [0, 16, 300, DATA_MAX]);
    }
}
