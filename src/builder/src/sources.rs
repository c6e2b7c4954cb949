//! A commit's files, as the planner, the keys and the layers need them.

use buildpacks::{Entry, Tree, Unlocked};
use domain::refusal::Code;
use domain::{AppId, Commit, Refusal, Timestamp};
use git::{FileEntry, Kind, Repos};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use system::fault::{Act, Fault, Result};

/// The user that builds and instances run as.
pub const APP_UID: u32 = 1000;
const PROCFILE: &str = "Procfile";
/// What is looked at of a script.
const BEGIN_MAX: usize = 64 << 10;
/// Bytes of a commit's files that are held to plan its build.
const CONTENTS_MAX: u64 = 96 << 20;

/// A commit, read once.
#[derive(Debug, Clone)]
pub struct Sources {
    repos: Repos,
    app: AppId,
    commit: Commit,
    /// The folder that is the app, with a `/` at its end; empty where it is the whole.
    root: String,
    /// What the planner sees.
    pub tree: Tree,
    /// The Procfile, if there is one.
    pub procfile: Option<Vec<u8>>,
    /// When the commit was made.
    pub time: Timestamp,
    /// Path → mode and content id, for keys.
    ids: BTreeMap<String, String>,
    /// A lock file that the commit lacks: path and content. Builds have it, and no layer that comes from git alone.
    lock: Option<(String, String)>,
}

impl Sources {
    /// Reads a commit's tree: all of it, or one folder, which must be there. Blocking.
    pub fn read(repos: &Repos, app: &AppId, commit: &Commit, root: Option<&str>) -> Result<Sources> {
        let reader = repos.reader(app)?;
        let root = root.map_or_else(String::new, |folder| format!("{folder}/"));
        // Many small files that may decide something are still many: what is over the budget goes unread.
        let budget = Cell::new(CONTENTS_MAX);
        let wanted = |path: &str, size| {
            let Some(path) = path.strip_prefix(&root) else { return false };
            let wanted = (path == PROCFILE || buildpacks::reads(path, size)) && size <= budget.get();
            budget.set(if wanted { budget.get() - size } else { budget.get() });
            wanted
        };
        let mut entries = reader.tree(commit, wanted)?;
        entries.retain(|entry| entry.path.starts_with(&root));
        if entries.is_empty() && !root.is_empty() {
            let what = format!("the commit has no folder {}", domain::text::plain(root.trim_end_matches('/')));
            let no = Refusal::new(Code::RootMissing, what).why("the app's setting root names it");
            return Err(no.next("apps:set APP root=FOLDER, or apps:set APP root= for the whole repository").into());
        }
        let mut tree = BTreeMap::new();
        let mut ids = BTreeMap::new();
        let mut procfile = None;
        for mut entry in entries {
            entry.path.drain(..root.len());
            entry.content = entry.content.map(|content| buildpacks::as_utf8(&entry.path, content));
            let kind = match entry.kind {
                Kind::File { exec } => buildpacks::Kind::File { executable: exec },
                Kind::Symlink => buildpacks::Kind::Symlink,
                Kind::Submodule => buildpacks::Kind::Submodule,
            };
            if entry.path == PROCFILE && matches!(entry.kind, Kind::File { .. }) {
                procfile = entry.content.clone();
            }
            ids.insert(entry.path.clone(), format!("{kind:?} {}", entry.oid));
            tree.insert(entry.path, Entry { kind, size: entry.size, content: entry.content });
        }
        let time = reader.commit_info(commit)?.time;
        Ok(Sources {
            repos: repos.clone(),
            app: app.clone(),
            commit: commit.clone(),
            root,
            tree: Tree(tree),
            procfile,
            time,
            ids,
            lock: None,
        })
    }

    /// The same with the lock file that was made for it.
    pub fn locked(mut self, unlocked: &Unlocked, content: String) -> Result<Sources> {
        unlocked.locked(&mut self.tree, content.clone().into_bytes());
        // What git would call it: committed, it is no other file.
        let kind = buildpacks::Kind::File { executable: false };
        self.ids.insert(unlocked.file.to_owned(), format!("{kind:?} {}", git::blob_id(content.as_bytes())?));
        self.lock = Some((unlocked.file.to_owned(), content));
        Ok(self)
    }

    /// The name of a lock file that was made.
    pub fn made_lock(&self) -> Option<&str> {
        self.lock.as_ref().map(|(file, _)| file.as_str())
    }

    /// No files: for what is made without any.
    pub fn none(repos: &Repos, app: &AppId, commit: &Commit) -> Sources {
        Sources {
            repos: repos.clone(),
            app: app.clone(),
            commit: commit.clone(),
            root: String::new(),
            tree: Tree::default(),
            procfile: None,
            time: Timestamp::default(),
            ids: BTreeMap::new(),
            lock: None,
        }
    }

    /// Whether there is a Procfile.
    pub fn has_procfile(&self) -> bool {
        self.procfile.is_some()
    }

    /// Whether there are folders whose files are not here: commits of other repositories.
    pub fn has_submodules(&self) -> bool {
        self.tree.0.values().any(|entry| entry.kind == buildpacks::Kind::Submodule)
    }

    /// The folder that is the app, with a `/` at its end; empty where it is the whole.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// One file's identity; `absent` where there is none.
    pub fn id_of(&self, path: &str) -> &str {
        self.ids.get(path).map_or("absent", String::as_str)
    }

    /// The paths of all files and links, in order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let made = self.made_lock();
        self.ids.keys().map(String::as_str).filter(move |path| Some(*path) != made)
    }

    /// A path as it is in the repository.
    pub fn in_repository(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// The first bytes of a file; none of one that cannot be read. Blocking.
    pub fn begin_of(&self, path: &str) -> Vec<u8> {
        let (mut begin, oid) = (Vec::new(), self.id_of(path).rsplit(' ').next().unwrap_or_default());
        let mut take = |bytes: &[u8]| {
            begin.extend_from_slice(bytes.get(..BEGIN_MAX.min(bytes.len())).unwrap_or_default());
            false
        };
        match self.repos.reader(&self.app).and_then(|reader| reader.content(oid, &mut take)) {
            Ok(()) => begin,
            Err(_) => Vec::new(),
        }
    }

    /// The identity of all files.
    pub fn whole_id(&self) -> String {
        let mut hash = Sha256::new();
        for (path, id) in &self.ids {
            hash.update(path.as_bytes());
            hash.update([0]);
            hash.update(id.as_bytes());
            hash.update([0]);
        }
        hex(&hash.finalize())
    }

    /// Every file and link in order, with its bytes. Blocking.
    pub fn each(&self, mut file: impl FnMut(&FileEntry<'_>, &mut dyn Read) -> Result<()>) -> Result<()> {
        self.repos.reader(&self.app)?.each_file(&self.commit, &self.root, |entry, data| {
            let path = entry.path.strip_prefix(&self.root).unwrap_or(entry.path);
            file(&FileEntry { path, kind: entry.kind, size: entry.size }, data)
        })
    }

    /// Lays files into an empty folder, owned by the app's user: all, or only those named. Blocking.
    pub fn lay(&self, into: &Path, only: Option<&BTreeSet<String>>) -> Result<()> {
        let mut made: BTreeSet<PathBuf> = BTreeSet::new();
        self.each(|entry, data| {
            if only.is_some_and(|names| !names.contains(entry.path)) {
                return Ok(());
            }
            let path = into.join(entry.path);
            make_parents(into, &path, &mut made)?;
            let act = || format!("cannot write {}", entry.path);
            match entry.kind {
                Kind::File { exec } => {
                    let mode = if exec { 0o755 } else { 0o644 };
                    let mut out = File::options().write(true).create_new(true).mode(mode).open(&path).act(act)?;
                    std::io::copy(data, &mut out).act(act)?;
                    out.flush().act(act)?;
                    own(&path)?;
                }
                Kind::Symlink => {
                    let mut target = Vec::new();
                    data.take(4096).read_to_end(&mut target).act(act)?;
                    let target: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(target.as_slice());
                    std::os::unix::fs::symlink(target, &path).act(act)?;
                }
                Kind::Submodule => {}
            }
            Ok(())
        })?;
        match self.lock.as_ref().filter(|(path, _)| only.is_none_or(|names| names.contains(path))) {
            Some((path, content)) => write_file(&into.join(path), content, false),
            None => Ok(()),
        }
    }
}

/// A file of the app's user, in place of what is there.
pub fn write_file(path: &Path, content: &str, executable: bool) -> Result<()> {
    let act = || format!("cannot write {}", path.display());
    let _ = std::fs::remove_file(path);
    let mode = if executable { 0o755 } else { 0o644 };
    let mut out = File::options().write(true).create_new(true).mode(mode).open(path).act(act)?;
    out.write_all(content.as_bytes()).act(act)?;
    own(path)
}

fn make_parents(root: &Path, path: &Path, made: &mut BTreeSet<PathBuf>) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if parent == root || made.contains(parent) {
        return Ok(());
    }
    make_parents(root, parent, made)?;
    make_folder(parent)?;
    made.insert(parent.to_path_buf());
    Ok(())
}

/// A folder of the app's user.
pub fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).act(|| format!("cannot make {}", path.display()))?;
    own(path)
}

fn own(path: &Path) -> Result<()> {
    std::os::unix::fs::lchown(path, Some(APP_UID), Some(APP_UID)).act(|| format!("cannot own {}", path.display()))?;
    Ok(())
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A path of a plan, within `root`: no `..`, no absolute surprises.
pub fn within(root: &Path, path: &str) -> Result<PathBuf> {
    let plain = path.trim_start_matches('/');
    if plain.split('/').any(|part| part == ".." || part == ".") {
        return Err(Fault::plain(format!("a plan names the path {path}")).into());
    }
    Ok(root.join(plain))
}
