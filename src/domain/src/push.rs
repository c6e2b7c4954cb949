//! What a push may do: which of its refs deploys, whether its tree can be built, whether the branch may move to it.
//!
//! Invariant: no ref name, path or push option that failed its grammar is ever part of a command shown to the user.
//! Absent: git itself; the shell brings ref names, ids and counted facts.

mod memory;
mod submodules;
mod tree;

pub use memory::{COMMIT_MAX, Fall, LISTS_MAX, commit_too_long, fell, lists_too_long};
pub use submodules::{
    GITMODULES_MAX, SUBMODULES_DEEP, SUBMODULES_MAX, submodule_address, submodule_unreachable, submodules_too_deep,
    submodules_with_lfs, too_many_submodules,
};
pub use tree::{TREE_BYTES_MAX, TREE_FILES_MAX, TREE_LFS_MAX, TreeFacts, judge_tree, lfs_missing};

use crate::names::Commit;
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::text::{did_you_mean, plain};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What git writes for "no commit": the old id of a new branch, the new id of a deletion.
const ZERO: &str = "0000000000000000000000000000000000000000";
/// The names that deploy when the app has not chosen one, in the order they are suggested.
const DEFAULT_BRANCHES: [&str; 2] = ["main", "master"];
/// Push options known, for parsing and for suggestions.
const OPTIONS: [&str; 3] = ["detach", "json", "timestamps"];
/// Options of other servers that are named.
const FOREIGN_MAX: usize = 5;

/// One line of what the client asked for, as git handed it to the hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefUpdate {
    /// The full name: `refs/heads/main`.
    #[serde(rename = "ref")]
    pub name: String,
    /// The commit the client saw there; zeros for none.
    pub old: String,
    /// The commit it wants there; zeros to delete.
    pub new: String,
}

/// What the app says about pushes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The deploy branch, once it is known: by the app's setting or by its first push.
    pub deploy_branch: Option<BranchName>,
    /// The app, for the commands that are suggested.
    pub app: String,
}

/// The one deploy that a push asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The branch it moves: the deploy branch.
    pub branch: BranchName,
    /// The commit to deploy.
    pub commit: Commit,
    /// The commit that the client saw on the branch, for [`may_advance`].
    pub seen: Option<Commit>,
}

/// A branch's short name, `main` or `feature/x`, in a grammar stricter than git's: it needs no quoting in any shell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);

impl BranchName {
    /// The short name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The full name: `refs/heads/main`.
    pub fn full(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl FromStr for BranchName {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<BranchName, Refusal> {
        let part = |p: &str| !p.is_empty() && !p.starts_with(['.', '-']) && !p.ends_with('.') && !p.ends_with(".lock");
        let ok = text.len() <= 200
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/+@-".contains(&b))
            && text.split('/').all(part)
            && !text.contains("..")
            && text != "@"
            && text != "HEAD";
        if ok {
            return Ok(BranchName(text.to_owned()));
        }
        Err(Refusal::new(Code::BadBranchName, format!("\"{}\" is not a branch name that is taken here", shown(text)))
            .why("allowed: letters, digits and . _ / + @ -, no part beginning with - or .")
            .next("git push hoist HEAD:main"))
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<BranchName> for String {
    fn from(name: BranchName) -> String {
        name.0
    }
}

impl TryFrom<String> for BranchName {
    type Error = Refusal;
    fn try_from(text: String) -> Result<BranchName, Refusal> {
        text.parse()
    }
}

/// What the user asked for with `git push -o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PushOptions {
    /// Answer as soon as the job is queued.
    pub detach: bool,
    /// The last line is a report in JSON.
    pub json: bool,
    /// Each line begins with its time.
    pub timestamps: bool,
}

/// Chooses the one commit that deploys, or says why none does. The tree comes next: [`judge_tree`].
pub fn judge(updates: &[RefUpdate], policy: &Policy) -> Result<Verdict, Refusal> {
    let Some(first) = updates.first() else {
        return Err(Refusal::new(Code::EmptyPush, "This push changes nothing").next(push_line(&target(policy))));
    };
    for update in updates {
        known_kind(update, policy)?;
    }
    if updates.len() > 1 {
        return Err(several(updates, policy));
    }
    let branch = branch_of(first)?;
    let deploys = match &policy.deploy_branch {
        Some(deploy) => *deploy == branch,
        None => DEFAULT_BRANCHES.contains(&branch.as_str()),
    };
    if first.new == ZERO {
        return Err(deletion(&branch, policy));
    }
    if !deploys {
        return Err(other_branch(&branch, policy));
    }
    let seen = if first.old == ZERO { None } else { Some(first.old.parse()?) };
    Ok(Verdict { branch, commit: first.new.parse()?, seen })
}

/// Whether the branch may move to a pushed commit at its turn in the queue: yes if it is still what the client saw
/// (its force push then too: it knew what it replaced), or if the commit contains what is there now.
pub fn may_advance(
    branch: &BranchName,
    seen: Option<&Commit>,
    now: Option<&Commit>,
    descends_from_now: bool,
) -> Result<(), Refusal> {
    match now {
        None => Ok(()),
        Some(_) if seen == now || descends_from_now => Ok(()),
        Some(now) => {
            Err(Refusal::new(Code::Overtaken, format!("Another push has moved {branch} to {} meanwhile", now.short()))
                .why("This push does not contain that commit: deploying it would undo the other one.")
                .next(format!("git pull --rebase hoist {branch} && git push hoist {branch}"))
                .next(format!("git fetch hoist && git push --force hoist {branch}  (replaces the other push)")))
        }
    }
}

/// Reads `git push -o OPTION` in order; and the options that are not ours, as they may be shown. Those are for another server,
/// from `push.pushOption` in the user's git config, say, and are passed over. What looks like a misspelt one of ours is
/// refused: a typing mistake must not become a plain push.
pub fn parse_options(options: &[String]) -> Result<(PushOptions, Vec<String>), Refusal> {
    let (mut parsed, mut foreign) = (PushOptions::default(), Vec::new());
    for option in options {
        match option.as_str() {
            "detach" => parsed.detach = true,
            "json" => parsed.json = true,
            "timestamps" => parsed.timestamps = true,
            unknown => match did_you_mean(unknown, OPTIONS).first() {
                // Options of the command line are in place of those of the config: this line works as it stands.
                Some(near) => {
                    let no = format!("There is no push option \"{}\"", shown(unknown));
                    return Err(Refusal::new(Code::UnknownPushOption, no)
                        .why(format!("known: {}", OPTIONS.join(", ")))
                        .next(format!("git push -o {near} hoist main")));
                }
                None if foreign.len() < FOREIGN_MAX => foreign.push(shown(unknown)),
                None => {}
            },
        }
    }
    Ok((parsed, foreign))
}

/// Refuses everything that is not a branch of a name we take.
fn known_kind(update: &RefUpdate, policy: &Policy) -> Result<(), Refusal> {
    let line = push_line(&target(policy));
    if let Some(tag) = update.name.strip_prefix("refs/tags/") {
        // `git push hoist v1.0:main` makes a tag `main` where there is no such branch yet: then the tag meant is another one.
        let named = tag.parse::<BranchName>().ok().filter(|name| name.as_str() != target(policy));
        let named = named.as_ref().map_or("TAG", BranchName::as_str);
        return Err(Refusal::new(Code::TagPush, format!("Tags are not kept here: {}", shown(tag)))
            .why("A branch deploys; a tag has nothing to start.")
            .next(line.replacen("git push", "git push --no-follow-tags", 1))
            .next(format!("git push hoist {}:{}  (deploys the commit of the tag)", named, full(&target(policy)))));
    }
    if update.name.strip_prefix("refs/heads/").is_none() {
        return Err(Refusal::new(
            Code::NotABranch,
            format!("{} is not a branch; only a branch deploys", shown(&update.name)),
        )
        .next(line));
    }
    branch_of(update).map(drop)
}

fn branch_of(update: &RefUpdate) -> Result<BranchName, Refusal> {
    update.name.strip_prefix("refs/heads/").unwrap_or(&update.name).parse()
}

fn several(updates: &[RefUpdate], policy: &Policy) -> Refusal {
    let names: Vec<BranchName> = updates.iter().filter(|u| u.new != ZERO).filter_map(|u| branch_of(u).ok()).collect();
    let pushed = |want: &str| names.iter().any(|n| n.as_str() == want);
    let deploy = target(policy);
    let default = || DEFAULT_BRANCHES.iter().find(|d| policy.deploy_branch.is_none() && pushed(d));
    let line = match (pushed(&deploy), default(), names.first()) {
        (true, ..) => push_line(&deploy),
        (false, Some(default), _) => push_line(default),
        (false, None, Some(first)) => push_to(first, &deploy),
        (false, None, None) => push_line(&deploy),
    };
    Refusal::new(Code::SeveralBranches, format!("This push has {} branches; one deploys", updates.len())).next(line)
}

fn deletion(branch: &BranchName, policy: &Policy) -> Refusal {
    let no = Refusal::new(Code::BranchDeletion, format!("{branch} is not deleted by a push"));
    if target(policy) == branch.as_str() {
        no.why(format!("It is the deploy branch of {}: what runs came from it.", policy.app))
            .next(format!("apps:destroy {}  (ends the app and its branch)", policy.app))
    } else {
        no.why(format!("Only {} is kept here.", target(policy))).next(push_line(&target(policy)))
    }
}

fn other_branch(branch: &BranchName, policy: &Policy) -> Refusal {
    let no = Refusal::new(Code::NotTheDeployBranch, format!("{branch} is not the branch that deploys {}", policy.app))
        .why(match &policy.deploy_branch {
            Some(deploy) => format!("a push to {deploy} deploys it"),
            None => "a push to main or master deploys it".to_owned(),
        })
        .next(push_to(branch, &target(policy)));
    match &policy.deploy_branch {
        Some(_) => {
            no.next(format!("apps:set {} deploy-branch={branch}  (if {branch} is to deploy from now on)", policy.app))
        }
        None => no,
    }
}

/// The branch to suggest: the deploy branch, or what it would be.
fn target(policy: &Policy) -> String {
    policy.deploy_branch.as_ref().map_or_else(|| "main".to_owned(), |b| b.as_str().to_owned())
}

fn full(branch: &str) -> String {
    format!("refs/heads/{branch}")
}

/// Pushes what was pushed, to the branch that deploys.
fn push_to(pushed: &BranchName, deploy: &str) -> String {
    format!("git push hoist {pushed}:{}", if deploy.contains('/') { full(deploy) } else { deploy.to_owned() })
}

fn push_line(branch: &str) -> String {
    format!("git push hoist {branch}")
}

/// Text of a stranger, short and without control characters.
fn shown(text: &str) -> String {
    plain(text).chars().take(60).collect()
}

#[cfg(test)]
mod tests;
