//! Writes one layer: a tar that depends on names, bytes, links, the x bit and the times it is told, and on nothing else.
//!
//! Invariant: a time on the host is never looked at, owners are given, modes are 0755 or 0644, nothing has a user's name or an extended attribute.
//! Entries come in the order in which they are added; a source adds them in a fixed order.

use super::blobs::{BlobStore, BlobWriter};
use super::digest::Layer;
use super::times::{ContentId, FIXED, Marking};
use domain::Refusal;
use domain::refusal::Code;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek};
use system::fault::{Act, Error, Result};
use tar::{EntryType, Header};

/// Entries that one layer may have.
const ENTRIES_MAX: usize = 1_000_000;
/// A path as long as this is taken by no kernel.
const PATH_MAX: usize = 4096;
/// What a tar header holds of a name; more goes into an entry of its own before it.
const NAME_MAX: usize = 100;
/// Files up to this size are read once, and held meanwhile.
const HELD_MAX: u64 = 4 << 20;
/// Names with this beginning would delete files of the layers below instead of being files.
const WHITEOUT: &[u8] = b".wh.";

/// What holds for a whole layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerOptions {
    /// Owner of everything the sources bring.
    pub uid: u64,
    /// Its group.
    pub gid: u64,
    /// The app's folder inside (`app`): parent folders in it belong to the owner too, all others to root.
    pub home: String,
    /// Bytes that the layer may have.
    pub bytes_max: u64,
}

/// One thing to add: from a git tree, for example.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Path without a leading `/`.
    pub path: Vec<u8>,
    /// What is there.
    pub node: Node<'a>,
}

/// What lies at a path.
pub enum Node<'a> {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// Whether it may be run.
        executable: bool,
        /// How many bytes `data` has.
        size: u64,
        /// Its bytes.
        data: Box<dyn Read + 'a>,
    },
    /// A symbolic link; its target is kept as it is and never followed.
    Symlink(Vec<u8>),
}

impl Node<'_> {
    /// A file of these bytes.
    pub fn bytes(executable: bool, bytes: Vec<u8>) -> Node<'static> {
        Node::File { executable, size: bytes.len() as u64, data: Box::new(io::Cursor::new(bytes)) }
    }
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Node::Folder => f.write_str("Folder"),
            Node::File { executable, size, .. } => write!(f, "File({size} bytes, x: {executable})"),
            Node::Symlink(target) => write!(f, "Symlink({})", String::from_utf8_lossy(target)),
        }
    }
}

/// A layer being written.
pub struct LayerWriter {
    tar: tar::Builder<BlobWriter>,
    options: LayerOptions,
    folders: HashSet<Vec<u8>>,
    others: HashSet<Vec<u8>>,
    bytes: u64,
    /// Who says what time a file has; where nobody does, it is the fixed one.
    marking: Option<Marking>,
}

impl LayerWriter {
    /// Begins a layer.
    pub fn new(blobs: &BlobStore, options: LayerOptions) -> Result<LayerWriter> {
        let tar = tar::Builder::new(blobs.writer()?);
        Ok(LayerWriter { tar, options, folders: HashSet::new(), others: HashSet::new(), bytes: 0, marking: None })
    }

    /// Begins a layer whose files have times of their own.
    pub fn marked(blobs: &BlobStore, options: LayerOptions, marking: Marking) -> Result<LayerWriter> {
        Ok(LayerWriter { marking: Some(marking), ..LayerWriter::new(blobs, options)? })
    }

    /// Adds entries in the order of the iterator, which must be the same every time.
    pub fn add_entries<'a>(&mut self, entries: impl IntoIterator<Item = Result<Entry<'a>>>) -> Result<()> {
        for entry in entries {
            let Entry { path, node } = entry?;
            match node {
                Node::Folder => self.folder(&path)?,
                Node::File { executable, size, data } => self.file(&path, executable, size, data)?,
                Node::Symlink(target) => self.symlink(&path, &target)?,
            }
        }
        Ok(())
    }

    /// Adds a folder and, before it, those of its parents that are not there yet.
    pub fn folder(&mut self, path: &[u8]) -> Result<()> {
        self.folder_at(path, FIXED)
    }

    /// The same, with what is in it: another list of names is another time.
    pub fn folder_of(&mut self, path: &[u8], names: ContentId) -> Result<()> {
        let time = self.time(path, names);
        self.folder_at(path, time)
    }

    fn folder_at(&mut self, path: &[u8], time: u64) -> Result<()> {
        check(path)?;
        self.parents(path)?;
        if self.folders.insert(path.to_vec()) {
            self.count(path, 0)?;
            let (uid, gid) = (self.options.uid, self.options.gid);
            self.append(path, folder_header(uid, gid, time), None, io::empty())?;
        }
        Ok(())
    }

    /// Adds a file of exactly `size` bytes. Where files have times, all of them are held in memory.
    pub fn file(&mut self, path: &[u8], executable: bool, size: u64, mut data: impl Read) -> Result<()> {
        if self.marking.is_none() {
            return self.file_at(path, executable, size, FIXED, data);
        }
        let mut bytes = Vec::new();
        data.by_ref().take(size).read_to_end(&mut bytes).act(|| format!("cannot read {}", shown(path)))?;
        self.file_of(path, executable, size, ContentId::of(&bytes), bytes.as_slice())
    }

    /// The same for a file whose content is known by its id.
    pub fn file_of(
        &mut self,
        path: &[u8],
        executable: bool,
        size: u64,
        content: ContentId,
        data: impl Read,
    ) -> Result<()> {
        let time = self.time(path, content);
        self.file_at(path, executable, size, time, data)
    }

    /// The same for an open file of this host, which may be large.
    pub(super) fn file_from(&mut self, path: &[u8], executable: bool, size: u64, mut file: File) -> Result<()> {
        if self.marking.is_none() || size <= HELD_MAX {
            return self.file(path, executable, size, file);
        }
        let act = || format!("cannot read {}", shown(path));
        let content = ContentId::read(&mut file).act(act)?;
        file.rewind().act(act)?;
        self.file_of(path, executable, size, content, file)
    }

    fn file_at(&mut self, path: &[u8], executable: bool, size: u64, time: u64, data: impl Read) -> Result<()> {
        self.begin(path, size)?;
        let mode = if executable { 0o755 } else { 0o644 };
        let header = self.header(EntryType::Regular, mode, size, time);
        self.append(path, header, None, Exactly { inner: data, left: size })
    }

    /// Adds a symbolic link.
    pub fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<()> {
        self.begin(path, 0)?;
        if target.is_empty() || target.len() > PATH_MAX || target.contains(&0) {
            return Err(refused(path, "it is a symbolic link without a usable target"));
        }
        let time = self.time(path, ContentId::of(target));
        let header = self.header(EntryType::Symlink, 0o777, 0, time);
        self.append(path, header, Some(target), io::empty())
    }

    /// Adds another name for a file added before.
    pub fn hard_link(&mut self, path: &[u8], earlier: &[u8]) -> Result<()> {
        self.begin(path, 0)?;
        // What unpacks it may give its time to the file that has both names.
        let time = self.marking.as_ref().map_or(FIXED, |marking| marking.given(earlier));
        let header = self.header(EntryType::Link, 0o644, 0, time);
        self.append(path, header, Some(earlier), io::empty())
    }

    /// Ends the layer and puts it among the blobs.
    pub fn finish(self) -> Result<Layer> {
        Ok(self.finish_marked()?.0)
    }

    /// The same, with the times that were given.
    pub fn finish_marked(self) -> Result<(Layer, Option<Marking>)> {
        let blob = self.tar.into_inner().act(|| "cannot end a layer")?;
        Ok((blob.finish()?, self.marking))
    }

    fn time(&mut self, path: &[u8], content: ContentId) -> u64 {
        self.marking.as_mut().map_or(FIXED, |marking| marking.mark(path, content).time)
    }

    /// Checks a path that is not a folder's, and adds its parents.
    fn begin(&mut self, path: &[u8], size: u64) -> Result<()> {
        check(path)?;
        self.parents(path)?;
        if self.folders.contains(path) || !self.others.insert(path.to_vec()) {
            return Err(refused(path, "it is there twice"));
        }
        self.count(path, size)
    }

    fn count(&mut self, path: &[u8], size: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(size).saturating_add(512);
        if self.bytes > self.options.bytes_max {
            let mib = self.options.bytes_max >> 20;
            return Err(refused(path, &format!("with it the image's layer would be larger than {mib} MiB")));
        }
        if self.folders.len() + self.others.len() > ENTRIES_MAX {
            return Err(refused(path, &format!("with it the image's layer would have more than {ENTRIES_MAX} files")));
        }
        Ok(())
    }

    fn parents(&mut self, path: &[u8]) -> Result<()> {
        for end in path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at) {
            let parent = path.get(..end).unwrap_or_default();
            if self.others.contains(parent) {
                return Err(refused(path, "its folder is a file or a link"));
            }
            if !self.folders.contains(parent) {
                self.folders.insert(parent.to_vec());
                self.count(parent, 0)?;
                // Docker takes a folder's owner and mode from the topmost layer that has anything in it.
                let home = self.options.home.as_bytes();
                let inside =
                    parent.strip_prefix(home).is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'));
                let (uid, gid) = if inside { (self.options.uid, self.options.gid) } else { (0, 0) };
                self.append(parent, folder_header(uid, gid, FIXED), None, io::empty())?;
            }
        }
        Ok(())
    }

    fn header(&self, kind: EntryType, mode: u32, size: u64, time: u64) -> Header {
        header(kind, mode, size, time, (self.options.uid, self.options.gid))
    }

    /// Writes one entry, with GNU's extra entries before it for what is too long for the header.
    fn append(&mut self, path: &[u8], mut header: Header, target: Option<&[u8]>, data: impl Read) -> Result<()> {
        let act = || format!("cannot put {} into a layer", String::from_utf8_lossy(path));
        if let Some(target) = target {
            if target.len() > NAME_MAX {
                self.long(b'K', target).act(act)?;
            }
            copy(&mut header.as_old_mut().linkname, target);
        }
        if path.len() > NAME_MAX {
            self.long(b'L', path).act(act)?;
        }
        copy(&mut header.as_old_mut().name, path);
        header.set_cksum();
        Ok(self.tar.append(&header, data).act(act)?)
    }

    fn long(&mut self, kind: u8, text: &[u8]) -> io::Result<()> {
        let mut before = header(EntryType::new(kind), 0o644, text.len() as u64 + 1, FIXED, (0, 0));
        copy(&mut before.as_old_mut().name, b"././@LongLink");
        before.set_cksum();
        self.tar.append(&before, text.chain(&[0u8][..]))
    }
}

impl std::fmt::Debug for LayerWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerWriter")
            .field("options", &self.options)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

fn folder_header(uid: u64, gid: u64, time: u64) -> Header {
    header(EntryType::Directory, 0o755, 0, time, (uid, gid))
}

fn header(kind: EntryType, mode: u32, size: u64, time: u64, owner: (u64, u64)) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner.0);
    header.set_gid(owner.1);
    header.set_mtime(time);
    header.set_size(size);
    header
}

fn copy(field: &mut [u8; NAME_MAX], bytes: &[u8]) {
    for (to, from) in field.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// Refuses paths that would mean something else when unpacked.
fn check(path: &[u8]) -> Result<()> {
    let bad = path.is_empty() || path.len() > PATH_MAX || path.contains(&0);
    if bad || path.split(|byte| *byte == b'/').any(|part| matches!(part, b"" | b"." | b"..")) {
        return Err(refused(path, "the path cannot be part of an image"));
    }
    if path.split(|byte| *byte == b'/').any(|part| part.starts_with(WHITEOUT)) {
        return Err(refused(path, "names that begin with .wh. have a meaning of their own in images"));
    }
    Ok(())
}

/// A path for people.
fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

pub(super) fn refused(path: &[u8], why: &str) -> Error {
    Refusal::new(Code::NotForAnImage, format!("{} cannot go into the image", shown(path)))
        .why(why)
        .next("leave it out with .slugignore, or rename it")
        .into()
}

/// Reads so many bytes, or fails: a file that shrinks meanwhile must not shift all that follow.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..most) else { return Ok(0) };
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
