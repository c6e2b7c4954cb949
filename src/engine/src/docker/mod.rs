//! The engine `docker`: one host's Docker over its socket.
//!
//! Invariant: every call has a deadline, the connection is made when it is needed, so a Docker that is dead or hung costs
//! an error and nothing else. Absent: retries (callers decide), shell, and any use of Docker's log drivers.

mod failures;
mod hints;
mod images;
mod instances;
mod networks;
mod spec;

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests run programs of their own")]
mod live;

use super::{
    CALL_MAX, Engine, EngineError, EngineVersion, Hint, ImageReference, InstanceSpec, NetworkSpec, Observed, Status,
};
use async_trait::async_trait;
use bollard::{API_DEFAULT_VERSION, errors::Error as BollardError};
use domain::dockerfile::ImageFacts;
use domain::refusal::Code;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use system::tasks::Tasks;
use tokio::sync::mpsc;

/// Where Docker listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// How long bollard itself waits for a response to begin: longer than any of ours, so that ours decide.
const CLIENT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Docker on this host.
#[derive(Debug)]
pub struct Docker {
    socket: PathBuf,
    tasks: Tasks,
    client: Mutex<Option<bollard::Docker>>,
    call_max: Duration,
    /// Old engines accept two networks of one name: those of this process are made one after the other.
    network_turn: tokio::sync::Mutex<()>,
}

impl Docker {
    /// Docker at `socket`. Nothing is connected yet: Docker may be dead while Hoist starts.
    pub fn new(socket: impl Into<PathBuf>, tasks: Tasks) -> Docker {
        let (client, network_turn) = (Mutex::new(None), tokio::sync::Mutex::new(()));
        Docker { socket: socket.into(), tasks, client, call_max: CALL_MAX, network_turn }
    }

    /// The socket that `DOCKER_HOST` names, or the default; only `unix://` is taken, for Hoist shares files with Docker.
    pub fn socket_path(docker_host: Option<&str>) -> Result<PathBuf, domain::Refusal> {
        match docker_host {
            None | Some("") => Ok(PathBuf::from(DEFAULT_SOCKET)),
            Some(text) => {
                text.strip_prefix("unix://").filter(|path| path.starts_with('/')).map(PathBuf::from).ok_or_else(|| {
                    domain::Refusal::new(Code::BadDockerHost, "DOCKER_HOST is not a unix socket on this host")
                        .next("set it to unix:///path/to/docker.sock, or leave it out")
                })
            }
        }
    }

    /// One call with the usual deadline. `act` and `object` name it in errors: `start`, `h7k2q-i12`.
    async fn call<T, F>(
        &self,
        act: &str,
        object: &str,
        work: impl FnOnce(bollard::Docker) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, BollardError>>,
    {
        self.call_within(self.call_max, act, object, work).await
    }

    /// One call with a deadline of its own.
    async fn call_within<T, F>(
        &self,
        max: Duration,
        act: &str,
        object: &str,
        work: impl FnOnce(bollard::Docker) -> F,
    ) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, BollardError>>,
    {
        let answer = tokio::time::timeout(max, async { work(self.client().await?).await }).await;
        match answer {
            Err(_) => Err(EngineError::NotAnswering),
            Ok(Ok(value)) => Ok(value),
            Ok(Err(err)) => Err(self.failed(err, act, object)),
        }
    }

    /// What a failed call means. A Docker that went away may come back with another version: the agreement is forgotten.
    fn failed(&self, err: BollardError, act: &str, object: &str) -> EngineError {
        let meaning = failures::meaning(err, act, object);
        if matches!(meaning, EngineError::NotRunning(_)) {
            *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        meaning
    }

    /// The client, connected and agreed on a version at its first use.
    async fn client(&self) -> Result<bollard::Docker, BollardError> {
        let known = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(client) = known {
            return Ok(client);
        }
        let path = self.socket.to_string_lossy();
        let client = bollard::Docker::connect_with_unix(&path, CLIENT_MAX.as_secs(), API_DEFAULT_VERSION)?;
        let client = client.negotiate_version().await?;
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(client.clone());
        Ok(client)
    }
}

impl Docker {
    /// The versions of what it consists of, by name: `Engine`, `containerd`, `runc`. Where a distribution has patched one,
    /// its own version of the package.
    pub(super) async fn components(&self) -> Result<BTreeMap<String, String>, EngineError> {
        let about = self.call("ask", "its parts", |docker| async move { docker.version().await }).await?;
        let version = |one: bollard::models::SystemVersionComponents| {
            let commit = one.details.and_then(|details| details.get("GitCommit").cloned()).unwrap_or_default();
            // Debian's packages say their whole version where others name a commit.
            let whole = commit.starts_with(one.version.trim_start_matches('v')) && !one.version.is_empty();
            (one.name, if whole { commit } else { one.version })
        };
        Ok(about.components.unwrap_or_default().into_iter().map(version).collect())
    }
}

/// A filter `label=key=value`, as several calls take it.
fn by_label(key: &str, value: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![format!("{key}={value}")])])
}

#[async_trait]
impl Engine for Docker {
    async fn version(&self) -> Result<EngineVersion, EngineError> {
        let (info, api) = self
            .call("ask", "its version", |docker| async move { Ok((docker.info().await?, docker.client_version())) })
            .await?;
        let parts = self.components().await?;
        Ok(EngineVersion {
            parts,
            version: info.server_version.unwrap_or_default(),
            api: api.to_string(),
            live_restore: info.live_restore_enabled.unwrap_or(false),
            store: info.driver.unwrap_or_default(),
            root: info.docker_root_dir.unwrap_or_default(),
        })
    }
    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<(), EngineError> {
        self.network_ensure(spec).await
    }
    async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        self.network_remove(name).await
    }
    async fn networks(&self, key: &str, value: &str) -> Result<Vec<String>, EngineError> {
        self.network_names(key, value).await
    }
    async fn ensure_started(&self, spec: &InstanceSpec) -> Result<(), EngineError> {
        self.instance_ensure(spec).await
    }
    async fn start_again(&self, name: &str) -> Result<(), EngineError> {
        self.instance_start(name).await
    }
    async fn inspect(&self, name: &str) -> Result<Option<Observed>, EngineError> {
        self.instance_inspect(name).await
    }
    async fn fillable(&self, name: &str) -> Result<Vec<PathBuf>, EngineError> {
        self.instance_fillable(name).await
    }
    async fn memory(&self, name: &str) -> Result<Option<u64>, EngineError> {
        self.instance_memory(name).await
    }
    async fn list(&self, key: &str, value: &str) -> Result<Vec<Observed>, EngineError> {
        self.instance_list(key, value).await
    }
    async fn wait(&self, name: &str) -> Result<Status, EngineError> {
        self.instance_wait(name).await
    }
    async fn stop(&self, name: &str, grace: Duration) -> Result<(), EngineError> {
        self.instance_stop(name, grace).await
    }
    async fn kill(&self, name: &str) -> Result<(), EngineError> {
        self.instance_kill(name).await
    }
    async fn remove(&self, name: &str) -> Result<(), EngineError> {
        self.instance_remove(name).await
    }
    async fn pull(&self, reference: &ImageReference, tag: &str) -> Result<(), EngineError> {
        self.image_pull(reference, tag).await
    }
    async fn has_image(&self, tag: &str) -> Result<bool, EngineError> {
        self.image_there(tag).await
    }
    async fn remove_image(&self, tag: &str) -> Result<(), EngineError> {
        self.image_remove(tag).await
    }
    async fn images(&self, key: &str, value: &str) -> Result<Vec<String>, EngineError> {
        self.image_names(key, value).await
    }
    async fn image_facts(&self, tag: &str) -> Result<Option<ImageFacts>, EngineError> {
        self.image_facts(tag).await
    }
    async fn hints(&self, key: &str, value: &str) -> Result<mpsc::Receiver<Hint>, EngineError> {
        self.hint_stream(key, value).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets() {
        assert_eq!(Docker::socket_path(None).unwrap(), PathBuf::from(DEFAULT_SOCKET));
        assert_eq!(Docker::socket_path(Some("unix:///run/x.sock")).unwrap(), PathBuf::from("/run/x.sock"));
        for bad in ["tcp://10.0.0.1:2375", "unix://relative", "ssh://x"] {
            assert!(Docker::socket_path(Some(bad)).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn dead_and_hung() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker.sock");
        let docker = Docker { call_max: Duration::from_millis(200), ..Docker::new(&path, Tasks::new()) };
        assert!(matches!(docker.inspect("x").await, Err(EngineError::NotRunning(_))), "no socket");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(matches!(docker.inspect("x").await, Err(EngineError::NotAnswering)), "accepts, never answers");
        assert!(matches!(docker.version().await, Err(EngineError::NotAnswering)));
        drop(listener);
        assert!(matches!(docker.inspect("x").await, Err(EngineError::NotRunning(_))), "refuses");
    }
}
