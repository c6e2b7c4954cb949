//! package-lock.json for a commit that has none: what npm makes it of.
//! Invariant: what npm may look into is part of the key, so that the file fits what `npm ci` compares it with.
//! Absent: the lock files of others, but for the first Yarn's, which npm reads.

use super::app;
use super::layers::{LOCK, Make};
use super::package::{LOCKS, Package, ignored, needed};
use super::{site, versions};
use crate::locking::{Known, Locking, Unlocked};
use crate::plan::{KeyPart, Layer};
use crate::refusal::Refusal;
use crate::tree::{Found, Tree};

pub(crate) const LOCKING: Locking = Locking { unlocked, layers };

const YARN: &str = "yarn.lock";
/// The lock files that npm does not read.
const OTHERS: [&str; 4] = ["pnpm-lock.yaml", "bun.lockb", "bun.lock", "deno.lock"];
/// Files that hold a package.
const ARCHIVES: [&str; 3] = [".tgz", ".tar.gz", ".tar"];

fn unlocked(tree: &Tree) -> Result<Option<Unlocked>, Refusal> {
    let Some(package) = Package::read(tree)? else { return Ok(None) };
    let there = |path: &&str| tree.0.contains_key(*path);
    let yarn = tree.0.contains_key(YARN);
    let scripts = app::scripts(tree, &package, &mut Vec::new(), &mut Vec::new());
    if !needed(&package, &scripts)
        || LOCKS.iter().any(there)
        || OTHERS.iter().any(there)
        || (yarn && !npm_reads(tree.find(YARN)))
    {
        return Ok(None);
    }
    let mut key = vec![KeyPart::text("package.json", &package.without_scripts())];
    key.extend(inputs(tree, &package).into_iter().filter(|path| path != "package.json").map(KeyPart::File));
    let mut notes = Vec::new();
    if yarn {
        notes.push("yarn.lock: npm installs here, and took the versions from it".to_owned());
    }
    if ignored(tree) {
        notes.push("git ignores package-lock.json: remove it from .gitignore first".to_owned());
    }
    Ok(Some(Unlocked { file: LOCK, key, manifest: "package.json", notes }))
}

/// npm takes versions from the first Yarn's file and passes over that of later ones, which has other versions then.
fn npm_reads(yarn: Found<'_>) -> bool {
    match yarn {
        Found::File(content) => {
            String::from_utf8_lossy(content).lines().take(5).any(|line| line.contains("lockfile v1"))
        }
        Found::Nothing | Found::NotAFile | Found::Unread => false,
    }
}

/// The files that npm looks into.
pub(crate) fn inputs(tree: &Tree, package: &Package) -> Vec<String> {
    let mut files: Vec<String> =
        ["package.json", ".npmrc", YARN].into_iter().filter(|path| tree.has_file(path)).map(str::to_owned).collect();
    if package.workspaces || package.has_local() {
        // Which folders are meant, npm knows.
        let looked_into = |path: &&String| {
            let installed = path.split('/').any(|name| name == "node_modules");
            let member = path.ends_with("/package.json");
            let archive = package.has_local() && ARCHIVES.iter().any(|end| path.ends_with(end));
            !installed && (member || archive)
        };
        files.extend(tree.0.keys().filter(looked_into).cloned());
    }
    files
}

fn layers(tree: &Tree, known: Known<'_>) -> Result<Vec<Layer>, Refusal> {
    let Known { settings, pins, facts, before } = known;
    let package = app::read(tree)?;
    let versions = versions::choose(tree, &package, settings, pins, facts)
        .map_err(|stop| stop.refusal("the Node.js version cannot be chosen", "the registry"))?;
    let (config, scripts) = (&settings.config, Vec::new());
    // What the plan has too is made once.
    let site = site::find(tree)?.map(|site| site.root);
    let make = Make { tree, package: &package, versions: &versions, lock: None, config, scripts, site };
    Ok(make.locking(inputs(tree, &package), before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{facts, tree};
    use crate::{Pins, Settings};
    use crate::{locking, unlocked};
    use expect_test::{Expect, expect};

    fn check(files: &str, expect: Expect) {
        let text = match unlocked(&tree(files), &Settings::default()).unwrap() {
            None => "not needed\n".to_owned(),
            Some(found) => {
                let key = found.key.iter().map(|part| match part {
                    KeyPart::Text { label, .. } => label.clone(),
                    KeyPart::File(path) => format!("file:{path}"),
                    other => format!("{other:?}"),
                });
                let key = key.collect::<Vec<_>>().join(" ");
                let notes = found.notes.iter().map(|note| format!("! {note}\n")).collect::<String>();
                format!("{} of {key}\n{notes}", found.file)
            }
        };
        expect.assert_eq(&text);
    }

    #[test]
    fn what_a_lock_file_is_made_of() {
        let start = r#""scripts":{"start":"node ."}"#;
        let with = |more: &str, files: &str| format!("-- package.json\n{{{start},{more}}}\n{files}");
        let deps = r#""dependencies":{"a":"1"}"#;
        check(
            &with(deps, "-- .npmrc\nx=1\n-- lib/package.json\n{}"),
            expect!["package-lock.json of package.json file:.npmrc\n"],
        );
        check(&with(r#""name":"x""#, ""), expect!["not needed\n"]);
        check(&with(r#""devDependencies":{"a":"1"}"#, ""), expect!["not needed\n"]);
        check(
            r#"-- package.json
{"scripts":{"start":"node .","build":"x"},"devDependencies":{"a":"1"}}"#,
            expect!["package-lock.json of package.json\n"],
        );
        check(&with(deps, "-- package-lock.json\n{}"), expect!["not needed\n"]);
        check(&with(deps, "-> unread package-lock.json"), expect!["not needed\n"]);
        check(&with(deps, "-- npm-shrinkwrap.json\n{}"), expect!["not needed\n"]);
        check(&with(deps, "-- pnpm-lock.yaml"), expect!["not needed\n"]);
        check(&with(deps, "-- yarn.lock\n__metadata:"), expect!["not needed\n"]);
        check(
            &with(
                deps,
                "-- yarn.lock\n# THIS IS AN AUTOGENERATED FILE.\n# yarn lockfile v1\n-- .gitignore\npackage-lock.json",
            ),
            expect![[r#"
                package-lock.json of package.json file:yarn.lock
                ! yarn.lock: npm installs here, and took the versions from it
                ! git ignores package-lock.json: remove it from .gitignore first
            "#]],
        );
        check(
            &with(
                r#""workspaces":["packages/*"]"#,
                "-- packages/a/package.json\n{}\n-- packages/a/node_modules/b/package.json\n{}\n-- x.tgz",
            ),
            expect!["package-lock.json of package.json file:packages/a/package.json\n"],
        );
        check(
            &with(r#""dependencies":{"a":"file:./a.tgz"}"#, "-> unread a.tgz\n-- lib/package.json\n{}"),
            expect!["package-lock.json of package.json file:a.tgz file:lib/package.json\n"],
        );
    }

    #[test]
    fn scripts_are_no_part_of_it() {
        let of = |scripts: &str, version: &str| {
            let text =
                format!("-- package.json\n{{\"scripts\":{{{scripts}}},\"dependencies\":{{\"a\":\"{version}\"}}}}");
            unlocked(&tree(&text), &Settings::default()).unwrap().unwrap().key
        };
        assert_eq!(of(r#""start":"x""#, "1"), of(r#""start":"y""#, "1"));
        assert_ne!(of(r#""start":"x""#, "1"), of(r#""start":"x""#, "2"));
    }

    #[test]
    fn with_the_file_the_plan_is_that_of_a_committed_one() {
        let files = "-- package.json\n{\"scripts\":{\"start\":\"x\"},\"dependencies\":{\"a\":\"1\"}}";
        let lock = r#"{"lockfileVersion":3,"packages":{"node_modules/a":{"version":"1.0.0"}}}"#;
        let (settings, none) = (Settings::default(), Pins::new());
        let mut made = tree(files);
        unlocked(&made, &settings).unwrap().unwrap().locked(&mut made, format!("{lock}\n").into_bytes());
        let committed = tree(&format!("{files}\n-- package-lock.json\n{lock}"));
        assert_eq!(made, committed);
        assert_eq!(unlocked(&made, &settings), Ok(None));
        let (facts, before) = (facts(), Some("{}".to_owned()));
        let known = Known { settings: &settings, pins: &none, facts: &facts, before };
        let layers = locking(&tree(files), known).unwrap();
        let names = layers.iter().map(|layer| layer.name.as_str()).collect::<Vec<_>>();
        assert_eq!(names, ["runtime", "lock"]);
        assert!(layers[1].input_files.iter().any(|file| file.path == "/app/package-lock.json"));
    }
}
