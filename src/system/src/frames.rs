//! Frames: four bytes of length (big endian, of what follows the tag), one byte of tag, the bytes.

use std::io::{Error, ErrorKind, Read, Result, Write};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of one frame.
pub const FRAME_MAX: usize = 1024 * 1024;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// The first frame: JSON.
    Hello,
    /// A piece of standard input.
    Stdin,
    /// The end of standard input.
    StdinEnd,
    /// The server wants one more piece of standard input.
    Want,
    /// A piece of standard output.
    Out,
    /// A piece of standard error.
    Err,
    /// The exit code, one byte; the last frame.
    Exit,
    /// Between a hook and the server, either way.
    Hook,
}

impl Tag {
    fn byte(self) -> u8 {
        match self {
            Tag::Hello => b'H',
            Tag::Stdin => b'i',
            Tag::StdinEnd => b'e',
            Tag::Want => b'w',
            Tag::Out => b'o',
            Tag::Err => b'r',
            Tag::Exit => b'x',
            Tag::Hook => b'k',
        }
    }

    fn of(byte: u8) -> Option<Tag> {
        [Tag::Hello, Tag::Stdin, Tag::StdinEnd, Tag::Want, Tag::Out, Tag::Err, Tag::Exit, Tag::Hook]
            .into_iter()
            .find(|tag| tag.byte() == byte)
    }
}

/// A frame's bytes on the wire.
pub fn encode(tag: Tag, bytes: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= FRAME_MAX);
    let length = length.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "a frame of more than 1 MiB"))?;
    let mut out = Vec::with_capacity(bytes.len() + 5);
    out.extend_from_slice(&length.to_be_bytes());
    out.push(tag.byte());
    out.extend_from_slice(bytes);
    Ok(out)
}

fn decode_head(head: [u8; 5]) -> Result<(usize, Tag)> {
    let [a, b, c, d, tag] = head;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    match Tag::of(tag) {
        Some(tag) if length <= FRAME_MAX => Ok((length, tag)),
        Some(_) => Err(Error::new(ErrorKind::InvalidData, "a frame of more than 1 MiB")),
        None => Err(Error::new(ErrorKind::InvalidData, "a frame of an unknown kind")),
    }
}

/// The next frame; `None` if the other side ended between two.
pub fn read(from: &mut impl Read) -> Result<Option<(Tag, Vec<u8>)>> {
    let mut head = [0; 5];
    let (first, rest) = head.split_at_mut(1);
    loop {
        match from.read(first) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return Err(err),
        }
    }
    from.read_exact(rest)?;
    let (length, tag) = decode_head(head)?;
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(Some((tag, bytes)))
}

/// Sends a frame.
pub fn write(to: &mut impl Write, tag: Tag, bytes: &[u8]) -> Result<()> {
    to.write_all(&encode(tag, bytes)?)
}

/// [`read`], without blocking a thread. Not to be dropped half-way: bytes read would be lost.
pub async fn read_async(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<(Tag, Vec<u8>)>> {
    let mut head = [0; 5];
    let (first, rest) = head.split_at_mut(1);
    if from.read(first).await? == 0 {
        return Ok(None);
    }
    from.read_exact(rest).await?;
    let (length, tag) = decode_head(head)?;
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    Ok(Some((tag, bytes)))
}

/// [`write`], without blocking a thread; longer output becomes several frames.
pub async fn write_async(to: &mut (impl AsyncWrite + Unpin), tag: Tag, bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return to.write_all(&encode(tag, bytes)?).await;
    }
    for piece in bytes.chunks(FRAME_MAX) {
        to.write_all(&encode(tag, piece)?).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_and_bad_ones_are_refused() {
        let mut wire = Vec::new();
        for (tag, bytes) in [(Tag::Hello, b"{}".as_slice()), (Tag::StdinEnd, b""), (Tag::Out, &[7; FRAME_MAX])] {
            write(&mut wire, tag, bytes).unwrap();
        }
        let mut from = wire.as_slice();
        assert_eq!(read(&mut from).unwrap().unwrap(), (Tag::Hello, b"{}".to_vec()));
        assert_eq!(read(&mut from).unwrap().unwrap(), (Tag::StdinEnd, Vec::new()));
        assert_eq!(read(&mut from).unwrap().unwrap().1.len(), FRAME_MAX);
        assert!(read(&mut from).unwrap().is_none());
        assert!(encode(Tag::Out, &vec![0; FRAME_MAX + 1]).is_err());
        for bad in [&[0, 0, 0, 0, b'?'][..], &[0xff, 0xff, 0xff, 0xff, b'o'], &[0, 0], &[0, 0, 0, 9, b'o', 1]] {
            assert!(read(&mut &*bad).is_err(), "{bad:?}");
        }
    }
}
