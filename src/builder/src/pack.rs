//! Packs one layer: from git, from what a sandbox made, or from what was packed before.
//!
//! Invariant: a layer of the app's own has the times of [`super::times`], which are written down before anybody is given it.

use super::sources::{APP_UID, Sources};
use super::times::Part;
use super::workspace::Folders;
use engine::images::{BlobStore, ContentId, FolderSource, Layer, LayerOptions, LayerWriter, Marking, pack_again};
use git::Kind;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use system::clock::now;
use system::fault::{Act, Result};

/// Bytes that one layer may have.
const LAYER_MAX: u64 = 16_000_000_000;

/// What is packed.
#[derive(Debug)]
pub struct Order {
    /// The layer of the plan.
    pub layer: buildpacks::Layer,
    /// Its key.
    pub key: String,
    /// Where its files' times are, if they have any.
    pub times: Option<Part>,
}

impl Order {
    fn begin(&self, blobs: &BlobStore) -> Result<LayerWriter> {
        let options =
            LayerOptions { uid: APP_UID.into(), gid: APP_UID.into(), home: "app".to_owned(), bytes_max: LAYER_MAX };
        match &self.times {
            Some(times) => LayerWriter::marked(blobs, options, times.begin(now())),
            None => LayerWriter::new(blobs, options),
        }
    }

    fn end(&self, mut writer: LayerWriter) -> Result<Layer> {
        for file in &self.layer.image_files {
            let (path, content) = (file.path.trim_matches('/').as_bytes(), file.content.as_bytes());
            writer.file(path, file.executable, content.len() as u64, content)?;
        }
        self.keep(writer.finish_marked()?)
    }

    fn keep(&self, (layer, marking): (Layer, Option<Marking>)) -> Result<Layer> {
        if let (Some(times), Some(marking)) = (&self.times, marking) {
            times.keep(&marking.end(Some(self.key.clone()), 0))?;
        }
        Ok(layer)
    }
}

/// An app without steps, straight from git.
pub fn sources(blobs: &BlobStore, order: &Order, sources: &Sources) -> Result<Layer> {
    let mut writer = order.begin(blobs)?;
    for output in &order.layer.outputs {
        let to = output.to.trim_matches('/');
        let inside = output.from.strip_prefix(buildpacks::APP).unwrap_or("").trim_matches('/');
        let wanted = |path: &str| !excluded(&output.exclude, path.as_bytes());
        let paths = sources.paths().filter_map(|path| below(path, inside)).filter(|path| wanted(path));
        for (folder, names) in folders(to, paths) {
            writer.folder_of(folder.as_bytes(), ContentId::of_names(names.iter().map(String::as_bytes)))?;
        }
        sources.each(|entry, data| {
            let Some(path) = below(entry.path, inside).filter(|path| wanted(path)) else { return Ok(()) };
            let at = format!("{to}/{path}");
            let content = ContentId::of(sources.id_of(entry.path).as_bytes());
            match entry.kind {
                Kind::File { exec } => writer.file_of(at.as_bytes(), exec, entry.size, content, data),
                Kind::Symlink => {
                    let mut target = Vec::new();
                    data.read_to_end(&mut target).act(|| format!("cannot read {}", entry.path))?;
                    writer.symlink(at.as_bytes(), &target)
                }
                Kind::Submodule => Ok(()),
            }
        })?;
    }
    order.end(writer)
}

/// What a sandbox made.
pub fn outputs(blobs: &BlobStore, order: &Order, folders: &Folders) -> Result<Layer> {
    let mut writer = order.begin(blobs)?;
    for output in &order.layer.outputs {
        let Some(host) = folders.made(&order.layer, &output.from)? else { continue };
        let exclude = |path: &[u8], _folder: bool| excluded(&output.exclude, path);
        writer.add_folder(&FolderSource { host: &host, at: output.to.trim_matches('/'), exclude: &exclude })?;
    }
    order.end(writer)
}

/// What was packed before, in these bytes.
pub fn again(blobs: &BlobStore, order: &Order, bytes: File) -> Result<Layer> {
    order.keep(pack_again(order.begin(blobs)?, bytes)?)
}

/// Each folder at and below `to`, before those in it, with the names in it: `/` at the end of a folder's.
fn folders<'a>(to: &str, paths: impl Iterator<Item = &'a str>) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::from([(to.to_owned(), BTreeSet::new())]);
    for path in paths {
        let (mut folder, mut rest) = (to.to_owned(), path);
        while let Some((name, below)) = rest.split_once('/') {
            found.entry(folder.clone()).or_default().insert(format!("{name}/"));
            folder = format!("{folder}/{name}");
            rest = below;
        }
        found.entry(folder).or_default().insert(rest.to_owned());
    }
    found
}

fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    match folder {
        "" => Some(path),
        folder => path.strip_prefix(folder)?.strip_prefix('/'),
    }
}

fn excluded(list: &[String], path: &[u8]) -> bool {
    list.iter().any(|out| {
        let out = out.trim_matches('/').as_bytes();
        path.strip_prefix(out).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_with_the_names_in_them() {
        let shown = |paths: &[&str]| {
            let found = folders("app", paths.iter().copied());
            let line = |(folder, names): (String, BTreeSet<String>)| {
                format!("{folder}: {}", names.into_iter().collect::<Vec<_>>().join(" "))
            };
            found.into_iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(shown(&[]), ["app: "]);
        assert_eq!(
            shown(&["a", "sub/inner/x", "sub/y", "z"]),
            ["app: a sub/ z", "app/sub: inner/ y", "app/sub/inner: x"]
        );
    }
}
