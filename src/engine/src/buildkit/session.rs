//! The session of one build: the engine calls back over a connection that we opened, for files, secrets and credentials.
//!
//! Invariant: answers only for its own build: only its files, the secrets that were declared, and credentials for the one
//! host that is asked about. Nothing of it is logged.

use super::answers::{Body, message, refuse};
use super::files;
use super::grpc::{code, take};
use super::messages::{CredentialsRequest, CredentialsResponse, GetSecretRequest, GetSecretResponse, HealthResponse};
use crate::ImageBuild;
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{HeaderMap, Request, Response, service::service_fn};
use hyper_util::rt::TokioIo;
use prost::Message;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::path::Path;
use std::sync::Arc;
use system::tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A question is small; more is none.
const QUESTION_MAX: usize = 64 * 1024;
const HEAD_MAX: usize = 8 * 1024;

const HEALTH: &str = "/grpc.health.v1.Health/Check";
const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
const FILES: &str = "/moby.filesync.v1.FileSync/DiffCopy";

/// Opens the session of a build.
pub(super) async fn open(socket: &Path, ask: &ImageBuild, id: &str) -> io::Result<UnixStream> {
    let methods = [SECRET, CREDENTIALS, FILES, HEALTH];
    let methods: String = methods.iter().map(|m| format!("X-Docker-Expose-Session-Grpc-Method: {m}\r\n")).collect();
    let head = format!(
        "POST /session HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\
         X-Docker-Expose-Session-Uuid: {id}\r\nX-Docker-Expose-Session-Name: hoist\r\n\
         X-Docker-Expose-Session-Sharedkey: {}\r\n{methods}\r\n",
        ask.shared_key
    );
    upgraded(socket, &head).await
}

/// Sends a request's head, which asks to speak another protocol, and gives the connection when that is granted.
pub(super) async fn upgraded(socket: &Path, head: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    // Byte by byte: what comes after the head belongs to the next protocol.
    while !answer.ends_with(b"\r\n\r\n") && answer.len() < HEAD_MAX {
        answer.push(stream.read_u8().await?);
    }
    match answer.starts_with(b"HTTP/1.1 101") {
        true => Ok(stream),
        false => {
            Err(io::Error::other(String::from_utf8_lossy(&answer).lines().next().unwrap_or("no answer").to_owned()))
        }
    }
}

/// Answers until the engine closes the connection.
pub(super) async fn serve(stream: UnixStream, ask: Arc<ImageBuild>, tasks: Tasks) {
    let executor = OnTasks(tasks.clone());
    let service = service_fn(move |request| {
        let (ask, tasks) = (Arc::clone(&ask), tasks.clone());
        async move { Ok::<_, Infallible>(answer(request, &ask, &tasks).await) }
    });
    let served =
        hyper::server::conn::http2::Builder::new(executor).serve_connection(TokioIo::new(stream), service).await;
    if let Err(err) = served {
        tracing::debug!("a build's session ended: {err}");
    }
}

/// Runs what a connection needs as tasks of ours.
#[derive(Clone)]
pub(super) struct OnTasks(pub Tasks);

impl<F> hyper::rt::Executor<F> for OnTasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, work: F) {
        self.0.spawn("build session", |_| work);
    }
}

async fn answer(request: Request<Incoming>, ask: &Arc<ImageBuild>, tasks: &Tasks) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let (head, body) = request.into_parts();
    match path.as_str() {
        HEALTH => message(&HealthResponse { status: 1 }),
        SECRET => match question::<GetSecretRequest>(body).await {
            Some(question) => match ask.secrets.get(&question.id) {
                Some(value) => message(&GetSecretResponse { data: value.reveal().clone().into_bytes() }),
                None => refuse(code::NOT_FOUND, &format!("secret {} not found", question.id)),
            },
            None => refuse(code::INVALID, "bad question"),
        },
        CREDENTIALS => match question::<CredentialsRequest>(body).await {
            Some(question) => message(&credentials(ask, &question.host)),
            None => refuse(code::INVALID, "bad question"),
        },
        FILES => {
            let named = head.headers.get("dir-name").and_then(|name| name.to_str().ok()).unwrap_or_default();
            files::answer(body, Arc::clone(ask), named, &included(&head.headers), tasks)
        }
        _ => refuse(code::UNIMPLEMENTED, "not here"),
    }
}

fn included(headers: &HeaderMap) -> Vec<String> {
    headers.get_all("include-patterns").iter().filter_map(|one| Some(one.to_str().ok()?.to_owned())).collect()
}

/// Nothing for a host that nobody has logged in to: it is asked without a name then.
fn credentials(ask: &ImageBuild, host: &str) -> CredentialsResponse {
    let host = login_host(host);
    ask.registries.get(host).map_or_else(CredentialsResponse::default, |login| CredentialsResponse {
        username: login.user.clone(),
        secret: login.password.reveal().clone(),
    })
}

/// The name that a login is kept by. The usual registry has hosts below its own; one that only ends alike is another's.
fn login_host(host: &str) -> &str {
    let hub = concat!("dock", "er.io");
    match host.strip_suffix(hub) {
        Some(rest) if rest.is_empty() || rest.ends_with('.') => hub,
        Some(_) | None => host,
    }
}

async fn question<M: Message + Default>(body: Incoming) -> Option<M> {
    let bytes = http_body_util::Limited::new(body, QUESTION_MAX).collect().await.ok()?.to_bytes();
    let mut buffer = BytesMut::from(bytes.as_ref());
    M::decode(take(&mut buffer, QUESTION_MAX).ok()??).ok()
}

#[cfg(test)]
mod tests {
    use super::login_host;

    #[test]
    fn a_login_is_for_its_own_host() {
        let hub = concat!("dock", "er.io");
        for (host, wanted) in [(hub.to_owned(), hub.to_owned()), (format!("registry-1.{hub}"), hub.to_owned())] {
            assert_eq!(login_host(&host), wanted);
        }
        for other in [format!("evil{hub}"), format!("{hub}.example"), "127.0.0.1:5000".to_owned()] {
            assert_eq!(login_host(&other), other);
        }
    }
}
