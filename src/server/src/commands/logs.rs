//! `logs`: the last lines of an app, and those to come.

use super::{Ask, Commands};
use crate::fault::Result;
use crate::io::Io;
use domain::Refusal;
use domain::command::Format;
use domain::log::{Filter, Record, Source};

pub async fn logs(c: &Commands, ask: Ask, io: &Io) -> Result<u8> {
    let app = ask.the_app()?.id.clone();
    let args = &ask.what().args;
    let last = args.number("num", 100, 1_000_000)? as usize;
    let source = args.value("source").map(source_of).transpose()?;
    let process = args.value("ps").map(str::to_owned);
    let filter = Filter { process, source, no_builds: source.is_none(), ..Filter::default() };
    let format = ask.what().format;
    if !args.flag("tail") {
        for record in c.p.logs.query(&app, filter, last).await? {
            io.line(show(&record, format)).await;
        }
        return Ok(0);
    }
    let mut records = c.p.logs.tail(&app, filter, last).await?;
    loop {
        tokio::select! {
            record = records.recv() => match record {
                Some(record) => io.line(show(&record, format)).await,
                None => return Ok(0),
            },
            () = io.hangup.cancelled() => return Ok(0),
            () = io.out.closed() => return Ok(0),
        }
    }
}

fn show(record: &Record, format: Format) -> String {
    match format {
        Format::Json => record.json(),
        Format::Text => record.render(false),
    }
}

fn source_of(word: &str) -> Result<Source, Refusal> {
    Source::ALL.into_iter().find(|s| s.word() == word).ok_or_else(|| {
        let known: Vec<&str> = Source::ALL.iter().map(|s| s.word()).collect();
        Refusal::new("no-such-source", format!("there is no source {}", domain::command::quote(word)))
            .why(format!("known: {}", known.join(", ")))
    })
}
