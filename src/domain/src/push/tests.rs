//! Cases as data: a push in one line, the answer in full.

use super::*;
use expect_test::{Expect, expect};

fn id(digit: char) -> String {
    std::iter::repeat_n(digit, 40).collect()
}

/// `refs/heads/main 0 a` is one update from nothing to commit aaaa…
fn updates(lines: &str) -> Vec<RefUpdate> {
    lines
        .lines()
        .map(|line| {
            let mut words = line.rsplitn(3, ' ').map(str::to_owned);
            let new = words.next().unwrap().chars().next().unwrap();
            let old = words.next().unwrap().chars().next().unwrap();
            RefUpdate { name: words.next().unwrap(), old: id(old), new: id(new) }
        })
        .collect()
}

fn check(deploy: Option<&str>, push: &str, want: Expect) {
    let policy = Policy { deploy_branch: deploy.map(|d| d.parse().unwrap()), app: "blog".into() };
    let said = match judge(&updates(push), &policy) {
        Ok(v) => format!(
            "{} {} seen {}",
            v.branch,
            v.commit.short(),
            v.seen.map_or("nothing".into(), |c| c.short().to_owned())
        ),
        Err(no) => format!("{}: {no}", no.code),
    };
    want.assert_eq(&said);
}

#[test]
fn the_deploy_branch() {
    check(None, "refs/heads/main 0 a", expect!["main aaaaaaaa seen nothing"]);
    check(None, "refs/heads/master 0 a", expect!["master aaaaaaaa seen nothing"]);
    check(Some("master"), "refs/heads/master a b", expect!["master bbbbbbbb seen aaaaaaaa"]);
    check(Some("release/2"), "refs/heads/release/2 a b", expect!["release/2 bbbbbbbb seen aaaaaaaa"]);
    check(
        Some("main"),
        "refs/heads/master 0 a",
        expect![[r#"
            not-the-deploy-branch: master is not the branch that deploys blog
            a push to main deploys it
            next: git push hoist master:main
              or: apps:set blog deploy-branch=master  (if master is to deploy from now on)"#]],
    );
    check(
        None,
        "refs/heads/feature/x 0 a",
        expect![[r#"
            not-the-deploy-branch: feature/x is not the branch that deploys blog
            a push to main or master deploys it
            next: git push hoist feature/x:main"#]],
    );
}

#[test]
fn what_is_not_one_branch() {
    check(
        None,
        "",
        expect![[r#"
            empty-push: This push changes nothing
            next: git push hoist main"#]],
    );
    check(
        Some("main"),
        "refs/heads/main a b\nrefs/tags/v1 0 a",
        expect![[r#"
            tag-push: Tags are not kept here: v1
            A branch deploys; a tag has nothing to start.
            next: git push --no-follow-tags hoist main
              or: git push hoist v1:refs/heads/main  (deploys the commit of the tag)"#]],
    );
    check(
        None,
        "refs/notes/commits 0 a",
        expect![[r#"
            not-a-branch: refs/notes/commits is not a branch; only a branch deploys
            next: git push hoist main"#]],
    );
    check(
        None,
        "refs/heads/x 0 a\nrefs/heads/master 0 a",
        expect![[r#"
            several-branches: This push has 2 branches; one deploys
            next: git push hoist master"#]],
    );
    check(
        Some("main"),
        "refs/heads/main a 0",
        expect![[r#"
            branch-deletion: main is not deleted by a push
            It is the deploy branch of blog: what runs came from it.
            next: apps:destroy blog  (ends the app and its branch)"#]],
    );
    check(
        Some("main"),
        "refs/heads/old a 0",
        expect![[r#"
            branch-deletion: old is not deleted by a push
            Only main is kept here.
            next: git push hoist main"#]],
    );
}

#[test]
fn hostile_names() {
    check(
        None,
        "refs/heads/$(id) 0 a",
        expect![[r#"
            bad-branch-name: "$(id)" is not a branch name that is taken here
            allowed: letters, digits and . _ / + @ -, no part beginning with - or .
            next: git push hoist HEAD:main"#]],
    );
    for bad in [
        "",
        "-x",
        "a;id",
        "$(id)",
        "a b",
        "a..b",
        "a/../b",
        "/a",
        "a/",
        "a//b",
        ".a",
        "a/.b",
        "a.lock",
        "a.",
        "@",
        "HEAD",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "a\0b",
        "a\nb",
        "a\u{1b}[31m",
        "ä",
        "#1",
        "a@{1}",
        "a/-x",
        &"x".repeat(201),
    ] {
        assert!(bad.parse::<BranchName>().is_err(), "{bad:?}");
    }
    for good in ["main", "feature/x", "dependabot/npm_and_yarn/a-4.17.21", "renovate/@types/node", "v1.2", "a+b"] {
        assert_eq!(good.parse::<BranchName>().unwrap().as_str(), good);
    }
    assert!(serde_json::from_str::<BranchName>("\"-x\"").is_err());
    assert!(
        judge(
            &[RefUpdate { name: "refs/heads/main".into(), old: id('0'), new: "HEAD".into() }],
            &Policy { deploy_branch: None, app: "a".into() }
        )
        .is_err()
    );
}

#[test]
fn the_rule_of_the_old_id() {
    let (main, a, b): (BranchName, Commit, Commit) =
        ("main".parse().unwrap(), id('a').parse().unwrap(), id('b').parse().unwrap());
    for (seen, now, descends, ok) in [
        (None, None, false, true),
        (Some(&a), None, false, true),
        (Some(&a), Some(&a), false, true), // a force push that knew what it replaced
        (Some(&a), Some(&b), true, true),  // overtaken, but it contains the other
        (None, Some(&b), true, true),
        (Some(&a), Some(&b), false, false),
        (None, Some(&b), false, false),
    ] {
        assert_eq!(may_advance(&main, seen, now, descends).is_ok(), ok, "{seen:?} {now:?} {descends}");
    }
    expect![[r#"
        Another push has moved main to bbbbbbbb meanwhile
        This push does not contain that commit: deploying it would undo the other one.
        next: git pull --rebase hoist main && git push hoist main
          or: git fetch hoist && git push --force hoist main  (replaces the other push)"#]]
    .assert_eq(&may_advance(&main, None, Some(&b), false).unwrap_err().to_string());
}

#[test]
fn push_options() {
    let parse = |words: &[&str]| parse_options(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
    assert_eq!(parse(&[]).unwrap(), (PushOptions::default(), vec![]));
    assert_eq!(parse(&["detach", "detach"]).unwrap().0, PushOptions { detach: true, ..PushOptions::default() });
    expect![[r#"
        There is no push option "detatch"
        known: detach, json, timestamps
        next: git push -o detach hoist main"#]]
    .assert_eq(&parse(&["ci.skip", "detatch"]).unwrap_err().to_string());
    // What other servers understand, from the user's git config: named, without what could move a cursor.
    let (ours, foreign) = parse(&["ci.skip\u{1b}[1m$(id)", "json", "merge_request.create"]).unwrap();
    assert!(ours.json && !ours.detach);
    assert_eq!(foreign, ["ci.skip$(id)", "merge_request.create"]);
    assert_eq!(parse(&["x"; 100]).unwrap().1.len(), FOREIGN_MAX);
}

fn check_tree(facts: TreeFacts, want: Expect) {
    want.assert_eq(&judge_tree(&facts).map_or_else(|no| format!("{}: {}", no.code, no.what), |()| "ok".into()));
}

#[test]
fn trees() {
    let some = TreeFacts { files: 3, bytes: 100, ..TreeFacts::default() };
    check_tree(some.clone(), expect!["ok"]);
    check_tree(TreeFacts { files: TREE_FILES_MAX, bytes: TREE_BYTES_MAX, ..some.clone() }, expect!["ok"]);
    check_tree(TreeFacts::default(), expect!["empty-tree: The commit has no files, so there is nothing to build"]);
    check_tree(
        TreeFacts { submodules: vec!["vendor/lib".into()], ..some.clone() },
        expect!["submodules: vendor/lib is a repository of its own, and .gitmodules does not say where it is from"],
    );
    let gitmodules = Some("[submodule \"a\"]\npath=vendor/lib\nurl=https://git.example/lib\n".to_owned());
    check_tree(TreeFacts { gitmodules: gitmodules.clone(), ..some.clone() }, expect!["ok"]);
    check_tree(
        TreeFacts { submodules: vec!["vendor/lib".into()], gitmodules: gitmodules.clone(), ..some.clone() },
        expect!["ok"],
    );
    check_tree(
        TreeFacts { submodules: vec!["vendor/lib".into(); 51], gitmodules, ..some.clone() },
        expect!["submodules: The commit has more than 50 submodules"],
    );
    check_tree(
        TreeFacts { lfs_pointers: ["a", "b\u{1b}[1m", "c", "d"].map(str::to_owned).to_vec(), ..some.clone() },
        expect!["lfs-pointers: These Git LFS files are not on the server: a, b, c, …"],
    );
    check_tree(
        TreeFacts { lfs_extended: vec!["a".into()], ..some.clone() },
        expect!["lfs-pointers: These Git LFS files need an extension of git-lfs: a"],
    );
    check_tree(TreeFacts { lfs_bytes: TREE_LFS_MAX, ..some.clone() }, expect!["ok"]);
    check_tree(
        TreeFacts { lfs_bytes: TREE_LFS_MAX + 1_000_000_000, ..some.clone() },
        expect!["tree-too-large: The commit's Git LFS files have 5.0 GB; the most is 4.0 GB"],
    );
    check_tree(
        TreeFacts { files: 100_001, cut_short: true, ..some.clone() },
        expect!["tree-too-large: The commit has more than 100000 files and folders"],
    );
    check_tree(
        TreeFacts { bytes: TREE_BYTES_MAX + 1, cut_short: true, ..some.clone() },
        expect!["tree-too-large: The commit's files are larger than 1.0 GB"],
    );
    check_tree(
        TreeFacts { bad_paths: vec!["a/../b".into()], ..some },
        expect!["bad-path: The commit has a path that cannot be unpacked safely: a/../b"],
    );
}
