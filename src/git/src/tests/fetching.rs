//! Clones and fetches, and what they must not see.

use super::harness::{Mode, Work, World};

#[tokio::test(flavor = "multi_thread")]
async fn clone_and_fetch() {
    let world = World::new().await;
    let work = world.work("work").await;
    let nothing = world.dir.path().join("nothing");
    work.ok(&["clone", "-q", "ssh://hoist/blog", nothing.to_str().unwrap()]).await;
    work.ok(&["branch", "-q", "-m", "main", "master"]).await;
    work.ok(&["push", "hoist", "master"]).await;
    let at = world.dir.path().join("clone");
    work.ok(&["clone", "-q", "ssh://hoist/blog", at.to_str().unwrap()]).await;
    let clone = Work { at, ssh: work.ssh.clone() };
    assert_eq!(std::fs::read_to_string(clone.at.join("app.js")).unwrap(), "console.log(1)");
    assert_eq!(clone.ok(&["rev-parse", "--abbrev-ref", "HEAD"]).await, "master");
    let second = work.commit("b", "b").await;
    work.ok(&["push", "hoist", "master"]).await;
    clone.ok(&["pull", "-q", "--rebase"]).await;
    assert_eq!(clone.ok(&["rev-parse", "HEAD"]).await, second);
    clone.ok(&["fetch", "-q", "--depth", "1"]).await;
    // Not offered (see `upload_pack`): the client gets a whole clone instead.
    let partial = world.dir.path().join("partial");
    work.ok(&["clone", "-q", "--filter=blob:none", "ssh://hoist/blog", partial.to_str().unwrap()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_commits_are_hidden() {
    let world = World::new().await;
    let work = world.work("work").await;
    work.ok(&["push", "hoist", "main"]).await;
    world.mode(Mode::Fail);
    let secret = work.commit("secret", "s3cret").await;
    work.refused(&["push", "hoist", "main"], "the build failed").await;
    assert!(world.refs().await.contains(&"refs/hoist/push/2".to_owned()));
    let seen = work.ok(&["ls-remote", "hoist"]).await;
    assert!(!seen.contains("hoist/push") && !seen.contains(&secret), "{seen}");
    let other = world.work("other").await;
    other.refused(&["fetch", "hoist", "refs/hoist/push/2"], "couldn't find remote ref").await;
    for version in ["0", "1", "2"] {
        let version = format!("protocol.version={version}");
        other.refused(&["-c", &version, "fetch", "hoist", &secret], "").await;
        let (code, _) = other.run(&["cat-file", "-e", &secret]).await;
        assert_ne!(code, 0, "{version}: a hidden commit was fetched");
    }
}
