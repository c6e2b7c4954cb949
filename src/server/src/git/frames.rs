//! The hook's side of the admin socket: messages in frames of `u32 length (tag and payload), tag, payload`.
//!
//! Tags: `H` hello (JSON), `J` a message (JSON), `E` the end. Absent: what the messages mean.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// The longest frame taken or sent.
const FRAME_MAX: usize = 16 << 20;
/// A server that does not take a message within this time is not answering.
const SEND_MAX: Duration = Duration::from_secs(30);

/// Messages both ways, whoever carries them.
pub trait Frames {
    /// Sends one message.
    fn send(&mut self, message: &[u8]) -> io::Result<()>;
    /// The next message; `None` when the other side has ended.
    fn recv(&mut self) -> io::Result<Option<Vec<u8>>>;
}

/// Frames over the admin socket.
#[derive(Debug)]
pub struct SocketFrames {
    stream: UnixStream,
}

impl SocketFrames {
    /// Connects and says hello.
    pub fn connect(socket: &Path, hello: &[u8]) -> io::Result<SocketFrames> {
        let stream = UnixStream::connect(socket)?;
        stream.set_write_timeout(Some(SEND_MAX))?;
        let mut frames = SocketFrames { stream };
        frames.write_frame(b'H', hello)?;
        Ok(frames)
    }

    /// Says that no more comes.
    pub fn finish(mut self) -> io::Result<()> {
        self.write_frame(b'E', b"")
    }

    fn write_frame(&mut self, tag: u8, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len() + 1).ok().filter(|n| *n as usize <= FRAME_MAX);
        let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a message is too long"))?;
        let mut frame = Vec::with_capacity(payload.len() + 5);
        frame.extend_from_slice(&length.to_be_bytes());
        frame.push(tag);
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)
    }
}

impl Frames for SocketFrames {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.write_frame(b'J', message)
    }

    fn recv(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut head = [0_u8; 5];
            match self.stream.read_exact(&mut head) {
                Ok(()) => {}
                Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(err) => return Err(err),
            }
            let [a, b, c, d, tag] = head;
            let length = u32::from_be_bytes([a, b, c, d]) as usize;
            let size = length.checked_sub(1).filter(|_| length <= FRAME_MAX);
            let size = size.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a frame of an odd length"))?;
            let mut payload = vec![0; size];
            self.stream.read_exact(&mut payload)?;
            match tag {
                b'J' => return Ok(Some(payload)),
                b'E' => return Ok(None),
                _ => {} // a newer server may say more; what we do not know is not for us
            }
        }
    }
}
