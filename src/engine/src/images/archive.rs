//! Images on their way between engines: as an archive for one that does not pull from us, and taken over from the folder in
//! which another one keeps its blobs.
//!
//! Invariant: blobs are known by digest; what the other engine's folder holds is checked by the one that pulls it.

use super::blobs::BlobStore;
use super::digest::Digest;
use super::oci::MANIFEST_TYPE;
use bytes::Bytes;
use futures_util::Stream;
use serde::Deserialize;
use serde_json::json;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use system::fault::{Act, Fault, Result};
use system::tasks::{Tasks, blocking};
use tokio::sync::mpsc;

/// Pieces under way.
const PIECES_MAX: usize = 16;
const PIECE: usize = 256 * 1024;
/// A manifest of an image of thousands of layers is smaller.
const MANIFEST_MAX: u64 = 4 << 20;
/// The registry that names without one mean.
const HUB: &str = concat!("dock", "er.io");

#[derive(Debug, Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Descriptor {
    digest: String,
}

impl Manifest {
    fn read(bytes: &[u8]) -> Result<Manifest, Fault> {
        serde_json::from_slice(bytes).act(|| "cannot read an image's manifest")
    }

    /// Configuration first.
    fn digests(&self) -> Result<Vec<Digest>, Fault> {
        let all = std::iter::once(&self.config).chain(&self.layers);
        all.map(|one| one.digest.parse::<Digest>().act(|| "cannot read an image's manifest")).collect()
    }
}

/// An image of ours as an archive in OCI's layout, under these names (`hoist/stack-run:deb13`).
pub fn archive(
    blobs: &Arc<BlobStore>,
    manifest: &Digest,
    names: &[String],
    tasks: &Tasks,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (out, pieces) = mpsc::channel(PIECES_MAX);
    let (blobs, manifest, names) = (Arc::clone(blobs), manifest.clone(), names.to_vec());
    tasks.spawn("pack an image", |_| async move {
        let to = Pieces(out.clone());
        let packed = blocking("pack an image", move || Ok(pack(&blobs, &manifest, &names, to)?)).await;
        if let Err(err) = packed {
            // Whoever reads must not take what came for all.
            let _ = out.send(Err(io::Error::other(err.to_string()))).await;
        }
    });
    futures_util::stream::unfold(pieces, |mut from| async move { Some((from.recv().await?, from)) })
}

fn pack(blobs: &BlobStore, manifest: &Digest, names: &[String], to: Pieces) -> Result<(), Fault> {
    let cannot = || "cannot pack an image";
    let file = |digest: &Digest| {
        let path = blobs.find(digest).ok_or_else(|| Fault::plain(format!("the blob {digest} is gone")))?;
        std::fs::File::open(&path).act(|| format!("cannot read {}", path.display()))
    };
    let size = file(manifest)?.metadata().act(cannot)?.len();
    let bytes = read(file(manifest)?)?;
    let described = |name: &String| {
        json!({
            "mediaType": MANIFEST_TYPE, "digest": manifest.as_str(), "size": size,
            "annotations": {"io.containerd.image.name": format!("{HUB}/{name}")},
        })
    };
    let index = json!({"schemaVersion": 2, "manifests": names.iter().map(described).collect::<Vec<_>>()});
    let mut tar = tar::Builder::new(BufWriter::with_capacity(PIECE, to));
    let mut text = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes)
    };
    text("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#).act(cannot)?;
    text("index.json", index.to_string().as_bytes()).act(cannot)?;
    let digests = std::iter::once(manifest.clone()).chain(Manifest::read(&bytes)?.digests()?);
    for digest in digests {
        let mut blob = file(&digest)?;
        tar.append_file(format!("blobs/sha256/{}", digest.hex()), &mut blob).act(cannot)?;
    }
    tar.into_inner().and_then(|mut out| out.flush()).act(cannot)
}

fn read(file: std::fs::File) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let mut limited = io::Read::take(file, MANIFEST_MAX);
    io::Read::read_to_end(&mut limited, &mut bytes).act(|| "cannot read an image's manifest")?;
    Ok(bytes)
}

/// Hands what is written on, in pieces, to whoever reads.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Blobs of another engine's folder, served as ours while this lives.
#[derive(Debug)]
pub struct Borrowed {
    blobs: Arc<BlobStore>,
    digests: Vec<Digest>,
}

/// Serves an image of which another engine keeps the blobs, each in the file that `place` says by its hex digits.
pub async fn borrow(
    blobs: &Arc<BlobStore>,
    manifest: &Digest,
    place: impl Fn(&str) -> PathBuf + Send + 'static,
) -> Result<Borrowed> {
    let (blobs, manifest) = (Arc::clone(blobs), manifest.clone());
    blocking("take an image over", move || {
        let path = place(manifest.hex());
        let act = || format!("cannot read {}", path.display());
        let bytes = read(std::fs::File::open(&path).act(act)?)?;
        if Digest::of(&bytes) != manifest {
            return Err(Fault::plain(format!("{} is not what its name says", path.display())).into());
        }
        let mut digests = Manifest::read(&bytes)?.digests()?;
        digests.push(manifest);
        for digest in &digests {
            blobs.alias(digest, place(digest.hex()));
        }
        Ok(Borrowed { blobs, digests })
    })
    .await
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        for digest in &self.digests {
            self.blobs.forget_alias(digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;

    fn store(folder: &std::path::Path) -> (Arc<BlobStore>, Digest, Digest) {
        let blobs = Arc::new(BlobStore::open(folder).unwrap());
        let (config, layer) = (blobs.put(b"{}").unwrap(), blobs.put(b"layer").unwrap());
        let text = json!({"config": {"digest": config.digest.as_str()}, "layers": [{"digest": layer.digest.as_str()}]});
        let manifest = blobs.put(text.to_string().as_bytes()).unwrap().digest;
        (blobs, manifest, layer.digest)
    }

    #[tokio::test]
    async fn an_archive_holds_everything_and_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let (blobs, manifest, layer) = store(folder.path());
        let pieces = archive(&blobs, &manifest, &["hoist/x:1".to_owned()], &Tasks::new());
        let bytes: Vec<u8> = pieces.map(|piece| piece.unwrap().to_vec()).concat().await;
        let mut tar = tar::Archive::new(bytes.as_slice());
        let mut seen = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut text = String::new();
            io::Read::read_to_string(&mut entry, &mut text).unwrap();
            seen.push((name, text));
        }
        assert_eq!(seen.len(), 5);
        assert!(seen[1].0 == "index.json" && seen[1].1.contains("/hoist/x:1") && seen[1].1.contains(manifest.as_str()));
        assert_eq!(seen[4], (format!("blobs/sha256/{}", layer.hex()), "layer".to_owned()));
        let gone = archive(&blobs, &Digest::of(b"none"), &[], &Tasks::new());
        assert!(gone.collect::<Vec<_>>().await.pop().unwrap().is_err());
    }

    #[tokio::test]
    async fn what_is_borrowed_is_given_back() {
        let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (_, manifest, layer) = store(theirs.path());
        let blobs = Arc::new(BlobStore::open(ours.path()).unwrap());
        let folder = theirs.path().join("blobs/sha256");
        let borrowed = borrow(&blobs, &manifest, move |hex| folder.join(hex)).await.unwrap();
        assert!(blobs.find(&manifest).is_some() && blobs.find(&layer).is_some());
        drop(borrowed);
        assert!(blobs.find(&manifest).is_none() && blobs.find(&layer).is_none());
        let wrong = theirs.path().join("wrong");
        std::fs::write(&wrong, b"{\"config\":{\"digest\":\"x\"},\"layers\":[]}").unwrap();
        assert!(borrow(&blobs, &manifest, move |_| wrong.clone()).await.is_err());
    }
}
