//! The command line. Pure: words in, `Args` or the mistake out.

use std::ffi::OsString;
use std::path::PathBuf;

/// How much of an instance's output is kept when nobody says otherwise.
pub const RING_DEFAULT: u64 = 128 * 1024 * 1024;
/// Smaller rings could not hold one long line in each half.
pub const RING_MIN: u64 = 64 * 1024;

pub const USAGE: &str =
    "usage: hoist-init --user UID:GID|NAME[:GROUP] [--spool DIR] [--io DIR] [--cwd DIR] [--ring BYTES] -- PROGRAM ARG...
       hoist-init --user UID:GID|NAME[:GROUP] --attached DIR [--cwd DIR] -- PROGRAM ARG...
       hoist-init --user UID:GID|NAME[:GROUP] --spool DIR [--ring BYTES] --steps FILE";

#[derive(Debug, PartialEq, Eq)]
pub struct Args {
    pub user: String,
    pub spool: Option<PathBuf>,
    pub cwd: Option<PathBuf>,
    pub ring: u64,
    /// The folder where a socket takes sessions.
    pub io: Option<PathBuf>,
    pub job: Job,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Job {
    /// One program with its arguments; its end is ours.
    Program(Vec<OsString>),
    /// One program that the first session is about: its streams are the session's, and the session's end is its end.
    Attached(Vec<OsString>),
    /// A file with steps to run one after the other.
    Steps(PathBuf),
}

/// Reads everything after the program's own name.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Args, String> {
    let mut words = words.into_iter();
    let (mut user, mut spool, mut cwd, mut ring, mut steps) = (None, None, None, RING_DEFAULT, None);
    let (mut io, mut attached) = (None, None);
    let mut program = Vec::new();
    while let Some(word) = words.next() {
        let option = word.to_string_lossy().into_owned();
        if option == "--" {
            program.extend(words.by_ref());
            break;
        }
        if !["--user", "--spool", "--cwd", "--ring", "--steps", "--io", "--attached"].contains(&option.as_str()) {
            return Err(format!("unknown option {option}"));
        }
        let value = words.next().ok_or_else(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--user" => user = Some(value.into_string().map_err(|_| "--user is not UTF-8")?),
            "--spool" => spool = Some(PathBuf::from(value)),
            "--cwd" => cwd = Some(PathBuf::from(value)),
            "--ring" => ring = ring_size(&value.to_string_lossy())?,
            "--io" => io = Some(PathBuf::from(value)),
            "--attached" => attached = Some(PathBuf::from(value)),
            _ => steps = Some(PathBuf::from(value)),
        }
    }
    let user = user.ok_or("--user is missing")?;
    if let Some(folder) = attached {
        return match (steps, spool, io, program.is_empty()) {
            (None, None, None, false) => {
                Ok(Args { user, spool: None, cwd, ring, io: Some(folder), job: Job::Attached(program) })
            }
            (_, _, _, true) => Err("no program: put it after --".into()),
            _ => Err("--attached excludes --spool, --io and --steps".into()),
        };
    }
    let job = match (steps, program.is_empty()) {
        (Some(file), true) if spool.is_some() => Job::Steps(file),
        (Some(_), true) => return Err("--steps needs --spool".into()),
        (Some(_), false) => return Err("--steps and a program exclude each other".into()),
        (None, false) => Job::Program(program),
        (None, true) => return Err("no program: put it after --".into()),
    };
    Ok(Args { user, spool, cwd, ring, io, job })
}

fn ring_size(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(bytes) if bytes >= RING_MIN => Ok(bytes),
        Ok(_) | Err(_) => Err(format!("--ring {text}: not a number of bytes from {RING_MIN} on")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<Args, &str>) {
        let words = line.split_whitespace().map(OsString::from);
        assert_eq!(parse(words), expected.map_err(String::from), "{line}");
    }

    fn args(user: &str, job: Job) -> Args {
        Args { user: user.into(), spool: None, cwd: None, ring: RING_DEFAULT, io: None, job }
    }

    #[test]
    fn programs() {
        let job = || Job::Program(vec!["node".into(), "--user".into(), "x".into()]);
        check("--user app -- node --user x", Ok(args("app", job())));
        let all = Args { spool: Some("/s".into()), cwd: Some("/app".into()), ring: 65536, ..args("1000:1000", job()) };
        check("--cwd /app --spool /s --user 1000:1000 --ring 65536 -- node --user x", Ok(all));
    }

    #[test]
    fn steps() {
        let all = Args { spool: Some("/s".into()), ..args("app", Job::Steps("/steps".into())) };
        check("--user app --spool /s --steps /steps", Ok(all));
        check("--user app --steps /steps", Err("--steps needs --spool"));
        check("--user app --spool /s --steps /steps -- x", Err("--steps and a program exclude each other"));
    }

    #[test]
    fn sessions() {
        let program = || vec!["bash".into()];
        let beside = Args { io: Some("/io".into()), ..args("app", Job::Program(program())) };
        check("--user app --io /io -- bash", Ok(beside));
        let attached = Args { io: Some("/io".into()), ..args("app", Job::Attached(program())) };
        check("--user app --attached /io -- bash", Ok(attached));
        check("--user app --attached /io", Err("no program: put it after --"));
        check("--user app --attached /io --spool /s -- x", Err("--attached excludes --spool, --io and --steps"));
    }

    #[test]
    fn mistakes() {
        check("", Err("--user is missing"));
        check("--user", Err("--user needs a value"));
        check("--user app", Err("no program: put it after --"));
        check("--user app --", Err("no program: put it after --"));
        check("--user app -x -- y", Err("unknown option -x"));
        check("--user app node", Err("unknown option node"));
        check("--user app --ring 5 -- y", Err("--ring 5: not a number of bytes from 65536 on"));
        check("--user app --ring 1G -- y", Err("--ring 1G: not a number of bytes from 65536 on"));
    }
}
