//! Pushes that are refused: the words, and that nothing stays.

use super::harness::{Mode, Work, World, write};

async fn unchanged(world: &World, before: &[String]) {
    assert_eq!(world.refs().await, before);
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_pre_receive_refuses_leaves_nothing() {
    let world = World::new().await;
    let work = world.work("work").await;
    work.refused(&["push", "hoist", "main:feature"], "git push hoist feature:main").await;
    unchanged(&world, &[]).await;
    let packs = std::fs::read_dir(world.bare().join("objects/pack")).unwrap().count();
    assert_eq!(packs, 0, "objects of a refused push stay");
    work.ok(&["tag", "v1"]).await;
    work.refused(&["push", "hoist", "v1"], "Tags are not kept here: v1").await;
    work.refused(&["push", "hoist", "main", "v1"], "--no-follow-tags").await;
    work.refused(&["push", "hoist", "main", "main:x"], "one deploys").await;
    work.refused(&["push", "hoist", "main:refs/notes/x"], "not a branch").await;
    work.refused(&["push", "hoist", "main:refs/hoist/push/9"], "hidden ref").await;
    unchanged(&world, &[]).await;
    work.ok(&["push", "hoist", "main"]).await;
    let before = world.refs().await;
    work.refused(&["push", "hoist", ":main"], "not deleted by a push").await;
    work.refused(&["push", "hoist", "main:master"], "git push hoist master:main").await;
    work.commit("b", "b").await;
    work.refused(&["push", "-o", "detatch", "hoist", "main"], "git push -o detach hoist main").await;
    unchanged(&world, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_ref_names() {
    let world = World::new().await;
    let work = world.work("work").await;
    for name in ["-x", "a;id", "$(id)", "`id`", "--upload-pack=x", "a'b", "a|b", "é", "a\"b"] {
        let said = work.refused(&["push", "hoist", &format!("main:refs/heads/{name}")], "not a branch name").await;
        assert!(!said.contains("uid="), "{said}");
    }
    unchanged(&world, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_rejects_with_its_reason() {
    let world = World::new().await;
    let work = world.work("work").await;
    world.mode(Mode::Fail);
    let said = work.refused(&["push", "hoist", "main"], "(the build failed: npm ci, exit 1)").await;
    assert!(said.contains("! [remote rejected] main -> main"), "{said}");
    assert_eq!(world.tip("main").await, None);
    // The same commit again is tried again.
    world.mode(Mode::Deploy);
    work.ok(&["push", "hoist", "main"]).await;
    assert_eq!(world.tip("main").await, Some(work.ok(&["rev-parse", "HEAD"]).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_server_no_push() {
    let world = World::new().await;
    let work = world.work("work").await;
    std::fs::remove_file(world.dir.path().join("admin.sock")).unwrap();
    work.refused(&["push", "hoist", "main"], "the server is not answering; nothing was changed").await;
    unchanged(&world, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_objects_are_refused() {
    let world = World::new().await;
    let work = world.work("work").await;
    // A tree with an entry named "..": only plumbing makes one.
    let blob = work.ok(&["rev-parse", "HEAD:app.js"]).await;
    let mut tree = b"100644 ..\0".to_vec();
    tree.extend((0..40).step_by(2).map(|i| u8::from_str_radix(&blob[i..i + 2], 16).unwrap()));
    std::fs::write(work.at.join("tree"), tree).unwrap();
    let tree = work.ok(&["hash-object", "-t", "tree", "-w", "--literally", "tree"]).await;
    let commit = work.ok(&["commit-tree", "-m", "bad", &tree]).await;
    work.refused(&["push", "hoist", &format!("{commit}:refs/heads/main")], "hasDotdot").await;
    unchanged(&world, &[]).await;
}

/// History that old tools wrote: nobody can mend it, and nothing of ours minds it.
#[tokio::test(flavor = "multi_thread")]
async fn old_but_harmless_history_is_taken() {
    let world = World::new().await;
    let work = world.work("work").await;
    let inner = work.ok(&["rev-parse", "HEAD^{tree}"]).await;
    let raw =
        |oid: &str| (0..40).step_by(2).map(|i| u8::from_str_radix(&oid[i..i + 2], 16).unwrap()).collect::<Vec<_>>();
    let padded = [&b"040000 lib\0"[..], &raw(&inner)].concat();
    std::fs::write(work.at.join("raw"), padded).unwrap();
    let tree = work.ok(&["hash-object", "-t", "tree", "-w", "--literally", "raw"]).await;
    let text = format!("tree {tree}\nauthor A<a> 1 +051800\ncommitter A <> 1 +0000\n\nold\n");
    std::fs::write(work.at.join("raw"), text).unwrap();
    let commit = work.ok(&["hash-object", "-t", "commit", "-w", "--literally", "raw"]).await;
    let said = work.ok(&["push", "hoist", &format!("{commit}:refs/heads/main")]).await;
    assert!(!said.contains("warning"), "{said}");
    let commit = commit.parse().unwrap();
    let tree = world.repos.reader(&world.app).unwrap().tree(&commit, |_, _| false).unwrap();
    assert_eq!(tree[0].path, "lib/app.js");
    world.repos.commit_info(&world.app, &commit).await.unwrap();
}

async fn index(work: &Work, mode: &str, oid: &str, path: &str) {
    work.ok(&["update-index", "--add", "--cacheinfo", &format!("{mode},{oid},{path}")]).await;
    work.commit_index(path).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_that_cannot_be_built() {
    let world = World::new().await;
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

    let empty = world.work("empty").await;
    empty.ok(&["rm", "-q", "app.js"]).await;
    empty.commit_index("nothing").await;
    empty.refused(&["push", "hoist", "main"], "no files").await;

    let submodule = world.work("submodule").await;
    index(&submodule, "160000", &"a".repeat(40), "vendor/lib").await;
    submodule.refused(&["push", "hoist", "main"], "vendor/lib is a repository of its own").await;

    let lfs = world.work("lfs").await;
    write(&lfs.at.join(".gitattributes"), "*.psd filter=lfs\n");
    lfs.commit("img/big.psd", pointer).await;
    lfs.refused(&["push", "hoist", "main"], "These Git LFS files are not on the server: img/big.psd").await;

    let evil = world.work("evil").await;
    evil.commit(".gitmodules", "[submodule \"x\"]\n\tpath = x\n\turl = -u./payload\n").await;
    evil.refused(&["push", "hoist", "main"], "gitmodulesUrl").await;

    let blob = world.work("blob").await;
    let oid = blob.ok(&["rev-parse", "HEAD:app.js"]).await;
    blob.refused(&["push", "hoist", &format!("{oid}:refs/heads/main")], "").await;
    unchanged(&world, &[]).await;
}
