//! Reading commits and trees with git2. Blocking: call it from the blocking pool, as the methods of `Repos` below do.
//!
//! Invariant: every id is a checked [`Commit`] or comes from the repository; every walk has a deadline and a limit. An
//! object's size is known before it is read, and one is unpacked at a time in this process: it may be small and made from a
//! large one.

use super::lfs::{ObjectId, POINTER_MAX, POINTER_MIN, Pointer, Store};
use super::repos::{GIT_SECONDS, Quarantine, Repos, git_program};
use super::slugignore::SlugIgnore;
use super::submodules;
use super::walk::{Entry, Flow, Met, PATH_MAX, alone, walk};
use crate::refs::PINS;
use domain::ids::DeployId;
use domain::push::{BranchName, COMMIT_MAX, LISTS_MAX, TREE_BYTES_MAX, TREE_FILES_MAX, TreeFacts};
use domain::push::{GITMODULES_MAX, SUBMODULES_MAX};
use domain::push::{commit_too_long, lfs_missing, lists_too_long};
use domain::refusal::Code;
use domain::text::plain;
use domain::{AppId, Commit, Refusal, Timestamp};
use git2::{ErrorClass, ErrorCode, ObjectType, Oid, Repository, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use system::fault::{Act, Error, Fault, Result};
use system::walls::Walls;
use system::{proc, tasks};

/// For the inspection of a pushed tree and for questions about history.
const READ_MAX: Duration = Duration::from_secs(10);
/// For reading a whole tree with its files.
const TREE_MAX: Duration = Duration::from_secs(600);
/// Larger files are streamed by git instead of read whole.
const WHOLE_MAX: u64 = 8 << 20;
/// Of a streamed file.
const PIECE: usize = 256 * 1024;
/// Paths kept of each kind for a message.
const NAMED_MAX: usize = 5;
/// A tag of a tag of a tag is looked through so far.
const TAGS_MAX: usize = 8;
const GITMODULES: &str = ".gitmodules";
/// A larger `.slugignore` is no list of patterns.
const SLUGIGNORE_MAX: u64 = 256 * 1024;

/// One repository, open for reading.
pub struct Reader {
    repo: Repository,
    path: PathBuf,
    walls: Walls,
    /// What the pointers of commits name; `None` where nothing was ever brought.
    lfs: Option<Store>,
}

/// Where a file's bytes are.
enum Bytes {
    /// Among git's objects, with their number.
    Blob(u64),
    /// Among those of LFS.
    Object(File, u64),
}

/// What a tree entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File {
        /// Whether it may be executed.
        exec: bool,
    },
    /// A link; its content is where it points, which nobody here follows.
    Symlink,
    /// A commit of another repository.
    Submodule,
}

/// One file, link or submodule of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// The full path, parts joined by `/`.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Bytes in it.
    pub size: u64,
    /// The id of its content, 40 hex digits: equal ids are equal contents.
    pub oid: String,
    /// The content, where it was wanted.
    pub content: Option<Vec<u8>>,
}

/// One file or link while all are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry<'a> {
    /// The full path.
    pub path: &'a str,
    /// What it is.
    pub kind: Kind,
    /// How many bytes the reader will give.
    pub size: u64,
}

/// A submodule whose commit is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gitlink {
    /// Where it is.
    pub path: String,
    /// Which commit of the other repository.
    pub commit: Commit,
    /// The folder of the repository that names it: empty, or with a `/` at its end.
    pub inside: String,
    /// That repository's `.gitmodules`.
    pub gitmodules: String,
    /// How many repositories it is in.
    pub depth: usize,
}

/// What people see of a commit; no control characters in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// The author's name.
    pub author: String,
    /// The first line of its message.
    pub summary: String,
    /// When it was committed.
    pub time: Timestamp,
}

impl Bytes {
    fn number(&self) -> u64 {
        match self {
            Bytes::Blob(size) | Bytes::Object(_, size) => *size,
        }
    }
}

impl Reader {
    /// Opens a bare repository. What git itself reads of it is read within `walls`.
    pub(super) fn open(path: &Path, walls: &Walls) -> Result<Reader> {
        let repo = Repository::open_bare(path).act(|| format!("cannot open {}", path.display()))?;
        let lfs = Some(Store::of(path)).filter(Store::is_there);
        let objects = submodules::objects(path);
        if objects.is_dir() {
            let objects = objects.to_str().ok_or_else(|| Fault::plain("a repository's path is not UTF-8"))?;
            repo.odb().and_then(|odb| odb.add_disk_alternate(objects)).act(|| "cannot look into submodules")?;
        }
        Ok(Reader { repo, path: path.to_owned(), walls: walls.clone(), lfs })
    }

    /// Sees the objects of a quarantine too.
    pub fn with_quarantine(self, quarantine: &Quarantine) -> Result<Reader> {
        let path = quarantine.path().to_str().ok_or_else(|| Fault::plain("a quarantine's path is not UTF-8"))?;
        self.repo.odb().and_then(|odb| odb.add_disk_alternate(path)).act(|| "cannot look into the quarantine")?;
        Ok(self)
    }

    /// Counts what the limits and checks of [`domain::push::judge_tree`] ask for, stopping soon after a limit. Submodules are
    /// named, or with `into` counted as far as they are here.
    pub fn inspect(&self, commit: &Commit, into: bool) -> Result<TreeFacts> {
        let odb = self.repo.odb().act(|| "cannot read objects")?;
        let (mut facts, mut folders) = (TreeFacts::default(), 0_u64);
        let name = |list: &mut Vec<String>, path: &str| {
            if list.len() < NAMED_MAX {
                list.push(path.to_owned());
            }
        };
        walk(&self.repo, self.root(commit)?, READ_MAX, |entry| {
            if entry.path.is_none() {
                name(&mut facts.bad_paths, entry.shown);
            }
            match entry.met {
                Met::Folder => folders += 1,
                Met::Submodule if into && self.has(entry.oid) => {}
                Met::Submodule => {
                    // One more than there may be is enough to say so.
                    if facts.submodules.len() <= SUBMODULES_MAX {
                        facts.submodules.push(entry.shown.to_owned());
                    }
                    return Ok(Flow::Skip);
                }
                Met::Symlink | Met::File { .. } => {
                    let (size, _) = odb.read_header(entry.oid).act(|| "cannot read a file's size")?;
                    let size = size as u64;
                    facts.files += 1;
                    facts.bytes = facts.bytes.saturating_add(size);
                    if entry.path == Some(GITMODULES) && entry.met != Met::Symlink && size <= GITMODULES_MAX {
                        facts.gitmodules = Some(String::from_utf8_lossy(&self.blob(entry.oid)?).into_owned());
                    }
                    if entry.met != Met::Symlink
                        && let Some(pointer) = self.pointer(entry.oid, size)?
                    {
                        let here = self.lfs.as_ref().filter(|lfs| lfs.size_of(&pointer.oid) == Some(pointer.size));
                        match here {
                            _ if pointer.extended => name(&mut facts.lfs_extended, entry.shown),
                            // What a push counts on stays until it is live.
                            Some(lfs) => {
                                lfs.touch(&pointer.oid);
                                facts.lfs_bytes = facts.lfs_bytes.saturating_add(pointer.size);
                            }
                            None => name(&mut facts.lfs_pointers, entry.shown),
                        }
                    }
                }
            }
            let most = facts.files.max(folders) > TREE_FILES_MAX || facts.bytes > TREE_BYTES_MAX;
            facts.cut_short |= most;
            Ok(if most || facts.bad_paths.len() == NAMED_MAX { Flow::Stop } else { Flow::Next })
        })?;
        Ok(facts)
    }

    /// All files for a build's planner, less what `.slugignore` names, with the contents that `want(path, size)` asks for.
    pub fn tree(&self, commit: &Commit, want: impl Fn(&str, u64) -> bool) -> Result<Vec<TreeEntry>> {
        let mut entries = Vec::new();
        self.each(commit, |path, kind, oid| {
            let bytes = self.bytes(path, kind, oid)?;
            let size = bytes.number();
            let content = match bytes {
                _ if kind == Kind::Submodule || !want(path, size) => None,
                Bytes::Blob(_) => Some(self.blob(oid)?),
                Bytes::Object(file, size) => {
                    let mut content = Vec::new();
                    file.take(size).read_to_end(&mut content).act(|| format!("cannot read {path}"))?;
                    Some(content)
                }
            };
            entries.push(TreeEntry { path: path.to_owned(), kind, size, oid: oid.to_string(), content });
            Ok(())
        })?;
        Ok(entries)
    }

    /// Every file and link below `folder` (empty: all), less what `.slugignore` names, in the order of paths, each with a
    /// reader of exactly its size. A link's bytes are its target. Paths are given from the top of the tree.
    pub fn each_file(
        &self,
        commit: &Commit,
        folder: &str,
        mut file: impl FnMut(&FileEntry<'_>, &mut dyn Read) -> Result<()>,
    ) -> Result<()> {
        let below = |path: &str| {
            folder.is_empty()
                || path.strip_prefix(folder).is_some_and(|rest| folder.ends_with('/') || rest.starts_with('/'))
        };
        self.each(commit, |path, kind, oid| {
            if kind == Kind::Submodule || !below(path) {
                return Ok(());
            }
            match self.bytes(path, kind, oid)? {
                Bytes::Object(object, size) => file(&FileEntry { path, kind, size }, &mut object.take(size)),
                Bytes::Blob(size) if size <= WHOLE_MAX => {
                    file(&FileEntry { path, kind, size }, &mut self.blob(oid)?.as_slice())
                }
                Bytes::Blob(size) => file(&FileEntry { path, kind, size }, &mut self.stream(&oid.to_string(), size)?),
            }
        })
    }

    /// Gives a file's content to `take`, in pieces, until it says no. A large one is streamed.
    pub fn content(&self, oid: &str, take: &mut dyn FnMut(&[u8]) -> bool) -> Result<()> {
        let id = Oid::from_str(oid).act(|| format!("cannot read the id {oid}"))?;
        let mut content: Box<dyn Read> = match self.bytes(oid, Kind::File { exec: false }, id)? {
            Bytes::Object(object, size) => Box::new(object.take(size)),
            Bytes::Blob(size) if size <= WHOLE_MAX => {
                take(&self.blob(id)?);
                return Ok(());
            }
            Bytes::Blob(size) => Box::new(self.stream(oid, size)?),
        };
        let mut piece = vec![0; PIECE];
        loop {
            let got = content.read(&mut piece).act(|| format!("cannot read the file {oid}"))?;
            match piece.get(..got) {
                Some([]) | None => return Ok(()),
                Some(bytes) if take(bytes) => {}
                Some(_) => return Ok(()),
            }
        }
    }

    /// A large file, by git.
    fn stream(&self, oid: &str, size: u64) -> Result<impl Read + use<>> {
        let mut git = git_program(&self.path).env("GIT_DIR", &self.path).within(&self.walls);
        let objects = submodules::objects(&self.path);
        if objects.is_dir() {
            git = git.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", objects);
        }
        Ok(proc::reader(&git.args(["cat-file", "blob", oid]))?.take(size))
    }

    /// Where a link points.
    pub fn link(&self, oid: &str) -> Result<String> {
        let id = Oid::from_str(oid).act(|| format!("cannot read the id {oid}"))?;
        if self.size(Kind::Symlink, id)? > PATH_MAX as u64 {
            return Err(Fault::plain(format!("the link {oid} is longer than a path")).into());
        }
        Ok(String::from_utf8_lossy(&self.blob(id)?).into_owned())
    }

    /// The commit a branch is at.
    pub fn branch_tip(&self, branch: &BranchName) -> Result<Option<Commit>> {
        match self.repo.refname_to_id(&branch.full()) {
            Ok(id) => Ok(Some(id.to_string().parse()?)),
            Err(err) if err.code() == ErrorCode::NotFound => Ok(None),
            Err(err) => Err(Fault::new(format!("cannot read the branch {branch}"), err).into()),
        }
    }

    /// The pushes whose commits are kept.
    pub fn pins(&self) -> Result<Vec<DeployId>> {
        let act = || "cannot list kept commits";
        let mut found = Vec::new();
        for name in self.repo.references_glob(&format!("{PINS}*")).act(act)?.names() {
            found.extend(name.act(act)?.strip_prefix(PINS).and_then(|push| push.parse::<DeployId>().ok()));
        }
        Ok(found)
    }

    /// Who wrote a commit, when, and its first line.
    pub fn commit_info(&self, commit: &Commit) -> Result<CommitInfo> {
        let found = self.commit(commit)?;
        let short = |bytes: &[u8]| plain(&String::from_utf8_lossy(bytes)).trim().chars().take(200).collect::<String>();
        let first = found.message_bytes().split(|b| *b == b'\n').find(|l| !l.is_empty()).unwrap_or_default();
        Ok(CommitInfo {
            author: short(found.author().name_bytes()),
            summary: short(first),
            time: Timestamp(found.time().seconds().saturating_mul(1_000_000)),
        })
    }

    /// Walks what a build gets. Bad paths were refused at the push; here they are faults.
    fn each(&self, commit: &Commit, mut visit: impl FnMut(&str, Kind, Oid) -> Result<()>) -> Result<()> {
        let root = self.root(commit)?;
        let ignore = self.slugignore(&root)?;
        walk(&self.repo, root, TREE_MAX, |entry: &Entry<'_>| {
            let path = entry.path.ok_or_else(|| Fault::plain(format!("the tree has a bad path {:?}", entry.shown)))?;
            if ignore.leaves_out(path, entry.met == Met::Folder) {
                return Ok(Flow::Skip);
            }
            match entry.met {
                Met::Folder => {}
                Met::File { exec } => visit(path, Kind::File { exec }, entry.oid)?,
                Met::Symlink => visit(path, Kind::Symlink, entry.oid)?,
                // Its files come next.
                Met::Submodule if self.has(entry.oid) => {}
                Met::Submodule => visit(path, Kind::Submodule, entry.oid)?,
            }
            Ok(Flow::Next)
        })
    }

    /// The submodules whose commits are not here, of those below `root` (empty, or with a `/` at its end) that the commit
    /// and the submodules that are here name.
    pub fn missing_submodules(&self, commit: &Commit, root: &str) -> Result<Vec<Gitlink>> {
        let (mut missing, mut here, mut lists) = (Vec::new(), vec![String::new()], BTreeMap::new());
        walk(&self.repo, self.root(commit)?, TREE_MAX, |entry| {
            let path = entry.path.unwrap_or_default();
            match entry.met {
                Met::Submodule if !path.starts_with(root) => return Ok(Flow::Skip),
                Met::Submodule if self.has(entry.oid) => here.push(format!("{path}/")),
                Met::Submodule if missing.len() <= SUBMODULES_MAX => {
                    missing.push((path.to_owned(), entry.oid.to_string().parse()?));
                }
                Met::File { .. } if path.rsplit('/').next() == Some(GITMODULES) => {
                    if self.length(entry.oid)? <= GITMODULES_MAX {
                        let text = String::from_utf8_lossy(&self.blob(entry.oid)?).into_owned();
                        lists.insert(path.to_owned(), text);
                    }
                }
                Met::Submodule | Met::Folder | Met::Symlink | Met::File { .. } => {}
            }
            Ok(Flow::Next)
        })?;
        let link = |(path, commit): (String, Commit)| {
            // The innermost repository that it is in.
            let around = || here.iter().filter(|inside| path.starts_with(*inside));
            let inside = around().max_by_key(|inside| inside.len()).cloned().unwrap_or_default();
            let gitmodules = lists.get(&format!("{inside}{GITMODULES}")).cloned().unwrap_or_default();
            Gitlink { depth: around().count(), path, commit, inside, gitmodules }
        };
        Ok(missing.into_iter().map(link).collect())
    }

    /// Whether a submodule's commit is here.
    fn has(&self, commit: Oid) -> bool {
        alone(|| self.repo.find_commit(commit)).is_ok()
    }

    fn slugignore(&self, root: &Tree<'_>) -> Result<SlugIgnore> {
        let Some(entry) = root.get_name(".slugignore").filter(|e| e.filemode() & 0o170_000 == 0o100_000) else {
            return Ok(SlugIgnore::default());
        };
        if self.size(Kind::File { exec: false }, entry.id())? > SLUGIGNORE_MAX {
            return Err(Refusal::new(Code::BadSlugignore, ".slugignore is larger than 256 kB")
                .next("shorten it")
                .into());
        }
        Ok(SlugIgnore::parse(&String::from_utf8_lossy(&self.blob(entry.id())?)))
    }

    fn root(&self, commit: &Commit) -> Result<Tree<'_>> {
        let found = self.commit(commit)?;
        if self.length(found.tree_id())? > LISTS_MAX {
            return Err(lists_too_long().into());
        }
        Ok(alone(|| found.tree()).act(|| format!("cannot read the tree of {}", commit.short()))?)
    }

    fn commit(&self, commit: &Commit) -> Result<git2::Commit<'_>> {
        let id = oid(commit)?;
        // What is not there, or is something else, is said below.
        if self.repo.odb().and_then(|odb| odb.read_header(id)).is_ok_and(|(size, _)| size as u64 > COMMIT_MAX) {
            return Err(commit_too_long().into());
        }
        match alone(|| self.repo.find_commit(id)) {
            Ok(found) => Ok(found),
            Err(err) if err.code() == ErrorCode::NotFound || err.class() == ErrorClass::Invalid => {
                let no = Refusal::new(Code::NotACommit, format!("{} is not a commit", commit.short()));
                Err(no.next("git push hoist HEAD:main").into())
            }
            Err(err) => Err(Fault::new(format!("cannot read commit {}", commit.short()), err).into()),
        }
    }

    /// The commit that an id means: itself, or what an annotated tag is of, as `git push hoist v1.0:main` sends one.
    ///
    /// # Errors
    /// A refusal where neither is there.
    pub fn peel(&self, named: &Commit) -> Result<Commit> {
        let mut id = oid(named)?;
        for _ in 0..TAGS_MAX {
            match self.repo.odb().and_then(|odb| odb.read_header(id)) {
                Ok((size, ObjectType::Tag)) if size as u64 <= COMMIT_MAX => {
                    let tag =
                        alone(|| self.repo.find_tag(id)).act(|| format!("cannot read the tag {}", named.short()))?;
                    id = tag.target_id();
                }
                // What it is instead, or that it is not there, is said where it is read.
                Ok(_) | Err(_) => break,
            }
        }
        Ok(id.to_string().parse()?)
    }

    fn size(&self, kind: Kind, oid: Oid) -> Result<u64> {
        if kind == Kind::Submodule {
            return Ok(0);
        }
        self.length(oid)
    }

    fn length(&self, oid: Oid) -> Result<u64> {
        let odb = self.repo.odb().act(|| "cannot read objects")?;
        Ok(odb.read_header(oid).act(|| "cannot read an object's size")?.0 as u64)
    }

    /// Where the bytes of a file are for whoever builds it: what its pointer names stands in the place of the pointer.
    fn bytes(&self, path: &str, kind: Kind, oid: Oid) -> Result<Bytes> {
        let size = self.size(kind, oid)?;
        let (Kind::File { .. }, Some(lfs)) = (kind, &self.lfs) else { return Ok(Bytes::Blob(size)) };
        let Some(pointer) = self.pointer(oid, size)?.filter(|pointer| !pointer.extended) else {
            return Ok(Bytes::Blob(size));
        };
        match lfs.open(&pointer.oid) {
            Some((file, size)) if size == pointer.size => Ok(Bytes::Object(file, size)),
            Some(_) | None => Err(lfs_missing(&plain(path)).into()),
        }
    }

    /// The pointer that a file of so many bytes is.
    fn pointer(&self, oid: Oid, size: u64) -> Result<Option<Pointer>> {
        match (POINTER_MIN..=POINTER_MAX).contains(&size) {
            true => Ok(Pointer::parse(&self.blob(oid)?)),
            false => Ok(None),
        }
    }

    /// The objects that the pointers of these commits name; none of a commit that is not here.
    pub(crate) fn lfs_objects(&self, commits: &BTreeSet<Commit>) -> Result<BTreeSet<ObjectId>> {
        // What one commit has in common with another is looked at once.
        let (mut named, mut seen) = (BTreeSet::new(), BTreeSet::new());
        for commit in commits {
            let root = match self.root(commit) {
                Ok(root) => root,
                Err(Error::Refused(_)) => continue,
                Err(err) => return Err(err),
            };
            walk(&self.repo, root, TREE_MAX, |entry| {
                let new = seen.insert(entry.oid);
                if let (Met::File { .. }, true) = (entry.met, new) {
                    let size = self.length(entry.oid)?;
                    named.extend(self.pointer(entry.oid, size)?.map(|pointer| pointer.oid));
                }
                Ok(if new { Flow::Next } else { Flow::Skip })
            })?;
        }
        Ok(named)
    }

    /// The commits that branches and kept pushes are at.
    pub(crate) fn tips(&self) -> Result<Vec<Commit>> {
        let act = || "cannot list refs";
        let mut tips = Vec::new();
        for reference in self.repo.references().act(act)? {
            let id = reference.act(act)?.target();
            tips.extend(id.and_then(|id| id.to_string().parse::<Commit>().ok()));
        }
        Ok(tips)
    }

    fn blob(&self, oid: Oid) -> Result<Vec<u8>> {
        Ok(alone(|| self.repo.find_blob(oid)).act(|| format!("cannot read the file {oid}"))?.content().to_vec())
    }
}

impl Repos {
    /// Opens an app's repository for blocking reads.
    pub fn reader(&self, app: &AppId) -> Result<Reader> {
        Reader::open(&self.path(app), self.walls())
    }

    /// [`Reader::inspect`], of a commit that may still be in quarantine.
    pub async fn inspect(&self, app: &AppId, commit: &Commit, quarantine: Option<Quarantine>) -> Result<TreeFacts> {
        let commit = commit.clone();
        self.read(app, "cannot inspect a commit", move |reader| {
            let reader = match &quarantine {
                Some(quarantine) => reader.with_quarantine(quarantine)?,
                None => reader,
            };
            reader.inspect(&commit, false)
        })
        .await
    }

    /// [`Reader::peel`], within what a push brought where it is not judged yet.
    pub async fn peel(&self, app: &AppId, named: &Commit, quarantine: Option<Quarantine>) -> Result<Commit> {
        let named = named.clone();
        self.read(app, "cannot read what was pushed", move |reader| {
            let reader = match &quarantine {
                Some(quarantine) => reader.with_quarantine(quarantine)?,
                None => reader,
            };
            reader.peel(&named)
        })
        .await
    }

    /// Whether `commit` is `ancestor` or has it in its history. Where history is cut (shallow) the answer is no. Git itself
    /// looks, within its walls: history has no bound.
    pub async fn is_descendant(&self, app: &AppId, commit: &Commit, ancestor: &Commit) -> Result<bool> {
        if commit == ancestor {
            return Ok(true);
        }
        let words = ["rev-list", "--max-count=1", ancestor.as_str(), &format!("^{commit}"), "--"];
        let done = proc::run(&self.git_in(app).args(words), b"", proc::Limits::seconds(GIT_SECONDS)).await?;
        let missing = done.code == 128 && String::from_utf8_lossy(&done.stderr).contains("bad object");
        if missing {
            return Ok(false);
        }
        Ok(done.success("cannot compare two commits")?.stdout.is_empty())
    }

    /// [`Reader::branch_tip`].
    pub async fn branch_tip(&self, app: &AppId, branch: &BranchName) -> Result<Option<Commit>> {
        let branch = branch.clone();
        self.read(app, "cannot read a branch", move |reader| reader.branch_tip(&branch)).await
    }

    /// [`Reader::commit_info`].
    pub async fn commit_info(&self, app: &AppId, commit: &Commit) -> Result<CommitInfo> {
        let commit = commit.clone();
        self.read(app, "cannot read a commit", move |reader| reader.commit_info(&commit)).await
    }

    /// Short blocking work on a repository, under a deadline that counts the wait for a thread too.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        app: &AppId,
        act: &'static str,
        work: impl FnOnce(Reader) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (path, walls) = (self.path(app), self.walls().clone());
        let done = tasks::blocking(act, move || work(Reader::open(&path, &walls)?));
        match tokio::time::timeout(READ_MAX * 2, done).await {
            Ok(done) => done,
            Err(_) => Err(Error::from(Fault::plain(format!("{act}: it took too long")).transient())),
        }
    }
}

fn oid(commit: &Commit) -> Result<Oid> {
    Ok(Oid::from_str(commit.as_str()).act(|| format!("cannot read the id {commit}"))?)
}

/// The id that a file of this content has in any repository.
pub fn blob_id(content: &[u8]) -> Result<String> {
    Ok(Oid::hash_object(ObjectType::Blob, content).act(|| "cannot name a file's content")?.to_string())
}
