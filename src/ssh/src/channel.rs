//! One command on one channel: its three streams, its hangup, its exit.

use super::flow::Charge;
use super::terminal::{LineEnds, Typed, typed};
use super::{SessionEnv, Shell};
use bytes::Bytes;
use domain::access::Principal;
use futures_util::FutureExt;
use russh::ChannelWriteHalf;
use russh::server::Msg;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use system::io::{CHUNKS_MAX, Chunk, Io, Terminal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Chunks on their way from the loop; they are taken at once and wait in a queue that the flow account bounds.
pub const INPUT_MAX: usize = 64;
/// Chunks handed to the command ahead of its reading.
const STDIN_MAX: usize = 8;
/// The stream number of standard error.
const STDERR: u32 = 1;
/// The exit code of a command that panicked: EX_SOFTWARE.
const SOFTWARE: u8 = 70;
/// The exit code of a command interrupted from the keyboard.
const INTERRUPTED: u8 = 130;

/// Standard input, from the loop.
#[derive(Debug)]
pub enum Input {
    /// Bytes, with their place in the account.
    Data(Bytes, Charge),
    /// No more will come.
    Eof,
}

/// What a command is run with.
pub struct Command {
    /// Runs it.
    pub shell: Arc<dyn Shell>,
    /// Who asked.
    pub who: Principal,
    /// The line; `None` if it is not text.
    pub line: Option<String>,
    /// The environment.
    pub env: SessionEnv,
    /// The client's terminal, if output goes to one.
    pub terminal: Option<Terminal>,
    /// Where output goes.
    pub writer: ChannelWriteHalf<Msg>,
    /// Standard input.
    pub input: mpsc::Receiver<Input>,
    /// Fired when the client ends the command in an orderly way.
    pub hangup: CancellationToken,
    /// Fired when nobody can receive output any more.
    pub deaf: CancellationToken,
}

/// Runs a command to its end and tells the client how it ended.
pub async fn run(command: Command) {
    let Command { shell, who, line, env, terminal, writer, mut input, hangup, deaf } = command;
    let tty = terminal.is_some();
    let (stdin_tx, stdin) = mpsc::channel(STDIN_MAX);
    let (out, out_rx) = mpsc::channel(CHUNKS_MAX);
    let io = Io { stdin, out, hangup: hangup.clone(), tty, terminal: terminal.clone() };
    let interrupted = CancellationToken::new();
    let work = async {
        match line {
            Some(line) => shell.run(who, &line, env, io).await,
            None => {
                io.note("the command is not valid UTF-8").await;
                1
            }
        }
    };
    let guarded = AssertUnwindSafe(work).catch_unwind();
    let output = async {
        tokio::select! {
            () = deaf.cancelled() => {}
            () = write_out(out_rx, &writer, tty) => {}
        }
    };
    let keyboard = Keyboard { interrupted: &interrupted, hangup: &hangup };
    let (ended, ()) = tokio::select! {
        done = async { tokio::join!(guarded, output) } => done,
        () = feed(&mut input, stdin_tx, terminal.as_ref(), &keyboard) => return,
    };
    let code = match ended {
        Ok(_) if interrupted.is_cancelled() => INTERRUPTED,
        Ok(code) => code,
        Err(_) => {
            tracing::error!("a command panicked");
            let _ = writer
                .extended_data_bytes(STDERR, "a fault of the server ended this command; its log has the cause\n")
                .await;
            SOFTWARE
        }
    };
    let farewell = async {
        // OpenSSH's order; what is still in the session's queue goes out before.
        let _ = writer.eof().await;
        let _ = writer.exit_status(u32::from(code)).await;
        let _ = writer.close().await;
    };
    tokio::select! {
        () = deaf.cancelled() => {}
        () = farewell => {}
    }
}

async fn write_out(mut chunks: mpsc::Receiver<Chunk>, writer: &ChannelWriteHalf<Msg>, tty: bool) {
    let mut ends = LineEnds::default();
    while let Some(chunk) = chunks.recv().await {
        let sent = match (chunk, tty) {
            (Chunk::Raw(bytes), _) => writer.data_bytes(bytes).await,
            (Chunk::Out(bytes) | Chunk::Err(bytes), true) => writer.data_bytes(ends.convert(&bytes)).await,
            (Chunk::Out(bytes), false) => writer.data_bytes(bytes).await,
            (Chunk::Err(bytes), false) => writer.extended_data_bytes(STDERR, bytes).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Hands input to the command as it takes it; what it does not want is dropped, so that the session's loop never waits.
async fn feed(
    input: &mut mpsc::Receiver<Input>,
    stdin: mpsc::Sender<Bytes>,
    terminal: Option<&Terminal>,
    keyboard: &Keyboard<'_>,
) {
    let mut queue: VecDeque<(Bytes, Charge)> = VecDeque::new();
    let mut stdin = Some(stdin);
    let (mut open, mut wanted) = (true, true);
    loop {
        if !wanted {
            queue.clear();
        }
        if !wanted || (!open && queue.is_empty()) {
            stdin = None;
        }
        let room = async {
            match &stdin {
                Some(sender) if !queue.is_empty() => sender.reserve().await,
                Some(_) | None => std::future::pending().await,
            }
        };
        tokio::select! {
            got = input.recv() => match got {
                None => std::future::pending().await,
                Some(Input::Eof) => open = false,
                Some(Input::Data(_, _)) if !open || !wanted => {}
                Some(Input::Data(bytes, charge)) if terminal.is_some_and(|it| !it.is_raw()) => match typed(&bytes) {
                    Typed::Interrupt => {
                        keyboard.interrupted.cancel();
                        keyboard.hangup.cancel();
                        wanted = false;
                    }
                    Typed::End(bytes) => {
                        queue.push_back((bytes, charge));
                        open = false;
                    }
                    Typed::Bytes(bytes) => queue.push_back((bytes, charge)),
                },
                Some(Input::Data(bytes, charge)) => queue.push_back((bytes, charge)),
            },
            permit = room => match (permit, queue.pop_front()) {
                (Ok(permit), Some((bytes, _charge))) => permit.send(bytes),
                (Ok(_), None) => {}
                (Err(_), _) => wanted = false,
            },
        }
    }
}

/// What Ctrl-C does.
struct Keyboard<'a> {
    interrupted: &'a CancellationToken,
    hangup: &'a CancellationToken,
}
