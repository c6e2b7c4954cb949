//! A real Docker for tests of this crate and of others: what a run made goes with it.

use crate::docker::DEFAULT_SOCKET;
use crate::images::{BlobStore, Registry};
use crate::{Attachment, Docker, Engine, InstanceSpec, Limits, NetworkSpec};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use system::tasks::Tasks;

/// The label that the tests' things carry, with a value per run.
pub const LABEL: &str = "hoist.test";
/// Where `scripts/stacks` puts its tars, unless told otherwise.
const STACKS: &str = "/var/lib/hoist/stacks";

/// A Docker to test with, whose leftovers go when it is dropped, also after a failure.
pub struct Bench {
    /// The engine.
    pub docker: Docker,
    /// What images are handed over by.
    pub registry: Registry,
    /// The word in the names of all that this run makes.
    pub run: String,
    /// The third byte of its addresses.
    pub subnet_base: u8,
    /// What ends with it.
    pub tasks: Tasks,
    /// The blobs.
    pub data: tempfile::TempDir,
}

impl Bench {
    /// `None`, and a word on it, where there is no Docker or no stack.
    pub async fn open() -> Option<Bench> {
        let stacks = Bench::stacks();
        let socket = Bench::socket();
        if !socket.exists() || !stacks.join("deb13-run.tar").exists() {
            eprintln!("skipped: no Docker at {}, or no stacks in {}", socket.display(), stacks.display());
            return None;
        }
        let (tasks, data) = (Tasks::new(), tempfile::tempdir().unwrap());
        let blobs = Arc::new(BlobStore::open(data.path()).unwrap());
        let registry = Registry::start(&tasks, blobs).await.unwrap();
        let run = format!("t{:07x}", rand::random::<u32>() >> 4);
        let docker = Docker::new(socket, tasks.clone());
        Some(Bench { docker, registry, run, subnet_base: rand::random(), tasks, data })
    }

    /// The engine under test: `tests/engines/newer` names another than the machine's own.
    pub fn socket() -> PathBuf {
        std::env::var_os("HOIST_TEST_DOCKER").map_or_else(|| PathBuf::from(DEFAULT_SOCKET), PathBuf::from)
    }

    /// Where the stacks are.
    pub fn stacks() -> PathBuf {
        std::env::var_os("HOIST_STACKS").map_or_else(|| PathBuf::from(STACKS), PathBuf::from)
    }

    /// What this run's things carry.
    pub fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(LABEL.to_owned(), self.run.clone())])
    }

    /// The n-th network of this run, in 10.254.0.0/16.
    pub fn network(&self, n: u8) -> NetworkSpec {
        let subnet = Ipv4Addr::new(10, 254, self.subnet_base, n * 32);
        NetworkSpec {
            name: format!("{}-n{n}", self.run),
            bridge: format!("hst{}{n}", self.run),
            subnet: (subnet, 27),
            gateway: Ipv4Addr::new(10, 254, self.subnet_base, n * 32 + 1),
            members_talk: true,
            labels: self.labels(),
        }
    }

    /// The n-th instance of this run.
    pub fn instance(&self, n: u32, image: &str, argv: &[&str]) -> InstanceSpec {
        spec(&self.run, n, image, &self.network(0), argv)
    }

    /// Removes everything of this run.
    pub async fn clean(&self) {
        for one in self.docker.list(LABEL, &self.run).await.unwrap_or_default() {
            let _ = self.docker.remove(&one.name).await;
        }
        for name in self.docker.networks(LABEL, &self.run).await.unwrap_or_default() {
            let _ = self.docker.remove_network(&name).await;
        }
        for name in self.docker.images(LABEL, &self.run).await.unwrap_or_default() {
            let _ = self.docker.remove_image(&name).await;
        }
    }

    /// Runs a test body and cleans up, whatever becomes of it.
    pub async fn with<F: Future<Output = ()>>(body: impl FnOnce(Arc<Bench>) -> F) {
        let Some(bench) = Bench::open().await else { return };
        let bench = Arc::new(bench);
        let outcome = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(body(bench.clone()))).await;
        bench.clean().await;
        bench.tasks.shutdown(Duration::from_secs(2)).await;
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    }
}

/// An instance with few limits.
pub fn spec(run: &str, n: u32, image: &str, network: &NetworkSpec, argv: &[&str]) -> InstanceSpec {
    let address = Ipv4Addr::from(u32::from(network.gateway) + 1 + n);
    InstanceSpec {
        name: format!("{run}-i{n}"),
        image: image.to_owned(),
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        env: BTreeMap::from([("PORT".to_owned(), "5000".to_owned())]),
        cwd: None,
        capabilities: vec!["SETUID".to_owned(), "SETGID".to_owned()],
        read_only: false,
        mounts: Vec::new(),
        limits: Limits { memory: 128 << 20, cpu_millis: 500, pids: 64, files: 1024 },
        attachment: Attachment { network: network.name.clone(), address: Some(address) },
        hostname: format!("web-{n}"),
        labels: BTreeMap::from([(LABEL.to_owned(), run.to_owned())]),
    }
}
