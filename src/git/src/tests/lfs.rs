//! The real git-lfs against our side of its protocol.

use super::harness::{Work, World};
use crate::lfs::{Collected, Store};
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A working copy in which git-lfs keeps `*.bin`.
async fn with_lfs(world: &World, name: &str) -> Work {
    let work = world.work(name).await;
    work.ok(&["lfs", "install", "--local"]).await;
    work.ok(&["lfs", "track", "*.bin"]).await;
    work
}

fn large(seed: u8) -> Vec<u8> {
    (0..3_000_000_u32).map(|n| n.to_le_bytes()[usize::from(seed) % 2] ^ seed).collect()
}

async fn commit_large(work: &Work, path: &str, bytes: &[u8]) -> String {
    let at = work.at.join(path);
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    std::fs::write(at, bytes).unwrap();
    work.ok(&["add", "-A"]).await;
    work.commit_index(path).await
}

/// What a build gets: path, and the SHA-256 of what is read.
fn tree(world: &World, commit: &str) -> Vec<(String, u64, String)> {
    let mut all = Vec::new();
    let reader = world.repos.reader(&world.app).unwrap();
    reader
        .each_file(&commit.parse().unwrap(), "", |entry, data| {
            let mut bytes = Vec::new();
            data.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, entry.size);
            all.push((entry.path.to_owned(), entry.size, hex(&bytes)));
            Ok(())
        })
        .unwrap();
    all
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_brings_them_a_build_has_them_and_a_clone_fetches_them() {
    let world = World::new().await;
    let work = with_lfs(&world, "work").await;
    let (one, two) = (large(1), large(2));
    commit_large(&work, "models/one.bin", &one).await;
    let commit = commit_large(&work, "two.bin", &two).await;
    let said = work.ok(&["push", "hoist", "main"]).await;
    assert!(!said.contains("lock"), "{said}");
    let taken = || i64::MAX - world.desk.room.load(Ordering::SeqCst);
    assert_eq!(taken(), 6_000_000);
    let lines = world.desk.lfs_lines.lock().unwrap().clone();
    assert!(lines.iter().all(|line| line == "git-lfs-transfer /blog upload"), "{lines:?}");

    let files = tree(&world, &commit);
    let of = |path: &str| files.iter().find(|(name, ..)| name == path).unwrap().clone();
    assert_eq!(of("models/one.bin"), ("models/one.bin".into(), 3_000_000, hex(&one)));
    assert_eq!(of("two.bin").2, hex(&two));
    let reader = world.repos.reader(&world.app).unwrap();
    let entries = reader.tree(&commit.parse().unwrap(), |path, _| path == "two.bin").unwrap();
    let entry = entries.iter().find(|entry| entry.path == "two.bin").unwrap();
    assert_eq!((entry.size, hex(entry.content.as_ref().unwrap())), (3_000_000, hex(&two)));
    let mut read = Vec::new();
    reader
        .content(&entry.oid, &mut |bytes| {
            read.extend_from_slice(bytes);
            true
        })
        .unwrap();
    assert_eq!(hex(&read), hex(&two));

    work.ok(&[
        "-c",
        "filter.lfs.smudge=git-lfs smudge -- %f",
        "-c",
        "filter.lfs.process=git-lfs filter-process",
        "clone",
        "-q",
        "ssh://hoist/blog",
        "../clone",
    ])
    .await;
    assert_eq!(std::fs::read(world.dir.path().join("clone/models/one.bin")).unwrap(), one);
    // A second push sends nothing that is here.
    work.commit("note", "x").await;
    work.ok(&["push", "hoist", "main"]).await;
    work.ok(&["lfs", "push", "--all", "hoist"]).await;
    assert_eq!(taken(), 6_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn pointers_without_their_files_are_refused_until_they_are_sent() {
    let world = World::new().await;
    let work = with_lfs(&world, "work").await;
    commit_large(&work, "img/one.bin", &large(1)).await;
    work.refused(&["push", "--no-verify", "hoist", "main"], "These Git LFS files are not on the server: img/one.bin")
        .await;
    work.ok(&["lfs", "push", "--all", "hoist"]).await;
    work.ok(&["push", "--no-verify", "hoist", "main"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_there_is_no_room_for_is_said_and_ends_the_push() {
    let world = World::new().await;
    let work = with_lfs(&world, "work").await;
    commit_large(&work, "one.bin", &large(1)).await;
    world.desk.room.store(2_999_999, Ordering::SeqCst);
    work.refused(&["push", "hoist", "main"], "there is no room for it").await;
    assert_eq!(world.tip("main").await, None);
    world.desk.room.store(3_000_000, Ordering::SeqCst);
    work.ok(&["push", "hoist", "main"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_locks_and_it_is_said() {
    let world = World::new().await;
    let work = with_lfs(&world, "work").await;
    commit_large(&work, "one.bin", &large(1)).await;
    work.ok(&["push", "-u", "hoist", "main"]).await;
    work.refused(&["lfs", "lock", "one.bin"], "Hoist has no locks").await;
    work.refused(&["lfs", "locks"], "Hoist has no locks").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_branch_names_goes() {
    let world = World::new().await;
    let work = with_lfs(&world, "work").await;
    let (old, new) = (large(1), large(2));
    let first = commit_large(&work, "one.bin", &old).await;
    work.ok(&["push", "hoist", "main"]).await;
    for pin in world.repos.pins(&world.app).await.unwrap() {
        world.repos.unpin(&world.app, pin).await.unwrap();
    }
    commit_large(&work, "one.bin", &new).await;
    work.ok(&["push", "hoist", "main"]).await;
    let collect = async |kept: &[&str]| {
        let kept = kept.iter().map(|commit| commit.parse().unwrap()).collect();
        world.repos.collect_lfs_after(&world.app, kept, Duration::ZERO).await.unwrap()
    };
    assert_eq!(world.repos.collect_lfs(&world.app, vec![]).await.unwrap(), None);
    assert_eq!(collect(&[&first]).await, Some(Collected::default()));
    assert_eq!(collect(&[]).await, Some(Collected { objects: 1, bytes: 3_000_000 }));
    let store = Store::of(&world.bare());
    assert!(
        store.is_there()
            && tree(&world, work.ok(&["rev-parse", "HEAD"]).await.trim()).iter().any(|(_, size, _)| *size == 3_000_000)
    );
    let reader = world.repos.reader(&world.app).unwrap();
    let no = reader.tree(&first.parse().unwrap(), |_, _| false).unwrap_err().chain();
    assert!(no.contains("These Git LFS files are not on the server: one.bin"), "{no}");
}
