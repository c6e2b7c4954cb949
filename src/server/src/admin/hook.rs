//! A hook's side of the socket, blocking and without a runtime (git waits for it), and the server's.

use super::socket_path;
use async_trait::async_trait;
use bytes::Bytes;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::net::UnixStream;
use std::path::Path;
use system::frames::{self, Tag};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Frames waiting on either side.
pub(super) const FRAMES_MAX: usize = 64;

/// What answers hooks.
#[async_trait]
pub trait HookHandler: Send + Sync + 'static {
    /// Carries one hook to its end; dropping `io` ends the conversation once everything sent has been delivered.
    async fn hook(&self, hello: serde_json::Value, io: HookIo);
}

/// The server's end of a conversation with a hook.
#[derive(Debug)]
pub struct HookIo {
    pub(super) frames: mpsc::Receiver<Bytes>,
    pub(super) answers: mpsc::Sender<Bytes>,
    pub(super) closed: CancellationToken,
}

impl HookIo {
    /// The hook's next frame; `None` after its last.
    pub async fn recv(&mut self) -> Option<Bytes> {
        self.frames.recv().await
    }

    /// Sends a frame of at most 1 MiB; waits while the hook is slow. False if the hook is gone.
    pub async fn send(&self, frame: impl Into<Bytes>) -> bool {
        self.answers.send(frame.into()).await.is_ok()
    }

    /// Fires when the hook is gone: its git was killed. Late only while frames of it wait that nobody receives.
    pub fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }
}

/// The hook's end. Clones of it ([`HookClient::try_clone`]) let one thread send while another receives.
#[derive(Debug)]
pub struct HookClient {
    stream: UnixStream,
}

impl HookClient {
    /// Connects to the server that runs on a data folder; `hello` is an object, its `kind` is set to `hook`.
    pub fn connect(data: &Path, mut hello: serde_json::Value) -> Result<HookClient> {
        let object =
            hello.as_object_mut().ok_or_else(|| Error::new(ErrorKind::InvalidInput, "hello is not an object"))?;
        object.insert("kind".to_owned(), "hook".into());
        let mut stream = UnixStream::connect(socket_path(data))?;
        frames::write(&mut stream, Tag::Hello, hello.to_string().as_bytes())?;
        Ok(HookClient { stream })
    }

    /// Sends a frame of at most 1 MiB.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        frames::write(&mut self.stream, Tag::Hook, frame)
    }

    /// The server's next frame; `None` after its last. Waits as long as the server works.
    pub fn recv(&mut self) -> Result<Option<Vec<u8>>> {
        match frames::read(&mut self.stream)? {
            Some((Tag::Hook, frame)) => Ok(Some(frame)),
            Some((_, _)) => Err(Error::new(ErrorKind::InvalidData, "not a hook's frame")),
            None => Ok(None),
        }
    }

    /// The same conversation for another thread.
    pub fn try_clone(&self) -> Result<HookClient> {
        Ok(HookClient { stream: self.stream.try_clone()? })
    }
}
