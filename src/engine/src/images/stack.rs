//! Stacks: the root file systems that apps run in and are built in, as images of one layer each.

use super::digest::{Digest, Layer};
use super::layer::{Entry, LayerOptions, LayerWriter, Node};
use super::oci::{EPOCH, ImageConfig, architecture};
use super::registry::Registry;
use crate::{Engine, EngineError};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use system::fault::{Act, Fault, Result};
use system::tasks::blocking;

/// The label by which a stack's image is known, with the digest of its layer.
const LABEL: &str = "hoist.stack";
/// Where Debian's programs look for certificate authorities.
pub const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const BUNDLE_MAX: u64 = 64 << 20;
/// Variables by which the usual clients find a CA bundle.
pub const CA_VARIABLES: [&str; 7] = [
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
];
/// The stack that a name without a tag means.
const DEFAULT: &str = "deb13";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A stack that the engine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    /// Its name in the engine, with its digest: `hoist/stack-run:deb13-1a2b3c4d5e6f`.
    pub image: String,
    /// Its layer, the lowest of every image that runs on it.
    pub layer: Layer,
    /// Where its Debian packages came from, for builds that need more of them; none where that is not known.
    pub mirror: Option<Mirror>,
}

/// Addresses of Debian's archives.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Mirror {
    /// The main archive.
    #[serde(rename = "mirror")]
    pub main: String,
    /// The security archive; may be empty.
    pub security: String,
}

/// What lies beside the tar.
#[derive(Debug, Deserialize)]
struct Sidecar {
    digest: String,
    size: u64,
    #[serde(flatten)]
    mirror: Option<Mirror>,
}

/// Makes sure that the engine has the image of the stack `deb13-run` (a tar of that name in `stacks`, with its `.json`).
/// The tar is served from where it lies. Pulling takes seconds the first time, nothing after that.
pub async fn ensure_stack(engine: &dyn Engine, registry: &Registry, stacks: &Path, name: &str) -> Result<Stack> {
    let (tar, layer, mirror) = {
        let (stacks, name) = (stacks.to_owned(), name.to_owned());
        blocking("read a stack", move || read(&stacks, &name)).await?
    };
    registry.blobs().alias(&layer.digest, tar);
    let (distribution, kind) = name.rsplit_once('-').unwrap_or((name, "run"));
    let repository = format!("hoist/stack-{kind}");
    let plain = format!("{repository}:{distribution}");
    // Another installation on this host may have another stack by the same plain name.
    let short: String = layer.digest.as_str().trim_start_matches("sha256:").chars().take(12).collect();
    let image = format!("{plain}-{short}");
    let cannot = |err: EngineError| Fault::new(format!("cannot make the image {image}"), err).transient();
    let there = engine.images(LABEL, layer.digest.as_str()).await.map_err(cannot)?;
    // The others are for people, and for what they build on it: `FROM hoist/stack-run`.
    let mut names = vec![image.clone(), plain];
    if distribution == DEFAULT {
        names.push(format!("{repository}:latest"));
    }
    names.retain(|name| !there.contains(name));
    if !names.is_empty() {
        let (config, blobs) = (config(&layer), registry.blobs().clone());
        let manifest = blocking("describe a stack", move || Ok(config.assemble(&blobs)?)).await?;
        let reference = registry.reference(&repository, &manifest);
        for name in names {
            engine.pull(&reference, &name).await.map_err(cannot)?;
        }
    }
    Ok(Stack { image, layer, mirror })
}

/// A stack as the builder of Dockerfiles gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Its manifest among the registry's blobs.
    pub manifest: Digest,
    /// The names that it has there: the last one tells which bytes it is.
    pub names: Vec<String>,
}

impl Base {
    /// Those of these names by which older bytes of this stack are known.
    pub fn outdated(&self, names: &[String]) -> Vec<String> {
        let (Some(plain), Some(exact)) = (self.names.first(), self.names.last()) else { return Vec::new() };
        let dated = format!("{plain}-");
        names.iter().filter(|name| name.starts_with(&dated) && *name != exact).cloned().collect()
    }
}

/// The stack for what people build on it (`FROM hoist/stack-run`): with this bundle of certificate authorities on top, so
/// that what a Dockerfile fetches comes from the same registries as what our own builds fetch.
pub async fn base(registry: &Registry, stacks: &Path, name: &str, bundle: Option<&Path>) -> Result<Base> {
    let (distribution, kind) = name.rsplit_once('-').unwrap_or((name, "run"));
    let plain = format!("hoist/stack-{kind}:{distribution}");
    let mut names = vec![plain.clone()];
    if distribution == DEFAULT {
        names.push(format!("hoist/stack-{kind}:latest"));
    }
    let (stacks, name, bundle) = (stacks.to_owned(), name.to_owned(), bundle.map(Path::to_owned));
    let blobs = registry.blobs().clone();
    let describe = move || {
        let (tar, layer, _) = read(&stacks, &name)?;
        blobs.alias(&layer.digest, tar);
        let mut config = config(&layer);
        if let Some(path) = bundle {
            let text = std::fs::read(&path).act(|| format!("cannot read the CA bundle {}", path.display()))?;
            let options = LayerOptions { uid: 0, gid: 0, home: "root".to_owned(), bytes_max: BUNDLE_MAX };
            let mut on_top = LayerWriter::new(&blobs, options)?;
            let entry = Entry { path: BUNDLE.trim_start_matches('/').into(), node: Node::bytes(false, text) };
            on_top.add_entries([Ok(entry)])?;
            config.layers.push(on_top.finish()?);
            config.env.extend(CA_VARIABLES.map(|variable| (variable.to_owned(), BUNDLE.to_owned())));
        }
        Ok(config.assemble(&blobs)?)
    };
    let manifest = blocking("describe a stack", describe).await?;
    names.push(format!("{plain}-{}", manifest.hex().get(..12).unwrap_or_default()));
    Ok(Base { manifest, names })
}

fn read(stacks: &Path, name: &str) -> Result<(PathBuf, Layer, Option<Mirror>)> {
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
    Ok((tar, Layer { digest, size }, sidecar.mirror))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_bytes_of_a_stack_are_told_from_the_present_ones() {
        let names = ["hoist/stack-run:deb13", "hoist/stack-run:latest", "hoist/stack-run:deb13-b"].map(str::to_owned);
        let base = Base { manifest: Digest::of(b""), names: names.to_vec() };
        let there =
            ["hoist/stack-run:deb13-a", "hoist/stack-run:deb13-b", "hoist/stack-run:deb12-a", "hoist/stack-run:deb13"];
        assert_eq!(base.outdated(&there.map(str::to_owned)), ["hoist/stack-run:deb13-a"]);
    }
}
