//! The source "a layer that was packed before" of a layer: the same files, with the times that they have now.

use super::digest::Layer;
use super::layer::{LayerWriter, refused};
use super::times::ContentId;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::FileExt;
use system::fault::{Act, Result};
use tar::{Archive, Entry, EntryType};

const BUFFER: usize = 256 * 1024;

/// Packs a layer of ours again.
pub fn pack_again(mut writer: LayerWriter, layer: File) -> Result<(Layer, Option<super::Marking>)> {
    let act = || "cannot read a layer that was packed before";
    // Names first: a folder's time depends on all that is in it, which comes later.
    let mut names: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut listed = Archive::new(BufReader::with_capacity(BUFFER, &layer));
    for entry in listed.entries_with_seek().act(act)? {
        let entry = entry.act(act)?;
        let (path, mut name) = (entry.path_bytes().into_owned(), Vec::new());
        let at = path.iter().rposition(|byte| *byte == b'/');
        name.extend_from_slice(path.get(at.map_or(0, |at| at + 1)..).unwrap_or_default());
        if entry.header().entry_type() == EntryType::Directory {
            name.push(b'/');
        }
        let folder = path.get(..at.unwrap_or(0)).unwrap_or_default().to_vec();
        names.entry(folder).or_default().insert(name);
    }
    (&layer).rewind().act(act)?;
    let mut packed = Archive::new(BufReader::with_capacity(BUFFER, &layer));
    for entry in packed.entries_with_seek().act(act)? {
        one(&mut writer, &layer, &entry.act(act)?, &names)?;
    }
    writer.finish_marked()
}

fn one(
    writer: &mut LayerWriter,
    layer: &File,
    entry: &Entry<'_, impl Read>,
    names: &BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
) -> Result<()> {
    let act = || "cannot read a layer that was packed before";
    let path = entry.path_bytes().into_owned();
    let target = entry.link_name_bytes().map(|target| target.into_owned()).unwrap_or_default();
    let header = entry.header();
    let (kind, executable, size) = (header.entry_type(), header.mode().act(act)? & 0o111 != 0, entry.size());
    match kind {
        // Folders of root's are those on the way, which come by themselves.
        EntryType::Directory if header.uid().act(act)? == 0 => Ok(()),
        EntryType::Directory => {
            let below = names.get(&path).into_iter().flatten().map(Vec::as_slice);
            writer.folder_of(&path, ContentId::of_names(below))
        }
        EntryType::Regular => {
            let data = || BufReader::new(Piece { file: layer, at: entry.raw_file_position(), left: size });
            let content = ContentId::read(data()).act(act)?;
            writer.file_of(&path, executable, size, content, data())
        }
        EntryType::Symlink => writer.symlink(&path, &target),
        EntryType::Link => writer.hard_link(&path, &target),
        _ => Err(refused(&path, "it is of a kind that no layer of ours has")),
    }
}

/// A piece of a file, read without moving its place.
struct Piece<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl Read for Piece<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let got = self.file.read_at(buffer.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at += got as u64;
        self.left -= got as u64;
        Ok(got)
    }
}
