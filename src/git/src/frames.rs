//! The hook's side of the admin socket: messages in the frames of `crate::admin`. Absent: what the messages mean.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use system::frames::{self, Tag};

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
        let mut stream = UnixStream::connect(socket)?;
        stream.set_write_timeout(Some(SEND_MAX))?;
        frames::write(&mut stream, Tag::Hello, hello)?;
        Ok(SocketFrames { stream })
    }

    /// Says that no more comes.
    pub fn finish(self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}

impl Frames for SocketFrames {
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        frames::write(&mut self.stream, Tag::Hook, message)
    }

    fn recv(&mut self) -> io::Result<Option<Vec<u8>>> {
        match frames::read(&mut self.stream)? {
            Some((Tag::Hook, message)) => Ok(Some(message)),
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "a frame that is not for a hook")),
            None => Ok(None),
        }
    }
}
