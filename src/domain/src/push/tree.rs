//! Whether the tree of a pushed commit is something to build: counted facts in, a refusal or nothing out.
//!
//! Absent: reading; the shell counts, and stops counting soon after a limit.

use super::shown;
use super::submodules::{submodule_address, too_many_submodules};
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::text::human_bytes;
use serde::{Deserialize, Serialize};

/// Files in a tree, at most.
pub const TREE_FILES_MAX: u64 = 100_000;
/// Bytes of all files of a tree together, at most.
pub const TREE_BYTES_MAX: u64 = 1_000_000_000;

/// Bytes of all files of a tree that Git LFS brought together, at most.
pub const TREE_LFS_MAX: u64 = 4_000_000_000;

/// What was counted in a tree. Lists hold the first few paths, for the message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TreeFacts {
    /// Files and links.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Whether counting stopped because one of the limits was passed.
    pub cut_short: bool,
    /// Paths of submodules (gitlinks) whose files are not among those counted.
    pub submodules: Vec<String>,
    /// The `.gitmodules` at the top.
    #[serde(default)]
    pub gitmodules: Option<String>,
    /// Bytes of the files that Git LFS brought; of these, `bytes` has their pointers.
    #[serde(default)]
    pub lfs_bytes: u64,
    /// Paths of Git LFS pointers whose files are not here.
    pub lfs_pointers: Vec<String>,
    /// Paths of Git LFS pointers whose files only an extension of the client's can make.
    #[serde(default)]
    pub lfs_extended: Vec<String>,
    /// Paths that cannot be unpacked the same everywhere: not UTF-8, `..`, `.git`, too deep.
    pub bad_paths: Vec<String>,
}

/// Refuses trees that cannot become an app, each with what to do.
pub fn judge_tree(facts: &TreeFacts) -> Result<(), Refusal> {
    if let Some(path) = facts.bad_paths.first() {
        return Err(Refusal::new(
            Code::BadPath,
            format!("The commit has a path that cannot be unpacked safely: {}", shown(path)),
        )
        .why("Paths are UTF-8, at most 4096 bytes and 100 folders deep, without . or .. or .git as a part.")
        .next("git mv it to another name, commit, push again"));
    }
    if facts.lfs_bytes > TREE_LFS_MAX {
        let (have, most) = (human_bytes(facts.lfs_bytes), human_bytes(TREE_LFS_MAX));
        return Err(Refusal::new(
            Code::TreeTooLarge,
            format!("The commit's Git LFS files have {have}; the most is {most}"),
        )
        .next("keep some of them outside the repository and load them from a URL"));
    }
    if facts.cut_short || facts.files > TREE_FILES_MAX || facts.bytes > TREE_BYTES_MAX {
        return Err(too_large(facts));
    }
    // Before a build fetches them, as long as nothing was changed.
    too_many_submodules(facts.submodules.len())?;
    for path in &facts.submodules {
        submodule_address(path, "", facts.gitmodules.as_deref().unwrap_or_default())?;
    }
    if !facts.lfs_pointers.is_empty() {
        return Err(lfs_missing(&list(&facts.lfs_pointers)));
    }
    if !facts.lfs_extended.is_empty() {
        let named = list(&facts.lfs_extended);
        return Err(Refusal::new(
            Code::LfsPointers,
            format!("These Git LFS files need an extension of git-lfs: {named}"),
        )
        .why("It changes a file after it is fetched, and runs on the machine of whoever has it; the server has none.")
        .next("git lfs untrack PATH, git add --renormalize PATH, git commit, push again"));
    }
    if facts.files == 0 && facts.submodules.is_empty() {
        return Err(Refusal::new(Code::EmptyTree, "The commit has no files, so there is nothing to build")
            .next("git add . && git commit -m 'The app' && git push hoist main"));
    }
    Ok(())
}

/// Pointers whose files are not here.
pub fn lfs_missing(paths: &str) -> Refusal {
    Refusal::new(Code::LfsPointers, format!("These Git LFS files are not on the server: {paths}"))
        .why("The commit has only pointers to them; the app would start with those in place of the files.")
        .next("git lfs install && git lfs push --all hoist, then push again")
}

fn too_large(facts: &TreeFacts) -> Refusal {
    let (what, why) = if facts.bytes > TREE_BYTES_MAX {
        (format!("The commit's files are larger than {}", human_bytes(TREE_BYTES_MAX)), "")
    } else {
        (
            format!("The commit has more than {TREE_FILES_MAX} files and folders"),
            "Often node_modules or build output was committed.",
        )
    };
    Refusal::new(Code::TreeTooLarge, what)
        .why(why)
        .next("git rm -r --cached PATH, name PATH in .gitignore, git commit, push again")
}

fn list(paths: &[String]) -> String {
    let first: Vec<String> = paths.iter().take(3).map(|p| shown(p)).collect();
    let more = if paths.len() > 3 { ", …" } else { "" };
    format!("{}{more}", first.join(", "))
}
