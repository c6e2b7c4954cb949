//! `run`: a command in a one-off instance; and what `ps` and `ps:stop` say about those.

use crate::context::{Ask, Commands};
use crate::reply::{Line, Reply};
use crate::show::quote_short;
use deploy::exec::{self, Ending};
use deploy::once::{self, NewRun, how_ended};
use deploy::spec::Once;
use domain::access::actor;
use domain::refusal::Code;
use domain::words::quote_all;
use domain::{AppId, Refusal, Timestamp, run, time};
use serde_json::{Value, json};
use std::time::Duration;
use store::{InstanceRow, RunRow};
use system::clock::now;
use system::fault::{Act, Result};
use system::io::Io;
use verbs::{args, number};

/// How long an instance that was started may take until its init is there.
const INIT_MAX: Duration = Duration::from_secs(20);
/// How long `ps:stop` waits for an end: the grace, and Docker.
const STOP_MAX: Duration = Duration::from_secs(30);
/// Killed by SIGKILL, as shells say it.
const KILLED: u8 = 137;

pub async fn run(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let app = ask.the_app()?.clone();
    let args: args::Run = ask.what().arguments()?;
    let no_tty = args.no_tty;
    let new = asked(c, &ask, args).await?;
    let (row, run, hold) = once::allocate(&c.p, &app.id, &new).await?;
    let label = run.label();
    let how = if run.detached { ", detached" } else { "" };
    let began = format!("{} runs {} in {label}{how} ({})", run.actor, quote_short(&run.command), run.release);
    let started = async {
        let start = once::start(&c.p, &row, &new.once);
        tokio::select! {
            done = start => done,
            () = io.hangup.cancelled() => Err(Refusal::new(Code::RunCancelled, format!("{label} was not started")).into()),
        }
    };
    if let Err(err) = started.await {
        once::note_end(&c.p, row.id, None, "it could not be started").await?;
        return Err(err);
    }
    if run.detached {
        c.p.note(&app.id, began).await;
        drop(hold);
        Line::Plain(format!("{label} is running detached")).say(io).await;
        for next in ["logs {} -t -p {label}", "ps {}", "ps:stop {} {label}"] {
            let next = next.replace("{}", app.name.as_str()).replace("{label}", &label);
            Line::Note(format!("next: {next}")).say(io).await;
        }
        return Ok(0);
    }
    // Beside the work: nobody at a terminal waits for the log's disk.
    let (p, id) = (c.p.clone(), app.id.clone());
    c.p.tasks.spawn("note a run", move |_| async move { p.note(&id, began).await });
    let terminal = io.terminal.clone().filter(|_| !no_tty);
    if terminal.is_none() && !no_tty && run::wants_terminal(&new.once.argv) {
        let typed = quote_all(["run", app.name.as_str()].into_iter().chain(new.once.argv.iter().map(String::as_str)));
        Line::Note(run::no_terminal(&c.p.sites.ssh_command(), &typed)).say(io).await;
    }
    let folder = c.p.layout.io(row.id);
    let stream = tokio::select! {
        stream = exec::connect(&folder, INIT_MAX) => stream,
        () = io.hangup.cancelled() => return Ok(1),
    };
    let stream = stream.act(|| format!("cannot reach the init of {label}"))?;
    let ending = exec::carry(stream, &[], terminal, io).await.act(|| format!("cannot carry the streams of {label}"))?;
    let memory = match &ending {
        Ending::Exited(KILLED) | Ending::Cut => once::was_memory(&c.p, row.id).await,
        Ending::Exited(_) | Ending::NotStarted(..) | Ending::Left => false,
    };
    let code = told(c, &row, &run, &ending, memory, io).await?;
    let (p, id) = (c.p.clone(), row.id);
    let why = match &ending {
        Ending::Exited(_) | Ending::Cut if memory => once::memory_word(run.memory),
        Ending::Left => "its client went away".to_owned(),
        Ending::Cut => "the instance was ended from outside".to_owned(),
        Ending::Exited(_) | Ending::NotStarted(..) => String::new(),
    };
    let known = match ending {
        Ending::Exited(code) | Ending::NotStarted(code, _) => Some(i64::from(code)),
        // The reconciler ends it, and notes that.
        Ending::Left => {
            c.p.store.write(move |tx| tx.end_run_soon(id, &why, now())).await?;
            return Ok(code);
        }
        Ending::Cut => None,
    };
    // The client has its answer before this is on the disk.
    c.p.tasks.spawn("note a run's end", move |_| async move {
        let _hold = hold;
        if let Err(err) = once::note_end(&p, id, known, &why).await {
            tracing::warn!("cannot note the end of a run: {}", err.chain());
        }
    });
    Ok(code)
}

/// Says what the program could not say itself; gives the exit code.
async fn told(c: &Commands, row: &InstanceRow, run: &RunRow, ending: &Ending, memory: bool, io: &Io) -> Result<u8> {
    let label = run.label();
    let id = row.id;
    let why = c.p.store.read(move |tx| tx.run(id)).await?.map(|run| run.why).unwrap_or_default();
    if !why.is_empty() {
        Line::Warning(format!("{label} was ended: {why}")).say(io).await;
    }
    if memory {
        let hint = format!("{label} was ended: {}; give it more with --memory", once::memory_word(run.memory));
        Line::Warning(hint).say(io).await;
    }
    Ok(match ending {
        Ending::Exited(code) => *code,
        Ending::NotStarted(code, why) => {
            Line::Warning(domain::text::plain(why)).say(io).await;
            if run::no_shell(why) {
                Line::Note(run::NO_SHELL.to_owned()).say(io).await;
            }
            *code
        }
        Ending::Cut => {
            if why.is_empty() && !memory {
                Line::Warning(format!("{label} ended without an exit code")).say(io).await;
            }
            KILLED
        }
        Ending::Left => 1,
    })
}

/// Reads the request against the app's release and the server's limits.
async fn asked(c: &Commands, ask: &Ask, args: args::Run) -> Result<NewRun> {
    let app = ask.the_app()?.clone();
    let id = app.id.clone();
    let found =
        c.p.store
            .read(move |tx| {
                let Some(number) = tx.the_app(&id)?.current_release else { return Ok(None) };
                let build = tx.build(tx.the_release(&id, number)?.build)?;
                Ok(Some((number, build.map(|b| (b.processes, b.launch)).unwrap_or_default())))
            })
            .await?;
    let Some((release, (table, image))) = found else {
        return Err(Refusal::new(Code::NotDeployed, format!("{} has no release yet: nothing to run in", app.name))
            .next("git push hoist main")
            .into());
    };
    let limit = |megabytes: u64| u32::try_from(megabytes / 1_000_000).unwrap_or(u32::MAX);
    let settings = &c.p.settings;
    let memory = number(
        "memory",
        args.memory.as_deref(),
        limit(settings.app_memory),
        limit(settings.run_memory.max(settings.app_memory)),
    )?;
    if memory < 16 {
        return Err(Refusal::new(Code::BadNumber, "--memory takes at least 16 (MB)").next("--memory 512").into());
    }
    let most = u32::try_from(settings.run_timeout.as_secs()).unwrap_or(u32::MAX);
    let timeout = number("timeout", args.timeout.as_deref(), most, most)?;
    let meant = run::meant(&args.command, &table, image.as_ref());
    if meant.argv.iter().all(|word| word.is_empty()) {
        return Err(Refusal::new(Code::Usage, "the command is empty").next(format!("run {} bash", app.name)).into());
    }
    Ok(NewRun {
        release,
        shown: domain::audit::cut(meant.shown),
        actor: actor(ask.principal()),
        key: ask.principal().key().map(|key| key.fingerprint.clone()).unwrap_or_default(),
        timeout: Duration::from_secs(timeout.into()),
        once: Once { argv: meant.argv, env: args.env, memory: u64::from(memory) * 1_000_000, detached: args.detach },
    })
}

/// A row of `ps`.
pub fn cells_of(run: &RunRow, [memory, disk]: [String; 2], at: Timestamp) -> Vec<String> {
    let (state, since) = match run.ended {
        None => ("up".to_owned(), run.begun),
        Some((ended, Some(code))) => (format!("ended with {code}"), ended),
        Some((ended, None)) => ("ended".to_owned(), ended),
    };
    let since = time::human_millis(at.millis_since(since));
    vec![run.label(), run.release.to_string(), state, since, run.actor.clone(), memory, disk, quote_short(&run.command)]
}

/// The same as JSON.
pub fn json_of(run: &RunRow, at: Timestamp) -> Value {
    let (state, since) = run.ended.map_or(("up", run.begun), |(ended, _)| ("ended", ended));
    json!({"name": run.label(), "id": run.id.to_string(), "release": run.release.to_string(), "state": state,
        "since_ms": at.millis_since(since), "command": run.command, "by": run.actor, "one_off": true, "detached": run.detached,
        "left_ms": run.deadline.millis_since(at), "exit_code": run.ended.and_then(|(_, code)| code),
        "why": run.why})
}

/// The one-off instances that the words name; `None` if they speak of something else.
pub async fn named(c: &Commands, ask: &Ask, words: &[String]) -> Result<Option<Vec<RunRow>>> {
    let prefix = format!("{}.", run::RUN);
    if words.is_empty() || !words.iter().all(|word| word.starts_with(&prefix)) {
        return Ok(None);
    }
    let app = ask.the_app()?.clone();
    let running = running(c, &app.id).await?;
    let find = |word: &String| {
        running.iter().find(|run| run.label() == *word).cloned().ok_or_else(|| {
            Refusal::new(Code::NoSuchInstance, format!("nothing called {} runs", domain::words::quote(word)))
                .next(format!("ps {}", app.name))
        })
    };
    Ok(Some(words.iter().map(find).collect::<Result<_, _>>()?))
}

async fn running(c: &Commands, app: &AppId) -> Result<Vec<RunRow>> {
    let app = app.clone();
    let mut runs = c.p.store.read(move |tx| tx.runs(Some(&app), now())).await?;
    runs.retain(|run| run.ended.is_none());
    Ok(runs)
}

/// Ends them, and waits until they have.
pub async fn stop(c: &Commands, ask: &Ask, runs: &[RunRow], io: &Io) -> Result<Reply> {
    let why = format!("stopped by {}", actor(ask.principal()));
    for run in runs {
        let (id, why) = (run.id, why.clone());
        c.p.store.write(move |tx| tx.end_run_soon(id, &why, now())).await?;
    }
    c.p.wake.notify_one();
    let until = tokio::time::Instant::now() + STOP_MAX;
    for run in runs {
        let id = run.id;
        // None: it is forgotten already.
        let over = move |tx: &store::Tx<'_>| {
            Ok(match tx.run(id)? {
                Some(run) if run.ended.is_none() => None,
                other => Some(other),
            })
        };
        match c.p.store.wait_for(until, over).await? {
            Some(Some(run)) => Line::Plain(format!("{} ended {}", run.label(), how_ended(&run))).say(io).await,
            Some(None) => {}
            None => {
                return Err(Refusal::new(Code::StillRunning, format!("{} has not ended yet", run.label()))
                    .next("an administrator: doctor")
                    .into());
            }
        }
    }
    Ok(Reply::new())
}
