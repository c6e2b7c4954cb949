//! Takes over what an older Hoist left of its router: then its files lay among the server's own.

use router::RouterClient;
use std::path::Path;
use std::time::Duration;
use system::fault::{Act, Result};
use system::layout::Layout;
use system::tasks::blocking;
use tokio::time::{Instant, sleep};

/// How long the old router's requests in flight may take.
const GRACE: Duration = Duration::from_secs(5);
const ASK_MAX: Duration = Duration::from_secs(10);

/// Ends a router at its old place and moves its table and spools to the new one. Nothing to do in most starts.
pub async fn move_from_before(layout: &Layout) -> Result<()> {
    let (table, socket) = (layout.data().join("routes"), layout.run().join("router.sock"));
    if !table.exists() {
        return Ok(());
    }
    if let Ok((old, _, _)) = RouterClient::connect(&socket, ASK_MAX).await {
        tracing::info!("ending the router of an older Hoist, whose files move to {}", layout.router().display());
        let _ = old.shutdown(GRACE, ASK_MAX).await;
        let end = Instant::now() + GRACE * 2;
        while RouterClient::connect(&socket, ASK_MAX).await.is_ok() && Instant::now() < end {
            sleep(Duration::from_millis(20)).await;
        }
    }
    let layout = layout.clone();
    blocking("move the router's files", move || {
        let act = || format!("cannot move the router's files to {}", layout.router().display());
        let spools = layout.router_spools();
        std::fs::create_dir_all(&spools).act(act)?;
        for entry in std::fs::read_dir(layout.spools()).act(act)? {
            let entry = entry.act(act)?;
            let name = entry.file_name();
            let ours = name.to_str().is_some_and(|n| n.starts_with("router-") && !n.ends_with(".json"));
            if ours {
                move_to(&entry.path(), &spools.join(name)).act(act)?;
            }
        }
        let _ = std::fs::remove_file(&socket);
        // Last: as long as it is there, a kill in between starts this again.
        Ok(move_to(&table, &layout.router().join("routes")).act(act)?)
    })
    .await
}

fn move_to(from: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::rename(from, to) {
        // What is there already is newer.
        Err(err) if matches!(err.kind(), std::io::ErrorKind::DirectoryNotEmpty) => std::fs::remove_dir_all(from),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_move_once_and_notes_of_spools_stay() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        layout.create().unwrap();
        move_from_before(&layout).await.unwrap();
        assert!(!layout.router().exists());
        for (path, text) in [
            ("routes/snapshot", "table"),
            ("logs/spool/router-a1/0", "lines"),
            ("logs/spool/router-a1.json", "note"),
            ("logs/spool/i1/0", "instance"),
        ] {
            std::fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
            std::fs::write(root.path().join(path), text).unwrap();
        }
        for _ in 0..2 {
            move_from_before(&layout).await.unwrap();
            let read = |path: &str| std::fs::read_to_string(root.path().join(path)).unwrap();
            assert_eq!(
                (read("router/routes/snapshot"), read("router/spool/router-a1/0")),
                ("table".into(), "lines".into())
            );
            assert_eq!(
                (read("logs/spool/router-a1.json"), read("logs/spool/i1/0")),
                ("note".into(), "instance".into())
            );
            assert!(!root.path().join("routes").exists());
        }
    }
}
