//! The server's side of a hook: one ask in, answers out, and a sign when the pusher has gone.
//!
//! Invariant: a slow or dead screen never holds up a job; lines it cannot take are counted and said.

use super::messages::{Hello, JudgeAsk, Judged, ReceiveAsk, RefOutcome, RefReply, Told};
use super::repos::Repos;
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use system::fault::{Act, Error, Fault, Result};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Lines that wait for the pusher's screen.
const LINES_MAX: usize = 1024;
/// How long a job waits for a full screen before it goes on without.
const SCREEN_MAX: Duration = Duration::from_secs(2);
/// A hook sends its ask at once.
const ASK_MAX: Duration = Duration::from_secs(30);

/// What the product does with pushes. `push` is the ticket's text.
#[async_trait]
pub trait Receiver: Send + Sync {
    /// Whether the push may go on; its objects are in quarantine.
    async fn judge(&self, push: &str, ask: JudgeAsk) -> Judged;
    /// Runs the job of an accepted push. `gone` fires when the pusher has gone, not when we ended its connection for
    /// silence; what that means for the job is decided by the receiver.
    async fn receive(&self, push: &str, ask: ReceiveAsk, say: LineSender, gone: CancellationToken) -> Vec<RefReply>;
}

/// Messages to and from one hook, whoever carries them.
#[async_trait]
pub trait HookFrames: Send {
    /// The next message; `None` when the hook has ended. Must lose nothing when dropped half way.
    async fn recv(&mut self) -> Option<Vec<u8>>;
    /// Sends a message; false when the hook has ended.
    async fn send(&mut self, message: Vec<u8>) -> bool;
}

/// Lines for the pusher's screen. Clones write to the same screen.
#[derive(Debug, Clone)]
pub struct LineSender {
    lines: mpsc::Sender<String>,
    skipped: Arc<AtomicU64>,
}

impl LineSender {
    /// A sender and the end that is read.
    pub fn channel() -> (LineSender, mpsc::Receiver<String>) {
        let (lines, receiver) = mpsc::channel(LINES_MAX);
        (LineSender { lines, skipped: Arc::default() }, receiver)
    }

    /// Shows a line. Waits a little for a slow screen, then goes on without it.
    pub async fn line(&self, text: impl Into<String>) {
        let skipped = self.skipped.load(Ordering::Relaxed);
        let text = text.into();
        let text = match skipped {
            0 => text,
            n => {
                format!("       ({} not shown here, builds:output has them)\n{text}", domain::text::counted(n, "line"))
            }
        };
        // Once lines were skipped, nothing waits until there is room again.
        let sent = match self.lines.try_send(text) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => return,
            Err(mpsc::error::TrySendError::Full(text)) if skipped == 0 => {
                self.lines.send_timeout(text, SCREEN_MAX).await.is_ok()
            }
            Err(mpsc::error::TrySendError::Full(_)) => false,
        };
        if sent {
            self.skipped.fetch_sub(skipped, Ordering::Relaxed);
        } else {
            self.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Serves one connection of a hook, from its hello to its end.
pub async fn serve_hook(
    repos: &Repos,
    receiver: &dyn Receiver,
    hello: serde_json::Value,
    frames: &mut dyn HookFrames,
) -> Result<()> {
    let hello: Hello = serde_json::from_value(hello).act(|| "cannot read a hook's hello")?;
    let Some(live) = repos.live(&hello.push) else {
        return Err(Fault::plain("a hook named a push that is not running").into());
    };
    match hello.hook.as_str() {
        "pre-receive" => {
            live.received.cancel();
            let ask: JudgeAsk = ask(frames).await?;
            let judged = receiver.judge(&hello.push, ask).await;
            frames.send(serde_json::to_vec(&judged).act(|| "cannot write an answer")?).await;
            Ok(())
        }
        "proc-receive" => {
            let ask: ReceiveAsk = ask(frames).await?;
            let gone = CancellationToken::new();
            let (say, lines) = LineSender::channel();
            let shallow = !ask.shallow.is_empty();
            let job = receiver.receive(&hello.push, ask, say, gone.clone());
            let replies = stream(frames, job, lines, || {
                if !live.silent.is_cancelled() {
                    gone.cancel();
                }
            });
            for reply in replies.await {
                frames.send(message(&with_fall_through(reply, shallow).into())?).await;
            }
            Ok(())
        }
        other => Err(Fault::plain(format!("there is no hook {other:?}")).into()),
    }
}

async fn ask<T: DeserializeOwned>(frames: &mut dyn HookFrames) -> Result<T> {
    match tokio::time::timeout(ASK_MAX, frames.recv()).await {
        Ok(Some(message)) => Ok(serde_json::from_slice(&message).act(|| "cannot read a hook's question")?),
        Ok(None) | Err(_) => Err(Error::from(Fault::plain("a hook ended without a question"))),
    }
}

/// Runs the job while its lines go out; says once when the hook has gone, and lets the job decide what that means.
async fn stream(
    frames: &mut dyn HookFrames,
    job: impl Future<Output = Vec<RefReply>>,
    mut lines: mpsc::Receiver<String>,
    on_gone: impl Fn(),
) -> Vec<RefReply> {
    let mut job = std::pin::pin!(job);
    let mut here = true;
    let replies = loop {
        tokio::select! {
            replies = &mut job => break replies,
            Some(line) = lines.recv() => {
                if here && !send_line(frames, line).await {
                    here = false;
                    on_gone();
                }
            }
            message = frames.recv(), if here => {
                if message.is_none() {
                    here = false;
                    on_gone();
                }
            }
        }
    };
    lines.close();
    while let Some(line) = lines.recv().await {
        here = here && send_line(frames, line).await;
    }
    replies
}

async fn send_line(frames: &mut dyn HookFrames, line: String) -> bool {
    match message(&Told { line: Some(line), ..Told::default() }) {
        Ok(bytes) => frames.send(bytes).await,
        Err(_) => true,
    }
}

/// With new shallow boundaries git must move the branch itself, or it aborts after everything is done.
fn with_fall_through(reply: RefReply, shallow: bool) -> RefReply {
    match reply.outcome {
        RefOutcome::Done { fall_through } => {
            RefReply { outcome: RefOutcome::Done { fall_through: fall_through || shallow }, ..reply }
        }
        RefOutcome::Refused { .. } => reply,
    }
}

fn message(told: &Told) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(told).act(|| "cannot write an answer")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_screen_skips_lines_and_says_so() {
        let (say, mut lines) = LineSender::channel();
        for i in 0..LINES_MAX {
            say.line(format!("line {i}")).await;
        }
        // As after the wait for a slow screen: from here on nothing waits.
        say.skipped.store(1, Ordering::Relaxed);
        say.line("lost").await;
        assert_eq!(lines.recv().await.as_deref(), Some("line 0"));
        say.line("seen").await;
        let mut last = String::new();
        for _ in 0..LINES_MAX {
            last = lines.recv().await.unwrap();
        }
        assert_eq!(last, "       (2 lines not shown here, builds:output has them)\nseen");
        say.line("next").await;
        assert_eq!(lines.recv().await.as_deref(), Some("next"));
        drop(lines);
        say.line("nobody reads").await;
    }
}
