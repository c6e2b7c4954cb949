//! A plan as text to read, and as a Dockerfile that builds the same app with plain BuildKit.
//! Invariant: one stage for each layer with steps, in the plan's order; the last stage is the run stack with what the
//! image would hold. Only what the frontend of Docker 20.10 understands: no here-documents, no `COPY --exclude`.
//! Absent: running it, and the values of config vars.

use crate::debian::{MIRROR, SECURITY};
use crate::plan::*;
use std::fmt::Write;

/// What a Dockerfile needs besides the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ejected {
    /// The app's stack.
    pub stack: Stack,
    /// What `web` runs.
    pub command: Option<String>,
    /// The commit the plan is for.
    pub commit: String,
}

/// The plan for people: what was decided, then layer by layer.
pub fn describe(plan: &Plan) -> String {
    let mut text = format!("{}\n", plan.language);
    for line in &plan.decided {
        let _ = writeln!(text, "  {line}");
    }
    for line in &plan.warnings {
        let _ = writeln!(text, "  ! {line}");
    }
    for layer in &plan.layers {
        let kept = match layer.scope {
            Scope::Host => "kept for all apps",
            Scope::App => "kept for this app",
        };
        let image = if layer.launch { "in the image" } else { "only for the build" };
        let _ = writeln!(text, "layer {}: {image}, {kept} until {} change", layer.name, changes(&layer.key));
        if let ConfigVars::Named(names) = &layer.config {
            let _ = writeln!(text, "  sees config vars {}", names.join(", "));
        }
        for step in &layer.steps {
            let words: Vec<&str> =
                step.argv.iter().map(|w| if w.contains('\n') { "SCRIPT" } else { w.as_str() }).collect();
            let _ = writeln!(text, "  {}: {}", step.title, words.join(" "));
        }
        for output in layer.outputs.iter().filter(|_| layer.launch) {
            let _ = writeln!(text, "  gives {}", output.to);
        }
    }
    for (name, command) in &plan.processes {
        let _ = writeln!(text, "process {name}: {command}");
    }
    text
}

fn changes(key: &[KeyPart]) -> String {
    let part = |part: &KeyPart| match part {
        KeyPart::Text { label, .. } => label.clone(),
        KeyPart::File(path) => path.clone(),
        KeyPart::Whole => "the sources".to_owned(),
        KeyPart::Stack => "the stack".to_owned(),
        KeyPart::Config(name) => format!("config var {name}"),
        KeyPart::AllConfig => "config vars".to_owned(),
    };
    key.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// The Dockerfile.
pub fn eject(plan: &Plan, about: &Ejected) -> String {
    let Ejected { stack, command, commit } = about;
    let name = stack.name();
    let mut text = format!(
        "# {} app of commit {commit}, as Hoist builds it. Build it in a clean checkout:\n\
         #   DOCKER_BUILDKIT=1 docker build -t app .\n\
         #   docker run -e PORT=5000 -p 5000:5000 app\n\
         # It needs the images below; on the server: docker save hoist/stack-build:{name} hoist/stack-run:{name}\n\
         ARG STACK_BUILD=hoist/stack-build:{name}\nARG STACK_RUN=hoist/stack-run:{name}\n",
        plan.language
    );
    for layer in plan.layers.iter().filter(|layer| !layer.steps.is_empty()) {
        stage(&mut text, plan, layer);
    }
    text.push_str("\nFROM ${STACK_RUN}\nENV HOME=/app LANG=C.UTF-8\n");
    // What comes from the commit goes first: taking away what is not of it must not take away what was built.
    let (copied, built): (Vec<&Layer>, Vec<&Layer>) =
        plan.layers.iter().filter(|layer| layer.launch).partition(|layer| layer.steps.is_empty());
    for layer in copied.into_iter().chain(built) {
        for output in &layer.outputs {
            match layer.steps.is_empty() {
                true => {
                    let inside = output.from.strip_prefix(APP).unwrap_or("").trim_matches('/');
                    let _ = writeln!(text, "COPY --chown=1000:1000 ./{inside} {}/", output.to);
                    for path in &output.exclude {
                        let _ = writeln!(text, "RUN {}", json(&["rm", "-rf", &format!("{}/{path}", output.to)]));
                    }
                }
                false => {
                    let _ = writeln!(
                        text,
                        "COPY --chown=1000:1000 --from={} {}/ {}/",
                        stage_name(&layer.name),
                        output.from,
                        output.to
                    );
                }
            }
        }
        for file in &layer.image_files {
            write_file(&mut text, file);
        }
    }
    for env in &plan.launch_env {
        let _ = writeln!(text, "ENV {}", assignment(env));
    }
    text.push_str("WORKDIR /app\nUSER 1000:1000\n");
    if let Some(command) = command {
        let _ = writeln!(text, "CMD {}", json(&["/bin/bash", "-c", command]));
    }
    text
}

fn stage(text: &mut String, plan: &Plan, layer: &Layer) {
    let base = match layer.base {
        Base::Build => "${STACK_BUILD}",
        Base::Run => "${STACK_RUN}",
    };
    let _ = writeln!(text, "\nFROM {base} AS {}", stage_name(&layer.name));
    let folder = format!("/layers/{}", layer.name);
    let made = format!("mkdir -p {APP} {CACHE} {folder} /tmp/home && chown 1000:1000 {APP} {CACHE} {folder} /tmp/home");
    let _ = writeln!(text, "USER root\nRUN {made}\nUSER 1000:1000\nENV HOME=/tmp/home LANG=C.UTF-8 CI=true");
    if layer.steps.iter().any(|step| step.argv.iter().any(|word| word.contains("apt_for"))) {
        let _ = writeln!(
            text,
            "# Where Debian's packages are: --build-arg {0}=... {1}=...\nARG {0}\nARG {1}",
            MIRROR, SECURITY
        );
    }
    match &layer.config {
        ConfigVars::None => {}
        ConfigVars::Named(names) => text.extend(names.iter().map(|name| format!("ARG {name}\n"))),
        ConfigVars::All => text.push_str("# Config vars that the build reads: an ARG line for each\n"),
    }
    match &layer.inputs {
        Inputs::None => {}
        Inputs::Files(files) => {
            for file in files {
                let _ = writeln!(text, "COPY --chown=1000:1000 {}", json(&[file, &format!("{APP}/{file}")]));
            }
        }
        Inputs::Whole => {
            let _ = writeln!(text, "COPY --chown=1000:1000 . {APP}/");
        }
    }
    for file in &layer.input_files {
        write_file(text, file);
    }
    for mount in &layer.mounts {
        // A stage for it is there: what is mounted has steps.
        if plan.layers.iter().any(|earlier| earlier.name == mount.layer) {
            let from = stage_name(&mount.layer);
            let _ = writeln!(text, "COPY --chown=1000:1000 --from={from} {}/ {}/", mount.from, mount.at);
        }
    }
    for env in &layer.env {
        let _ = writeln!(text, "ENV {}", assignment(env));
    }
    let mut cache = format!("--mount=type=cache,target={CACHE},uid=1000,gid=1000");
    if let Some(lent) = &layer.cache_at {
        let _ = write!(cache, " --mount=type=cache,target={},uid=1000,gid=1000", lent.at);
    }
    for step in &layer.steps {
        let argv: Vec<&str> = step.argv.iter().map(String::as_str).collect();
        let _ = writeln!(text, "WORKDIR {}", step.cwd);
        for env in &step.env {
            let _ = writeln!(text, "ENV {}", assignment(env));
        }
        let _ = writeln!(text, "RUN {cache} {}", json(&argv));
    }
    for output in &layer.outputs {
        let _ = writeln!(text, "RUN {}", json(&["mkdir", "-p", &output.from]));
        let out = output.exclude.iter().map(|path| format!("{}/{path}", output.from));
        let other = |path: &String| layer.outputs.iter().any(|output| output.from == *path);
        for path in out.filter(|path| layer.launch && !mounted(plan, layer) && !other(path)) {
            let _ = writeln!(text, "RUN {}", json(&["rm", "-rf", &path]));
        }
    }
}

/// Whether later stages need all of it.
fn mounted(plan: &Plan, layer: &Layer) -> bool {
    plan.layers.iter().any(|later| later.mounts.iter().any(|mount| mount.layer == layer.name))
}

fn stage_name(layer: &str) -> String {
    format!("layer-{layer}")
}

fn write_file(text: &mut String, file: &GeneratedFile) {
    let folder = file.path.rsplit_once('/').map_or("/", |(folder, _)| folder);
    let script = "mkdir -p \"$1\" && printf %s \"$3\" >\"$2\" && chmod \"$4\" \"$2\"";
    let mode = if file.executable { "0755" } else { "0644" };
    let _ = writeln!(text, "RUN {}", json(&["sh", "-c", script, "write", folder, &file.path, &file.content, mode]));
}

/// A value for an ENV line. What is put before or after a value stands beside `$NAME`.
fn assignment(env: &Env) -> String {
    let quoted = env.value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$");
    let name = &env.name;
    match &env.op {
        EnvOp::Set | EnvOp::Default => format!("{name}=\"{quoted}\""),
        EnvOp::Prepend(between) => format!("{name}=\"{quoted}${{{name}:+{between}${{{name}}}}}\""),
        EnvOp::Append(between) => format!("{name}=\"${{{name}:+${{{name}}}{between}}}{quoted}\""),
    }
}

/// The exec form: a JSON list, which no shell reads.
fn json(words: &[&str]) -> String {
    serde_json::to_string(words).unwrap_or_default()
}
