//! How a Dockerfile's image is started: which program, as whom, where, on which port.

use crate::formation::WEB;
use crate::procfile::ProcessTable;
use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::text::plain;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The port of `web` where neither a setting nor the image names one.
pub const DEFAULT_PORT: u16 = 5000;
/// What an image that runs as root keeps: enough to bind a low port, own its files and become its own user.
pub const ROOT_CAPABILITIES: [&str; 7] =
    ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];
/// Ports named in a refusal.
const NAMED_MAX: usize = 10;

/// What an image says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// `USER`; empty: root.
    pub user: String,
    /// `WORKDIR`; empty: `/`.
    pub workdir: String,
    /// `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// `CMD`.
    pub cmd: Vec<String>,
    /// `EXPOSE`: `80/tcp`.
    pub exposed: Vec<String>,
    /// Whether there is a `HEALTHCHECK`.
    pub healthcheck: bool,
    /// `VOLUME`.
    pub volumes: Vec<String>,
    /// `STOPSIGNAL`.
    pub stop_signal: String,
}

/// How processes of a release are started that does not run on our own stack. Kept with the build.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// `NAME`, `ID`, with `:GROUP` or without.
    pub user: String,
    /// The folder processes start in.
    pub workdir: String,
    /// The image's entrypoint.
    pub entrypoint: Vec<String>,
    /// The image's own command, for `web` where no Procfile says otherwise.
    pub cmd: Vec<String>,
    /// Whether the process table comes from a Procfile.
    pub procfile: bool,
    /// The port of `web`.
    pub port: u16,
}

impl Launch {
    /// Program and arguments of a process type with this command in the process table.
    pub fn argv(&self, process: &str, command: &str) -> Vec<String> {
        let own = !self.procfile && process == WEB;
        let tail = match (own, self.entrypoint.is_empty()) {
            (true, _) => self.cmd.clone(),
            (false, false) => words(command).unwrap_or_else(|| vec![command.to_owned()]),
            (false, true) => match words(command) {
                // No shell between, for images that have none, and so that signals arrive.
                Some(words) if !command.contains(SHELL) => words,
                Some(_) | None => vec!["/bin/sh".to_owned(), "-c".to_owned(), command.to_owned()],
            },
        };
        self.entrypoint.iter().cloned().chain(tail).collect()
    }

    /// Whether it runs as root.
    pub fn root(&self) -> bool {
        matches!(self.user.split(':').next(), None | Some("" | "0" | "root"))
    }

    /// The capabilities that its instances get; the first step of each needs two to become the user.
    pub fn capabilities(&self) -> Vec<String> {
        let all: &[&str] = if self.root() { &ROOT_CAPABILITIES } else { &["SETGID", "SETUID"] };
        all.iter().map(|name| (*name).to_owned()).collect()
    }
}

/// What a shell would do something with.
const SHELL: [char; 19] =
    ['$', '&', '|', ';', '<', '>', '(', ')', '`', '*', '?', '[', ']', '~', '#', '=', '%', '!', '\n'];

/// The words of a command, quotes taken away; `None` where a quote is not closed.
fn words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => quoted(&mut chars, '\'', word.get_or_insert_default())?,
            '"' => quoted(&mut chars, '"', word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// Takes characters up to the closing quote; in double quotes a backslash takes the next as it is.
fn quoted(chars: &mut std::str::Chars<'_>, quote: char, word: &mut String) -> Option<()> {
    loop {
        match chars.next()? {
            c if c == quote => return Some(()),
            '\\' if quote == '"' => word.push(chars.next()?),
            c => word.push(c),
        }
    }
}

/// Process table, start and what the pusher should know, or what must be set first.
pub fn launch(
    image: &ImageFacts,
    procfile: Option<ProcessTable>,
    port: Option<u16>,
    app: &str,
) -> Result<(ProcessTable, Launch, Vec<String>), Refusal> {
    let mut said = Vec::new();
    let user = if image.user.is_empty() { "0".to_owned() } else { image.user.clone() };
    let workdir = if image.workdir.is_empty() { "/".to_owned() } else { image.workdir.clone() };
    let (port, from) = choose_port(&image.exposed, port, app)?;
    let start = Launch {
        user,
        workdir,
        entrypoint: image.entrypoint.clone(),
        cmd: image.cmd.clone(),
        procfile: procfile.is_some(),
        port,
    };
    let table = match procfile {
        Some(table) => table,
        None => own_table(image)?,
    };
    let entry = if start.procfile && !start.entrypoint.is_empty() { " (after the image's ENTRYPOINT)" } else { "" };
    let names: Vec<&str> = table.keys().map(crate::ProcessType::as_str).collect();
    let source = if start.procfile { "Procfile declares types" } else { "The image's own command is web" };
    said.push(match start.procfile {
        true => format!("{source} -> {}{entry}", names.join(", ")),
        false => format!("{source}: {}", table.values().next().map(|c| plain(c)).unwrap_or_default()),
    });
    said.push(format!("Port {port} ({from})"));
    if start.root() {
        said.push(format!("Runs as root, with these rights only: {}", ROOT_CAPABILITIES.join(", ")));
        said.push("A `USER` line in the Dockerfile is safer".to_owned());
    } else {
        said.push(format!("Runs as {}", plain(&start.user)));
    }
    if image.healthcheck {
        said.push("HEALTHCHECK stays in the image; ready is when the port opens".to_owned());
    }
    if !image.volumes.is_empty() {
        said.push(format!("VOLUME {}: what is written there goes with the instance", plain(&image.volumes.join(", "))));
    }
    Ok((table, start, said))
}

fn own_table(image: &ImageFacts) -> Result<ProcessTable, Refusal> {
    let shown: Vec<&str> = image.entrypoint.iter().chain(&image.cmd).map(String::as_str).collect();
    if shown.is_empty() {
        return Err(Refusal::new(Code::NoCommand, "the image does not say what to start")
            .why("the Dockerfile has neither CMD nor ENTRYPOINT, and there is no Procfile")
            .next("add a line such as CMD [\"./server\"] to the Dockerfile, commit, push again"));
    }
    Ok(BTreeMap::from([(WEB.parse()?, shown.join(" "))]))
}

/// The port, and where it was asked for.
fn choose_port(exposed: &[String], setting: Option<u16>, app: &str) -> Result<(u16, &'static str), Refusal> {
    if let Some(port) = setting {
        return Ok((port, "the app's setting"));
    }
    let mut ports: Vec<u16> = exposed.iter().filter_map(|one| tcp(one)).collect();
    ports.sort_unstable();
    ports.dedup();
    match ports.as_slice() {
        [] => Ok((DEFAULT_PORT, "no EXPOSE")),
        [one] => Ok((*one, "EXPOSE")),
        several => {
            let named: Vec<String> = several.iter().take(NAMED_MAX).map(u16::to_string).collect();
            let mut no = Refusal::new(Code::WhichPort, "the image exposes several ports")
                .why(format!("EXPOSE names {}; the router needs one", named.join(", ")));
            for port in &named {
                no = no.next(format!("apps:set {app} port={port}  (then push again)"));
            }
            Err(no)
        }
    }
}

fn tcp(exposed: &str) -> Option<u16> {
    let (port, protocol) = exposed.split_once('/').unwrap_or((exposed, "tcp"));
    port.parse().ok().filter(|port| protocol == "tcp" && *port > 0)
}
