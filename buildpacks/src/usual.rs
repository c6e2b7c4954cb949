//! The sources of an app that asks for nothing in particular, by language: what their plans fetch for every app is what the
//! next app of that language will most likely need.
//! Invariant: each is detected as its language and planned with the default versions, and a step of its build needs whatever
//! is fetched, so that it is kept for builds and not only for images.

use crate::tree::{Entry, Kind, Tree};

/// The buildpacks that fetch something which all apps share, by name.
pub const FETCHING: [&str; 3] = ["node", "python", "go"];

/// The sources for one of [`FETCHING`].
pub fn usual(buildpack: &str) -> Option<Tree> {
    let files: &[(&str, &str)] = match buildpack {
        "node" => &[
            ("package.json", r#"{"name":"usual","scripts":{"start":"node ."},"dependencies":{"any":"1.0.0"}}"#),
            (
                "package-lock.json",
                r#"{"name":"usual","lockfileVersion":3,"packages":{"":{"dependencies":{"any":"1.0.0"}},
                "node_modules/any":{"version":"1.0.0"}}}"#,
            ),
        ],
        "python" => &[("requirements.txt", "flask==3.1.0\n"), ("Procfile", "web: python -m flask run\n")],
        "go" => &[("go.mod", "module usual\n"), ("main.go", "package main\n\nfunc main() {}\n")],
        _ => return None,
    };
    let entry = |text: &str| Entry {
        kind: Kind::File { executable: false },
        size: text.len() as u64,
        content: Some(text.as_bytes().to_vec()),
    };
    Some(Tree(files.iter().map(|(path, text)| ((*path).to_owned(), entry(text))).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::facts;
    use crate::{BUILDPACKS, Pins, Scope, Settings, plan};

    #[test]
    fn what_is_fetched_for_every_app() {
        let mut lines = Vec::new();
        for buildpack in FETCHING {
            let tree = usual(buildpack).unwrap();
            let plan = plan(&tree, &Settings::default(), &Pins::new(), &facts()).unwrap();
            assert!(BUILDPACKS.contains(&buildpack));
            assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
            lines.push(format!("{buildpack}: {}, {}", plan.language, plan.decided.first().unwrap()));
            for layer in plan.layers.iter().filter(|l| l.scope == Scope::Host && !l.steps.is_empty()) {
                let titles: Vec<&str> = layer.steps.iter().map(|step| step.title.as_str()).collect();
                lines.push(format!("  {}: {}", layer.name, titles.join(", ")));
                assert!(layer.mounts.is_empty());
                assert!(plan.layers.iter().any(|l| l.mounts.iter().any(|m| m.layer == layer.name)), "{}", layer.name);
            }
        }
        let expect = expect_test::expect![[r#"
            node: Node.js, Node.js 24.21.0 (24.x, as nothing asks for a version)
              runtime: Fetching Node.js 24.21.0 and npm 11.21.2
            python: Python, Python 3.13.5 (nothing asks for a version)
              runtime: Fetching Python 3.13.5
              installer: Fetching uv 0.13.9
            go: Go, Go 1.26.10 (nothing asks for a version)
              toolchain: Fetching Go 1.26.10"#]];
        expect.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn nothing_for_the_others() {
        assert_eq!(usual("static"), None);
        assert_eq!(usual("cobol"), None);
    }
}
