//! What a pusher or fetcher is told when git's memory ended before their history did.

use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::text::human_bytes;

/// Bytes that a list of files (one folder's, or all on the way down to it) may take in the server.
pub const LISTS_MAX: u64 = 16_000_000;
/// Bytes of a commit's text.
pub const COMMIT_MAX: u64 = 1_000_000;

/// Which wall it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fall {
    /// What one push or fetch may have.
    Own,
    /// What all have together: the kernel ended the one that had most.
    Total,
    /// The stack: git follows folders by calling itself.
    Deep,
}

/// The words for a fall; `what` is "push" or "fetch", `memory` what each of its processes may have.
pub fn fell(what: &str, fall: Fall, memory: u64) -> Refusal {
    match fall {
        Fall::Own => Refusal::new(
            Code::TooMuchMemory,
            format!(
                "This {what} takes git more than {} of memory, the most that one may have here",
                human_bytes(memory)
            ),
        )
        .why(
            "Usual reasons: a file of tens of megabytes sent as a difference to another version of it; one folder with \
             hundreds of thousands of entries; far more than 500,000 objects.\n\
             Nothing was changed.",
        )
        .next("git -c core.bigFileThreshold=8m repack -adF, then push again  (large files are then sent whole)")
        .next(
            "git push --force hoist $(git commit-tree -m app HEAD^{tree}):refs/heads/main  (one commit, without the history)",
        ),
        Fall::Deep => {
            Refusal::new(Code::TooDeep, format!("Git could not follow this {what}: its folders are nested too deep"))
                .why("Paths may be 100 folders deep. Nothing was changed.")
                .next("move the files up (git mv), commit, push again")
        }
        Fall::Total => {
            Refusal::new(Code::Busy, format!("This {what} was ended: git's programs together reached their memory"))
                .why("Nothing was changed.")
                .next(format!("{what} again in a minute"))
                .next("an administrator: raise git-memory (docs/operations.md)")
        }
    }
}

/// One folder, or those on the way to it, are lists that the server does not read.
pub fn lists_too_long() -> Refusal {
    Refusal::new(
        Code::TreeTooLarge,
        format!("The commit has a folder whose list of files is longer than {}", human_bytes(LISTS_MAX)),
    )
    .why("Nothing was changed.")
    .next("put the files into folders of some thousands each, or leave them out of git; commit, push again")
}

/// A commit that is far more than a message.
pub fn commit_too_long() -> Refusal {
    Refusal::new(Code::CommitTooLarge, format!("The commit's own text is longer than {}", human_bytes(COMMIT_MAX)))
        .why("Nothing was changed.")
        .next("git commit --amend with a shorter message, push again")
}
