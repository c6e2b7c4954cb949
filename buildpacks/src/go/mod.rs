//! Go modules: every command of the module, built as a static program.
//! Invariant: the toolchain comes from Go's own proxy, checked by Go's checksum database; what an app compiled before is
//! kept in its own cache, so that a changed line compiles what it changes.
//! Absent: workspaces (go.work), GOPATH, toolchains before 1.21.

mod causes;
mod modfile;
#[cfg(test)]
mod tests;
mod version;

use crate::defaults::Left;
use crate::facts::{Facts, missing};
use crate::language::{Claim, Language, Look, nothing_to_explain};
use crate::plan::{
    APP, CACHE, ConfigVars, Env, EnvOp, Inputs, KeyPart, Layer, Mount, MountMode, Output, Pins, Plan, Scope, Settings,
    Stack, Step,
};
use crate::refusal::Code;
use crate::refusal::{Refusal, quote};
use crate::tree::{FILE_MAX, SOURCE_MAX, Tree};
use modfile::{GoMod, commands, may_be_main, named, plain};
use std::collections::BTreeMap;
use version::{Go, choose};

pub(crate) const LANGUAGE: Language = Language {
    name: "go",
    aliases: &["golang", "heroku/go"],
    signs: &["go.mod"],
    add: "go.mod (Go)",
    looks: &[Look::Into("go.mod", FILE_MAX), Look::IntoEach(may_be_main, SOURCE_MAX)],
    claim: |tree| Ok(if tree.0.contains_key("go.mod") { Claim::Sure } else { Claim::None }),
    ask: |tree, settings, pins| missing(choose(&GoMod::read(tree)?, settings.arch, pins, &Facts::default())),
    plan,
    lock: None,
    causes: causes::CAUSES,
    explain: nothing_to_explain,
    usual: &[("go.mod", "module usual\n"), ("main.go", "package main\n\nfunc main() {}\n")],
};

/// Where the toolchain lies for the steps of a build.
const GO: &str = "/opt/go";
/// Brings a toolchain by the stack's own Go, which checks it. `$1` is the version, `$2` the folder.
const FETCH: &str = r#"set -eu
export GOTOOLCHAIN="go$1" GOMODCACHE=/layers/toolchain/mod GOFLAGS=-modcacherw GOCACHE=/tmp/go
root=$(cd /tmp && go env GOROOT)
mkdir "$2/go"
cp -al "$root/." "$2/go"
# Go keeps what it downloads from being written to.
chmod -R u+w "$2"
rm -rf "$2/mod" "$2/go/test" "$2/go/doc" "$2/go/api"
"$2/go/bin/go" version
"#;
/// Modules whose code is C: without cgo they compile and fail when they are used.
const NEED_C: [&str; 2] = ["github.com/mattn/go-sqlite3", "github.com/confluentinc/confluent-kafka-go/v2"];
/// Config vars that building sees, by the start of their name.
const CONFIG: [&str; 3] = ["GO", "CGO_", "GIT_"];

fn plan(tree: &Tree, settings: &Settings, pins: &Pins, facts: &Facts) -> Result<Plan, Refusal> {
    let gomod = GoMod::read(tree)?;
    if settings.stack != Stack::default() {
        let why = "the Go of Debian bookworm is too old to bring a newer one, and a static program runs on any stack";
        let next = "apps:set APP stack=  (the default one)";
        return Err(Refusal::new(Code::GoStack, "Go apps are not built on this stack", why, next));
    }
    let chosen = choose(&gomod, settings.arch, pins, facts);
    let go = chosen.map_err(|stop| stop.refusal("the Go version cannot be chosen", "the proxy"))?;
    let mut decided = vec![go.decided.clone()];
    let mut warnings = go.warnings.clone();
    let found = commands(tree, &gomod);
    let packages = packages(&gomod, &found)?;
    let from = if gomod.install.is_empty() {
        "package main in the module's folder and in cmd/"
    } else {
        "// +heroku install in go.mod"
    };
    decided.push(format!("builds {} into bin/ ({from})", quote(&packages.join(" "))));
    let programs = programs(&gomod, found);
    let processes = processes(tree, &programs, &mut decided)?;
    let vendored = tree.0.contains_key("vendor/modules.txt");
    let unlocked = !vendored && gomod.fetches() && !tree.0.contains_key("go.sum");
    if vendored {
        decided.push("modules from vendor/, nothing is downloaded".into());
    } else if unlocked {
        warnings.push(
            "there is no go.sum: what is downloaded is not compared with what you have: go mod tidy && git add go.sum && git commit -m 'go mod tidy'".into(),
        );
    }
    let cgo = NEED_C.iter().find(|module| gomod.requires(module));
    match cgo {
        Some(module) => decided.push(format!("cgo is on, as {module} is C")),
        None => decided.push("cgo is off: the programs are static".into()),
    }
    if tree.0.contains_key("go.work") {
        warnings.push("go.work is not used: what go.mod requires is taken from the proxy".into());
    }
    let set = |name: &str| settings.config.iter().any(|known| known == name);
    let mut argv = vec!["go", "build", "-trimpath"];
    if !set("GOFLAGS") {
        argv.push("-ldflags=-s -w");
    }
    if vendored {
        argv.push("-mod=vendor");
    } else if unlocked {
        argv.push("-mod=mod");
    }
    let steps = steps(&argv, &packages, &programs);
    let layers = vec![toolchain(&go), app(&go, steps, settings, cgo.is_some(), tree)];
    let launch_env = vec![Env::path("PATH", &format!("{APP}/bin"))];
    let pins = Pins::from([("go".to_owned(), go.version)]);
    Ok(Plan { language: "Go".into(), decided, warnings, layers, processes, launch_env, pins })
}

/// What is built, as `go build` takes it.
fn packages(gomod: &GoMod, found: &BTreeMap<String, String>) -> Result<Vec<String>, Refusal> {
    let good = |text: &&String| text.starts_with("./") || *text == "." || plain(text.split('/').next().unwrap_or(""));
    if let Some(bad) = gomod.install.iter().find(|text| !good(text)) {
        let why = format!("go.mod has // +heroku install {}", quote(bad));
        return Err(Refusal::new(
            Code::GoInstallUnclear,
            "this is no package",
            why,
            "write folders there, such as ./cmd/server",
        ));
    }
    if !gomod.install.is_empty() {
        return Ok(gomod.install.clone());
    }
    if found.is_empty() {
        let why = "looked for: `package main` in the module's folder, in cmd/ and in its folders";
        let refusal = Refusal::new(
            Code::NoCommand,
            "there is no program in this module",
            why,
            "add `func main` in a `package main`, commit and push",
        );
        return Err(refusal.or("it is elsewhere? Name it in go.mod: // +heroku install ./path/to/command"));
    }
    Ok(found.values().cloned().collect())
}

/// What the build makes: each program's name, and its package.
fn programs(gomod: &GoMod, found: BTreeMap<String, String>) -> BTreeMap<String, String> {
    if gomod.install.is_empty() {
        return found;
    }
    let name = |package: &String| match package.as_str() {
        "." => gomod.program(),
        package => package.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned(),
    };
    named(gomod.install.iter().map(|package| (name(package), package.clone())))
}

/// One run of Go makes them all, but those that are not called as Go calls them: it would write them over the others.
fn steps(argv: &[&str], packages: &[String], programs: &BTreeMap<String, String>) -> Vec<Step> {
    let is_renamed = |(name, package): &(&String, &String)| {
        *package != "." && package.trim_end_matches('/').rsplit('/').next() != Some(name.as_str())
    };
    let renamed: Vec<(&String, &String)> = programs.iter().filter(is_renamed).collect();
    let rest = packages.iter().filter(|package| !renamed.iter().any(|(_, other)| other == package));
    let rest: Vec<&str> = rest.map(String::as_str).collect();
    let together = (!rest.is_empty()).then(|| Step::new("Building", &[argv, &["-o", "/app/bin/"], &rest].concat()));
    let mut steps: Vec<Step> = together.into_iter().collect();
    steps.extend(renamed.into_iter().map(|(name, package)| {
        let to = format!("/app/bin/{name}");
        Step::new(format!("Building {name}"), &[argv, &["-o", &to, package.as_str()]].concat())
    }));
    steps
}

fn processes(
    tree: &Tree,
    programs: &BTreeMap<String, String>,
    decided: &mut Vec<String>,
) -> Result<BTreeMap<String, String>, Refusal> {
    let left = Left::of(tree);
    if left != Left::All {
        decided.push("processes from Procfile".into());
    }
    let names: Vec<String> = programs.keys().cloned().collect();
    let own = programs.iter().find(|(_, folder)| *folder == ".").map(|(name, _)| name.clone());
    let usual = ["web", "server", "api"].into_iter().find(|usual| names.iter().any(|name| name == usual));
    let web =
        own.or_else(|| usual.map(str::to_owned)).or_else(|| (names.len() == 1).then(|| names.first().cloned())?);
    let web = web.filter(|web| left.takes(&format!("bin/{web}")));
    if left != Left::All {
        let Some(web) = web else { return Ok(BTreeMap::new()) };
        decided.push(format!("web: bin/{web} ({})", left.from("the module's program")));
        return Ok(BTreeMap::from([("web".to_owned(), format!("bin/{web}"))]));
    }
    let Some(web) = web else {
        let why = format!("there are several: {}", quote(&names.join(", ")));
        let example = names.first().map_or("server", String::as_str);
        let next = format!("add a Procfile with a line such as `web: bin/{example}`");
        return Err(Refusal::new(Code::NoStartCommand, "nothing says which program gets the requests", why, &next));
    };
    decided.push(format!("web: bin/{web} (the module's {} program)", if names.len() == 1 { "only" } else { "main" }));
    let mut processes = BTreeMap::from([("web".to_owned(), format!("bin/{web}"))]);
    // A program called release would be run at every deploy, which nobody asked for.
    let fits = |name: &&String| {
        **name != web && !matches!(name.as_str(), "web" | "release") && name.len() <= 30 && !name.contains('.')
    };
    processes.extend(names.iter().filter(fits).map(|name| (name.clone(), format!("bin/{name}"))));
    Ok(processes)
}

fn toolchain(go: &Go) -> Layer {
    let folder = "/layers/toolchain";
    let argv = ["sh", "-c", FETCH, "fetch-go", &go.version, folder];
    Layer {
        launch: false,
        key: vec![KeyPart::text("go", &go.version), KeyPart::Stack],
        steps: vec![Step::new(format!("Fetching Go {}", go.version), &argv).at("/tmp")],
        outputs: vec![Output { from: folder.into(), to: GO.into(), exclude: Vec::new() }],
        ..Layer::empty("toolchain", Scope::Host)
    }
}

fn app(go: &Go, steps: Vec<Step>, settings: &Settings, cgo: bool, tree: &Tree) -> Layer {
    let wanted = |name: &&String| CONFIG.iter().any(|start| name.starts_with(start));
    let mut config: Vec<String> = settings.config.iter().filter(wanted).cloned().collect();
    config.sort();
    let mut key = vec![KeyPart::Whole, KeyPart::text("go", &go.version), KeyPart::Stack];
    key.extend(config.iter().cloned().map(KeyPart::Config));
    let exclude: &[&str] = if tree.has_folder("vendor") { &["vendor"] } else { &[] };
    Layer {
        key,
        inputs: Inputs::Whole,
        mounts: vec![Mount {
            layer: "toolchain".into(),
            from: "/layers/toolchain".into(),
            at: GO.into(),
            mode: MountMode::ReadOnly,
        }],
        config: if config.is_empty() { ConfigVars::None } else { ConfigVars::Named(config) },
        env: vec![
            Env::path("PATH", &format!("{GO}/go/bin")),
            Env::set("GOTOOLCHAIN", "local"),
            Env::set("GOCACHE", &format!("{CACHE}/go-build")),
            Env::set("GOMODCACHE", &format!("{CACHE}/go-mod")),
            Env::set("GOWORK", "off"),
            Env::new("GOFLAGS", EnvOp::Append(" ".into()), "-buildvcs=false -modcacherw"),
            Env::default("CGO_ENABLED", if cgo { "1" } else { "0" }),
        ],
        steps,
        outputs: vec![Output::of_app("", exclude)],
        ..Layer::empty("app", Scope::App)
    }
}
