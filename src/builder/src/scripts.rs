//! Looks at the scripts that an app's commands start, before anything of it is started: `buildpacks::scripts` says what is wrong.
//!
//! Absent: scripts that other scripts start, and what an image has from elsewhere.

use super::sources::Sources;
use buildpacks::scripts::{Script, refusal_of, started, started_by, troubles};
use buildpacks::{Kind, Refusal};
use domain::procfile::ProcessTable;
use std::path::Path;

/// Programs that mend a script in a build.
const MENDERS: [&str; 4] = ["chmod", "dos2unix", "sed -i", "git config"];

/// What is wrong with the scripts of a process table: what stops the push, and what is only said. Blocking.
pub fn look(sources: &Sources, processes: &ProcessTable) -> (Option<Refusal>, Vec<Refusal>) {
    // A build script of the app's own may mend it; npm's are the only ones here that are the app's.
    let mended = MENDERS.iter().any(|word| String::from_utf8_lossy(&sources.begin_of("package.json")).contains(word));
    let who = |name: &str| match sources.has_procfile() {
        true => format!("{name} in the Procfile"),
        false => format!("the command of {name}"),
    };
    let (mut stops, mut said) = (None, Vec::new());
    for (name, command) in processes {
        let Some(script) = started(command) else { continue };
        let path = script.word.trim_start_matches("./");
        let path = path.strip_prefix(&format!("{}/", buildpacks::APP)).unwrap_or(path);
        let Some(no) = refusal(sources, &script, path, &who(name.as_str())) else { continue };
        match matches!(name.as_str(), "web" | "release") && !mended {
            true => stops = stops.or(Some(no)),
            false => said.push(no),
        }
    }
    (stops, said)
}

/// The same for the command of an image, whose Dockerfile plainly copies the script. Blocking.
pub fn of_image(sources: &Sources, dockerfile: &str, workdir: &str, words: &[String]) -> Option<Refusal> {
    let script = started_by(words)?;
    let path = copied(dockerfile, workdir, &script.word, |path| sources.tree.has_file(path), sources.paths())?;
    refusal(sources, &script, &path, "the image's command")
}

/// The same for a step of a Dockerfile that failed. Blocking.
pub fn of_step(sources: &Sources, step: &str) -> Option<Refusal> {
    let command = step.split_once("RUN ").map_or(step, |(_, command)| command);
    command.split(['&', ';', '|']).find_map(|part| {
        let script = started(part)?;
        let path = script.word.trim_start_matches("./").to_owned();
        let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
        let mut fits =
            sources.paths().filter(|known| **known == path || known.rsplit('/').next() == Some(name.as_str()));
        let found = fits.next().filter(|_| fits.next().is_none())?.to_owned();
        refusal(sources, &script, &found, "a step of the Dockerfile")
    })
}

fn refusal(sources: &Sources, script: &Script, path: &str, who: &str) -> Option<Refusal> {
    let Some(Kind::File { executable }) = sources.tree.0.get(path).map(|entry| entry.kind) else { return None };
    let found = troubles(script, executable, &sources.begin_of(path));
    refusal_of(&found, &sources.in_repository(path), who)
}

/// The file of the commit that is at `word` in the image, if a line of the Dockerfile says so and none may mend it.
fn copied<'a>(
    dockerfile: &str,
    workdir: &str,
    word: &str,
    is_there: impl Fn(&str) -> bool,
    mut paths: impl Iterator<Item = &'a str>,
) -> Option<String> {
    if MENDERS.iter().any(|mender| dockerfile.contains(mender)) {
        return None;
    }
    let copies: Vec<Vec<&str>> = dockerfile.lines().filter_map(copy).collect();
    let name = Path::new(word).file_name()?.to_str()?;
    let inside = word.strip_prefix(workdir).unwrap_or(word).trim_start_matches("./").trim_start_matches('/');
    let whole = copies.iter().any(|sources| sources.iter().any(|source| matches!(*source, "." | "./" | "*")));
    if whole && (!word.starts_with('/') || word.starts_with(workdir)) && is_there(inside) {
        return Some(inside.to_owned());
    }
    // Named there as it is here.
    let named = copies.iter().flatten().map(|source| source.trim_start_matches("./"));
    let named = named.filter(|source| source.rsplit('/').next() == Some(name)).collect::<Vec<_>>();
    paths.find(|path| named.contains(path)).map(str::to_owned)
}

/// What a line COPY or ADD takes from the commit.
fn copy(line: &str) -> Option<Vec<&str>> {
    let mut words = line.split_whitespace();
    let word = words.next()?;
    let copies = word.eq_ignore_ascii_case("COPY") || word.eq_ignore_ascii_case("ADD");
    let trim = |word| str::trim_matches(word, ['[', ']', '"', ',', '\'']);
    let mut sources: Vec<&str> = words.map(trim).filter(|word| !word.is_empty()).collect();
    let elsewhere = sources.iter().any(|word| word.starts_with("--from="));
    sources.retain(|word| !word.starts_with("--"));
    sources.pop()?;
    (copies && !elsewhere).then_some(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_dockerfile_copies_plainly() {
        let files = ["docker/entrypoint.sh", "entrypoint.sh", "bin/run"];
        let of = |dockerfile: &str, workdir: &str, word: &str| {
            copied(dockerfile, workdir, word, |path| files.contains(&path), files.into_iter()).unwrap_or_default()
        };
        assert_eq!(of("FROM x\nCOPY . .", "/srv", "./bin/run"), "bin/run");
        assert_eq!(of("FROM x\nCOPY . .", "/srv", "/srv/bin/run"), "bin/run");
        assert_eq!(of("FROM x\ncopy ./ /srv/", "/srv", "bin/run"), "bin/run");
        assert_eq!(of("FROM x\nCOPY . .", "/srv", "/entrypoint.sh"), "", "one of the image's own");
        assert_eq!(of("FROM x\nCOPY docker/entrypoint.sh /", "/srv", "/entrypoint.sh"), "docker/entrypoint.sh");
        assert_eq!(of("ADD [\"entrypoint.sh\", \"/x\"]", "/", "/x/entrypoint.sh"), "entrypoint.sh");
        assert_eq!(of("COPY --chown=1 entrypoint.sh /", "/", "/entrypoint.sh"), "entrypoint.sh");
        assert_eq!(of("COPY --from=build entrypoint.sh /", "/", "/entrypoint.sh"), "");
        assert_eq!(of("COPY --chmod=755 entrypoint.sh /", "/", "/entrypoint.sh"), "");
        assert_eq!(of("COPY . .\nRUN chmod +x bin/*", "/srv", "bin/run"), "");
        assert_eq!(of("FROM x", "/", "bin/run"), "");
    }
}
