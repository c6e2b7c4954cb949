//! The source "a folder of this host" of a layer. Walks by open folders, never by path, and never through a link.

use super::layer::{LayerWriter, refused};
use super::times::ContentId;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;
use system::fault::{Act, Fault, Result};

/// Folders within folders; each level holds an open file.
const DEPTH_MAX: usize = 200;

/// A folder of this host, and where it goes.
#[derive(Clone, Copy)]
pub struct FolderSource<'a> {
    /// The folder on this host. It may be a link itself; nothing below it is followed.
    pub host: &'a Path,
    /// Where its content goes inside, without a leading `/`.
    pub at: &'a str,
    /// Given a path within the folder and whether it is a folder: whether to leave it (and all below it) out.
    pub exclude: &'a dyn Fn(&[u8], bool) -> bool,
}

impl fmt::Debug for FolderSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.host.display(), self.at)
    }
}

/// An open folder, and the names in it that are still to do.
struct Level {
    folder: OwnedFd,
    names: std::vec::IntoIter<CString>,
    path: Vec<u8>,
}

/// A folder's names in order, and the id of them all.
type Names = (Vec<CString>, ContentId);

impl LayerWriter {
    /// Adds a folder's content in order of name. Sockets, devices and pipes are left out; hard links within it are kept.
    pub fn add_folder(&mut self, source: &FolderSource<'_>) -> Result<()> {
        let fault = |err: rustix::io::Errno| Fault::new(format!("cannot read {}", source.host.display()), err);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(source.host, flags, Mode::empty()).map_err(fault)?;
        let mut walk = Walk { source, hard_links: HashMap::new() };
        let (names, all) = names(&root).map_err(fault)?;
        self.folder_of(source.at.as_bytes(), all)?;
        let mut levels = vec![Level { folder: root, names: names.into_iter(), path: Vec::new() }];
        while let Some(top) = levels.last_mut() {
            let Some(name) = top.names.next() else {
                levels.pop();
                continue;
            };
            let path = join(&top.path, name.to_bytes());
            let below = walk.one(self, &top.folder, &name, &path)?;
            let Some((folder, names)) = below else { continue };
            if levels.len() >= DEPTH_MAX {
                return Err(refused(&path, &format!("folders are nested more than {DEPTH_MAX} deep")));
            }
            levels.push(Level { folder, names: names.into_iter(), path });
        }
        Ok(())
    }
}

struct Walk<'s, 'a> {
    source: &'s FolderSource<'a>,
    /// Files with several names, by device and inode: the first name.
    hard_links: HashMap<(u64, u64), Vec<u8>>,
}

impl Walk<'_, '_> {
    /// Adds one entry; returns the open folder if it is one.
    fn one(
        &mut self,
        layer: &mut LayerWriter,
        folder: &OwnedFd,
        name: &CString,
        path: &[u8],
    ) -> Result<Option<(OwnedFd, Vec<CString>)>> {
        let act = || format!("cannot read {}/{}", self.source.host.display(), String::from_utf8_lossy(path));
        let about = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).act(act)?;
        let kind = FileType::from_raw_mode(about.st_mode);
        if (self.source.exclude)(path, kind == FileType::Directory) {
            return Ok(None);
        }
        let inside = join(self.source.at.as_bytes(), path);
        let open = |extra: OFlags| {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK | extra;
            rustix::fs::openat(folder, name, flags, Mode::empty()).act(act)
        };
        match kind {
            FileType::Directory => {
                let below = open(OFlags::DIRECTORY)?;
                let (names, all) = names(&below).act(act)?;
                layer.folder_of(&inside, all)?;
                return Ok(Some((below, names)));
            }
            FileType::RegularFile => {
                let file = open(OFlags::empty())?;
                let about = rustix::fs::fstat(&file).act(act)?;
                if FileType::from_raw_mode(about.st_mode) == FileType::RegularFile {
                    self.file(layer, file, &about, &inside)?;
                }
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(folder, name, Vec::new()).act(act)?;
                layer.symlink(&inside, target.as_bytes())?;
            }
            FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => {}
        }
        Ok(None)
    }

    fn file(&mut self, layer: &mut LayerWriter, file: OwnedFd, about: &Stat, inside: &[u8]) -> Result<()> {
        let size = u64::try_from(about.st_size).unwrap_or(0);
        if about.st_nlink > 1 {
            let key = (about.st_dev, about.st_ino);
            if let Some(first) = self.hard_links.get(&key) {
                return layer.hard_link(inside, first);
            }
            self.hard_links.insert(key, inside.to_vec());
        }
        layer.file_from(inside, about.st_mode & 0o111 != 0, size, std::fs::File::from(file))
    }
}

/// Reads a folder's names. What is a folder itself counts as another name, as it does in a list that somebody is shown.
fn names(folder: &OwnedFd) -> Result<Names, rustix::io::Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push((entry.file_name().to_owned(), entry.file_type() == FileType::Directory));
        }
    }
    names.sort();
    let marked: Vec<Vec<u8>> =
        names.iter().map(|(name, folder)| [name.to_bytes(), if *folder { b"/" } else { b"" }].concat()).collect();
    let all = ContentId::of_names(marked.iter().map(Vec::as_slice));
    Ok((names.into_iter().map(|(name, _)| name).collect(), all))
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match folder.is_empty() {
        true => name.to_vec(),
        false => [folder, b"/", name].concat(),
    }
}
