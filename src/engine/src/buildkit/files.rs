//! Hands a build's files over: a list of all, then the content of those that the engine does not have from last time.

use super::answers::{Body, stream};
use super::grpc::{framed, take};
use super::messages::{Packet, Stat, kind};
use crate::{ContextEntry, ContextKind, ImageBuild};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use prost::Message;
use std::sync::Arc;
use system::tasks::{Tasks, blocking};
use tokio::sync::mpsc;

/// Packets under way in each direction.
const PACKETS_MAX: usize = 64;
const CHUNK: usize = 128 * 1024;
/// What the builder says here is short.
const PACKET_MAX: usize = 64 * 1024;
/// Go's bits for a folder and a link.
const FOLDER: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
/// Where the Dockerfile is asked for.
const DOCKERFILE: &str = "dockerfile";
/// Lists of what is left out are applied here, and not once more by the engine.
const IGNORE: &str = ".dockerignore";

/// Answers one transfer.
pub(super) fn answer(
    body: Incoming,
    ask: Arc<ImageBuild>,
    name: &str,
    included: &[String],
    tasks: &Tasks,
) -> Response<Body> {
    let (out, messages) = mpsc::channel(PACKETS_MAX);
    let (ask_for, asked) = mpsc::channel(PACKETS_MAX);
    let what = match name {
        DOCKERFILE => What::Dockerfile,
        _ if !included.is_empty() && included.iter().all(|name| name.ends_with(IGNORE)) => What::Nothing,
        _ => What::Context,
    };
    tasks.spawn("build session requests", |stop| async move {
        tokio::select! {
            () = listen(body, ask_for) => {}
            () = stop.cancelled() => {}
        }
    });
    tasks.spawn("build session files", |_| async move {
        let sent = blocking("send a build's files", move || {
            send(&ask, what, &out, asked);
            Ok(())
        });
        if let Err(err) = sent.await {
            tracing::warn!("cannot send a build's files: {err}");
        }
    });
    stream(messages)
}

#[derive(Clone, Copy)]
enum What {
    Dockerfile,
    Context,
    Nothing,
}

/// What the engine asks for: a file's number, or the end.
enum Asked {
    File(u32),
    Fin,
}

async fn listen(mut body: Incoming, to: mpsc::Sender<Asked>) {
    let mut buffer = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else { return };
        buffer.extend_from_slice(&data);
        loop {
            let packet = match take(&mut buffer, PACKET_MAX) {
                Ok(Some(bytes)) => Packet::decode(bytes),
                Ok(None) => break,
                Err(_) => return,
            };
            let asked = match packet {
                Ok(Packet { kind: kind::REQUEST, id, .. }) => Asked::File(id),
                Ok(Packet { kind: kind::FIN, .. }) => Asked::Fin,
                Ok(Packet { kind: kind::ERROR, data, .. }) => {
                    tracing::info!("the engine does not take a build's files: {}", String::from_utf8_lossy(&data));
                    return;
                }
                Ok(_) | Err(_) => return,
            };
            if to.send(asked).await.is_err() {
                return;
            }
        }
    }
}

/// Blocking. Ends when the engine is done or gone.
fn send(ask: &ImageBuild, what: What, out: &mpsc::Sender<Bytes>, mut asked: mpsc::Receiver<Asked>) {
    let put = |packet: &Packet| out.blocking_send(framed(packet)).is_ok();
    let (name, content) = ask.files.dockerfile();
    let entries = match what {
        What::Nothing => Vec::new(),
        What::Context => ask.files.entries(),
        What::Dockerfile => {
            // Its time is its content's, so that one of the same length is not taken for it.
            let time = content.iter().fold(0_i64, |sum, byte| sum.wrapping_mul(131).wrapping_add(i64::from(*byte)));
            let kind = ContextKind::File { exec: false, size: content.len() as u64 };
            vec![ContextEntry { path: name, kind, time: time & 0x0fff_ffff_ffff_ffff, apart: 0 }]
        }
    };
    let end = Packet { kind: kind::STAT, ..Packet::default() };
    let listed =
        entries.iter().all(|entry| put(&Packet { kind: kind::STAT, stat: Some(stat(entry)), ..Packet::default() }));
    if !listed || !put(&end) {
        return;
    }
    while let Some(wanted) = asked.blocking_recv() {
        let Asked::File(id) = wanted else {
            put(&Packet { kind: kind::FIN, ..Packet::default() });
            return;
        };
        let data = |bytes: &[u8]| put(&Packet { kind: kind::DATA, id, data: bytes.to_vec(), ..Packet::default() });
        let mut give = |bytes: &[u8]| bytes.chunks(CHUNK).all(data);
        let read = match what {
            What::Dockerfile => {
                give(&content);
                Ok(())
            }
            What::Context => ask.files.read(id as usize, &mut give),
            What::Nothing => Ok(()),
        };
        let fine = match read {
            Ok(()) => data(&[]),
            Err(err) => put(&Packet { kind: kind::ERROR, data: err.to_string().into_bytes(), ..Packet::default() }),
        };
        if !fine {
            return;
        }
    }
}

fn stat(entry: &ContextEntry) -> Stat {
    let (mode, size, linkname) = match &entry.kind {
        ContextKind::Folder => (FOLDER | 0o755, 0, String::new()),
        ContextKind::File { exec, size } => (if *exec { 0o755 } else { 0o644 }, *size, String::new()),
        ContextKind::Symlink(target) => (SYMLINK | 0o777, target.len() as u64, target.clone()),
    };
    Stat {
        path: entry.path.clone(),
        mode,
        size: i64::try_from(size).unwrap_or(i64::MAX),
        mod_time: entry.time,
        devminor: entry.apart,
        linkname,
        ..Stat::default()
    }
}
