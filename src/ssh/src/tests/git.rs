//! The real git through the server: a push and a clone, and a push that is interrupted.

use super::*;
use std::os::unix::process::CommandExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs git's own half over the command's streams.
pub(super) async fn serve(program: &str, repository: &str, mut io: Io) -> u8 {
    let mut git = tokio::process::Command::new("git")
        .args([program, repository])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (git.stdin.take().unwrap(), git.stdout.take().unwrap());
    let input = async {
        while let Some(bytes) = io.stdin.recv().await {
            if stdin.write_all(&bytes).await.is_err() {
                break;
            }
        }
        drop(stdin);
        std::future::pending::<()>().await;
    };
    let output = async {
        let mut buf = vec![0; 32 * 1024];
        while let Ok(n @ 1..) = stdout.read(&mut buf).await {
            let _ = io.out.send(Chunk::Out(Bytes::copy_from_slice(&buf[..n]))).await;
        }
    };
    tokio::select! {
        () = input => {}
        () = output => {}
    }
    u8::try_from(git.wait().await.unwrap().code().unwrap()).unwrap()
}

fn git(world: &World, cwd: &str, args: &[&str]) -> Command {
    let mut git = Command::new("git");
    let ssh = format!(
        "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={} -i {}",
        world.path("known").display(),
        world.path("key").display()
    );
    git.env("GIT_SSH_COMMAND", ssh).env("GIT_CONFIG_GLOBAL", "/dev/null").current_dir(world.path(cwd));
    git.args(["-c", "user.name=t", "-c", "user.email=t@t"]).args(args);
    git.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    git
}

fn done(mut command: Command) -> Output {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", text(&done.stderr));
    done
}

#[test]
fn push_clone_and_interrupt() {
    let world = world(Limits::default());
    std::fs::create_dir(world.path("work")).unwrap();
    done(git(&world, ".", &["init", "-q", "--bare", "blog.git"]));
    done(git(&world, "work", &["init", "-q", "-b", "main"]));
    std::fs::write(world.path("work/noise"), noise(8_000_000)).unwrap();
    done(git(&world, "work", &["add", "."]));
    done(git(&world, "work", &["commit", "-qm", "one"]));
    let url = format!("ssh://anyname@{}{}", world.addr, world.path("blog.git").display());
    done(git(&world, "work", &["push", "-q", &url, "main"]));
    done(git(&world, ".", &["clone", "-q", "-b", "main", &url, "copy"]));
    assert_eq!(std::fs::read(world.path("copy/noise")).unwrap(), noise(8_000_000));

    // Ctrl-C reaches git and its ssh. (A signal to git alone leaves its ssh behind, which says no more than "end of input".)
    let url = format!("ssh://anyname@{}/hang", world.addr);
    let mut push = git(&world, "work", &["push", &url, "main"]).process_group(0).spawn().unwrap();
    assert_eq!(world.report(), Report::Started);
    rustix::process::kill_process_group(pid(&push), rustix::process::Signal::INT).unwrap();
    let killed = Instant::now();
    assert_eq!(world.report(), Report::HungUp);
    assert!(killed.elapsed() < Duration::from_secs(8), "{:?}", killed.elapsed());
    push.wait().unwrap();
}
