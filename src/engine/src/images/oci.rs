//! The configuration and manifest of an image, as the OCI image specification has them. The same image gives the same bytes.

use super::blobs::BlobStore;
use super::digest::{Digest, Layer};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use system::fault::{Act, Fault};

/// The manifest's media type.
pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image, before it has a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// Environment.
    pub env: BTreeMap<String, String>,
    /// Working folder.
    pub workdir: String,
    /// User, by number or name.
    pub user: String,
    /// Labels, among them the installation's.
    pub labels: BTreeMap<String, String>,
    /// What a plain `docker run` of it starts.
    pub cmd: Vec<String>,
    /// The port it says it listens on.
    pub exposed_port: Option<u16>,
    /// RFC 3339; from the commit, never from the clock.
    pub created: String,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// In Go's words: `amd64`, `arm64`.
    pub architecture: String,
}

/// The time of an image that has none of its own.
pub const EPOCH: &str = "1970-01-01T00:00:00Z";

impl ImageConfig {
    /// Stores configuration and manifest; returns the manifest's digest. The layers must be among the blobs when the
    /// engine pulls, unless it has them.
    pub fn assemble(&self, blobs: &BlobStore) -> Result<Digest, Fault> {
        let config = blobs.put(&bytes(&self.config())?)?;
        let describe =
            |kind: &str, blob: &Layer| json!({"mediaType": kind, "digest": blob.digest.as_str(), "size": blob.size});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": describe(CONFIG_TYPE, &config),
            "layers": self.layers.iter().map(|layer| describe(LAYER_TYPE, layer)).collect::<Vec<Value>>(),
        });
        Ok(blobs.put(&bytes(&manifest)?)?.digest)
    }

    fn config(&self) -> Value {
        let mut run = json!({
            "Env": self.env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<String>>(),
            "WorkingDir": self.workdir,
            "User": self.user,
            "Labels": self.labels,
            "Cmd": self.cmd,
        });
        if let (Some(port), Some(run)) = (self.exposed_port, run.as_object_mut()) {
            run.insert("ExposedPorts".to_owned(), json!({format!("{port}/tcp"): {}}));
        }
        json!({
            "architecture": self.architecture,
            "os": "linux",
            "created": self.created,
            "config": run,
            "rootfs": {
                "type": "layers",
                "diff_ids": self.layers.iter().map(|layer| layer.digest.as_str()).collect::<Vec<&str>>(),
            },
        })
    }
}

fn bytes(value: &Value) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(value).act(|| "cannot write an image's description")
}

/// This machine's architecture in Go's words.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
