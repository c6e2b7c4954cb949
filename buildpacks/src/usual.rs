//! The files of an app that asks for nothing in particular, by language, so that what its plan fetches is there before an app
//! asks.
//! Invariant: each is detected as its language and planned with the default versions, and a step of its build needs whatever
//! is fetched, so that it is kept for builds and not only for images.
//! Absent: the files, which each language brings.

use crate::language::Languages;
use crate::tree::{Entry, Kind, Tree};

impl Languages {
    /// The files for this language, if it fetches anything.
    pub(crate) fn usual(&self, name: &str) -> Option<Tree> {
        let row = self.rows.iter().find(|row| row.name == name && !row.usual.is_empty())?;
        let entry = |text: &str| Entry {
            kind: Kind::File { executable: false },
            size: text.len() as u64,
            content: Some(text.as_bytes().to_vec()),
        };
        Some(Tree(row.usual.iter().map(|(path, text)| ((*path).to_owned(), entry(text))).collect()))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::facts;
    use crate::{BUILDPACKS, FETCHING, Pins, Scope, Settings, plan, usual};

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
