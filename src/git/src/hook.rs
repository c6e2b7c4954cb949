//! `hoist hook NAME`: what git runs. It asks the server over the admin socket and speaks git's protocol back.
//!
//! Blocking and small: it starts for every push. It decides nothing; a server that does not answer refuses the push.
//! Absent: tokio, the store, any change to refs.

use super::frames::{Frames, SocketFrames};
use super::messages::{Hello, JudgeAsk, Judged, ReceiveAsk, Told};
use super::{pktline, shallow};
use domain::push::RefUpdate;
use domain::text::plain;
use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// Refs in one push, at most; `--mirror` of a large repository is refused without reading it all.
const UPDATES_MAX: usize = 10_000;
/// Bytes of the ref list.
const INPUT_MAX: u64 = 4 << 20;
/// Push options in one push, at most.
const OPTIONS_MAX: usize = 100;
/// A pusher sees this when the server cannot be reached or leaves.
const NO_ANSWER: &str = "the server is not answering; nothing was changed, push again";
const SERVER_LEFT: &str = "the server left; an accepted deploy goes on when it is back, see builds";

/// The program behind git's hooks; the result is its exit code.
pub fn hook_main(name: &str) -> u8 {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    run_hook(name, &|key| std::env::var(key).ok(), &mut BufReader::new(io::stdin().lock()), &mut out, &mut err)
}

/// The same with everything handed in.
pub(super) fn run_hook(
    name: &str,
    env: &dyn Fn(&str) -> Option<String>,
    stdin: &mut dyn Read,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> u8 {
    let place = Place::from_env(env);
    let connect = || -> io::Result<SocketFrames> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, "this hook runs only within a push to Hoist");
        let push = env("HOIST_PUSH").ok_or_else(missing)?;
        let hello = Hello { kind: "hook".to_owned(), hook: name.to_owned(), push };
        SocketFrames::connect(Path::new(&env("HOIST_SOCK").ok_or_else(missing)?), &serde_json::to_vec(&hello)?)
    };
    let done = match name {
        "pre-receive" => pre_receive(&place, connect, stdin, stderr),
        "proc-receive" => proc_receive(&place, connect, stdin, stdout, stderr),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "unknown hook; known: pre-receive, proc-receive")),
    };
    match done {
        Ok(accepted) => u8::from(!accepted),
        Err(err) => {
            let _ = writeln!(stderr, " !     {name}: {err}");
            1
        }
    }
}

/// What git's environment says about this push.
#[derive(Debug, Default)]
pub(super) struct Place {
    git_dir: PathBuf,
    quarantine: Option<String>,
    options: Vec<String>,
    shallow: Vec<String>,
}

impl Place {
    fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Place {
        let count: usize = env("GIT_PUSH_OPTION_COUNT").and_then(|n| n.parse().ok()).unwrap_or(0);
        let shallow_file = env("GIT_SHALLOW_FILE").filter(|p| !p.is_empty());
        Place {
            git_dir: PathBuf::from(env("GIT_DIR").unwrap_or_else(|| ".".to_owned())),
            quarantine: env("GIT_QUARANTINE_PATH"),
            options: (0..count.min(OPTIONS_MAX)).filter_map(|i| env(&format!("GIT_PUSH_OPTION_{i}"))).collect(),
            shallow: shallow_file
                .and_then(|p| std::fs::read_to_string(p).ok())
                .map_or_else(Vec::new, |t| shallow::parse(&t)),
        }
    }
}

fn pre_receive<F: Frames>(
    place: &Place,
    connect: impl FnOnce() -> io::Result<F>,
    stdin: &mut dyn Read,
    stderr: &mut dyn Write,
) -> io::Result<bool> {
    let mut text = String::new();
    stdin.take(INPUT_MAX).read_to_string(&mut text)?;
    let updates = text.lines().map(parse_update).collect::<io::Result<Vec<_>>>()?;
    if updates.len() > UPDATES_MAX || text.len() as u64 >= INPUT_MAX {
        writeln!(stderr, " !     This push has more than {UPDATES_MAX} refs; push one branch")?;
        return Ok(false);
    }
    let ask = JudgeAsk {
        updates,
        options: place.options.clone(),
        shallow: place.shallow.clone(),
        quarantine: place.quarantine.clone(),
    };
    let answer = connect().and_then(|mut frames| {
        frames.send(&serde_json::to_vec(&ask)?)?;
        frames.recv()
    });
    let Ok(Some(answer)) = answer else {
        writeln!(stderr, " !     {NO_ANSWER}")?;
        return Ok(false);
    };
    let judged: Judged = serde_json::from_slice(&answer)?;
    for line in &judged.lines {
        writeln!(stderr, "{line}")?;
    }
    stderr.flush()?;
    Ok(judged.accept)
}

fn proc_receive<F: Frames>(
    place: &Place,
    connect: impl FnOnce() -> io::Result<F>,
    stdin: &mut dyn Read,
    mut stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> io::Result<bool> {
    let ask = read_ask(place, stdin, &mut stdout)?;
    let mut told: BTreeMap<String, Told> = BTreeMap::new();
    // Noted before anything can pin the commit: a ref without them is a broken repository.
    let heard = match shallow::note(&place.git_dir, &ask.shallow) {
        Err(err) => Err(format!("cannot note the shallow boundaries: {err}")),
        Ok(()) => match connect() {
            Err(_) => Err(NO_ANSWER.to_owned()),
            Ok(frames) => listen(frames, &ask, &mut told, stderr).map_err(|_| SERVER_LEFT.to_owned()),
        },
    };
    let silent = heard.err().unwrap_or_else(|| SERVER_LEFT.to_owned());
    for command in &ask.commands {
        write_reply(&mut stdout, &command.name, told.get(&command.name), &silent)?;
    }
    pktline::write_flush(&mut stdout)?;
    Ok(true)
}

/// Git's half of the conversation: version and features, commands, push options.
fn read_ask(place: &Place, mut stdin: &mut dyn Read, mut stdout: &mut dyn Write) -> io::Result<ReceiveAsk> {
    let hello = pktline::read_section(&mut stdin, 10)?;
    let first = hello.first().map(|l| String::from_utf8_lossy(l).into_owned()).unwrap_or_default();
    let (version, features) = first.split_once('\0').unwrap_or((&first, ""));
    if version != "version=1" {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "git speaks another version of proc-receive"));
    }
    let with_options = features.split(' ').any(|f| f == "push-options");
    pktline::write(&mut stdout, if with_options { b"version=1\0push-options" } else { b"version=1\0" })?;
    pktline::write_flush(&mut stdout)?;
    let commands = pktline::read_section(&mut stdin, UPDATES_MAX)?;
    let commands =
        commands.iter().map(|c| parse_update(&String::from_utf8_lossy(c))).collect::<io::Result<Vec<_>>>()?;
    let options = if with_options { pktline::read_section(&mut stdin, OPTIONS_MAX)? } else { Vec::new() };
    let options = options.iter().map(|o| String::from_utf8_lossy(o).into_owned()).collect();
    Ok(ReceiveAsk { commands, options, shallow: place.shallow.clone() })
}

/// Shows the server's lines as they come, until every command has its reply.
fn listen(
    mut frames: impl Frames,
    ask: &ReceiveAsk,
    told: &mut BTreeMap<String, Told>,
    stderr: &mut dyn Write,
) -> io::Result<()> {
    frames.send(&serde_json::to_vec(ask)?)?;
    while told.len() < ask.commands.len() {
        let Some(message) = frames.recv()? else { break };
        let said: Told = serde_json::from_slice(&message)?;
        if let Some(line) = &said.line {
            // One write per line: git passes on what it reads, and halves of lines look broken.
            stderr.write_all(format!("{line}\n").as_bytes())?;
            stderr.flush()?;
        }
        if let Some(name) = said.name.clone() {
            told.insert(name, said);
        }
    }
    Ok(())
}

fn write_reply(stdout: &mut impl Write, name: &str, told: Option<&Told>, silent: &str) -> io::Result<()> {
    match told {
        Some(told) if told.ok => {
            pktline::write(stdout, format!("ok {name}").as_bytes())?;
            if told.fall_through {
                pktline::write(stdout, b"option fall-through")?;
            }
            Ok(())
        }
        refused => {
            let reason = refused.and_then(|t| t.ng.as_deref()).unwrap_or(silent);
            let reason: String = plain(reason.lines().next().unwrap_or(silent)).chars().take(300).collect();
            pktline::write(stdout, format!("ng {name} {reason}").as_bytes())
        }
    }
}

/// `OLD NEW REF`, as both hooks get it.
fn parse_update(line: &str) -> io::Result<RefUpdate> {
    let mut words = line.splitn(3, ' ').map(str::to_owned);
    match (words.next(), words.next(), words.next()) {
        (Some(old), Some(new), Some(name)) => Ok(RefUpdate { name, old, new }),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a ref line has fewer than three words")),
    }
}
