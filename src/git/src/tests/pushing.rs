//! Pushes that are accepted, and the ends of their connections.

use super::harness::{Mode, Work, World, lines, run};
use crate::repos::git_program;
use crate::serve::Limits;
use domain::ids::DeployId;
use std::time::{Duration, Instant};
use system::proc;
use tokio::io::AsyncWriteExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_push_moves_the_branch_and_streams() {
    let world = World::new().await;
    let work = world.work("work").await;
    let said = work.ok(&["push", "hoist", "main"]).await;
    assert!(said.contains("remote: -----> Building\n"), "{said}");
    assert!(said.contains("remote:        http://blog.localhost is live\n"), "{said}");
    assert!(said.contains("[new branch]      main -> main"), "{said}");
    let second = work.commit("b", "b").await;
    work.ok(&["push", "hoist", "HEAD:refs/heads/main"]).await;
    assert_eq!(world.tip("main").await, Some(second.clone()));
    assert!(work.ok(&["push", "hoist", "main"]).await.contains("Everything up-to-date"));
    assert_eq!(world.refs().await, ["refs/heads/main", "refs/hoist/push/1", "refs/hoist/push/2"]);
    assert_eq!(*world.desk.codes.lock().unwrap(), [0, 0, 0]);
    assert_eq!(world.leftovers(), Vec::<String>::new());
    world.repos.unpin(&world.app, DeployId(1)).await.unwrap();
    world.repos.unpin(&world.app, DeployId(1)).await.unwrap();
    assert!(!world.repos.tidy_above(&world.app, 2).await.unwrap(), "two pushes, two packs");
    assert!(world.repos.tidy_above(&world.app, 1).await.unwrap());
    assert!(!world.repos.tidy_above(&world.app, 1).await.unwrap(), "one pack is left");
    assert_eq!(world.refs().await, ["refs/heads/main", "refs/hoist/push/2"]);
    world.fsck().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_arrive_while_the_job_runs() {
    let world = World::new().await;
    let work = world.work("work").await;
    world.mode(Mode::Wait);
    let mut client = proc::start(&work.git(&["push", "hoist", "main"])).unwrap();
    let mut said = lines(&mut client);
    while !said.next_line().await.unwrap().expect("the first line, before the end").contains("Building") {}
    assert_eq!(world.tip("main").await, None);
    world.desk.go_on.notify_one();
    assert_eq!(client.wait().await.unwrap(), 0);
    assert!(world.tip("main").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pusher_who_leaves_is_noticed() {
    let world = World::new().await;
    let work = world.work("work").await;
    world.mode(Mode::Wait);
    let mut client = proc::start(&work.git(&["push", "hoist", "main"])).unwrap();
    let mut said = lines(&mut client);
    while !said.next_line().await.unwrap().unwrap().contains("Building") {}
    let since = Instant::now();
    drop(client);
    world.desk.left.notified().await;
    world.desk.ended.notified().await;
    assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    assert_eq!(world.tip("main").await, None);
    assert_eq!(world.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_killed_in_mid_pack_leaves_nothing() {
    let world = World::new().await;
    let mut client = tokio::net::UnixStream::connect(world.dir.path().join("ssh.sock")).await.unwrap();
    client.write_all(b"git-receive-pack '/blog'\n").await.unwrap();
    let line = format!("{} {} refs/heads/main\0report-status side-band-64k", "0".repeat(40), "a".repeat(40));
    let mut bytes = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    // A pack that promises 1,000 objects and has none yet; then some bytes, so that git has begun to write.
    bytes.extend(b"PACK\0\0\0\x02\0\0\x03\xe8");
    client.write_u32(u32::try_from(bytes.len()).unwrap()).await.unwrap();
    client.write_all(&bytes).await.unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while world.leftovers().is_empty() {
        assert!(Instant::now() < until, "git never began");
        tokio::task::yield_now().await;
    }
    drop(client);
    world.desk.ended.notified().await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    assert_eq!(world.refs().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_ended() {
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    let world = World::with_limits(limits).await;
    let mut client = tokio::net::UnixStream::connect(world.dir.path().join("ssh.sock")).await.unwrap();
    client.write_all(b"git-receive-pack '/blog'\n").await.unwrap();
    world.desk.ended.notified().await;
    assert_eq!(*world.desk.codes.lock().unwrap(), [130]);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_arrive_and_many_lines_flow() {
    let world = World::new().await;
    let work = world.work("work").await;
    world.mode(Mode::Flood);
    let said = work.ok(&["push", "-o", "detach", "hoist", "main"]).await;
    assert_eq!(world.desk.asked.lock().unwrap()[0].options, ["detach"]);
    assert!(said.contains("line 0\n") && said.contains("is live"), "{}", &said[..2000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_id_decides_a_force_push() {
    let world = World::new().await;
    let work = world.work("work").await;
    work.ok(&["push", "hoist", "main"]).await;
    let first = work.commit("b", "b").await;
    work.ok(&["push", "hoist", "main"]).await;
    work.ok(&["commit", "-q", "--amend", "-m", "other"]).await;
    work.refused(&["push", "hoist", "main"], "rejected").await;
    work.ok(&["push", "--force", "hoist", "main"]).await;
    assert_ne!(world.tip("main").await, Some(first.clone()));

    // Two pushes from one base: the one that comes second to its turn is refused, its release never was.
    let other = world.work("other").await;
    other.commit("theirs", "1").await;
    world.mode(Mode::Wait);
    let base = world.tip("main").await.unwrap();
    work.commit("mine", "1").await;
    let mut waiting = proc::start(&work.git(&["push", "hoist", "main"])).unwrap();
    let mut said = lines(&mut waiting);
    while !said.next_line().await.unwrap().unwrap().contains("Building") {}
    world.mode(Mode::Deploy);
    other.ok(&["push", "--force", "hoist", "main"]).await;
    assert_ne!(world.tip("main").await, Some(base));
    world.desk.go_on.notify_one();
    let mut all = String::new();
    while let Ok(Some(line)) = said.next_line().await {
        all.push_str(&line);
    }
    assert_eq!(waiting.wait().await.unwrap(), 1);
    assert!(all.contains("Another push has moved main"), "{all}");
}

async fn shallow_clone(world: &World, from: &Work, name: &str) -> Work {
    let at = world.dir.path().join(name);
    from.ok(&["clone", "-q", "--depth", "1", &format!("file://{}", from.at.display()), at.to_str().unwrap()]).await;
    let work = Work { at, ssh: from.ssh.clone() };
    work.ok(&["remote", "add", "hoist", "ssh://hoist/blog"]).await;
    work
}

#[tokio::test(flavor = "multi_thread")]
async fn shallow_clones_are_accepted() {
    let world = World::new().await;
    let full = world.work("full").await;
    for i in 0..3 {
        full.commit("n", &i.to_string()).await;
    }
    let one = shallow_clone(&world, &full, "one").await;
    one.ok(&["push", "hoist", "main"]).await;
    assert_eq!(world.desk.asked.lock().unwrap()[0].shallow.len(), 1);
    assert_eq!(world.tip("main").await, Some(one.ok(&["rev-parse", "HEAD"]).await));
    world.fsck().await;

    // The same CI checks out the next commit alone: its own git wants force, ours must not mind the missing history.
    full.commit("n", "next").await;
    let two = shallow_clone(&world, &full, "two").await;
    two.refused(&["push", "hoist", "main"], "fetch first").await;
    two.ok(&["push", "--force", "hoist", "main"]).await;
    assert_eq!(world.tip("main").await, Some(two.ok(&["rev-parse", "HEAD"]).await));
    world.fsck().await;
    // From the shallow clone on, and from the full one.
    two.commit("more", "1").await;
    two.ok(&["push", "hoist", "main"]).await;
    world.fsck().await;
    full.ok(&["push", "--force", "hoist", "main"]).await;
    full.commit("n", "last").await;
    full.ok(&["push", "hoist", "main"]).await;
    assert_eq!(world.leftovers(), Vec::<String>::new());
    world.repos.tidy(&world.app).await.unwrap();
    world.fsck().await;
    let clone = world.dir.path().join("clone");
    full.ok(&["clone", "-q", "ssh://hoist/blog", clone.to_str().unwrap()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_files() {
    let world = World::new().await;
    let work = world.work("work").await;
    for i in 0..10_000 {
        let folder = work.at.join(format!("d{}", i % 100));
        std::fs::create_dir_all(&folder).unwrap();
        super::harness::write(&folder.join(format!("f{i}")), &format!("{i} {}", "x".repeat(i % 200)));
    }
    work.ok(&["add", "-A"]).await;
    work.commit_index("many").await;
    // The floor: the same push to a bare repository with the same checks and no hooks. It goes first and
    // pays for the client's cold cache of ten thousand loose objects.
    let bare = world.dir.path().join("bare.git");
    run(&git_program(world.dir.path()).args(["init", "-q", "--bare", bare.to_str().unwrap()])).await;
    run(&git_program(&bare).args(["config", "receive.fsckObjects", "true"])).await;
    let since = Instant::now();
    work.ok(&["push", "-q", bare.to_str().unwrap(), "main"]).await;
    let floor = since.elapsed();
    let since = Instant::now();
    work.ok(&["push", "hoist", "main"]).await;
    let ours = since.elapsed();
    println!("10,000 files: {ours:?}, bare git {floor:?}");
    assert!(ours < floor + Duration::from_secs(2), "{ours:?} against {floor:?}");
}

/// A shallow push in the middle of its job, or failed, leaves a repository that is whole, and others can push.
#[tokio::test(flavor = "multi_thread")]
async fn shallow_pushes_in_flight() {
    let world = World::new().await;
    let full = world.work("full").await;
    full.commit("n", "1").await;
    full.ok(&["push", "hoist", "main"]).await;
    full.commit("n", "2").await;
    let first = shallow_clone(&world, &full, "first").await;
    full.commit("n", "3").await;
    let second = shallow_clone(&world, &full, "second").await;
    full.ok(&["commit", "-q", "--amend", "-m", "elsewhere"]).await;

    world.mode(Mode::Fail);
    first.refused(&["push", "--force", "hoist", "main"], "the build failed").await;
    world.fsck().await;

    world.mode(Mode::Wait);
    let mut waiting = proc::start(&second.git(&["push", "--force", "hoist", "main"])).unwrap();
    let mut said = lines(&mut waiting);
    while !said.next_line().await.unwrap().unwrap().contains("Building") {}
    world.mode(Mode::Deploy);
    first.commit("mine", "1").await;
    first.ok(&["push", "--force", "hoist", "main"]).await;
    full.ok(&["fetch", "-q", "hoist"]).await;
    world.desk.go_on.notify_one();
    let mut all = String::new();
    while let Ok(Some(line)) = said.next_line().await {
        all.push_str(&line);
    }
    waiting.wait().await.unwrap();
    assert!(all.contains("Another push has moved main"), "{all}");
    world.fsck().await;
    full.ok(&["push", "--force", "hoist", "main"]).await;
    world.fsck().await;
}
