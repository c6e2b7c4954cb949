//! `logs`: the last lines of an app, and those to come.

use crate::context::{Ask, Commands};
use bytes::Bytes;
use domain::Refusal;
use domain::refusal::Code;
use log_format::{Filter, Grep, Record, when};
use std::time::Duration;
use system::clock;
use system::fault::Result;
use system::io::{Chunk, Io};
use verbs::{Format, args};

/// Lines shown where nothing says how many or from when on.
const LAST: usize = 100;
const LAST_MAX: usize = 10_000_000;
/// How long lines of what has just happened may take to be there.
const CAUGHT_UP_MAX: Duration = Duration::from_secs(1);
/// Bytes of output in one message.
const MESSAGE: usize = 32 * 1024;

pub async fn logs(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.id.clone();
    // Whoever did something a moment ago looks for its line.
    c.p.log_lines.caught_up(CAUGHT_UP_MAX).await;
    let what = asked(&ask.what().arguments()?)?;
    let follow = what.follow;
    let look = (ask.what().format, io.tty);
    let narrowed = what.filter != Filter { no_builds: true, ..Filter::default() };
    let reading = c.p.logs.read(&app, what);
    let mut batches = tokio::select! {
        batches = reading => batches?,
        () = io.hangup.cancelled() => return Ok(0),
        () = io.out.closed() => return Ok(0),
    };
    let mut shown = false;
    loop {
        let batch = tokio::select! {
            batch = batches.recv() => batch,
            () = io.hangup.cancelled() => return Ok(0),
            () = io.out.closed() => return Ok(0),
        };
        let Some(batch) = batch else { break };
        shown = true;
        show(&batch, look, io).await;
    }
    if !shown && !follow && look.0 == Format::Text {
        io.note(if narrowed { "no line matches" } else { "the log is empty" }).await;
    }
    Ok(0)
}

fn asked(args: &args::Logs) -> Result<logs::Ask, Refusal> {
    let now = clock::now();
    let time =
        |option: &'static str, word: &Option<String>| word.as_deref().map(|word| when(option, word, now)).transpose();
    let sources = args.source.as_deref().map(Filter::parse_sources).transpose()?.unwrap_or_default();
    let after = args.after.as_deref().map(line_id).transpose()?;
    let filter = Filter {
        processes: args.ps.as_deref().map(Filter::parse_processes).transpose()?.unwrap_or_default(),
        no_builds: sources.is_empty(),
        sources,
        since: time("since", &args.since)?,
        until: time("until", &args.until)?,
        after,
        grep: args.grep.as_deref().map(Grep::parse).transpose()?,
    }
    .checked()?;
    let last = match args.num.as_deref() {
        Some(word) => Some(number(word)?),
        None if filter.since.is_some() || filter.after.is_some() => None,
        None => Some(LAST),
    };
    let follow = args.tail;
    if follow && filter.until.is_some() {
        return Err(Refusal::new(Code::BadTime, "--until ends what --tail goes on with: they do not go together")
            .next("logs APP --since 2h --until 1h"));
    }
    Ok(logs::Ask { filter, last, follow })
}

fn number(word: &str) -> Result<usize, Refusal> {
    word.parse().ok().filter(|n| *n <= LAST_MAX).ok_or_else(|| {
        Refusal::new(Code::BadNumber, format!("--num takes a number from 0 to {LAST_MAX}")).next("logs APP -n 500")
    })
}

fn line_id(word: &str) -> Result<u64, Refusal> {
    word.parse().map_err(|_| {
        Refusal::new(Code::BadNumber, "--after takes the id of a line")
            .why("logs APP --format json shows ids")
            .next("logs APP --after 1200 -t --format json")
    })
}

/// Writes many lines in few messages.
async fn show(batch: &[Record], (format, colour): (Format, bool), io: &Io) {
    let mut text = String::new();
    for (n, record) in batch.iter().enumerate() {
        text.push_str(&match format {
            Format::Json => record.json(),
            Format::Text => record.render(colour),
        });
        text.push('\n');
        if text.len() >= MESSAGE || n + 1 == batch.len() {
            let _ = io.out.send(Chunk::Out(Bytes::from(std::mem::take(&mut text)))).await;
        }
    }
}
