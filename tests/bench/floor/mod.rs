//! What the engine alone needs for a deploy: the floor that deploys are measured against; and how figures are shown.

use engine::images::{
    BlobStore, EPOCH, Entry, ImageConfig, LayerOptions, LayerWriter, Node, Registry, architecture, ensure_stack,
};
use engine::{Attachment, Docker, Engine, InstanceSpec, Limits, NetworkSpec};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use system::tasks::Tasks;

const LABEL: &str = "hoist.bench";

/// The Docker API alone, through the same calls that the server uses.
pub struct Floor {
    docker: Docker,
    registry: Registry,
    run: String,
    stack: engine::images::Stack,
    network: NetworkSpec,
    tasks: Tasks,
    _data: tempfile::TempDir,
}

impl Floor {
    /// Brings the stack to the engine, and makes a network.
    pub async fn open(stacks: &Path) -> Floor {
        let (tasks, data) = (Tasks::new(), tempfile::tempdir().unwrap());
        let registry = Registry::start(&tasks, Arc::new(BlobStore::open(data.path()).unwrap())).await.unwrap();
        let docker = Docker::new("/var/run/docker.sock", tasks.clone());
        let stack = ensure_stack(&docker, &registry, stacks, "deb13-run").await.unwrap();
        let run = format!("f{:07x}", std::process::id());
        let network = NetworkSpec {
            name: format!("{run}-n"),
            bridge: format!("hsf{run}"),
            subnet: (Ipv4Addr::new(10, 253, 77, 0), 24),
            gateway: Ipv4Addr::new(10, 253, 77, 1),
            members_talk: true,
            labels: BTreeMap::from([(LABEL.to_owned(), run.clone())]),
        };
        docker.ensure_network(&network).await.unwrap();
        Floor { docker, registry, run, stack, network, tasks, _data: data }
    }

    /// Pull of a one-file layer, create, start; in seconds. Making the layer and removing the container are not counted.
    pub async fn once(&self, round: usize) -> f64 {
        let options = LayerOptions { uid: 1000, gid: 1000, home: "app".to_owned(), bytes_max: 1 << 30 };
        let mut layer = LayerWriter::new(self.registry.blobs(), options).unwrap();
        let text = format!("{} {round}", self.run).into_bytes();
        layer.add_entries([Ok(Entry { path: b"app/file".to_vec(), node: Node::bytes(false, text) })]).unwrap();
        let image = ImageConfig {
            env: BTreeMap::new(),
            workdir: "/app".to_owned(),
            user: "1000:1000".to_owned(),
            labels: BTreeMap::from([(LABEL.to_owned(), self.run.clone())]),
            cmd: vec![],
            exposed_port: None,
            created: EPOCH.to_owned(),
            layers: vec![self.stack.layer.clone(), layer.finish().unwrap()],
            architecture: architecture().to_owned(),
        };
        let manifest = image.assemble(self.registry.blobs()).unwrap();
        let tag = format!("hoist/bench-{}:r{round}", self.run);
        let name = format!("{}-{round}", self.run);
        let spec = InstanceSpec {
            name: name.clone(),
            image: tag.clone(),
            argv: vec!["/bin/sleep".to_owned(), "60".to_owned()],
            read_only: false,
            env: BTreeMap::new(),
            cwd: None,
            capabilities: vec![],
            mounts: vec![],
            limits: Limits { memory: 512_000_000, cpu_millis: 1_500, pids: 512, files: 16_384 },
            attachment: Attachment { network: self.network.name.clone(), address: Some(Ipv4Addr::new(10, 253, 77, 9)) },
            hostname: "floor".to_owned(),
            labels: BTreeMap::from([(LABEL.to_owned(), self.run.clone())]),
        };
        let begun = Instant::now();
        self.docker.pull(&self.registry.reference("hoist/bench", &manifest), &tag).await.unwrap();
        self.docker.ensure_started(&spec).await.unwrap();
        let took = begun.elapsed().as_secs_f64();
        self.docker.remove(&name).await.unwrap();
        self.docker.remove_image(&tag).await.unwrap();
        took
    }

    /// Removes what [`Floor::open`] made.
    pub async fn close(&self) {
        self.docker.remove_network(&self.network.name).await.unwrap();
        self.tasks.shutdown(Duration::from_secs(5)).await;
    }
}

/// How long it took.
pub fn seconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

/// The app says in its log how long it took from its start until it listened.
pub fn less_boot(app: &e2e::App<'_>, all: f64) -> f64 {
    let log = app.run("logs", &["-n", "40", "-p", "web"]).ok();
    let boot = log.out.lines().rev().find_map(|l| l.split("listening after ").nth(1)?.trim().parse::<f64>().ok());
    all - boot.unwrap_or(0.0)
}

/// The middle one.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Median, range, how many.
pub fn shown(values: &mut [f64]) -> String {
    let middle = median(values);
    format!("{middle:.3} s ({:.3} to {:.3}, n {})", values[0], values[values.len() - 1], values.len())
}
