//! Calls to BuildKit's control interface: solve a build, hear what happens meanwhile, ask what answers.

use super::grpc::{code, framed, status, take};
use super::messages::{InfoRequest, InfoResponse, SolveRequest, SolveResponse, StatusRequest, StatusResponse};
use super::session::{OnTasks, upgraded};
use crate::{BuildError, CALL_MAX, EngineError, Reports};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use prost::Message;
use std::path::Path;
use system::tasks::Tasks;
use tokio::time::timeout;

const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
const STATUS: &str = "/moby.buildkit.v1.Control/Status";
const INFO: &str = "/moby.buildkit.v1.Control/Info";
/// One message of what happens: a burst of output.
const REPORT_MAX: usize = 16 << 20;
/// An answer.
const ANSWER_MAX: usize = 4 << 20;

/// A connection to the control interface. Dropped, it ends what was asked over it.
#[derive(Debug)]
pub(super) struct Control {
    sender: SendRequest<Full<Bytes>>,
}

/// Why a call came to nothing.
enum Failure {
    /// It was answered: the code and words.
    Said(u16, String),
    /// It was not.
    Away(Box<dyn std::error::Error + Send + Sync>),
}

impl Control {
    /// Connects, and keeps the connection going until it is dropped.
    pub async fn open(socket: &Path, tasks: &Tasks) -> Result<Control, EngineError> {
        let away = |err: Box<dyn std::error::Error + Send + Sync>| EngineError::NotRunning(err);
        let head = "POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
        let stream = timeout(CALL_MAX, upgraded(socket, head)).await.map_err(|_| EngineError::NotAnswering)?;
        let stream = TokioIo::new(stream.map_err(|err| away(err.into()))?);
        let shaken = timeout(CALL_MAX, http2::handshake(OnTasks(tasks.clone()), stream)).await;
        let (sender, connection) = shaken.map_err(|_| EngineError::NotAnswering)?.map_err(|err| away(err.into()))?;
        tasks.spawn("builder connection", |stop| async move {
            // It ends when the last sender is gone.
            tokio::select! {
                ended = connection => if let Err(err) = ended {
                    tracing::debug!("a connection to the builder ended: {err}");
                },
                () = stop.cancelled() => {}
            }
        });
        Ok(Control { sender })
    }

    /// Builds; what the exporter answers.
    pub async fn solve(&self, ask: &SolveRequest) -> Result<SolveResponse, BuildError> {
        match self.call(SOLVE, ask).await {
            Ok(answer) => Ok(answer),
            Err(Failure::Said(_, words)) => Err(BuildError::Failed(words)),
            Err(Failure::Away(err)) => Err(EngineError::NotRunning(err).into()),
        }
    }

    /// Hands on what happens in the build of this name until it is over.
    pub async fn follow(&self, build: &str, reports: &Reports) -> Result<(), EngineError> {
        let away = |err: Box<dyn std::error::Error + Send + Sync>| EngineError::NotRunning(err);
        let asked = self.send(STATUS, &StatusRequest { r#ref: build.to_owned() }).await;
        let mut body = asked.map_err(|failure| match failure {
            Failure::Said(_, words) => away(words.into()),
            Failure::Away(err) => away(err),
        })?;
        let mut buffer = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|err| away(err.into()))?.into_data() else { continue };
            buffer.extend_from_slice(&data);
            while let Some(bytes) = take(&mut buffer, REPORT_MAX).map_err(|err| away(err.into()))? {
                if let Ok(report) = StatusResponse::decode(bytes) {
                    // Nobody listens any more: the build goes on.
                    let _ = reports.send(report.into()).await;
                }
            }
        }
        Ok(())
    }

    /// The version of BuildKit; empty where it does not say.
    pub async fn version(&self) -> Result<String, EngineError> {
        let asked = timeout(CALL_MAX, self.call::<InfoResponse>(INFO, &InfoRequest {})).await;
        match asked.map_err(|_| EngineError::NotAnswering)? {
            Ok(answer) => Ok(answer.version.unwrap_or_default().version),
            // Older than the question.
            Err(Failure::Said(code::UNIMPLEMENTED, _)) => Ok(String::new()),
            Err(Failure::Said(_, words)) => {
                Err(EngineError::Failed { act: "ask the builder's version".to_owned(), source: words.into() })
            }
            Err(Failure::Away(err)) => Err(EngineError::NotRunning(err)),
        }
    }

    async fn call<M: Message + Default>(&self, path: &str, ask: &impl Message) -> Result<M, Failure> {
        let mut body = self.send(path, ask).await?;
        let (mut buffer, mut ended) = (BytesMut::new(), None);
        while let Some(frame) = body.frame().await {
            match frame.map_err(|err| Failure::Away(err.into()))?.into_data() {
                Ok(data) if buffer.len() + data.len() <= ANSWER_MAX => buffer.extend_from_slice(&data),
                Ok(_) => return Err(Failure::Away("an answer of the builder is too large".into())),
                Err(other) => ended = other.trailers_ref().and_then(status).or(ended),
            }
        }
        match ended {
            Some((code::OK, _)) => {}
            Some((code, words)) => return Err(Failure::Said(code, words)),
            None => return Err(Failure::Away("the builder's answer ended early".into())),
        }
        let bytes = take(&mut buffer, ANSWER_MAX).map_err(|err| Failure::Away(err.into()))?;
        M::decode(bytes.unwrap_or_default()).map_err(|err| Failure::Away(err.into()))
    }

    async fn send(&self, path: &str, ask: &impl Message) -> Result<Incoming, Failure> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://docker{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Full::new(framed(ask)))
            .map_err(|err| Failure::Away(err.into()))?;
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(|err| Failure::Away(err.into()))?;
        let answer = sender.send_request(request).await.map_err(|err| Failure::Away(err.into()))?;
        // A failure without a body says so in its head.
        match status(answer.headers()) {
            Some((failed, words)) if failed != code::OK => Err(Failure::Said(failed, words)),
            Some(_) | None => Ok(answer.into_body()),
        }
    }
}
