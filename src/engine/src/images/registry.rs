//! The loopback registry: read only, by digest only, for whoever knows this start's token.
//!
//! Invariant: answers anything that is not HTTP with 400, which makes containerd fall back from TLS. Absent: tags,
//! pushing, any path that comes from a request.

use super::blobs::BlobStore;
use super::digest::Digest;
use super::oci;
use crate::{ImageReference, REGISTRY_USER};
use base64::Engine as _;
use bytes::Bytes;
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io::{self, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use system::fault::{Act, Fault};
use system::tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;

const CONNECTIONS_MAX: usize = 64;
/// A connection that has not sent its request's head by then is closed.
const HEAD_MAX: Duration = Duration::from_secs(30);
const CHUNK: usize = 256 * 1024;
const TOKEN_BYTES: usize = 32;
/// After an accept that failed (too many open files), wait a moment.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

type Body = BoxBody<Bytes, io::Error>;

/// A registry that is listening. Clones are the same registry.
#[derive(Debug, Clone)]
pub struct Registry {
    address: SocketAddr,
    token: domain::Secret<String>,
    shop: Arc<Shop>,
}

/// What was served so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// Requests answered with content.
    pub blobs: u64,
    /// Bytes of them.
    pub bytes: u64,
}

#[derive(Debug)]
struct Shop {
    blobs: Arc<BlobStore>,
    /// The digest of the right `Authorization` header: comparing digests takes the same time for every wrong one.
    admission: Digest,
    served_blobs: AtomicU64,
    served_bytes: AtomicU64,
}

impl Registry {
    /// Listens on a free loopback port with a fresh token.
    pub async fn start(tasks: &Tasks, blobs: Arc<BlobStore>) -> Result<Registry, Fault> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.act(|| "cannot listen for the image registry")?;
        let address = listener.local_addr().act(|| "cannot listen for the image registry")?;
        let token: String = rand::random::<[u8; TOKEN_BYTES]>().iter().map(|byte| format!("{byte:02x}")).collect();
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{REGISTRY_USER}:{token}"));
        let shop = Arc::new(Shop {
            blobs,
            admission: Digest::of(format!("Basic {pair}").as_bytes()),
            served_blobs: AtomicU64::new(0),
            served_bytes: AtomicU64::new(0),
        });
        let (own_tasks, own_shop) = (tasks.clone(), shop.clone());
        tasks.spawn("image registry", |stop| accept(stop, listener, own_tasks, own_shop));
        Ok(Registry { address, token: domain::Secret::new(token), shop })
    }

    /// How an engine on this host names the image.
    pub fn reference(&self, repository: &str, manifest: &Digest) -> ImageReference {
        ImageReference {
            registry: self.address.to_string(),
            repository: repository.to_owned(),
            digest: manifest.to_string(),
            token: self.token.clone(),
        }
    }

    /// The blobs behind it.
    pub fn blobs(&self) -> &Arc<BlobStore> {
        &self.shop.blobs
    }

    /// What was served so far.
    pub fn served(&self) -> Served {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        Served { blobs: read(&self.shop.served_blobs), bytes: read(&self.shop.served_bytes) }
    }
}

async fn accept(stop: CancellationToken, listener: TcpListener, tasks: Tasks, shop: Arc<Shop>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => return,
            place = places.clone().acquire_owned() => place,
        };
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = stream else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let shop = shop.clone();
        tasks.spawn("image registry connection", |stop| async move {
            serve(stop, stream, shop).await;
            drop(place);
        });
    }
}

async fn serve(stop: CancellationToken, stream: TcpStream, shop: Arc<Shop>) {
    let service = service_fn(move |request| {
        let shop = shop.clone();
        async move { Ok::<_, Infallible>(shop.answer(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = stop.cancelled() => {}
        ended = connection => {
            if let Err(err) = ended {
                tracing::debug!(cause = %err, "a registry connection ended");
            }
        }
    }
}

impl Shop {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let admitted =
            request.headers().get(AUTHORIZATION).is_some_and(|header| Digest::of(header.as_bytes()) == self.admission);
        if !admitted {
            let mut answer = error(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
            answer
                .headers_mut()
                .insert(WWW_AUTHENTICATE, hyper::header::HeaderValue::from_static("Basic realm=\"hoist\""));
            return answer;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return error(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", "this registry is read only");
        }
        let path = request.uri().path().trim_start_matches('/');
        if matches!(path, "v2" | "v2/") {
            return plain(StatusCode::OK, "application/json", "{}".to_owned());
        }
        match wanted(path) {
            Some((kind, digest)) => match self.content(kind, &digest, request.method(), request.headers()).await {
                Ok(answer) => answer,
                Err(err) if err.kind() == io::ErrorKind::NotFound => kind.unknown(),
                Err(err) => {
                    tracing::warn!(digest = %digest, cause = %err, "cannot serve a blob");
                    error(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "cannot read it")
                }
            },
            None => error(StatusCode::NOT_FOUND, "NAME_UNKNOWN", "only manifests and blobs by digest are served"),
        }
    }

    async fn content(
        &self,
        kind: Kind,
        digest: &Digest,
        method: &Method,
        headers: &HeaderMap,
    ) -> io::Result<Response<Body>> {
        let path = self.blobs.find(digest).ok_or(io::ErrorKind::NotFound)?;
        let mut file = tokio::fs::File::open(path).await?;
        let size = file.metadata().await?.len();
        let from = headers.get(RANGE).and_then(|header| range_start(header.to_str().ok()?)).filter(|from| *from < size);
        let length = size - from.unwrap_or(0);
        let mut answer = Response::builder()
            .header(CONTENT_LENGTH, length)
            .header(ACCEPT_RANGES, "bytes")
            .header("docker-content-digest", digest.as_str())
            .header(CONTENT_TYPE, kind.media_type());
        if let Some(from) = from {
            file.seek(SeekFrom::Start(from)).await?;
            answer = answer
                .status(StatusCode::PARTIAL_CONTENT)
                .header(CONTENT_RANGE, format!("bytes {from}-{}/{size}", size.saturating_sub(1)));
        }
        let body = if *method == Method::HEAD {
            empty()
        } else {
            tracing::debug!(digest = %digest, "served");
            self.served_blobs.fetch_add(1, Ordering::Relaxed);
            self.served_bytes.fetch_add(length, Ordering::Relaxed);
            let chunks = ReaderStream::with_capacity(file.take(length), CHUNK);
            StreamBody::new(chunks.map_ok(Frame::data)).boxed()
        };
        answer.body(body).map_err(io::Error::other)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Manifest,
    Blob,
}

impl Kind {
    fn media_type(self) -> &'static str {
        match self {
            Kind::Manifest => oci::MANIFEST_TYPE,
            Kind::Blob => "application/octet-stream",
        }
    }
    fn unknown(self) -> Response<Body> {
        match self {
            Kind::Manifest => error(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown"),
            Kind::Blob => error(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry"),
        }
    }
}

/// `v2/NAME/manifests/sha256:…`: the name decides nothing.
fn wanted(path: &str) -> Option<(Kind, Digest)> {
    let mut parts = path.strip_prefix("v2/")?.rsplitn(3, '/');
    let digest = parts.next()?.parse().ok()?;
    let kind = match parts.next()? {
        "manifests" => Kind::Manifest,
        "blobs" => Kind::Blob,
        _ => return None,
    };
    parts.next().filter(|name| !name.is_empty()).map(|_| (kind, digest))
}

/// `bytes=123-`, as an engine asks that resumes. Other ranges get everything, which is allowed.
fn range_start(header: &str) -> Option<u64> {
    header.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let text = serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string();
    plain(status, "application/json", text)
}

fn plain(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let body = Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed();
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert("docker-distribution-api-version", hyper::header::HeaderValue::from_static("registry/2.0"));
    answer
}

fn empty() -> Body {
    http_body_util::Empty::new().map_err(|never: Infallible| match never {}).boxed()
}
