//! What is typed: `serve`, `router`, `hook`, and every other word as a command for the running server.

use builder::daemon::enter::{self, Place};
use std::collections::BTreeMap;
use std::path::PathBuf;
use system::settings::{KEYS, Mistakes, Raw, Settings, nearest};

/// Where `install.sh` writes the configuration.
const SYSTEM_CONFIG: &str = "/etc/hoist/hoist.toml";

/// What to do.
#[derive(Debug)]
pub enum Job {
    /// The control process.
    Serve(Box<Settings>),
    /// The data plane.
    Router(Box<Settings>),
    /// A git hook calls back.
    Hook(String),
    /// Put up walls and become another program.
    Limited(Vec<String>),
    /// A command for the server of this data folder.
    Command(PathBuf, Vec<String>),
    /// Say under which name a new installation would be reached.
    Hosting(Option<String>),
    /// sshd asks for a key's line.
    SshKeys(PathBuf, String),
    /// sshd's forced command: the socket and the ticket.
    SshSession(PathBuf, String),
    /// The drop-in for sshd: the data folder and the shared user.
    SshdConfig(PathBuf, String),
    /// Become the builder of Dockerfiles: what `serve` runs in namespaces of its own.
    Builder(Place),
    /// The key of secret values in this data folder is lost.
    ForgetSecrets(PathBuf),
    /// Print this and succeed.
    Print(String),
}

/// Reads the words after the program's name. The error is every mistake, for exit code 64.
pub fn read(words: &[String], variable: impl Fn(&str) -> Option<String>, cores: u64) -> Result<Job, Mistakes> {
    match words.first().map(String::as_str) {
        Some(system::restrictions::VERB) => Ok(Job::Limited(words.get(1..).unwrap_or_default().to_vec())),
        Some("hook") => Ok(Job::Hook(words.get(1).cloned().unwrap_or_default())),
        Some("serve" | "router") if words.iter().any(|word| word == "--help" || word == "-h") => Ok(Job::Print(help())),
        Some("serve") => {
            settings(words.get(1..).unwrap_or_default(), &variable, cores).map(|s| Job::Serve(Box::new(s)))
        }
        Some("router") => {
            settings(words.get(1..).unwrap_or_default(), &variable, cores).map(|s| Job::Router(Box::new(s)))
        }
        Some("hosting") => match words.get(1..).unwrap_or_default() {
            [] => Ok(Job::Hosting(None)),
            [flag, name] if flag == "--domain" => host_name(name).map(|name| Job::Hosting(Some(name))),
            _ => Err(vec!["usage: hoist hosting [--domain NAME]".to_owned()]),
        },
        Some(enter::VERB) => match Place::read(words.get(1..).unwrap_or_default()) {
            Some(place) => Ok(Job::Builder(place)),
            None => Err(vec!["builder is what hoist serve runs".to_owned()]),
        },
        Some("ssh-session") => match words {
            [_, socket, ticket] => Ok(Job::SshSession(socket.into(), ticket.clone())),
            _ => Err(vec!["ssh-session is what sshd runs: hoist ssh-session SOCKET TICKET".to_owned()]),
        },
        Some("--help" | "-h") => Ok(Job::Print(help())),
        Some("--version" | "-V") => Ok(Job::Print(format!("hoist {}\n", env!("CARGO_PKG_VERSION")))),
        None => Ok(Job::Print(help())),
        Some(_) => command(words, &variable),
    }
}

/// `[--data DIR] COMMAND…`; the folder may come from `HOIST_DATA` too.
fn command(words: &[String], variable: &impl Fn(&str) -> Option<String>) -> Result<Job, Mistakes> {
    let mut data = variable("HOIST_DATA");
    let mut rest = words;
    loop {
        match rest {
            [flag, value, more @ ..] if flag == "--data" => {
                data = Some(value.clone());
                rest = more;
            }
            [flag, more @ ..] if flag.starts_with("--data=") => {
                data = flag.strip_prefix("--data=").map(str::to_owned);
                rest = more;
            }
            _ => break,
        }
    }
    let data = data.or_else(|| configured_data(variable));
    let data = data.ok_or_else(|| vec!["which server? Name its data folder: hoist --data DIR COMMAND".to_owned()])?;
    let data = std::path::absolute(&data).map_err(|err| vec![format!("--data {data}: {err}")])?;
    Ok(match rest {
        [verb, fingerprint] if verb == "ssh-keys" => Job::SshKeys(data, fingerprint.clone()),
        [verb, user] if verb == "sshd-config" => Job::SshdConfig(data, user.clone()),
        [verb, sure] if verb == "forget-secrets" && sure == "--confirm" => Job::ForgetSecrets(data),
        [verb, ..] if verb == "forget-secrets" => {
            return Err(vec![format!(
                "this removes every config var and registry login for good, and is for a lost secret.key only; if it is: \
                 hoist --data {} forget-secrets --confirm",
                data.display()
            )]);
        }
        [verb] if verb == "sshd-config" => Job::SshdConfig(data, "hoist".to_owned()),
        rest => Job::Command(data, rest.to_vec()),
    })
}

/// The data folder of the installation of this machine, from its configuration.
fn configured_data(variable: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let file = variable("HOIST_CONFIG").unwrap_or_else(|| SYSTEM_CONFIG.to_owned());
    let table = std::fs::read_to_string(file).ok()?.parse::<toml::Table>().ok()?;
    table.get("data")?.as_str().map(str::to_owned)
}

fn host_name(name: &str) -> Result<String, Mistakes> {
    domain::hostname::configured(name).map_err(|why| vec![format!("--domain=\"{name}\" is not valid: {why}")])
}

fn settings(words: &[String], variable: &impl Fn(&str) -> Option<String>, cores: u64) -> Result<Settings, Mistakes> {
    let mut mistakes = Vec::new();
    let mut flags = BTreeMap::new();
    let mut words = words.iter();
    let mut file = variable("HOIST_CONFIG");
    while let Some(word) = words.next() {
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let known = name.strip_prefix("--").filter(|n| *n == "config" || KEYS.iter().any(|k| k.name == *n));
        let Some(name) = known else {
            let meant = nearest("--", name.trim_start_matches('-'));
            mistakes.push(format!("there is no flag {word}{meant}; hoist --help lists them"));
            continue;
        };
        match attached.or_else(|| words.next().cloned()) {
            Some(value) if name == "config" => file = Some(value),
            Some(value) => {
                flags.insert(name.to_owned(), value);
            }
            None => mistakes.push(format!("--{name} needs a value")),
        }
    }
    let text = match &file {
        None => None,
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => Some(text),
            Err(err) => {
                mistakes.push(format!("cannot read {path}: {err}"));
                None
            }
        },
    };
    let source = file.as_deref().zip(text.as_deref());
    let (raw, more) = Raw::merge(&flags, variable, source);
    mistakes.extend(more);
    Settings::resolve(&raw, mistakes, cores)
}

/// `hoist --help`.
pub fn help() -> String {
    let mut text = String::from(
        "Hoist: git push to your own server\n\n\
         hoist serve --data DIR [FLAGS]     run the server\n\
         hoist router --data DIR [FLAGS]    run only the router (serve starts it by itself)\n\
         hoist [--data DIR] COMMAND …       run a command as the local administrator; `help` lists them\n\
         hoist [--data DIR] sshd-config [USER] print what lets USER@host reach us by the host's sshd\n\
         hoist --data DIR forget-secrets    where secret.key is lost: removes what only it could open\n\
         hoist --version\n\n\
         Flags; each also as HOIST_NAME in the environment, or as name = \"value\" in the TOML file of --config FILE:\n",
    );
    for key in KEYS.iter() {
        let flag = format!("--{} {}", key.name, key.value);
        let default = if key.default.is_empty() { String::new() } else { format!(" [{}]", key.default) };
        text.push_str(&format!("  {flag:28} {}{default}\n", key.help));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn pages_name_every_setting() {
        let operations = include_str!("../../../docs/operations.md");
        for key in KEYS.iter() {
            assert!(operations.contains(&format!("| `{}` | ", key.name)), "docs/operations.md lacks {}", key.name);
            assert!(help().contains(&format!("  --{} ", key.name)), "the help lacks {}", key.name);
        }
    }

    #[test]
    fn jobs() {
        let none = |_: &str| None;
        let job = |line: &str| read(&words(line), none, 2);
        assert!(matches!(job("serve --help"), Ok(Job::Print(text)) if text.contains("--data DIR")));
        assert!(matches!(job("hook pre-receive"), Ok(Job::Hook(name)) if name == "pre-receive"));
        assert!(matches!(job("--data /d apps:list --format json"), Ok(Job::Command(_, w)) if w.len() == 3));
        assert!(matches!(job("--data /d forget-secrets --confirm"), Ok(Job::ForgetSecrets(_))));
        assert!(job("--data /d forget-secrets").unwrap_err()[0].ends_with("--data /d forget-secrets --confirm"));
        assert!(matches!(job("serve --data=/d --ssh 127.0.0.1:0"), Ok(Job::Serve(s)) if s.ssh.port() == 0));
        let elsewhere = |name: &str| (name == "HOIST_CONFIG").then(|| "/nowhere/hoist.toml".to_owned());
        assert_eq!(read(&words("apps:list"), elsewhere, 2).unwrap_err().len(), 1);
        assert!(matches!(job("hosting --domain a.example"), Ok(Job::Hosting(Some(name))) if name == "a.example"));
        assert!(job("hosting --domain a..b").is_err() && job("hosting x").is_err());
        let bad = job("serve --colour red --ssh x --http").unwrap_err();
        assert_eq!(bad.len(), 5, "{bad:?}");
    }
}
