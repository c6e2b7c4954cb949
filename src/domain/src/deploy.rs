//! Chooses the next step of a deploy and takes in its outcome. Pure: no clock, no I/O, no Docker words.
//!
//! Invariant: [`Effect::Commit`] is the one commit point. Before it every failure leads to [`Deploy::Unwinding`], which
//! leaves the old release serving; after it there is only forward. Every effect may be run again after a crash.

use crate::names::ReleaseNumber;
use crate::refusal::Refusal;
use serde::{Deserialize, Serialize};

/// Which of the steps a job has; all kinds share one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// A pushed commit: everything.
    Push,
    /// The current commit built again; the branch stays.
    Rebuild,
    /// The image that is there with other config vars.
    Config,
    /// An earlier release's image and config as a new release.
    Rollback,
    /// The current release in fresh instances (`ps:restart`, `ps:start`).
    Restart,
}

impl Kind {
    fn builds(self) -> bool {
        match self {
            Kind::Push | Kind::Rebuild => true,
            Kind::Config | Kind::Rollback | Kind::Restart => false,
        }
    }
    fn cuts(self) -> bool {
        match self {
            Kind::Push | Kind::Rebuild | Kind::Config | Kind::Rollback => true,
            Kind::Restart => false,
        }
    }
    fn moves_branch(self) -> bool {
        match self {
            Kind::Push => true,
            Kind::Rebuild | Kind::Config | Kind::Rollback | Kind::Restart => false,
        }
    }
    /// The word shown to people.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Push => "push",
            Kind::Rebuild => "rebuild",
            Kind::Config => "config",
            Kind::Rollback => "rollback",
            Kind::Restart => "restart",
        }
    }
}

/// Where a deploy stands. Stored after every step; a restart loads it and goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deploy {
    /// Accepted; nothing done.
    Received,
    /// The image is in the engine.
    Built {
        /// The build's id in the store.
        build: i64,
    },
    /// The release row is there.
    Cut {
        /// Its number.
        release: ReleaseNumber,
    },
    /// The release command, if any, has succeeded.
    Prepared {
        /// The release.
        release: ReleaseNumber,
    },
    /// All instances of all process types are ready.
    Booted {
        /// The release.
        release: ReleaseNumber,
    },
    /// The release is the current one. From here only forward.
    Committed {
        /// The release.
        release: ReleaseNumber,
    },
    /// The routers were told; `acknowledged` says whether they answered in time.
    Routed {
        /// The release.
        release: ReleaseNumber,
        /// False: live, but retiring waits for the routers.
        acknowledged: bool,
    },
    /// The deploy branch is at the release's commit.
    Moved {
        /// The release.
        release: ReleaseNumber,
        /// As in [`Deploy::Routed`].
        acknowledged: bool,
    },
    /// Over: the release serves, the old instances are being retired.
    Live {
        /// The release.
        release: ReleaseNumber,
        /// As in [`Deploy::Routed`].
        acknowledged: bool,
    },
    /// What was made is being undone.
    Unwinding {
        /// The release row, where it was cut.
        release: Option<ReleaseNumber>,
        /// The cause.
        why: Refusal,
    },
    /// Over: the old release serves.
    Failed {
        /// The release that failed, where one was cut.
        release: Option<ReleaseNumber>,
        /// The cause.
        why: Refusal,
    },
}

/// One step to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Effect {
    /// Make the image.
    Build,
    /// Write the release row.
    Cut,
    /// Run the release command.
    Prepare,
    /// Start instances and wait until they are ready.
    Boot,
    /// One transaction: current release and set flip.
    Commit,
    /// Tell the routers, wait for their acknowledgement.
    Route,
    /// Move the deploy branch.
    MoveBranch,
    /// Mark the old instances for retiring.
    Retire,
    /// Remove what this deploy started.
    Discard,
}

impl Effect {
    /// All effects, in order; tests count crash points by it.
    pub const ALL: [Effect; 9] = [
        Effect::Build,
        Effect::Cut,
        Effect::Prepare,
        Effect::Boot,
        Effect::Commit,
        Effect::Route,
        Effect::MoveBranch,
        Effect::Retire,
        Effect::Discard,
    ];

    /// The word in "took" lines; `None` where the step is too small to mention.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Effect::Build => Some("build"),
            Effect::Prepare => Some("release command"),
            Effect::Boot => Some("boot"),
            Effect::Route => Some("switch"),
            Effect::Cut | Effect::Commit | Effect::MoveBranch | Effect::Retire | Effect::Discard => None,
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// An image was made (or found unchanged).
    Built {
        /// The build's id.
        build: i64,
    },
    /// The release row is there, or (restart) the current one was taken.
    Cut {
        /// Its number.
        release: ReleaseNumber,
    },
    /// The step is done.
    Done,
    /// The routers were told.
    Routed {
        /// Whether all acknowledged in time.
        acknowledged: bool,
    },
    /// The step failed, or the job was cancelled.
    Failed {
        /// The cause, as shown to the user.
        why: Refusal,
    },
}

/// A step's outcome that its state does not take: a fault of ours, never of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IllegalStep {
    /// The state.
    pub state: Deploy,
    /// The outcome.
    pub outcome: Outcome,
}

impl std::fmt::Display for IllegalStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a deploy in state {:?} cannot take {:?}", self.state, self.outcome)
    }
}
impl std::error::Error for IllegalStep {}

/// The next step; `None`: the deploy is over.
pub fn next(kind: Kind, state: &Deploy) -> Option<Effect> {
    Some(match state {
        Deploy::Received if kind.builds() => Effect::Build,
        Deploy::Received | Deploy::Built { .. } => Effect::Cut,
        Deploy::Cut { .. } if kind.cuts() => Effect::Prepare,
        Deploy::Cut { .. } | Deploy::Prepared { .. } => Effect::Boot,
        Deploy::Booted { .. } => Effect::Commit,
        Deploy::Committed { .. } => Effect::Route,
        Deploy::Routed { .. } if kind.moves_branch() => Effect::MoveBranch,
        Deploy::Routed { .. } | Deploy::Moved { .. } => Effect::Retire,
        Deploy::Unwinding { .. } => Effect::Discard,
        Deploy::Live { .. } | Deploy::Failed { .. } => return None,
    })
}

/// Takes in the outcome of [`next`]'s step.
pub fn apply(kind: Kind, state: Deploy, outcome: Outcome) -> Result<Deploy, Box<IllegalStep>> {
    if let Outcome::Failed { why } = outcome {
        return fail(state, why);
    }
    Ok(match (state, outcome) {
        (Deploy::Received, Outcome::Built { build }) if kind.builds() => Deploy::Built { build },
        (Deploy::Received, Outcome::Cut { release }) if !kind.builds() => Deploy::Cut { release },
        (Deploy::Built { .. }, Outcome::Cut { release }) => Deploy::Cut { release },
        (Deploy::Cut { release }, Outcome::Done) if kind.cuts() => Deploy::Prepared { release },
        (Deploy::Cut { release } | Deploy::Prepared { release }, Outcome::Done) => Deploy::Booted { release },
        (Deploy::Booted { release }, Outcome::Done) => Deploy::Committed { release },
        (Deploy::Committed { release }, Outcome::Routed { acknowledged }) => Deploy::Routed { release, acknowledged },
        (Deploy::Routed { release, acknowledged }, Outcome::Done) if kind.moves_branch() => {
            Deploy::Moved { release, acknowledged }
        }
        (Deploy::Routed { release, acknowledged } | Deploy::Moved { release, acknowledged }, Outcome::Done) => {
            Deploy::Live { release, acknowledged }
        }
        (Deploy::Unwinding { release, why }, Outcome::Done) => Deploy::Failed { release, why },
        (state, outcome) => return Err(Box::new(IllegalStep { state, outcome })),
    })
}

/// Before the commit point: unwind. After it, or while unwinding: the same step again later, so the state stays.
fn fail(state: Deploy, why: Refusal) -> Result<Deploy, Box<IllegalStep>> {
    Ok(match state {
        Deploy::Received | Deploy::Built { .. } => Deploy::Unwinding { release: None, why },
        Deploy::Cut { release } | Deploy::Prepared { release } | Deploy::Booted { release } => {
            Deploy::Unwinding { release: Some(release), why }
        }
        forward @ (Deploy::Committed { .. }
        | Deploy::Routed { .. }
        | Deploy::Moved { .. }
        | Deploy::Unwinding { .. }) => forward,
        over @ (Deploy::Live { .. } | Deploy::Failed { .. }) => {
            return Err(Box::new(IllegalStep { state: over, outcome: Outcome::Failed { why } }));
        }
    })
}

/// Whether a cancel still undoes the deploy: only before the commit point.
pub fn can_cancel(state: &Deploy) -> bool {
    match state {
        Deploy::Received
        | Deploy::Built { .. }
        | Deploy::Cut { .. }
        | Deploy::Prepared { .. }
        | Deploy::Booted { .. } => true,
        Deploy::Committed { .. }
        | Deploy::Routed { .. }
        | Deploy::Moved { .. }
        | Deploy::Live { .. }
        | Deploy::Unwinding { .. }
        | Deploy::Failed { .. } => false,
    }
}

#[cfg(test)]
#[path = "deploy_tests.rs"]
mod tests;
