//! The files of a Dockerfile's build: straight from git, never laid out on the host, less what `.dockerignore` names.
//!
//! Invariant: links are handed on as links. A file's time is that of `times`: another content, another time, which
//! is all that the engine compares besides the size, so that it asks for exactly those files that changed.

use domain::dockerfile::{BuildSettings, DOCKERFILE, Declared, Ignore, Syntax, declared, syntax};
use domain::refusal::Code;
use domain::{AppId, Commit, Refusal, text};
use engine::images::{ContentId, FIXED, Marking};
use engine::{ContextEntry, ContextFiles, ContextKind};
use git::{Kind, Reader, Repos};
use std::collections::BTreeSet;
use std::io;
use std::sync::{Mutex, PoisonError};
use system::fault::Result;

/// Larger ones are no Dockerfiles and no lists of patterns.
const TEXT_MAX: u64 = 1 << 20;
const NANOS: i64 = 1_000_000_000;
/// Files of these names that lie elsewhere, named in a refusal.
const ELSEWHERE_MAX: usize = 3;

/// The files, and what the Dockerfile declares.
pub struct Context {
    reader: Mutex<Reader>,
    entries: Vec<ContextEntry>,
    oids: Vec<Option<String>>,
    dockerfile: Vec<u8>,
    /// The frontend that a line asks for; the builder's own is used in its stead.
    pub syntax: Option<String>,
    /// What the Dockerfile declares.
    pub declared: Declared,
    /// Files that `.dockerignore` left out.
    pub left_out: usize,
    /// The Dockerfile's path in the repository.
    pub path: String,
    /// The Procfile, if there is one.
    pub procfile: Option<Vec<u8>>,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context({} entries)", self.entries.len())
    }
}

impl Context {
    /// Reads a commit; with the times of its files for a build. Blocking.
    pub fn read(
        repos: &Repos,
        app: &AppId,
        commit: &Commit,
        root: Option<&str>,
        settings: &BuildSettings,
        marking: Option<&mut Marking>,
    ) -> Result<Context> {
        let reader = repos.reader(app)?;
        let prefix = root.map_or_else(String::new, |root| format!("{root}/"));
        let path = format!("{prefix}{}", settings.dockerfile.as_deref().unwrap_or(DOCKERFILE));
        let (own_ignore, ignore, procfile) =
            (format!("{path}.dockerignore"), format!("{prefix}.dockerignore"), format!("{prefix}Procfile"));
        let wanted = [&path, &own_ignore, &ignore, &procfile];
        let tree = reader.tree(commit, |name, size| size <= TEXT_MAX && (wanted.contains(&&name.to_owned())))?;
        let text = |name: &str| {
            let entry = tree.iter().find(|entry| entry.path == name && matches!(entry.kind, Kind::File { .. }));
            entry.and_then(|entry| entry.content.clone())
        };
        let Some(dockerfile) = text(&path) else {
            let elsewhere = tree.iter().filter_map(|entry| entry.path.strip_prefix(&prefix));
            return Err(no_dockerfile(&path, elsewhere, settings).into());
        };
        let source = String::from_utf8_lossy(&dockerfile).into_owned();
        let declared = declared(&source);
        if let Some(image) = declared.of_an_app() {
            return Err(not_its_own(image).into());
        }
        // Whatever is read here, the builder takes its own frontend: this only says so.
        let syntax = match syntax(&source) {
            Syntax::Usual(image) => Some(image),
            Syntax::Absent => None,
            Syntax::Other(image) => return Err(other_syntax(&image).into()),
        };
        let patterns = text(&own_ignore).or_else(|| text(&ignore)).unwrap_or_default();
        let ignore = Ignore::parse(&String::from_utf8_lossy(&patterns));
        let (mut files, mut left_out) = (Vec::new(), 0);
        for entry in &tree {
            let Some(inside) = entry.path.strip_prefix(&prefix) else { continue };
            if ignore.leaves_out(inside) {
                left_out += 1;
                continue;
            }
            let kind = match entry.kind {
                Kind::File { exec } => ContextKind::File { exec, size: entry.size },
                Kind::Symlink => ContextKind::Symlink(reader.link(&entry.oid)?),
                Kind::Submodule => continue,
            };
            files.push((ContextEntry { path: inside.to_owned(), kind, time: 0, apart: 0 }, entry.oid.clone()));
        }
        let procfile = text(&procfile);
        let (mut entries, oids) = with_folders(files);
        if let Some(marking) = marking {
            mark(&mut entries, &oids, marking);
        }
        Ok(Context {
            reader: Mutex::new(reader),
            entries,
            oids,
            dockerfile,
            syntax,
            declared,
            left_out,
            path,
            procfile,
        })
    }

    /// The Dockerfile as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.dockerfile).into_owned()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        let size = |entry: &ContextEntry| match entry.kind {
            ContextKind::File { size, .. } => size,
            ContextKind::Folder | ContextKind::Symlink(_) => 0,
        };
        self.entries.iter().map(size).sum()
    }

    /// How many files and links there are.
    pub fn files(&self) -> usize {
        self.oids.iter().flatten().count()
    }
}

impl ContextFiles for Context {
    fn dockerfile(&self) -> (String, Vec<u8>) {
        (DOCKERFILE.to_owned(), self.dockerfile.clone())
    }

    fn entries(&self) -> Vec<ContextEntry> {
        self.entries.clone()
    }

    fn read(&self, n: usize, take: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<()> {
        let oid = self.oids.get(n).and_then(Option::as_ref).ok_or_else(|| io::Error::other("no such file"))?;
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.content(oid, take).map_err(|err| io::Error::other(err.to_string()))
    }
}

/// Folders before what is in them; names of one folder in order, a folder's content where its name stands.
fn with_folders(mut files: Vec<(ContextEntry, String)>) -> (Vec<ContextEntry>, Vec<Option<String>>) {
    files.sort_by(|(a, _), (b, _)| a.path.split('/').cmp(b.path.split('/')));
    let (mut entries, mut oids, mut made) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (entry, oid) in files {
        for (at, _) in entry.path.match_indices('/') {
            let folder = entry.path.get(..at).unwrap_or_default();
            if made.insert(folder.to_owned()) {
                let time = i64::try_from(FIXED).unwrap_or(0).saturating_mul(NANOS);
                entries.push(ContextEntry { path: folder.to_owned(), kind: ContextKind::Folder, time, apart: 0 });
                oids.push(None);
            }
        }
        entries.push(entry);
        oids.push(Some(oid));
    }
    (entries, oids)
}

/// Gives the files their times. Where a content comes back, what the builder made of it is older than what browsers got
/// since: it is made anew.
fn mark(entries: &mut [ContextEntry], oids: &[Option<String>], marking: &mut Marking) {
    for (entry, oid) in entries.iter_mut().zip(oids) {
        let Some(oid) = oid else { continue };
        let mark = marking.mark(entry.path.as_bytes(), ContentId::of(oid.as_bytes()));
        let seconds = i64::try_from(mark.time).unwrap_or(0);
        entry.time = seconds.saturating_mul(NANOS);
        entry.apart = if mark.returned { seconds } else { 0 };
    }
}

fn no_dockerfile<'a>(path: &str, all: impl Iterator<Item = &'a str>, settings: &BuildSettings) -> Refusal {
    let mut no = Refusal::new(Code::NoDockerfile, format!("there is no file {path} in the commit"));
    if let Some(set) = &settings.dockerfile {
        no = no.why(format!("the app's setting dockerfile is {}", text::plain(set)));
    }
    let like = |path: &&str| path.rsplit('/').next().is_some_and(|name| name.starts_with(DOCKERFILE));
    for path in all.filter(like).take(ELSEWHERE_MAX) {
        no = no.next(format!("apps:set APP dockerfile={}", text::plain(path)));
    }
    no.next("git add the file and commit, or take the setting away: apps:set APP dockerfile=")
}

fn other_syntax(image: &str) -> Refusal {
    Refusal::new(Code::DockerfileSyntax, format!("# syntax={} is not built here", text::plain(image)))
        .why("a frontend of somebody's own could take what builds of other apps left in their caches")
        .next("take the line away, or write # syntax=docker/dockerfile:1, which the builder's own serves")
}

fn not_its_own(image: &str) -> Refusal {
    Refusal::new(Code::NotYourImage, format!("{} cannot be built on", text::plain(image)))
        .why("images of apps are their own; here there are hoist/stack-run and hoist/stack-build")
        .next("push what both need to a registry, or copy its files into this repository")
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::images::Times;

    #[test]
    fn a_content_that_comes_back_is_made_anew() {
        let mut times = Times::default();
        let mut push = |now: u64, oids: &[&str]| {
            let kind = ContextKind::File { exec: false, size: 1 };
            let file = |(path, oid): (&str, &&str)| {
                (ContextEntry { path: path.to_owned(), kind: kind.clone(), time: 0, apart: 0 }, (*oid).to_owned())
            };
            let (mut entries, oids) = with_folders(["page", "src/page"].into_iter().zip(oids).map(file).collect());
            let mut marking = std::mem::take(&mut times).begin(1_700_000_000 + now, 0);
            mark(&mut entries, &oids, &mut marking);
            times = marking.end(None, 100);
            let shown = |e: &ContextEntry| (e.time / NANOS - 1_700_000_000, e.apart);
            entries.iter().filter(|e| e.kind != ContextKind::Folder).map(shown).collect::<Vec<_>>()
        };
        assert_eq!(push(0, &["a", "a"]), [(0, 0), (0, 0)]);
        assert_eq!(push(9, &["b", "a"]), [(9, 0), (0, 0)]);
        assert_eq!(push(20, &["a", "a"]), [(20, 1_700_000_020), (0, 0)]);
        assert_eq!(push(30, &["a", "a"]), [(20, 1_700_000_020), (0, 0)], "and found again when nothing changes");
        assert_eq!(push(40, &["c", "a"]), [(40, 0), (0, 0)]);
    }
}
