//! The builder of Dockerfiles: a second engine of ours, whose BuildKit makes images that the first one then pulls. It is
//! spoken to over BuildKit's control interface and a session over which it fetches what it needs.
//!
//! A client of our own: bollard's serves no secrets with live output and cannot say how the frontend is to work, and tonic
//! would double the build's libraries. Invariant: whoever drops the future ends the build. Absent: where the builder runs
//! and what it may use (`crate::builder`).

mod answers;
mod control;
mod files;
mod grpc;
mod messages;
mod session;

use super::docker::Docker;
use super::{BuildError, CALL_MAX, EngineError, ImageBuild, Reports};
use bytes::Bytes;
use control::Control;
use futures_util::Stream;
use messages::SolveRequest;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use system::tasks::Tasks;
use tokio::time::timeout;

/// The frontend that every build takes.
const FRONTEND: &str = "dockerfile.v0";
/// How the frontend is told that it is called for by name: then a `# syntax=` line calls for no other one.
const CALLED_AS: (&str, &str) = ("cmdline", "dockerfile");
const EXPORTER: &str = "image";
/// Where the exporter says which image it made.
const MANIFEST: &str = "containerimage.digest";
/// Names that images have on their way from one engine to the other.
const ON_THE_WAY: &str = "on-the-way.invalid";

/// The builder behind a socket.
#[derive(Debug, Clone)]
pub struct BuildKit {
    socket: PathBuf,
    engine: Arc<Docker>,
    tasks: Tasks,
}

/// What a build made, in the builder's own store until it is forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The digest of its manifest.
    pub manifest: String,
    /// Its name there, which nobody can guess.
    pub name: String,
}

/// What the builder consists of; a part that does not say its version is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuilderVersion {
    /// The engine.
    pub engine: String,
    /// BuildKit.
    pub buildkit: String,
    /// containerd.
    pub containerd: String,
    /// runc.
    pub runc: String,
}

impl BuildKit {
    /// The builder that listens at `socket`. Nothing is connected yet.
    pub fn new(socket: impl Into<PathBuf>, tasks: Tasks) -> BuildKit {
        let socket = socket.into();
        BuildKit { engine: Arc::new(Docker::new(&socket, tasks.clone())), socket, tasks }
    }

    /// What it consists of; an error while it does not answer.
    pub async fn version(&self) -> Result<BuilderVersion, EngineError> {
        let mut parts = self.engine.components().await?;
        let buildkit = Control::open(&self.socket, &self.tasks).await?.version().await?;
        let mut part = |name: &str| parts.remove(name).unwrap_or_default();
        Ok(BuilderVersion { engine: part("Engine"), buildkit, containerd: part("containerd"), runc: part("runc") })
    }

    /// Builds an image. Takes as long as it takes: whoever drops the future ends the build.
    pub async fn build(&self, ask: ImageBuild, reports: &Reports) -> Result<Built, BuildError> {
        let ask = Arc::new(ask);
        let session = format!("{:032x}", rand::random::<u128>());
        let name = format!("{ON_THE_WAY}/{:032x}:now", rand::random::<u128>());
        let away = |err: std::io::Error| EngineError::NotRunning(Box::new(err));
        let stream = timeout(CALL_MAX, session::open(&self.socket, &ask, &session)).await;
        let stream = stream.map_err(|_| EngineError::NotAnswering)?.map_err(away)?;
        let control = Control::open(&self.socket, &self.tasks).await?;
        let solve = solve(&ask, &session, &name);
        let work = async {
            // What happens ends with what is done, and a moment later than it.
            let (done, heard) = tokio::join!(control.solve(&solve), control.follow(&ask.id, reports));
            if let Err(err) = heard {
                tracing::debug!("what happened in a build was not heard to its end: {err}");
            }
            done
        };
        // The session ends with the build: it is no task of its own.
        let answer = tokio::select! {
            done = work => done?,
            () = session::serve(stream, Arc::clone(&ask), self.tasks.clone()) => {
                return Err(EngineError::NotRunning("the builder closed the build's session".into()).into());
            }
        };
        match answer.exporter_response.get(MANIFEST) {
            Some(manifest) => Ok(Built { manifest: manifest.clone(), name }),
            None => Err(EngineError::NotRunning("the builder does not say what it made".into()).into()),
        }
    }

    /// Whether it has an image of this name.
    pub async fn has(&self, name: &str) -> Result<bool, EngineError> {
        self.engine.image_there(name).await
    }

    /// Gives it an image, as an archive in OCI's layout that holds its names.
    pub async fn give(
        &self,
        archive: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), EngineError> {
        self.engine.image_load(archive).await
    }

    /// The names of all that it has.
    pub async fn names(&self) -> Result<Vec<String>, EngineError> {
        self.engine.all_image_names().await
    }

    /// Forgets an image; gone already is fine.
    pub async fn forget(&self, name: &str) -> Result<(), EngineError> {
        self.engine.image_remove(name).await
    }
}

fn solve(ask: &ImageBuild, session: &str, name: &str) -> SolveRequest {
    let mut frontend = HashMap::from([
        (CALLED_AS.0.to_owned(), CALLED_AS.1.to_owned()),
        ("filename".to_owned(), ask.dockerfile.clone()),
        ("cgroup-parent".to_owned(), ask.group.clone()),
    ]);
    frontend.extend(ask.args.iter().map(|(key, value)| (format!("build-arg:{key}"), value.reveal().clone())));
    frontend.extend(ask.labels.iter().map(|(key, value)| (format!("label:{key}"), value.clone())));
    frontend.extend(ask.target.clone().map(|target| ("target".to_owned(), target)));
    if ask.no_cache {
        frontend.insert("no-cache".to_owned(), String::new());
    }
    // Layers as plain tars: what is made here goes no further than this host.
    let exporter = [("name", name), ("oci-mediatypes", "true"), ("compression", "uncompressed"), ("unpack", "false")];
    SolveRequest {
        r#ref: ask.id.clone(),
        exporter: EXPORTER.to_owned(),
        exporter_attrs: exporter.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        session: session.to_owned(),
        frontend: FRONTEND.to_owned(),
        frontend_attrs: frontend,
    }
}
