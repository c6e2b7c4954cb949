//! `hoist-init`: PID 1 of every instance, release command, run and build.
//!
//! Becomes the image's user, starts the program, passes signals on, reaps orphans, and writes what the program says
//! into the instance's spool, so that output needs neither Docker nor Hoist; takes sessions on a socket that only root
//! reaches. It has no network, no configuration and no way back to root.

mod args;
mod child;
mod lines;
mod privileges;
mod sessions;
mod spool;
mod steps;
mod supervise;
mod users;
mod wire;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use nix::sys::prctl;

use args::{Args, Job};
use child::End;
use sessions::Sessions;
use steps::Step;
use supervise::{Outcome, Output, Role, Supervisor};
use users::User;

/// Init itself could not do its work. Docker uses the same number for its own failures.
const FAILED: i32 = 125;
const USAGE_WRONG: i32 = 64;

fn main() -> ExitCode {
    let args = match args::parse(env::args_os().skip(1)) {
        Ok(args) => args,
        Err(mistake) => return leave(USAGE_WRONG, &format!("{mistake}\n{}", args::USAGE)),
    };
    match run(&args) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Err(why) => leave(FAILED, &why),
    }
}

fn leave(code: i32, why: &str) -> ExitCode {
    eprintln!("hoist-init: {why}");
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn run(args: &Args) -> Result<i32, String> {
    let output = match &args.spool {
        Some(folder) => Some(open_output(folder, args.ring)?),
        None => None,
    };
    let sessions = match &args.io {
        Some(folder) => {
            let made = Sessions::listen(folder);
            Some(made.map_err(|err| format!("cannot make the socket in {}: {err}", folder.display()))?)
        }
        None => None,
    };
    let mut supervisor = Supervisor::new(output, sessions).map_err(|err| format!("cannot take signals: {err}"))?;
    let prepared = prepare(args);
    let (user, steps) = prepared.inspect_err(|why| supervisor.note(why))?;
    let env = environment(&user);
    match &args.job {
        Job::Program(argv) => Ok(run_program(&mut supervisor, argv, &env)),
        Job::Attached(argv) => Ok(supervisor.run_attached(argv, &env)),
        Job::Steps(_) => Ok(run_steps(&mut supervisor, &steps, &env)),
    }
}

fn open_output(folder: &Path, ring: u64) -> Result<Output, String> {
    let spool =
        spool::open(folder, ring).map_err(|err| format!("cannot open the spool {}: {err}", folder.display()))?;
    Output::new(spool).map_err(|err| format!("cannot make the pipes: {err}"))
}

/// Everything that needs rights, and then their end.
fn prepare(args: &Args) -> Result<(User, Vec<Step>), String> {
    // An image without these files can still name its user by number.
    let text = |path: &str| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let user = users::resolve(&args.user, &text("/etc/passwd"), &text("/etc/group"))?;
    let steps = match &args.job {
        Job::Program(_) | Job::Attached(_) => Vec::new(),
        Job::Steps(file) => {
            let text = fs::read_to_string(file).map_err(|err| format!("cannot read {}: {err}", file.display()))?;
            steps::parse(&text).map_err(|err| format!("{}: {err}", file.display()))?
        }
    };
    // Where init is not PID 1 (tests), orphans come to it all the same.
    prctl::set_child_subreaper(true).map_err(|err| format!("cannot adopt orphans: {err}"))?;
    privileges::drop_to(&user)?;
    if let Some(folder) = &args.cwd {
        // With the user's rights: what the program may not enter, init does not enter for it.
        env::set_current_dir(folder).map_err(|err| format!("cannot enter {}: {err}", folder.display()))?;
    }
    Ok((user, steps))
}

/// Init's own, with the user's home where the engine has put root's: it saw init start as root.
fn environment(user: &User) -> Vec<(OsString, OsString)> {
    let mut env: Vec<_> = env::vars_os().collect();
    let home = env.iter().position(|(key, _)| key == "HOME");
    match home.and_then(|at| env.get_mut(at)) {
        None => env.push(("HOME".into(), user.home.clone().into())),
        Some((_, value)) if user.uid != 0 && (value.is_empty() || value == "/root") => {
            *value = user.home.clone().into()
        }
        Some(_) => {}
    }
    env
}

fn run_program(supervisor: &mut Supervisor, argv: &[OsString], env: &[(OsString, OsString)]) -> i32 {
    match supervisor.run(argv, env, Role::Main) {
        Outcome::Ended(end) => {
            supervisor.note(&end.text());
            end.code()
        }
        Outcome::NotStarted(code, why) => {
            eprintln!("hoist-init: {why}");
            supervisor.note(&why);
            supervisor.note(&End::Exited(code).text());
            code
        }
        Outcome::Cancelled(signal) => 128 + signal as i32,
    }
}

/// One after the other, up to the first that fails.
fn run_steps(supervisor: &mut Supervisor, steps: &[Step], env: &[(OsString, OsString)]) -> i32 {
    let mut code = 0;
    for (n, step) in steps.iter().enumerate() {
        supervisor.note(&format!("step-start {n}"));
        let began = Instant::now();
        code = run_step(supervisor, step, env);
        supervisor.note(&format!("step-end {n} {code} {}", began.elapsed().as_millis()));
        if code != 0 {
            break;
        }
    }
    supervisor.note(&End::Exited(code).text());
    code
}

fn run_step(supervisor: &mut Supervisor, step: &Step, env: &[(OsString, OsString)]) -> i32 {
    if let Err(err) = env::set_current_dir(&step.cwd) {
        supervisor.note(&format!("cannot enter {}: {err}", step.cwd));
        return FAILED;
    }
    let argv: Vec<OsString> = step.argv.iter().map(OsString::from).collect();
    let mut env: Vec<_> =
        env.iter().filter(|(key, _)| key.to_str().is_none_or(|it| !step.env.contains_key(it))).cloned().collect();
    env.extend(step.env.iter().map(|(key, value)| (key.into(), value.into())));
    match supervisor.run(&argv, &env, Role::Step) {
        Outcome::Ended(end) => end.code(),
        Outcome::Cancelled(signal) => 128 + signal as i32,
        Outcome::NotStarted(code, why) => {
            supervisor.note(&why);
            code
        }
    }
}
