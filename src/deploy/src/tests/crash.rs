//! Kills the process, and fails calls, at every call of every kind of deploy, and checks what must hold whatever happens: one
//! release is current, it alone runs, requests go to it and went nowhere else, nothing is left over, every job has ended, and
//! what was said to have succeeded is there (invariants I1 to I3 and I5 to I8).

use super::events::{as_lines, events, lines};
use crate::testing::{Blow, Fuse, Life, Point, World};
use domain::config::ConfigChange;
use domain::deploy::{Deploy, Kind};
use domain::event::Event;
use domain::ids::DeployId;
use domain::refusal::Code;
use domain::routing::RouteAction;
use domain::{AppId, Commit, Refusal, ReleaseNumber, Secret};
use engine::fake::Habit;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;
use store::{Ask, ReleaseStatus};

const KINDS: [Kind; 5] = [Kind::Push, Kind::Rebuild, Kind::Config, Kind::Rollback, Kind::Restart];
const BLOWS: [Blow; 4] = [Blow::DieBefore, Blow::DieAfter, Blow::Fail, Blow::AnswerLost];
/// What only looks has no effect that could be before or after.
const READS: [&str; 5] = ["engine.list", "engine.inspect", "engine.wait", "engine.has_image", "git.branch_tip"];
/// Looks repeat themselves: of these so many are tried.
const LOOKS: [(&str, u32); 4] = [("engine.list", 3), ("engine.inspect", 4), ("engine.wait", 5), ("engine.remove", 6)];
/// Cases at a time on each processor: most of one is waiting. More take longer each, in which time all looks come by again.
const CASES_EACH: usize = 5;
/// How often the process may be started until all is at rest.
const LIVES: usize = 3;

fn commit(n: u8) -> Commit {
    format!("{n:040x}").parse().unwrap()
}

/// How a deploy would end if nothing else went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It goes live.
    Live,
    /// Its build fails.
    NoBuild,
    /// No instance of it serves.
    NeverServes,
}

#[derive(Debug, Clone)]
struct Case {
    kind: Kind,
    way: Way,
    at: Option<(Point, Blow)>,
    habit: Habit,
}

/// What is there before the deploy: two releases that were live, of commits 1 and 2, and config.
async fn before(life: &Life) -> AppId {
    let app = life.app("blog").await;
    for n in 1..=2 {
        let end = life.push(&app, &commit(n)).await.unwrap().end().await;
        assert!(matches!(end, Deploy::Live { .. }), "{end:?}");
    }
    assert!(life.rests().await);
    app
}

/// Asks for the deploy; how it ended, if the process lived to see it.
async fn ask(life: &Life, app: &AppId, kind: Kind) -> Option<Deploy> {
    let set = [("A".parse().unwrap(), Secret::new("2".to_owned()))].into();
    let job = match kind {
        Kind::Push => life.push(app, &commit(3)).await,
        Kind::Rebuild => {
            let ask = Ask { commit: Some(commit(2)), ..Ask::default() };
            life.deploys.submit(app, kind, ask, "ana").await
        }
        Kind::Config => {
            let ask = Ask { config: ConfigChange { set, ..ConfigChange::default() }, ..Ask::default() };
            life.deploys.submit(app, kind, ask, "ana").await
        }
        Kind::Rollback | Kind::Restart => life.deploys.submit(app, kind, Ask::default(), "ana").await,
    };
    Some(job.ok()?.end().await)
}

/// The machine before the deploy, made once, and the app on it.
fn prepared() -> &'static (World, AppId) {
    static MADE: OnceLock<(World, AppId)> = OnceLock::new();
    MADE.get_or_init(|| {
        let world = World::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let app = runtime.block_on(async { before(&world.start(Fuse::new()).await).await });
        drop(runtime);
        (world, app)
    })
}

/// One case in a runtime of its own; the calls that were made.
fn run(case: &Case) -> Result<Vec<Point>, String> {
    let (world, app) = prepared();
    let world = world.copied();
    world.outside.engine.set_habit(case.habit);
    world.outside.set_hooks();
    match case.way {
        Way::Live => {}
        Way::NoBuild => world.outside.set_build_fails(Some(Refusal::new(Code::BuildFailed, "npm ci failed"))),
        Way::NeverServes => world.outside.set_deaf(Some("v3")),
    }
    let fuse = Fuse::new();
    let mut ended = None;
    for n in 0..LIVES {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let life_fuse = if n == 0 { fuse.clone() } else { Fuse::new() };
        let done = runtime.block_on(async {
            let life = world.start(life_fuse.clone()).await;
            if n == 0 {
                life_fuse.arm(case.at.clone());
                // A killed process tells nobody: what its callers get from then on is no answer of ours.
                let dead = life_fuse.dead();
                tokio::select! {
                    biased;
                    () = dead.cancelled() => {}
                    end = ask(&life, app, case.kind) => ended = end.filter(|_| !dead.is_cancelled()),
                }
            }
            if !life.rests().await {
                return None;
            }
            // The next sweep, which takes minutes to come.
            life.reconciler.unpin(&[app.clone()].into()).await.ok()?;
            // What is told to the router comes a moment after what is written.
            let until = tokio::time::Instant::now() + Duration::from_secs(1);
            while life.outside.targets().is_empty() && tokio::time::Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            // What the check does itself is no call of the deploy.
            let seen = fuse.seen();
            life_fuse.arm(None);
            Some(check(&life, app, case, ended.as_ref()).await.map(|()| seen))
        });
        // What a killed process had under way ends nowhere.
        runtime.shutdown_timeout(Duration::from_millis(100));
        if let Some(checked) = done {
            return checked;
        }
    }
    Err(format!("not at rest after {LIVES} lives"))
}

/// What must hold at rest.
async fn check(life: &Life, app: &AppId, case: &Case, ended: Option<&Deploy>) -> Result<(), String> {
    let mut wrong = life.outside.wrong();
    let mut must = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    let id = app.clone();
    let read = life.platform.store.read(move |tx| {
        let row = tx.the_app(&id)?;
        let number = row.current_release.unwrap_or(ReleaseNumber(0));
        let current = tx.the_release(&id, number)?;
        let build = tx.build(current.build)?;
        let config = tx.config(&id, current.config_version)?;
        Ok((row, current, build, config, tx.releases(&id, 10)?, tx.instances(Some(&id))?))
    });
    let (row, current, build, config, releases, instances) = read.await.map_err(|err| err.to_string())?;

    // I7: it ended, and one that died without failing is live.
    let state = last_state(life, case).await;
    let dies = matches!(case.at, None | Some((_, Blow::DieBefore | Blow::DieAfter)));
    if let Some(state) = &state {
        let live = matches!(state, Deploy::Live { .. });
        match case.way {
            Way::Live => must(live || !dies, format!("ended as {state:?}")),
            Way::NoBuild | Way::NeverServes => must(!live, "went live".to_owned()),
        }
    }
    if let (Some(told), Some(state)) = (ended, &state) {
        must(told == state, format!("told {told:?}, is {state:?}"));
    }
    // I1, I2: one is current, and it is the one that the job's end says.
    let live = matches!(state, Some(Deploy::Live { .. }));
    let wanted = match (case.kind, live) {
        (Kind::Push | Kind::Rebuild | Kind::Config | Kind::Rollback, true) => ReleaseNumber(3),
        (Kind::Restart, true) | (_, false) => ReleaseNumber(2),
    };
    must(row.current_release == Some(wanted), format!("{:?} is current, not {wanted}", row.current_release));
    must(current.status == ReleaseStatus::Live, format!("the current release is {:?}", current.status));
    let pending: Vec<_> = releases.iter().filter(|r| r.status == ReleaseStatus::Pending).collect();
    must(pending.is_empty(), format!("left pending: {pending:?}"));
    let image = build.as_ref().and_then(|build| build.image.clone()).unwrap_or_default();
    let has_image = engine::Engine::has_image(&life.outside.engine, &image).await.unwrap_or(false);
    must(has_image, format!("the image {image:?} is not there"));

    // I2, I8: what runs is of it, all of one set, with its config.
    for one in &instances {
        let name = domain::instance::instance_name(&life.platform.install, one.id);
        let env = life.outside.engine.spec(&name).map(|spec| spec.env).unwrap_or_default();
        must(one.release == wanted, format!("{name} is of {}", one.release));
        must(Some(one.set) == row.current_set, format!("{name} is of set {}, not {:?}", one.set, row.current_set));
        must(env.get("HOIST_RELEASE") == Some(&wanted.to_string()), format!("{name} believes it is {env:?}"));
        let a = config.iter().find(|(name, _)| name.as_str() == "A").map(|(_, value)| value.reveal().clone());
        must(env.get("A") == a.as_ref(), format!("{name} has A={:?}, its release {a:?}", env.get("A")));
    }
    let per_type: BTreeMap<&str, usize> = instances.iter().fold(BTreeMap::new(), |mut all, one| {
        *all.entry(one.process.as_str()).or_default() += 1;
        all
    });
    must(per_type == [("web", 1), ("worker", 1)].into(), format!("{per_type:?} run"));
    // I6: requests go to the web of it.
    let routes = life.outside.routes();
    let web = instances.iter().find(|one| one.process.as_str() == "web").map(|one| one.id);
    let to = match routes.get("blog.example.com") {
        Some(RouteAction::Serve(ready)) => ready.iter().map(|one| one.id).collect(),
        other => {
            must(false, format!("requests get {other:?}"));
            Vec::new()
        }
    };
    must(to.iter().copied().map(Some).collect::<Vec<_>>() == [web], format!("requests go to {to:?}, not {web:?}"));
    // What happened is told once: how the deploy ended, and each line of it in the log.
    let all = events(life, app).await;
    let ends = |event: &&Event| matches!(event, Event::DeployLive { .. } | Event::DeployFailed { .. });
    let told_ends: Vec<&Event> = all.iter().filter(ends).skip(2).collect();
    must(told_ends.len() == usize::from(state.is_some()), format!("ends that are told: {told_ends:?}"));
    let told_live = matches!(told_ends.first(), Some(Event::DeployLive { .. }));
    must(told_live == live, format!("ended as {state:?}, told is {told_ends:?}"));
    let cut = all.iter().filter(|event| matches!(event, Event::ReleaseCut { .. })).count();
    must(cut == releases.len(), format!("{cut} releases are told, {} are there", releases.len()));
    let told_config = all.iter().filter(|event| matches!(event, Event::ConfigChanged { .. })).count();
    must(told_config == usize::from(case.kind == Kind::Config && live), format!("config is told {told_config} times"));
    must(life.platform.log_lines.catch_up().await.unwrap_or(false), "lines of events are late".to_owned());
    let lines = lines(life, app).await.into_iter().filter(|line| !line.contains("hook"));
    let (mut lines, mut wanted_lines) = (lines.collect::<Vec<_>>(), as_lines(&all));
    lines.sort();
    wanted_lines.sort();
    must(lines == wanted_lines, format!("the log has {lines:?}, not {wanted_lines:?}"));
    // I3, I5: nothing is held, the branch is where the release is.
    let git = life.outside.git();
    must(git.pins.is_empty(), format!("pins left: {:?}", git.pins));
    let tip = git.tips.values().next().cloned();
    let pushed = if case.kind == Kind::Push && live { commit(3) } else { commit(2) };
    must(tip == Some(pushed.clone()), format!("main is at {tip:?}, not {pushed}"));
    drop(git);
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n  ")) }
}

/// The state of the deploy that the case asked for, if it was taken in.
async fn last_state(life: &Life, case: &Case) -> Option<Deploy> {
    let kind = case.kind;
    let found = life.platform.store.read(move |tx| {
        let ids = tx.newest_deploys(10)?;
        let rows = ids.into_iter().map(|id| tx.deploy(id)).collect::<store::Result<Vec<_>>>()?;
        Ok(rows
            .into_iter()
            .flatten()
            .filter(|row| row.id > DeployId(2) && row.kind == kind)
            .map(|row| row.state)
            .next_back())
    });
    found.await.unwrap_or(None)
}

/// Runs cases on all processors; what is wrong, by case.
fn run_all(cases: &[Case]) -> Vec<String> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for n in 0..processors * CASES_EACH {
            let (next, wrong) = (&next, &wrong);
            scope.spawn(move || {
                // With all threads of a case on one processor: they do nothing but wake each other.
                let mut own = rustix::thread::CpuSet::new();
                own.set(n % processors);
                let _ = rustix::thread::sched_setaffinity(None, &own);
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let done = std::panic::catch_unwind(|| run(case));
                    let why = match done {
                        Ok(Ok(_)) => continue,
                        Ok(Err(why)) => why,
                        Err(panic) => format!("panicked: {:?}", panic.downcast_ref::<String>()),
                    };
                    wrong.lock().unwrap().push(format!("{case:?}:\n  {why}"));
                }
            });
        }
    });
    wrong.into_inner().unwrap()
}

/// The calls of a deploy of this kind to which nothing happens.
fn points(kind: Kind, way: Way) -> Vec<Point> {
    let mut all = run(&Case { kind, way, at: None, habit: Habit::Prompt })
        .unwrap_or_else(|why| panic!("{kind:?}, {way:?}: {why}"));
    all.retain(|(what, nth)| LOOKS.iter().all(|(look, most)| what != look || nth <= most));
    all
}

fn told(cases: usize, wrong: &[String]) {
    let shown: Vec<&String> = wrong.iter().take(12).collect();
    assert!(wrong.is_empty(), "{} of {cases} cases went wrong, among them:\n{shown:#?}", wrong.len());
}

#[test]
fn killed_or_failing_at_any_call_a_deploy_ends_whole() {
    let mut cases = Vec::new();
    let plans = KINDS.map(|kind| (kind, Way::Live)).into_iter();
    for (kind, way) in plans.chain([(Kind::Push, Way::NoBuild), (Kind::Push, Way::NeverServes)]) {
        let points = points(kind, way);
        assert!(points.len() > 20, "{kind:?}: only {points:?}");
        for point in points {
            let reads = READS.contains(&point.0.as_str());
            let blows = BLOWS.iter().filter(|blow| !reads || matches!(blow, Blow::DieBefore | Blow::Fail));
            cases.extend(blows.map(|blow| Case { kind, way, at: Some((point.clone(), *blow)), habit: Habit::Prompt }));
        }
    }
    assert!(cases.len() > 900, "only {} cases", cases.len());
    told(cases.len(), &run_all(&cases));
}

#[test]
fn an_engine_that_forgets_or_shows_the_past_is_put_right() {
    let mut cases = Vec::new();
    for kind in KINDS {
        for nth in 1..=4 {
            let point = ("engine.list".to_owned(), nth);
            for blow in [Blow::Stale, Blow::Forget] {
                cases.push(Case { kind, way: Way::Live, at: Some((point.clone(), blow)), habit: Habit::Prompt });
            }
        }
        for habit in [Habit::Repeat, Habit::Lose, Habit::Reorder] {
            cases.push(Case { kind, way: Way::Live, at: None, habit });
        }
    }
    told(cases.len(), &run_all(&cases));
}
