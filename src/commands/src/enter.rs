//! `enter` and `ps:exec`: a program inside an instance that runs.

use crate::context::{Ask, Commands};
use crate::reply::Line;
use deploy::exec::{self, Ending};
use domain::access::{AppRef, actor};
use domain::refusal::Code;
use domain::words::{quote, quote_all};
use domain::{Refusal, run};
use std::io::ErrorKind;
use std::time::Duration;
use store::InstanceRow;
use system::fault::Result;
use system::io::{Io, Terminal};
use verbs::{Verb, args};

/// An instance that has only just been started may need a moment.
const INIT_MAX: Duration = Duration::from_secs(2);
/// The exit code where the instance ended first, as shells say SIGKILL.
const KILLED: u8 = 137;
const DEFAULT: &str = "web.1";

pub async fn enter(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let terminal = io.terminal.clone();
    let args::Enter { instance, command } = ask.what().arguments()?;
    session(c, &ask, (instance, command), terminal, io).await
}

pub async fn exec(c: &Commands, ask: Ask, io: &mut Io) -> Result<u8> {
    let args::PsExec { instance, command } = ask.what().arguments()?;
    session(c, &ask, (instance, command), None, io).await
}

async fn session(
    c: &Commands,
    ask: &Ask,
    (place, command): (Option<String>, Vec<String>),
    terminal: Option<Terminal>,
    io: &mut Io,
) -> Result<u8> {
    let app = ask.the_app()?.clone();
    let (row, words) = find(c, &app, place.as_deref(), &command).await?;
    let label = row.label();
    let argv = match words.as_slice() {
        // A shell of the instance's own choice.
        [] => Vec::new(),
        words => {
            let (id, release) = (app.id.clone(), row.release);
            let build = c.p.store.read(move |tx| tx.build(tx.the_release(&id, release)?.build)).await?;
            run::meant(words, &Default::default(), build.and_then(|b| b.launch).as_ref()).argv
        }
    };
    if ask.what().verb == Verb::Enter && terminal.is_none() && run::wants_terminal(&argv) {
        let typed = ["enter", app.name.as_str(), &label];
        let dashes = (!argv.is_empty()).then_some("--");
        let typed = quote_all(typed.into_iter().chain(dashes).chain(argv.iter().map(String::as_str)));
        Line::Note(run::no_terminal(&c.p.sites.ssh_command(), &typed)).say(io).await;
    }
    let stream = exec::connect(&c.p.layout.io(row.id), INIT_MAX).await.map_err(|err| match err.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
            let no = Refusal::new(Code::CannotEnter, format!("{label} cannot be entered"))
                .why("it ended a moment ago, or was started by an older Hoist")
                .next(format!("ps {}", app.name));
            system::fault::Error::from(no.next(format!("ps:restart {}", app.name)))
        }
        _ => not_ours(&label, app.name.as_str(), &err).into(),
    })?;
    let who = actor(ask.principal());
    c.p.note(&app.id, format!("{who} entered {label}")).await;
    let ending = exec::carry(stream, &argv, terminal, io).await;
    let ending = ending.map_err(|err| not_ours(&label, app.name.as_str(), &err))?;
    let (code, how) = match ending {
        Ending::Exited(code) => (code, format!("exit code {code}")),
        Ending::NotStarted(code, why) => {
            Line::Warning(domain::text::plain(&why)).say(io).await;
            if run::no_shell(&why) {
                Line::Note(run::NO_SHELL.to_owned()).say(io).await;
            }
            (code, format!("exit code {code}"))
        }
        Ending::Cut => {
            let text = format!("{label} ended, and this session with it");
            Line::Warning(text).say(io).await;
            (KILLED, "the instance ended".to_owned())
        }
        Ending::Left => (1, "the client went away".to_owned()),
    };
    c.p.note(&app.id, format!("{who} left {label}: {how}")).await;
    Ok(code)
}

/// An image that runs as root can put something of its own where the init answers.
fn not_ours(label: &str, app: &str, err: &std::io::Error) -> Refusal {
    Refusal::new(Code::CannotEnter, format!("what answers in {label} is not Hoist's init, or is out of order"))
        .why(domain::text::plain(&err.to_string()))
        .next(format!("ps:restart {app}"))
}

/// The instance, and the command; `place` is the first word of it where it names nothing that runs.
async fn find(
    c: &Commands,
    app: &AppRef,
    place: Option<&str>,
    command: &[String],
) -> Result<(InstanceRow, Vec<String>)> {
    let id = app.id.clone();
    let (on, rows, released) =
        c.p.store
            .read(move |tx| {
                let app = tx.the_app(&id)?;
                Ok((app.settings.enter, tx.enterable(&id)?, app.current_release.is_some()))
            })
            .await?;
    if !on {
        return Err(Refusal::new(Code::EnterOff, format!("{} may not be entered: its setting enter is off", app.name))
            .next(format!("run {} bash   (a one-off instance of its own)", app.name))
            .next(format!("an administrator: apps:set {} enter=on", app.name))
            .into());
    }
    if !released {
        let no = Refusal::new(Code::NotDeployed, format!("{} has no release yet", app.name));
        return Err(no.next("git push hoist main").into());
    }
    let known: Vec<String> = rows.iter().flat_map(|row| [row.label(), row.process.to_string()]).collect();
    let (place, command) = run::placed(place, command, &known);
    let wanted = place.unwrap_or(DEFAULT);
    // `web` means its first.
    let row = rows.iter().find(|r| r.label() == wanted).or_else(|| rows.iter().find(|r| r.process.as_str() == wanted));
    if let Some(row) = row {
        return Ok((row.clone(), command));
    }
    let running: Vec<String> = rows.iter().map(InstanceRow::label).collect();
    let mut no = Refusal::new(Code::NoSuchInstance, format!("nothing called {} runs", quote(wanted)));
    if let Some(first) = running.first() {
        no = no.why(format!("running now: {}", running.join(", ")));
        // A program's name was meant, unless it looks like an instance's.
        no = no.next(if run::is_label(wanted) {
            format!("enter {} {first}", app.name)
        } else {
            format!("enter {} {first} -- {}", app.name, quote(wanted))
        });
    }
    Err(no.next(format!("ps {}", app.name)).into())
}
