//! What the builder reads: entries, contents, links as links, patterns left out.

use super::harness::World;
use crate::Kind;
use domain::Commit;
use domain::push::TREE_FILES_MAX;

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_is_read_as_it_is() {
    let world = World::new().await;
    let work = world.work("work").await;
    std::os::unix::fs::symlink("/etc/passwd", work.at.join("link")).unwrap();
    std::os::unix::fs::symlink("../..", work.at.join("up")).unwrap();
    std::os::unix::fs::symlink("loop", work.at.join("loop")).unwrap();
    for (path, text) in
        [("a.b", "1"), ("a/x", "2"), ("a-b", "3"), ("docs/read", "4"), ("a/y.psd", "5"), ("a/.keep", "")]
    {
        work.commit(path, text).await;
    }
    work.ok(&["update-index", "--chmod=+x", "a-b"]).await;
    let big = "0123456789abcdef".repeat(600_000);
    std::fs::write(work.at.join("big"), &big).unwrap();
    std::fs::write(work.at.join(".slugignore"), "*.psd\n/docs/\n").unwrap();
    work.ok(&["add", "-A"]).await;
    work.ok(&["update-index", "--chmod=+x", "a-b"]).await;
    let commit: Commit = work.commit_index("all").await.parse().unwrap();
    work.ok(&["push", "hoist", "main"]).await;

    let reader = world.repos.reader(&world.app).unwrap();
    let tree = reader.tree(&commit, |path, size| path != "app.js" && size < 100).unwrap();
    let shown: Vec<String> = tree
        .iter()
        .map(|e| {
            let content = e.content.as_deref().map_or("-".into(), String::from_utf8_lossy);
            format!("{} {:?} {} {content}", e.path, e.kind, e.size)
        })
        .collect();
    expect_test::expect![[r#"
        .slugignore File { exec: false } 13 *.psd
        /docs/

        a-b File { exec: true } 1 3
        a.b File { exec: false } 1 1
        a/.keep File { exec: false } 0 
        a/x File { exec: false } 1 2
        app.js File { exec: false } 14 -
        big File { exec: false } 9600000 -
        link Symlink 11 /etc/passwd
        loop Symlink 4 loop
        up Symlink 5 ../.."#]]
    .assert_eq(&shown.join("\n"));

    let mut read = Vec::new();
    reader
        .each_file(&commit, "", |entry, content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, entry.size, "{}", entry.path);
            assert!(entry.path != "big" || bytes == big.as_bytes());
            read.push(entry.path.to_owned());
            Ok(())
        })
        .unwrap();
    assert_eq!(read, tree.iter().map(|e| e.path.clone()).collect::<Vec<_>>());
    let mut sorted = read.clone();
    sorted.sort();
    assert_eq!(read, sorted);
    let mut below = Vec::new();
    let each = reader.each_file(&commit, "a", |entry, _| {
        below.push((entry.path.to_owned(), entry.kind));
        Ok(())
    });
    each.unwrap();
    assert_eq!(
        below,
        [("a/.keep".to_owned(), Kind::File { exec: false }), ("a/x".to_owned(), Kind::File { exec: false })]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_read() {
    let world = World::new().await;
    let work = world.work("work").await;
    let commit: Commit = work.commit_index("The \u{1b}[31mapp\n\nbody").await.parse().unwrap();
    work.ok(&["push", "hoist", "main"]).await;
    let reader = world.repos.reader(&world.app).unwrap();
    let info = world.repos.commit_info(&world.app, &commit).await.unwrap();
    assert_eq!((info.author.as_str(), info.summary.as_str()), ("Ada", "The app"));
    assert!(info.time.0 > 1_600_000_000_000_000);
    let first: Commit = work.ok(&["rev-list", "--max-parents=0", "HEAD"]).await.parse().unwrap();
    let descends = async |a: &Commit, b: &Commit| world.repos.is_descendant(&world.app, a, b).await.unwrap();
    assert!(descends(&commit, &first).await && descends(&commit, &commit).await);
    assert!(!descends(&first, &commit).await);
    let unknown: Commit = "a".repeat(40).parse().unwrap();
    assert!(!descends(&commit, &unknown).await && !descends(&unknown, &commit).await);
    assert!(reader.inspect(&"a".repeat(40).parse().unwrap(), false).unwrap_err().to_string().contains("not a commit"));
}

/// A tree that holds itself ten times, ten levels deep: 10,000,000,000 files in eleven objects.
#[tokio::test(flavor = "multi_thread")]
async fn a_git_bomb_is_counted_only_to_the_limit() {
    let world = World::new().await;
    let work = world.work("work").await;
    let mut oid = work.ok(&["rev-parse", "HEAD:app.js"]).await;
    let mut kind = "100644 blob";
    for _ in 0..10 {
        let listing: String = (0..10).map(|i| format!("{kind} {oid}\tf{i}\n")).collect();
        let made =
            system::proc::run(&work.git(&["mktree"]), listing.as_bytes(), system::proc::Limits::seconds(10)).await;
        oid = made.unwrap().success("mktree").unwrap().text();
        kind = "040000 tree";
    }
    let commit = work.ok(&["commit-tree", "-m", "bomb", &oid]).await;
    work.refused(&["push", "hoist", &format!("{commit}:refs/heads/main")], "more than 100000 files").await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    assert_eq!(TREE_FILES_MAX, 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn refs_move_by_compare_and_swap() {
    let world = World::new().await;
    let work = world.work("work").await;
    work.ok(&["push", "hoist", "main"]).await;
    let a: Commit = work.ok(&["rev-parse", "HEAD"]).await.parse().unwrap();
    let b: Commit = work.commit("b", "b").await.parse().unwrap();
    work.ok(&["push", "hoist", "main"]).await;
    let (repos, app, main) = (&world.repos, &world.app, "main".parse().unwrap());
    repos.update_ref(app, &main, Some(&a), &b).await.expect("a replay");
    let no = repos.update_ref(app, &main, None, &a).await.unwrap_err();
    assert!(no.to_string().contains("another push was faster"), "{no}");
    repos.update_ref(app, &main, Some(&b), &a).await.unwrap();
    assert_eq!(world.tip("main").await, Some(String::from(a)));
    repos.remove(app).await.unwrap();
    repos.remove(app).await.unwrap();
    assert!(!world.bare().exists());
}
