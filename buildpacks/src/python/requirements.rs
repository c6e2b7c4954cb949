//! requirements.txt with the files it includes.
//! Invariant: every file that the installer will read is an input, or all sources are.
//! Absent: environment markers; a package that is only for Windows counts as a name here.

use super::dependencies::{Dependencies, Manager, normal};
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::{Found, Tree};
use std::collections::BTreeSet;

/// Included files that are followed.
const FILES_MAX: usize = 50;

/// A list of requirements or constraints, or one of those that it may include.
pub(crate) fn may_be_list(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let listed = name.contains("requirements") || name.contains("constraints") || folder.ends_with("requirements");
    listed && name.ends_with(".txt") && folder.matches('/').count() <= 1
}

#[derive(Default)]
struct Read {
    files: Vec<String>,
    names: BTreeSet<String>,
    local: Option<String>,
    loose: BTreeSet<String>,
}

pub(crate) fn read(tree: &Tree) -> Result<Dependencies, Refusal> {
    let mut read = Read::default();
    let mut open = vec!["requirements.txt".to_owned()];
    while let Some(path) = open.pop() {
        if read.files.contains(&path) {
            continue;
        }
        if read.files.len() >= FILES_MAX {
            read.local = Some("requirements.txt includes many files".to_owned());
            break;
        }
        match tree.find(&path) {
            Found::File(content) => {
                let text = String::from_utf8_lossy(content).into_owned();
                read.files.push(path.clone());
                read.lines(&text, &path, &mut open);
            }
            Found::Nothing if read.files.is_empty() => break,
            Found::Nothing => return Err(missing(&path)),
            Found::NotAFile | Found::Unread => {
                read.local = Some(format!("{} is read when it is installed", quote(&path)));
                read.files.push(path);
            }
        }
    }
    read.files.sort();
    let mut warnings = Vec::new();
    if !read.loose.is_empty() {
        let some: Vec<&str> = read.loose.iter().take(3).map(String::as_str).collect();
        let more = if read.loose.len() > some.len() { ", …" } else { "" };
        warnings.push(format!(
            "requirements.txt does not fix the versions of {}{more}: what is newest now stays until the file changes",
            some.join(", ")
        ));
    }
    let Read { files, names, local, .. } = read;
    Ok(Dependencies { manager: Manager::Pip, files, local, package: false, names, warnings, requirements: None })
}

fn missing(path: &str) -> Refusal {
    let why = format!("{} is included by requirements.txt and is not in the commit", quote(path));
    Refusal::new(
        Code::RequirementsMissing,
        "dependencies cannot be installed",
        why,
        "git add it, commit and push; or remove the line",
    )
}

impl Read {
    fn lines(&mut self, text: &str, path: &str, open: &mut Vec<String>) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let joined = text.trim_start_matches('\u{feff}').replace("\\\r\n", " ").replace("\\\n", " ");
        for line in joined.lines() {
            let line = line.split(" #").next().unwrap_or("").trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            self.line(line, folder, open);
        }
    }

    fn line(&mut self, line: &str, folder: &str, open: &mut Vec<String>) {
        let option = |names: &[&str]| {
            names.iter().find_map(|name| {
                let rest = line.strip_prefix(name)?;
                rest.starts_with([' ', '=', '\t']).then(|| rest.trim_start_matches([' ', '=', '\t']).to_owned())
            })
        };
        if let Some(file) = option(&["-r", "--requirement", "-c", "--constraint"]) {
            let path = if folder.is_empty() { file.clone() } else { format!("{folder}/{file}") };
            match plain(&path) {
                Some(path) => open.push(path),
                None => self.local = Some(format!("{} is read when it is installed", quote(&file))),
            }
            return;
        }
        if let Some(what) = option(&["-e", "--editable"]) {
            if !what.contains("://") {
                self.local = Some(format!("{} comes from the app's own files", quote(&what)));
            }
            return;
        }
        if line.starts_with('-') {
            return;
        }
        if line.starts_with(['.', '/']) || line.starts_with("file:") {
            self.local = Some(format!("{} comes from the app's own files", quote(line)));
            return;
        }
        let end =
            line.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.')).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        if name.is_empty() || rest.starts_with("://") || rest.starts_with('+') || rest.starts_with('/') {
            return;
        }
        let name = normal(name);
        // These extras bring a server.
        if matches!(name.as_str(), "fastapi") && (rest.starts_with("[standard") || rest.starts_with("[all")) {
            self.names.insert("uvicorn".to_owned());
        }
        if !rest.contains("==") && !rest.contains('@') {
            self.loose.insert(quote(&name));
        }
        self.names.insert(name);
    }
}

/// A path without `.` and `..`, inside the app's folder.
fn plain(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!path.starts_with('/')).then(|| parts.join("/"))
}
