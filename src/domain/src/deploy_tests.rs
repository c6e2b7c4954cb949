//! The crash matrix of the deploy core: every effect, before and after it, with and without a failing step, for every
//! kind of job. A world in memory stands for store, engine, router and git; its effects are as idempotent as the real.

use super::*;
use crate::ids::BuildId;
use crate::refusal::Code;
use std::collections::BTreeSet;

const OLD: ReleaseNumber = ReleaseNumber(1);
const NEW: ReleaseNumber = ReleaseNumber(2);

#[derive(Debug, Clone, PartialEq, Eq)]
struct World {
    state: Deploy,
    images: BTreeSet<i64>,
    rows: BTreeSet<ReleaseNumber>,
    instances: BTreeSet<&'static str>,
    current: ReleaseNumber,
    current_set: &'static str,
    routed: &'static str,
    branch: &'static str,
    prepared: u32,
    /// Hooks that ran to their end, in order.
    heard: Vec<Effect>,
}

fn world() -> World {
    World {
        state: Deploy::Received,
        images: [1].into(),
        rows: [OLD].into(),
        instances: ["old"].into(),
        current: OLD,
        current_set: "old",
        routed: "old",
        branch: "old",
        prepared: 0,
        heard: Vec::new(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    Never,
    Before(usize),
    After(usize),
}

/// Runs one effect on the world, as idempotently as the shell does.
fn run(world: &mut World, kind: Kind, effect: Effect) -> Outcome {
    match effect {
        Effect::Build => {
            world.images.insert(2);
            Outcome::Built { build: BuildId(2) }
        }
        Effect::Cut if kind == Kind::Restart => Outcome::Cut { release: world.current },
        Effect::Cut => {
            world.rows.insert(NEW);
            Outcome::Cut { release: NEW }
        }
        Effect::Prepare => {
            world.prepared += 1;
            Outcome::Done
        }
        Effect::Boot => {
            world.instances.insert("new");
            Outcome::Done
        }
        Effect::Commit => {
            world.current_set = "new";
            if kind != Kind::Restart {
                world.current = NEW;
            }
            Outcome::Done
        }
        Effect::Route => {
            world.routed = world.current_set;
            Outcome::Routed { acknowledged: true }
        }
        Effect::MoveBranch => {
            world.branch = "new";
            Outcome::Done
        }
        Effect::Retire => {
            let keep = world.current_set;
            world.instances.retain(|i| *i == keep);
            Outcome::Done
        }
        Effect::Discard => {
            world.instances.remove("new");
            Outcome::Done
        }
        Effect::PreBuild | Effect::PreRelease | Effect::PostDeploy | Effect::OnFailure => {
            world.heard.push(effect);
            Outcome::Done
        }
    }
}

/// Drives to the end. A step that fails does so the first `times` it runs; a crash loses the outcome, never the effect.
fn drive(kind: Kind, fail: Option<Effect>, crash: Crash) -> (World, usize) {
    drive_with(kind, fail, crash, true)
}

/// The same with or without hooks.
fn drive_with(kind: Kind, fail: Option<Effect>, crash: Crash, hooks: bool) -> (World, usize) {
    let mut world = world();
    let (mut steps, mut failures, mut crash) = (0, 0, crash);
    loop {
        // As the driver does: also after a crash, when only what was stored is known.
        let state = settle(kind, world.state.clone(), |_| hooks);
        let Some(effect) = next(kind, &state) else {
            world.state = state;
            break;
        };
        assert!(hooks || !effect.is_hook(), "{effect:?} without hooks");
        // The router never sees a set whose instances are gone, at any moment.
        assert!(world.instances.contains(world.routed), "{world:?}");
        if crash == Crash::Before(steps) {
            crash = Crash::Never;
            continue;
        }
        let outcome = if fail == Some(effect) && failures < 2 {
            failures += 1;
            Outcome::Failed { why: Refusal::new(Code::Cancelled, "step failed") }
        } else {
            run(&mut world, kind, effect)
        };
        if crash == Crash::After(steps) {
            crash = Crash::Never;
            continue;
        }
        world.state = settle(kind, apply(kind, state, outcome).unwrap(), |_| hooks);
        steps += 1;
        assert!(steps < 50, "no end");
    }
    (world, steps)
}

const KINDS: [Kind; 5] = [Kind::Push, Kind::Rebuild, Kind::Config, Kind::Rollback, Kind::Restart];

#[test]
fn crash_matrix() {
    let mut points = 0;
    for kind in KINDS {
        for fail in std::iter::once(None).chain(Effect::ALL.map(Some)) {
            let (mut calm, steps) = drive(kind, fail, Crash::Never);
            for step in 0..steps {
                for crash in [Crash::Before(step), Crash::After(step)] {
                    let (mut after, _) = drive(kind, fail, crash);
                    // A release command or a hook may run again after a crash (documented); nothing else differs.
                    for world in [&mut after, &mut calm] {
                        world.prepared = 0;
                        world.heard.dedup();
                    }
                    assert_eq!(after, calm, "{kind:?} fail {fail:?} {crash:?}");
                    points += 1;
                }
            }
        }
    }
    assert!(points > 800, "{points}");
}

#[test]
fn hooks_are_heard_in_their_place_and_cost_nothing_where_there_are_none() {
    use Effect::{OnFailure, PostDeploy, PreBuild, PreRelease};
    for (kind, fail, want) in [
        (Kind::Push, None, vec![PreBuild, PreRelease, PostDeploy]),
        (Kind::Rebuild, None, vec![PreBuild, PreRelease, PostDeploy]),
        (Kind::Config, None, vec![PreRelease, PostDeploy]),
        (Kind::Rollback, None, vec![PreRelease, PostDeploy]),
        (Kind::Restart, None, vec![]),
        (Kind::Push, Some(PreBuild), vec![OnFailure]),
        (Kind::Push, Some(PreRelease), vec![PreBuild, OnFailure]),
        (Kind::Push, Some(Effect::Boot), vec![PreBuild, PreRelease, OnFailure]),
        (Kind::Restart, Some(Effect::Boot), vec![]),
    ] {
        let (with, steps) = drive(kind, fail, Crash::Never);
        assert_eq!(with.heard, want, "{kind:?} {fail:?}");
        if fail.is_none_or(|f| !f.is_hook()) {
            let (without, fewer) = drive_with(kind, fail, Crash::Never, false);
            assert_eq!(World { heard: Vec::new(), ..with }, without);
            assert_eq!(steps - want.len(), fewer);
        }
    }
}

#[test]
fn a_hook_that_refuses_leaves_everything_as_it_was() {
    for hook in [Effect::PreBuild, Effect::PreRelease] {
        let (world, _) = drive(Kind::Push, Some(hook), Crash::Never);
        assert!(matches!(world.state, Deploy::Failed { release: None, .. }), "{world:?}");
        assert_eq!((world.rows, world.current, world.routed), ([OLD].into(), OLD, "old"));
        assert_eq!(world.images.contains(&2), hook == Effect::PreRelease);
    }
}

#[test]
fn a_failure_before_the_commit_point_leaves_the_old_release_serving() {
    for kind in KINDS {
        for fail in Effect::ALL.into_iter().take_while(|e| *e != Effect::Route) {
            let (world, _) = drive(kind, Some(fail), Crash::Never);
            if let Deploy::Failed { .. } = world.state {
                assert_eq!((world.current, world.current_set, world.routed, world.branch), (OLD, "old", "old", "old"));
                assert_eq!(world.instances, ["old"].into());
            } else {
                // The kind has no such step.
                assert!(matches!(world.state, Deploy::Live { .. }), "{kind:?} {fail:?}");
            }
        }
    }
}

#[test]
fn a_failure_after_the_commit_point_only_delays() {
    for fail in [Effect::Route, Effect::MoveBranch, Effect::Retire, Effect::PostDeploy] {
        let (world, _) = drive(Kind::Push, Some(fail), Crash::Never);
        assert_eq!(world.state, Deploy::Live { release: NEW, acknowledged: true });
        assert_eq!((world.current, world.routed, world.branch), (NEW, "new", "new"));
    }
}

#[test]
fn cancelling_ends_at_the_commit_point() {
    let mut state = Deploy::Received;
    let mut world = world();
    let mut seen = Vec::new();
    while let Some(effect) = next(Kind::Push, &state) {
        seen.push((effect, can_cancel(&state)));
        let outcome = run(&mut world, Kind::Push, effect);
        state = apply(Kind::Push, state, outcome).unwrap();
    }
    let cancellable: Vec<Effect> = seen.iter().filter(|(_, can)| *can).map(|(e, _)| *e).collect();
    let until_commit: Vec<Effect> = Effect::ALL.into_iter().take_while(|e| *e != Effect::Route).collect();
    assert_eq!(cancellable, until_commit);
}

#[test]
fn outcomes_out_of_place_are_illegal() {
    assert!(apply(Kind::Restart, Deploy::Received, Outcome::Done).is_err());
    assert!(apply(Kind::Push, Deploy::Received, Outcome::Built { build: BuildId(1) }).is_err());
    assert!(apply(Kind::Config, Deploy::Received, Outcome::Built { build: BuildId(1) }).is_err());
    let over = Deploy::Live { release: NEW, acknowledged: true };
    assert!(apply(Kind::Push, over, Outcome::Failed { why: Refusal::new(Code::Cancelled, "y") }).is_err());
}
