//! The frames that `hoist-init` speaks (its `wire` module is the other half): four bytes of length (big endian, of what follows
//! the tag), a tag, the bytes.

use std::io::{Error, ErrorKind, Result};
use system::io::Size;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What runs inside may not make us hold more.
const FRAME_MAX: usize = 256 * 1024;
/// Bytes of input in one frame.
const PIECE: usize = 64 * 1024;

/// What is asked of the init.
#[derive(Debug)]
pub enum Ask<'a> {
    /// Start a program: JSON.
    Start(&'a str),
    /// Input for it.
    Input(&'a [u8]),
    /// The end of its input.
    InputEnd,
    /// Its terminal's new size.
    Resize(Size),
}

/// What the init says.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// Standard output.
    Out(Vec<u8>),
    /// Standard error.
    Err(Vec<u8>),
    /// Why the program was not started.
    Note(Vec<u8>),
    /// How it ended; the last.
    Exit(u8),
}

/// Sends one; longer input becomes several frames.
pub async fn send(to: &mut (impl AsyncWrite + Unpin), ask: Ask<'_>) -> Result<()> {
    match ask {
        Ask::Start(json) => frame(to, b'S', json.as_bytes()).await,
        Ask::Input(bytes) => {
            for piece in bytes.chunks(PIECE) {
                frame(to, b'i', piece).await?;
            }
            Ok(())
        }
        Ask::InputEnd => frame(to, b'e', &[]).await,
        Ask::Resize(Size { rows, columns }) => {
            let ([a, b], [c, d]) = (rows.to_be_bytes(), columns.to_be_bytes());
            frame(to, b'z', &[a, b, c, d]).await
        }
    }
}

async fn frame(to: &mut (impl AsyncWrite + Unpin), tag: u8, bytes: &[u8]) -> Result<()> {
    let mut out = Vec::with_capacity(bytes.len() + 5);
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes());
    out.push(tag);
    out.extend_from_slice(bytes);
    to.write_all(&out).await
}

/// The next; `None` if the other side has ended. Not to be dropped half-way: bytes read would be lost.
pub async fn receive(from: &mut (impl AsyncRead + Unpin)) -> Result<Option<Told>> {
    let mut head = [0; 5];
    let (first, rest) = head.split_at_mut(1);
    if from.read(first).await? == 0 {
        return Ok(None);
    }
    from.read_exact(rest).await?;
    let [a, b, c, d, tag] = head;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > FRAME_MAX {
        return Err(Error::new(ErrorKind::InvalidData, "a frame that is too long"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes).await?;
    match (tag, bytes.as_slice()) {
        (b'o', _) => Ok(Some(Told::Out(bytes))),
        (b'r', _) => Ok(Some(Told::Err(bytes))),
        (b'n', _) => Ok(Some(Told::Note(bytes))),
        (b'x', [code]) => Ok(Some(Told::Exit(*code))),
        _ => Err(Error::new(ErrorKind::InvalidData, "a frame of an unknown kind")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames() {
        let mut wire = Vec::new();
        send(&mut wire, Ask::Start("{}")).await.unwrap();
        send(&mut wire, Ask::Input(&vec![7; PIECE + 1])).await.unwrap();
        send(&mut wire, Ask::Resize(Size { rows: 1, columns: 515 })).await.unwrap();
        send(&mut wire, Ask::InputEnd).await.unwrap();
        assert_eq!(wire.len(), 7 + PIECE + 5 + 6 + 9 + 5);
        assert!(wire.ends_with(&[0, 0, 0, 4, b'z', 0, 1, 2, 3, 0, 0, 0, 0, b'e']));
        let told = |bytes: &'static [u8]| async move { receive(&mut &*bytes).await };
        assert_eq!(told(&[0, 0, 0, 2, b'o', 1, 2]).await.unwrap(), Some(Told::Out(vec![1, 2])));
        assert_eq!(told(&[0, 0, 0, 1, b'x', 9]).await.unwrap(), Some(Told::Exit(9)));
        assert_eq!(told(&[]).await.unwrap(), None);
        for bad in
            [&[0, 0, 0, 0, b'x'][..], &[0, 0, 0, 0, b'?'], &[255, 0, 0, 0, b'o'], &[0, 0], &[0, 0, 0, 9, b'o', 1]]
        {
            assert!(told(bad).await.is_err(), "{bad:?}");
        }
    }
}
