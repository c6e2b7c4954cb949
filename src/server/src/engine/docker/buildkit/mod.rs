//! Builds from Dockerfiles by the BuildKit that is in the engine: one request that streams what happens, and a session
//! over which the engine fetches what it needs.
//!
//! A client of our own: bollard's serves no secrets with live output, and tonic would double the build's libraries.
//! Invariant: whoever drops the future ends the build in the engine.

mod files;
mod messages;
mod session;

use super::{Docker, failures};
use crate::engine::{BuildError, CALL_MAX, EngineError, ImageBuild, Reports};
use base64::Engine as _;
use bytes::Bytes;
use domain::dockerfile::{ImageFacts, Report};
use http_body_util::{BodyExt, Empty};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use prost::Message;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Removing many small files takes a while.
const PRUNE_MAX: Duration = Duration::from_secs(120);
/// One line of the engine's answer.
const LINE_MAX: usize = 8 << 20;
const TRACE: &str = "moby.buildkit.trace";
const IMAGE: &str = "moby.image.id";

/// What the engine says, line by line.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    id: String,
    aux: serde_json::Value,
    error: String,
    message: String,
}

/// Ends the build in the engine when dropped.
struct Running {
    docker: Docker,
    id: String,
    over: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let (socket, id) = (self.docker.socket.clone(), self.id.clone());
        self.docker.tasks.spawn("end a build", |_| async move {
            let ended = timeout(CALL_MAX, post(&socket, &format!("/build/cancel?id={}", escaped(&id)))).await;
            if !matches!(ended, Ok(Ok(_))) {
                tracing::info!(%id, "the engine did not answer to the end of a build");
            }
        });
    }
}

impl Docker {
    pub(super) async fn image_build(&self, ask: ImageBuild, reports: &Reports) -> Result<String, BuildError> {
        let (socket, tasks) = (self.socket.clone(), self.tasks.clone());
        let ask = Arc::new(ask);
        let session = format!("{:032x}", rand::random::<u128>());
        let away = |err: std::io::Error| EngineError::NotRunning(Box::new(err));
        let stream = timeout(CALL_MAX, session::open(&socket, &ask, &session)).await;
        let stream = stream.map_err(|_| EngineError::NotAnswering)?.map_err(away)?;
        let docker = Docker::new(&socket, tasks.clone());
        let mut running = Running { docker, id: ask.id.clone(), over: false };
        let path = path(&ask, &session);
        // The session ends with the build: it is no task of its own.
        let done = tokio::select! {
            done = follow(&socket, &path, reports) => done,
            () = session::serve(stream, Arc::clone(&ask), tasks) => {
                Err(EngineError::NotRunning("the engine closed the build's session".into()).into())
            }
        };
        running.over = matches!(done, Ok(_) | Err(BuildError::Failed(_)));
        done
    }

    pub(super) async fn image_facts(&self, tag: &str) -> Result<Option<ImageFacts>, EngineError> {
        let found = self
            .call("inspect image", tag, |docker| async move {
                failures::fine(docker.inspect_image(tag).await.map(Some), &[404])
            })
            .await?;
        let Some(config) = found.and_then(|image| image.config) else { return Ok(None) };
        Ok(Some(ImageFacts {
            user: config.user.unwrap_or_default(),
            workdir: config.working_dir.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
            exposed: config.exposed_ports.unwrap_or_default(),
            healthcheck: config
                .healthcheck
                .is_some_and(|check| check.test.is_some_and(|test| test.first().is_some_and(|word| word != "NONE"))),
            volumes: config.volumes.unwrap_or_default(),
            stop_signal: config.stop_signal.unwrap_or_default(),
        }))
    }

    pub(super) async fn build_cache_prune(&self, keep: u64) -> Result<(), EngineError> {
        let path = format!("/build/prune?keep-storage={keep}");
        match timeout(PRUNE_MAX, post(&self.socket, &path)).await {
            Err(_) => Err(EngineError::NotAnswering),
            Ok(done) => done.map_err(|source| EngineError::Failed { act: "prune the build cache".to_owned(), source }),
        }
    }
}

/// Sends the request and reads its answer to the end; the image's id.
async fn follow(socket: &PathBuf, path: &str, reports: &Reports) -> Result<String, BuildError> {
    let failed = |err: Box<dyn std::error::Error + Send + Sync>| EngineError::NotRunning(err);
    let stream = timeout(CALL_MAX, UnixStream::connect(socket)).await.map_err(|_| EngineError::NotAnswering)?;
    let stream = stream.map_err(|err| failed(err.into()))?;
    let shake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shake.map_err(|err| failed(err.into()))?;
    let request = request(path).map_err(|err| failed(err.into()))?;
    let talk = async {
        let answer = sender.send_request(request).await.map_err(|err| failed(err.into()))?;
        let fine = answer.status().is_success();
        let (mut body, mut reader) = (answer.into_body(), Reader::default());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|err| failed(err.into()))?;
            if let Ok(data) = frame.into_data() {
                for report in reader.take(&data) {
                    // Nobody listens any more: the build goes on.
                    let _ = reports.send(report).await;
                }
            }
        }
        reader.end(fine)
    };
    tokio::pin!(connection, talk);
    tokio::select! {
        done = &mut talk => done,
        _ = &mut connection => talk.await,
    }
}

/// Puts the answer's lines together.
#[derive(Debug, Default)]
struct Reader {
    buffer: Vec<u8>,
    image: Option<String>,
    error: Option<String>,
}

impl Reader {
    fn take(&mut self, data: &[u8]) -> Vec<Report> {
        let mut reports = Vec::new();
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            if self.buffer.len() + piece.len() <= LINE_MAX {
                self.buffer.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                reports.extend(self.line());
            }
        }
        reports
    }

    fn line(&mut self) -> Option<Report> {
        let line = std::mem::take(&mut self.buffer);
        let said: Said = serde_json::from_slice(line.trim_ascii()).ok()?;
        let error = if said.error.is_empty() { said.message } else { said.error };
        if !error.is_empty() {
            self.error = Some(error);
        }
        match said.id.as_str() {
            TRACE => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(said.aux.as_str()?).ok()?;
                Some(messages::StatusResponse::decode(bytes.as_slice()).ok()?.into())
            }
            IMAGE => {
                self.image = said.aux.get("ID").and_then(serde_json::Value::as_str).map(str::to_owned);
                None
            }
            _ => None,
        }
    }

    fn end(mut self, fine: bool) -> Result<String, BuildError> {
        self.line();
        match (self.error, self.image) {
            (Some(error), _) => Err(BuildError::Failed(error)),
            (None, Some(image)) if fine => Ok(image),
            (None, _) => Err(EngineError::NotRunning("the answer to a build ended early".into()).into()),
        }
    }
}

fn request(path: &str) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    Request::builder().method(Method::POST).uri(path).header("Host", "docker").body(Empty::new())
}

async fn post(socket: &PathBuf, path: &str) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let talk = async {
        sender.send_request(request(path)?).await?.into_body().collect().await?;
        Ok(())
    };
    tokio::select! {
        done = talk => done,
        ended = connection => Ok(ended?),
    }
}

/// The request's path: options as its query.
fn path(ask: &ImageBuild, session: &str) -> String {
    let args: BTreeMap<&String, &String> = ask.args.iter().map(|(name, value)| (name, value.reveal())).collect();
    let json = |value: serde_json::Result<String>| value.unwrap_or_else(|_| "{}".to_owned());
    let mut query = vec![
        ("version", "2".to_owned()),
        ("remote", "client-session".to_owned()),
        ("session", session.to_owned()),
        ("buildid", ask.id.clone()),
        ("t", ask.tag.clone()),
        ("dockerfile", ask.dockerfile.clone()),
        ("buildargs", json(serde_json::to_string(&args))),
        ("labels", json(serde_json::to_string(&ask.labels))),
    ];
    query.extend(ask.target.clone().map(|target| ("target", target)));
    if ask.no_cache {
        query.push(("nocache", "1".to_owned()));
    }
    let query: Vec<String> = query.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect();
    format!("/build?{}", query.join("&"))
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
