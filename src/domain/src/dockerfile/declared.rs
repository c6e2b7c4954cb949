//! What a Dockerfile declares, as far as anything here depends on it: its syntax line, its stages and what they are made
//! from. Everything else is the builder's business.

use std::collections::BTreeMap;

/// What a name without a registry means.
const HUB: &str = concat!("dock", "er.io/");
/// Longest Dockerfile that is read.
const BYTES_MAX: usize = 1 << 20;

/// What a Dockerfile declares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The images that stages are made from or copy from, in order, without those that are earlier stages or `scratch`;
    /// build arguments in them are replaced as far as their defaults are plain.
    pub images: Vec<String>,
    /// The names of the stages, lower case; those without a name are missing.
    pub stages: Vec<String>,
    /// Names of `ARG` instructions.
    pub args: Vec<String>,
    /// Ids of `--mount=type=secret`.
    pub secrets: Vec<String>,
}

/// Reads a Dockerfile. Total: what makes no sense to it is left to the builder.
pub fn declared(text: &str) -> Declared {
    let mut found = Declared::default();
    let mut defaults: BTreeMap<String, String> = BTreeMap::new();
    let text = text.get(..BYTES_MAX).unwrap_or(text);
    for line in instructions(text) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        match word.to_ascii_uppercase().as_str() {
            "FROM" => from(rest, &mut found, &defaults),
            "ARG" => {
                for arg in rest.split_whitespace() {
                    let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
                    found.args.push(name.to_owned());
                    defaults.insert(name.to_owned(), value.trim_matches(['"', '\'']).to_owned());
                }
            }
            "COPY" | "ADD" => {
                let from = flags(rest).find_map(|flag| flag.strip_prefix("--from="));
                found.image(from, &defaults);
            }
            "RUN" => {
                for mount in flags(rest).filter_map(|flag| flag.strip_prefix("--mount=")) {
                    found.image(part(mount, "from="), &defaults);
                    found.secrets.extend(secret(mount));
                }
            }
            _ => {}
        }
    }
    found
}

impl Declared {
    fn image(&mut self, name: Option<&str>, defaults: &BTreeMap<String, String>) {
        let Some(name) = name else { return };
        let name = filled_in(name, defaults);
        let stage = self.stages.contains(&name.to_ascii_lowercase()) || name.bytes().all(|b| b.is_ascii_digit());
        if name != "scratch" && !stage && !self.images.contains(&name) {
            self.images.push(name);
        }
    }

    /// An image of an app, by anybody's name for it; nobody builds on those.
    pub fn of_an_app(&self) -> Option<&str> {
        let ours = |name: &&String| {
            let name = name.strip_prefix(HUB).unwrap_or(name);
            name.strip_prefix("hoist/").is_some_and(|rest| !rest.starts_with("stack-"))
        };
        self.images.iter().find(ours).map(String::as_str)
    }
}

/// Build arguments in an image's name by their defaults, in the two plain forms.
fn filled_in(name: &str, defaults: &BTreeMap<String, String>) -> String {
    let mut name = name.to_owned();
    for (arg, value) in defaults {
        name = name.replace(&format!("${{{arg}}}"), value).replace(&format!("${arg}"), value);
    }
    name
}

/// What is said about a Dockerfile's `# syntax=` lines. Whatever they say, the builder takes its own frontend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Syntax {
    /// There is none.
    Absent,
    /// They ask for the usual frontend, by this name.
    Usual(String),
    /// One asks for this other frontend: what follows may be another language.
    Other(String),
}

/// Looks at every line in which a builder, whichever version, could find a frontend's name.
pub fn syntax(text: &str) -> Syntax {
    let usual = ["docker/dockerfile", "docker/dockerfile-upstream"];
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = None;
    let head = bare.lines().map(str::trim);
    let head = head.take_while(|line| line.is_empty() || line.starts_with('#') || line.starts_with("//"));
    for value in head.filter_map(syntax_value) {
        match usual.contains(&repository(&value)) {
            true => {
                found.get_or_insert(value);
            }
            false => return Syntax::Other(value),
        }
    }
    found.map_or(Syntax::Absent, Syntax::Usual)
}

/// `docker/dockerfile` of `docker/dockerfile:1@sha256:…`, with the usual registry's host or without; one of another
/// registry stays what it is.
fn repository(image: &str) -> &str {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let name = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        Some(_) | None => name,
    };
    name.strip_prefix(HUB).unwrap_or(name)
}

fn syntax_value(line: &str) -> Option<String> {
    let rest = line.trim_start_matches(['#', '/', '!']);
    let (key, value) = rest.split_once('=')?;
    let value = value.split_whitespace().next()?;
    key.trim().eq_ignore_ascii_case("syntax").then(|| value.to_owned())
}

/// Instructions with their continuation lines joined; comments and blank lines are gone.
fn instructions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = String::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.strip_suffix('\\') {
            Some(part) => {
                open.push_str(part);
                open.push(' ');
            }
            None => {
                open.push_str(line);
                found.push(std::mem::take(&mut open));
            }
        }
    }
    if !open.is_empty() {
        found.push(open);
    }
    found
}

fn from(rest: &str, found: &mut Declared, defaults: &BTreeMap<String, String>) {
    let mut words = rest.split_whitespace().skip_while(|word| word.starts_with("--"));
    found.image(words.next(), defaults);
    if words.next().is_some_and(|word| word.eq_ignore_ascii_case("as"))
        && let Some(name) = words.next()
    {
        found.stages.push(name.to_ascii_lowercase());
    }
}

fn flags(rest: &str) -> impl Iterator<Item = &str> {
    rest.split_whitespace().take_while(|word| word.starts_with("--"))
}

fn part<'a>(mount: &'a str, key: &str) -> Option<&'a str> {
    mount.split(',').find_map(|part| part.trim().strip_prefix(key))
}

/// The id of a mount of a secret.
fn secret(mount: &str) -> Option<String> {
    if part(mount, "type=") != Some("secret") {
        return None;
    }
    let path = part(mount, "target=").or(part(mount, "dst=")).or(part(mount, "destination="));
    let name = path.map(|path| path.rsplit('/').next().unwrap_or(path));
    part(mount, "id=").or(name).map(str::to_owned)
}
