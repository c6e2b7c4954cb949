//! Stacks: the root file systems that apps run in and are built in, as images of one layer each.

use super::digest::{Digest, Layer};
use super::oci::{EPOCH, ImageConfig, architecture};
use super::registry::Registry;
use crate::engine::{Engine, EngineError};
use crate::fault::{Act, Fault, Result};
use crate::tasks::blocking;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The label by which a stack's image is known, with the digest of its layer.
const LABEL: &str = "hoist.stack";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stack that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Its name in the engine: `hoist/stack-run:deb13`.
    pub image: String,
    /// Its layer, the lowest of every image that runs on it.
    pub layer: Layer,
}

/// What lies beside the tar.
#[derive(Debug, Deserialize)]
struct Sidecar {
    digest: String,
    size: u64,
}

/// Makes sure that the engine has the image of the stack `deb13-run` (a tar of that name in `stacks`, with its `.json`).
/// The tar is served from where it lies. Pulling takes seconds the first time, nothing after that.
pub async fn ensure_stack(engine: &dyn Engine, registry: &Registry, stacks: &Path, name: &str) -> Result<Stack> {
    let (tar, layer) = {
        let (stacks, name) = (stacks.to_owned(), name.to_owned());
        blocking("read a stack", move || read(&stacks, &name)).await?
    };
    registry.blobs().alias(&layer.digest, tar);
    let (distribution, kind) = name.rsplit_once('-').unwrap_or((name, "run"));
    let repository = format!("hoist/stack-{kind}");
    let image = format!("{repository}:{distribution}");
    let cannot = |err: EngineError| Fault::new(format!("cannot make the image {image}"), err).transient();
    let there = engine.images(LABEL, layer.digest.as_str()).await.map_err(cannot)?;
    // The second name is what a Dockerfile's `FROM hoist/stack-run` asks for.
    for name in [image.clone(), format!("{repository}:latest")] {
        if !there.contains(&name) {
            let (config, blobs) = (config(&layer), registry.blobs().clone());
            let manifest = blocking("describe a stack", move || Ok(config.assemble(&blobs)?)).await?;
            engine.pull(&registry.reference(&repository, &manifest), &name).await.map_err(cannot)?;
        }
    }
    Ok(Stack { image, layer })
}

fn read(stacks: &Path, name: &str) -> Result<(PathBuf, Layer)> {
    let (tar, json) = (stacks.join(format!("{name}.tar")), stacks.join(format!("{name}.json")));
    let act = || format!("cannot read the stack {}", json.display());
    let text = std::fs::read(&json).act(act)?;
    let sidecar: Sidecar = serde_json::from_slice(&text).act(act)?;
    let digest: Digest = sidecar.digest.parse().act(act)?;
    let size = std::fs::metadata(&tar).act(|| format!("cannot read the stack {}", tar.display()))?.len();
    if size != sidecar.size {
        return Err(Fault::plain(format!(
            "{} has {size} bytes, not the {} it was made with",
            tar.display(),
            sidecar.size
        ))
        .into());
    }
    Ok((tar, Layer { digest, size }))
}

fn config(layer: &Layer) -> ImageConfig {
    ImageConfig {
        env: BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]),
        workdir: "/".to_owned(),
        user: String::new(),
        labels: BTreeMap::from([(LABEL.to_owned(), layer.digest.to_string())]),
        cmd: vec!["/bin/sh".to_owned()],
        exposed_port: None,
        created: EPOCH.to_owned(),
        layers: vec![layer.clone()],
        architecture: architecture().to_owned(),
    }
}
