//! Chooses the next step of a deploy and takes in its outcome. Pure: no clock, no I/O, no Docker words.
//!
//! Invariant: [`Effect::Commit`] is the one commit point. Before it every failure leads to [`Deploy::Unwinding`], which
//! leaves the old release serving; after it there is only forward. Every effect may be run again after a crash.

use crate::ids::BuildId;
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
    /// All kinds.
    pub const ALL: [Kind; 5] = [Kind::Push, Kind::Rebuild, Kind::Config, Kind::Rollback, Kind::Restart];

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
    /// Whether the operator's hooks hear of it: of everything that makes a release.
    fn has_hooks(self) -> bool {
        self.cuts()
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
    /// The operator's hook before a build had nothing against it.
    Permitted,
    /// The image is in the engine.
    Built {
        /// The build's id in the store.
        build: BuildId,
    },
    /// The operator's hook before a release had nothing against it.
    Approved {
        /// The build that was made for it; none where an earlier image is taken.
        build: Option<BuildId>,
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
    /// The old instances are being retired.
    Retired {
        /// The release.
        release: ReleaseNumber,
        /// As in [`Deploy::Routed`].
        acknowledged: bool,
    },
    /// Over: the release serves.
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
    /// What was made is undone.
    Undone {
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
    /// Ask the operator's hook whether to build.
    PreBuild,
    /// Make the image.
    Build,
    /// Ask the operator's hook whether to make a release.
    PreRelease,
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
    /// Tell the operator's hook of the release that is live.
    PostDeploy,
    /// Remove what this deploy started.
    Discard,
    /// Tell the operator's hook of the failure.
    OnFailure,
}

impl Effect {
    /// All effects, in order; tests count crash points by it.
    pub const ALL: [Effect; 13] = [
        Effect::PreBuild,
        Effect::Build,
        Effect::PreRelease,
        Effect::Cut,
        Effect::Prepare,
        Effect::Boot,
        Effect::Commit,
        Effect::Route,
        Effect::MoveBranch,
        Effect::Retire,
        Effect::PostDeploy,
        Effect::Discard,
        Effect::OnFailure,
    ];

    /// Whether it is a hook of the operator.
    pub fn is_hook(self) -> bool {
        match self {
            Effect::PreBuild | Effect::PreRelease | Effect::PostDeploy | Effect::OnFailure => true,
            Effect::Build
            | Effect::Cut
            | Effect::Prepare
            | Effect::Boot
            | Effect::Commit
            | Effect::Route
            | Effect::MoveBranch
            | Effect::Retire
            | Effect::Discard => false,
        }
    }

    /// The word in "took" lines; `None` where the step is too small to mention.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Effect::Build => Some("build"),
            Effect::Prepare => Some("release command"),
            Effect::Boot => Some("boot"),
            Effect::Route => Some("switch"),
            Effect::PreBuild => Some("pre-build"),
            Effect::PreRelease => Some("pre-release"),
            Effect::PostDeploy => Some("post-deploy"),
            Effect::Cut
            | Effect::Commit
            | Effect::MoveBranch
            | Effect::Retire
            | Effect::Discard
            | Effect::OnFailure => None,
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// An image was made (or found unchanged).
    Built {
        /// The build's id.
        build: BuildId,
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
        Deploy::Received if kind.builds() => Effect::PreBuild,
        Deploy::Permitted => Effect::Build,
        Deploy::Received | Deploy::Built { .. } if kind.has_hooks() => Effect::PreRelease,
        Deploy::Received | Deploy::Built { .. } | Deploy::Approved { .. } => Effect::Cut,
        Deploy::Cut { .. } if kind.cuts() => Effect::Prepare,
        Deploy::Cut { .. } | Deploy::Prepared { .. } => Effect::Boot,
        Deploy::Booted { .. } => Effect::Commit,
        Deploy::Committed { .. } => Effect::Route,
        Deploy::Routed { .. } if kind.moves_branch() => Effect::MoveBranch,
        Deploy::Routed { .. } | Deploy::Moved { .. } => Effect::Retire,
        Deploy::Retired { .. } => Effect::PostDeploy,
        Deploy::Unwinding { .. } => Effect::Discard,
        Deploy::Undone { .. } => Effect::OnFailure,
        Deploy::Live { .. } | Deploy::Failed { .. } => return None,
    })
}

/// Takes in the outcome of [`next`]'s step.
pub fn apply(kind: Kind, state: Deploy, outcome: Outcome) -> Result<Deploy, Box<IllegalStep>> {
    if let Outcome::Failed { why } = outcome {
        return fail(state, why);
    }
    Ok(match (state, outcome) {
        (Deploy::Received, Outcome::Done) if kind.builds() => Deploy::Permitted,
        (Deploy::Received, Outcome::Done) if kind.has_hooks() => Deploy::Approved { build: None },
        (Deploy::Received, Outcome::Cut { release }) if !kind.has_hooks() => Deploy::Cut { release },
        (Deploy::Permitted, Outcome::Built { build }) => Deploy::Built { build },
        (Deploy::Built { build }, Outcome::Done) => Deploy::Approved { build: Some(build) },
        (Deploy::Approved { .. }, Outcome::Cut { release }) => Deploy::Cut { release },
        (Deploy::Cut { release }, Outcome::Done) if kind.cuts() => Deploy::Prepared { release },
        (Deploy::Cut { release } | Deploy::Prepared { release }, Outcome::Done) => Deploy::Booted { release },
        (Deploy::Booted { release }, Outcome::Done) => Deploy::Committed { release },
        (Deploy::Committed { release }, Outcome::Routed { acknowledged }) => Deploy::Routed { release, acknowledged },
        (Deploy::Routed { release, acknowledged }, Outcome::Done) if kind.moves_branch() => {
            Deploy::Moved { release, acknowledged }
        }
        (Deploy::Routed { release, acknowledged } | Deploy::Moved { release, acknowledged }, Outcome::Done)
            if kind.has_hooks() =>
        {
            Deploy::Retired { release, acknowledged }
        }
        (
            Deploy::Routed { release, acknowledged }
            | Deploy::Moved { release, acknowledged }
            | Deploy::Retired { release, acknowledged },
            Outcome::Done,
        ) => Deploy::Live { release, acknowledged },
        (Deploy::Unwinding { release, why }, Outcome::Done) if kind.has_hooks() => Deploy::Undone { release, why },
        (Deploy::Unwinding { release, why } | Deploy::Undone { release, why }, Outcome::Done) => {
            Deploy::Failed { release, why }
        }
        (state, outcome) => return Err(Box::new(IllegalStep { state, outcome })),
    })
}

/// Passes over the operator's hooks that are not there, so that they cost neither a step nor a row.
pub fn settle(kind: Kind, mut state: Deploy, is_there: impl Fn(Effect) -> bool) -> Deploy {
    while let Some(effect) = next(kind, &state).filter(|e| e.is_hook() && !is_there(*e)) {
        match apply(kind, state.clone(), Outcome::Done) {
            Ok(after) => state = after,
            // Not possible: a hook's step takes Done. The test of the matrix drives every state through here.
            Err(_) => {
                debug_assert!(false, "{effect:?} does not take Done");
                break;
            }
        }
    }
    state
}

/// Before the commit point: unwind. After it, or while unwinding: the same step again later, so the state stays.
fn fail(state: Deploy, why: Refusal) -> Result<Deploy, Box<IllegalStep>> {
    Ok(match state {
        Deploy::Received | Deploy::Permitted | Deploy::Built { .. } | Deploy::Approved { .. } => {
            Deploy::Unwinding { release: None, why }
        }
        Deploy::Cut { release } | Deploy::Prepared { release } | Deploy::Booted { release } => {
            Deploy::Unwinding { release: Some(release), why }
        }
        forward @ (Deploy::Committed { .. }
        | Deploy::Routed { .. }
        | Deploy::Moved { .. }
        | Deploy::Retired { .. }
        | Deploy::Unwinding { .. }
        | Deploy::Undone { .. }) => forward,
        over @ (Deploy::Live { .. } | Deploy::Failed { .. }) => {
            return Err(Box::new(IllegalStep { state: over, outcome: Outcome::Failed { why } }));
        }
    })
}

/// Whether a cancel still undoes the deploy: only before the commit point.
pub fn can_cancel(state: &Deploy) -> bool {
    match state {
        Deploy::Received
        | Deploy::Permitted
        | Deploy::Built { .. }
        | Deploy::Approved { .. }
        | Deploy::Cut { .. }
        | Deploy::Prepared { .. }
        | Deploy::Booted { .. } => true,
        Deploy::Committed { .. }
        | Deploy::Routed { .. }
        | Deploy::Moved { .. }
        | Deploy::Retired { .. }
        | Deploy::Live { .. }
        | Deploy::Unwinding { .. }
        | Deploy::Undone { .. }
        | Deploy::Failed { .. } => false,
    }
}

/// Whether nothing more happens to it.
pub fn is_over(state: &Deploy) -> bool {
    match state {
        Deploy::Live { .. } | Deploy::Failed { .. } => true,
        Deploy::Received
        | Deploy::Permitted
        | Deploy::Built { .. }
        | Deploy::Approved { .. }
        | Deploy::Cut { .. }
        | Deploy::Prepared { .. }
        | Deploy::Booted { .. }
        | Deploy::Committed { .. }
        | Deploy::Routed { .. }
        | Deploy::Moved { .. }
        | Deploy::Retired { .. }
        | Deploy::Unwinding { .. }
        | Deploy::Undone { .. } => false,
    }
}

#[cfg(test)]
#[path = "deploy_tests.rs"]
mod tests;
