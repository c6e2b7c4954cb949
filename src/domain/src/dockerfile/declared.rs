//! What a Dockerfile declares, as far as anything here depends on it: its syntax line, its stages and what they are made
//! from. Everything else is the builder's business.

/// Longest Dockerfile that is read.
const BYTES_MAX: usize = 1 << 20;

/// What a Dockerfile declares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    /// The frontend that a `# syntax=` line asks for.
    pub syntax: Option<String>,
    /// The images that stages are made from, in order, without those that are earlier stages or `scratch`; build
    /// arguments in them are not replaced.
    pub bases: Vec<String>,
    /// The names of the stages, lower case; those without a name are missing.
    pub stages: Vec<String>,
    /// Names of `ARG` instructions.
    pub args: Vec<String>,
    /// Ids of `--mount=type=secret`.
    pub secrets: Vec<String>,
}

/// Reads a Dockerfile. Total: what makes no sense to it is left to the builder.
pub fn declared(text: &str) -> Declared {
    let mut found = Declared { syntax: syntax_line(text).map(|(_, value)| value), ..Declared::default() };
    let text = text.get(..BYTES_MAX).unwrap_or(text);
    for line in instructions(text) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        match word.to_ascii_uppercase().as_str() {
            "FROM" => from(rest, &mut found),
            "ARG" => found
                .args
                .extend(rest.split_whitespace().map(|arg| arg.split('=').next().unwrap_or_default().to_owned())),
            "RUN" => found.secrets.extend(secrets(rest)),
            _ => {}
        }
    }
    found
}

/// The Dockerfile without a `# syntax=` line that asks for the usual frontend, and that line. The engine has one of
/// its own built in, and fetching another needs a registry. Line numbers stay as they are.
pub fn builtin_syntax(text: &str) -> Option<String> {
    let (number, value) = syntax_line(text)?;
    let name = value.rsplit_once('@').map_or(value.as_str(), |(name, _)| name);
    let name = name.split_once(':').map_or(name, |(name, _)| name);
    let usual = ["docker/dockerfile", "docker/dockerfile-upstream"];
    let bare = name.rsplit('/').take(2).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("/");
    if !usual.contains(&bare.as_str()) {
        return None;
    }
    let lines = text.split_inclusive('\n').enumerate();
    Some(lines.map(|(n, line)| if n == number { "#\n" } else { line }).collect())
}

/// The number (from 0) and value of the syntax directive: only before the first line that is no directive.
fn syntax_line(text: &str) -> Option<(usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (n, line) in text.lines().enumerate() {
        let (key, value) = line.trim().strip_prefix('#')?.split_once('=')?;
        match key.trim().to_ascii_lowercase().as_str() {
            "syntax" => return Some((n, value.split_whitespace().next()?.to_owned())),
            "escape" | "check" => {}
            _ => return None,
        }
    }
    None
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

fn from(rest: &str, found: &mut Declared) {
    let mut words = rest.split_whitespace().skip_while(|word| word.starts_with("--"));
    let Some(base) = words.next() else { return };
    if base != "scratch" && !found.stages.contains(&base.to_ascii_lowercase()) {
        found.bases.push(base.to_owned());
    }
    if words.next().is_some_and(|word| word.eq_ignore_ascii_case("as"))
        && let Some(name) = words.next()
    {
        found.stages.push(name.to_ascii_lowercase());
    }
}

fn secrets(rest: &str) -> Vec<String> {
    let mounts = rest.split_whitespace().take_while(|word| word.starts_with("--"));
    let mut ids = Vec::new();
    for mount in mounts.filter_map(|word| word.strip_prefix("--mount=")) {
        let part = |key: &str| mount.split(',').find_map(|part| part.trim().strip_prefix(key));
        if part("type=") != Some("secret") {
            continue;
        }
        let path = part("target=").or(part("dst=")).or(part("destination="));
        let name = path.map(|path| path.rsplit('/').next().unwrap_or(path));
        ids.extend(part("id=").or(name).map(str::to_owned));
    }
    ids
}
