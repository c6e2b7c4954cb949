//! What a failed Dockerfile build means, and what to do: from the failed step, its last lines and the engine's words.

use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::text::plain;

/// What is known of a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// The step that failed; empty: none was begun.
    pub step: String,
    /// Its last lines.
    pub tail: Vec<String>,
    /// The engine's own words.
    pub message: String,
    /// The app's name, for commands.
    pub app: String,
    /// Whether the kernel ended something of the build for its memory.
    pub out_of_memory: bool,
    /// The memory that the build may use, for people.
    pub memory: String,
    /// The Dockerfile's path.
    pub dockerfile: String,
    /// Files that `.dockerignore` left out.
    pub left_out: usize,
    /// The version of the engine that built; empty where it is not known.
    pub builder: String,
}

/// The cause, as likely as it can be known.
pub fn explain(failure: &Failure) -> Refusal {
    let output = failure.tail.join("\n").to_ascii_lowercase();
    let message = failure.message.to_ascii_lowercase();
    let both = format!("{output}\n{message}");
    let any = |words: &[&str]| words.iter().any(|word| both.contains(word));
    let what = match failure.step.is_empty() {
        true => format!("the build of {} failed", failure.dockerfile),
        false => format!("failed at {}", failure.step),
    };
    let words = engine_words(&failure.message);
    let no = |code: Code| Refusal::new(code, what.clone());
    let again = "commit, push again";

    if failure.out_of_memory || any(&["exit code: 137", "exit status 137", "signal: killed", "out of memory"]) {
        return no(Code::BuildMemory)
            .why(format!("a process was ended because the build used more than {} of memory", failure.memory))
            .next("build with fewer jobs at a time (make -j1, NODE_OPTIONS=--max-old-space-size=1024)")
            .next("raise build-memory in the server's configuration");
    }
    if any(&["resource temporarily unavailable", "cannot fork", "can't fork", "fork: retry"]) {
        return no(Code::BuildProcesses)
            .why("the build has as many processes as it may have")
            .next("start fewer at a time, then push again");
    }
    if any(&["no space left on device", "disk quota exceeded"]) {
        return no(Code::BuildDisk)
            .why("the server's disk is full")
            .next("as the administrator: look at `df`, remove what is not needed, then push again");
    }
    if let Some(no) = super::newer::explain(&message, &failure.dockerfile, &failure.builder) {
        return no;
    }
    if message.contains("dockerfile parse error") || message.contains("unknown instruction") {
        let no = Refusal::new(Code::BadDockerfile, format!("{} has a mistake", failure.dockerfile)).why(words);
        return no.next(format!("correct that line, {again}"));
    }
    if let Some(no) = base_image(&no, &message, &words, failure) {
        return no;
    }
    if message.contains("failed to compute cache key") || message.contains("not found in build context") {
        let path = missing_path(&failure.message);
        if let Some(from) = failure.step.split_whitespace().find_map(|word| word.strip_prefix("--from=")) {
            let path = path.unwrap_or_else(|| "the path".to_owned());
            return no(Code::NoSuchFile)
                .why(format!("{path} is not in {}", plain(from)))
                .next(format!("correct the path, or look at what {} holds at its end, {again}", plain(from)));
        }
        let mut no = no(Code::NoSuchFile).why(match &path {
            Some(path) => format!("{path} is not among the files of the build"),
            None => words,
        });
        if failure.left_out > 0 {
            no = no.next(format!(
                "is it in .dockerignore? That leaves out {}; add a line !PATH to take one back",
                crate::text::counted(failure.left_out, "file")
            ));
        }
        return no
            .next("git add it and commit: only committed files are built (git ls-files shows them)")
            .next(format!("if the app lies in a sub-folder: apps:set {} root=FOLDER", failure.app));
    }
    if message.contains("secret") && (message.contains("not found") || message.contains("no such")) {
        let name = after(&failure.message, "secret ").unwrap_or("NAME").trim_end_matches(':').to_owned();
        return no(Code::NoSuchSecret)
            .why("the Dockerfile asks for a secret that the app does not offer to its builds")
            .next(format!("apps:set {} build-secrets={name}", failure.app))
            .next(format!("config:set {} {name}=VALUE  (its value, if it has none yet)", failure.app));
    }
    if message.contains("target stage") {
        return no(Code::NoSuchStage).why(words).next(format!(
            "apps:set {} docker-target=NAME  (from a line FROM image AS NAME; an empty value builds the last)",
            failure.app
        ));
    }
    if any(&[
        "could not resolve",
        "temporary failure in name resolution",
        "eai_again",
        "name or service not known",
        "bad address",
    ]) {
        return no(Code::BuildNetwork)
            .why("a name could not be resolved from inside the build")
            .next("is the name right? Names of private networks and of other apps do not resolve in builds")
            .next("push again, if the network was away for a moment");
    }
    if any(&[
        "connection timed out",
        "connection refused",
        "network is unreachable",
        "etimedout",
        "econnrefused",
        "no route to host",
    ]) {
        return no(Code::BuildNetwork)
            .why("something could not be reached: builds reach the internet, but not this server, apps or private addresses")
            .next("do what needs the app's database in the release command (Procfile: release: …), not in the build");
    }
    if any(&["certificate verify failed", "self-signed certificate", "unable to get local issuer", "x509: certificate"])
    {
        return no(Code::BuildTls).why("a certificate is not known inside the build").next(
            "build on hoist/stack-build, which trusts what the server's ca-bundle names, or install ca-certificates in the Dockerfile",
        );
    }
    if any(&["unable to read /etc/apt/sources.list"]) && any(&["unable to locate package"]) {
        return no(Code::NoPackageSources)
            .why("the image says nowhere where packages are; hoist/stack-run and hoist/stack-build do not, as they were made offline")
            .next("in the same RUN, first: echo 'deb URL-OF-A-DEBIAN-MIRROR SUITE main' >/etc/apt/sources.list")
            .next("or without a Dockerfile: an Aptfile with the package's name");
    }
    if let Some(line) = failure.tail.iter().find(|line| {
        let line = line.to_ascii_lowercase();
        line.contains("unable to locate package") || line.contains("has no installation candidate")
    }) {
        return no(Code::NoSuchPackage)
            .why(plain(line.trim()))
            .next("is the name right? A list of packages must be fetched in the same RUN: apt-get update && apt-get install -y NAME");
    }
    if any(&["exit code: 127", "command not found", ": not found"]) {
        return no(Code::NoSuchProgram)
            .why("a program is not in the image at this step (status 127)")
            .next("install it in an earlier RUN, or start FROM an image that has it, such as hoist/stack-build")
            .next(format!("correct the command, {again}"));
    }
    if any(&["permission denied", "exit code: 126"]) {
        return no(Code::BuildPermission)
            .why("something may not be run or written by the user of this step")
            .next("git update-index --chmod=+x FILE for a script, or COPY --chown=USER")
            .next(format!("or do it before the USER line, {again}"));
    }
    no(Code::BuildFailed).why(words).next(format!("fix the cause shown above, {again}"))
}

fn base_image(no: &dyn Fn(Code) -> Refusal, message: &str, words: &str, failure: &Failure) -> Option<Refusal> {
    let pulling = message.contains("failed to solve with frontend")
        || failure.step.contains("FROM")
        || failure.step.contains("load metadata for")
        || message.contains("pull access denied");
    if message.contains("pull access denied")
        || message.contains("authorization failed")
        || message.contains("401 unauthorized")
        || message.contains("insufficient_scope")
    {
        return Some(
            no(Code::BaseImageDenied)
                .why(format!("the registry does not give the image away: {words}"))
                .next("is the name right?")
                .next("an administrator logs the server in: registry:login HOST USER  (password on standard input)"),
        );
    }
    let unreachable =
        ["dial tcp", "no such host", "i/o timeout", "server misbehaving", "tls handshake", "failed to do request"];
    if unreachable.iter().any(|word| message.contains(word)) {
        return Some(
            no(Code::BaseImageUnreachable)
                .why(format!("builds cannot reach its registry: {words}"))
                .next("FROM hoist/stack-run (to run) or FROM hoist/stack-build (with compilers): both are always here")
                .next("an administrator lets a registry on this server or in a private network through: registry:login HOST USER")
                .next("one that asks for no password: registry:allow HOST"),
        );
    }
    if pulling
        && (message.contains("not found") || message.contains("manifest unknown"))
        && !message.contains("cache key")
    {
        return Some(
            no(Code::NoSuchImage)
                .why(words.to_owned())
                .next("is the name and the tag in FROM right? hoist/stack-run and hoist/stack-build are always here"),
        );
    }
    None
}

/// The engine's message without what it says to itself.
fn engine_words(message: &str) -> String {
    let mut text = message.trim();
    for noise in [
        "failed to solve with frontend dockerfile.v0: ",
        "failed to create LLB definition: ",
        "failed to solve: ",
        "rpc error: code = Unknown desc = ",
    ] {
        text = text.strip_prefix(noise).unwrap_or(text);
    }
    plain(&without_hub(text)).chars().take(500).collect()
}

/// Image names as they are typed: the builder writes them with the usual registry's host, which may be part of another's.
pub(super) fn without_hub(text: &str) -> String {
    let hub = concat!("dock", "er.io/");
    let starts_a_name =
        |before: &str| before.chars().next_back().is_none_or(|c| !c.is_ascii_alphanumeric() && !".-".contains(c));
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(hub) {
        out.push_str(before);
        match starts_a_name(before) {
            true => rest = after.strip_prefix("library/").unwrap_or(after),
            false => {
                out.push_str(hub);
                rest = after;
            }
        }
    }
    out + rest
}

fn missing_path(message: &str) -> Option<String> {
    let quoted = message.split('"').find(|part| part.starts_with('/') && !part.contains(' '));
    let named = message.rsplit_once(": not found").and_then(|(before, _)| before.rsplit([' ', ':']).next());
    let path = quoted.or(named.filter(|path| path.starts_with('/')))?;
    let path = path.trim_matches('"');
    Some(plain(path.trim_start_matches('/')))
}

fn after<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    text.split_once(before).and_then(|(_, rest)| rest.split_whitespace().next())
}

#[cfg(test)]
mod tests {
    use super::without_hub;

    #[test]
    fn only_whole_image_names_lose_their_host() {
        let hub = concat!("dock", "er.io/");
        let check =
            |text: &str, want: &str| assert_eq!(without_hub(&text.replace("HUB/", hub)), want.replace("HUB/", hub));
        check("FROM HUB/library/node:22 AS HUB/me/x", "FROM node:22 AS me/x");
        check("[1/2] HUB/library/node", "[1/2] node");
        check("Head \"https://registry-1.HUB/v2/library/debian\"", "Head \"https://registry-1.HUB/v2/library/debian\"");
        check("nothing", "nothing");
    }
}
