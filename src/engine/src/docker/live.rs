//! What an instance looks like from inside, and Docker's ways that the contract does not cover.

use super::*;
use crate::bench::{Bench, LABEL};
use crate::images::ensure_stack;
use crate::{Mount, Status};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

async fn bench_image(bench: &Bench) -> String {
    bench.docker.ensure_network(&bench.network(0)).await.unwrap();
    ensure_stack(&bench.docker, &bench.registry, &Bench::stacks(), "deb13-run").await.unwrap().image
}

fn volumes() -> usize {
    let listed = Command::new("docker").args(["volume", "ls", "-q", "-f", "dangling=true"]).output().unwrap();
    listed.stdout.iter().filter(|byte| **byte == b'\n').count()
}

#[tokio::test]
async fn inside() {
    Bench::with(|bench| async move {
        let image = bench_image(&bench).await;
        let at = |name: &str| bench.data.path().join(name);
        for folder in ["lower", "upper", "work", "out"] {
            std::fs::create_dir(at(folder)).unwrap();
        }
        std::fs::write(at("lower").join("kept"), "old").unwrap();
        let script = "exec >/out/seen 2>&1; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status; \
                      ulimit -n; echo $PORT; hostname; pwd; id -u; echo new >/cache/kept; echo x >/cache/added; \
                      touch /ro 2>/dev/null && touch /mounted/x 2>/dev/null || echo read-only; df -k --output=size /scratch | tail -1; \
                      cp /bin/true /scratch/t && /scratch/t && echo may run; cat /proc/self/oom_score_adj; \
                      cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; \
                      cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; exit 7";
        let mut spec = bench.instance(1, &image, &["bash", "-c", script]);
        spec.cwd = Some("/usr".to_owned());
        spec.mounts = vec![
            Mount::Bind { host: at("out"), at: "/out".to_owned(), writable: true },
            Mount::Bind { host: at("lower"), at: "/mounted".to_owned(), writable: false },
            Mount::Tmpfs { at: "/scratch".to_owned(), size: 8 << 20 },
            Mount::Overlay { lower: at("lower"), upper: at("upper"), work: at("work"), at: "/cache".to_owned() },
        ];
        let before = volumes();
        bench.docker.ensure_started(&spec).await.unwrap();
        let ended = bench.docker.wait(&spec.name).await.unwrap();
        let seen = std::fs::read_to_string(at("out").join("seen")).unwrap();
        assert_eq!(ended, Status::Exited { code: 7, out_of_memory: false }, "{seen}");
        let seen: Vec<&str> = seen.lines().map(|line| line.trim().rsplit('\t').next().unwrap()).collect();
        let setuid_setgid = "00000000000000c0";
        assert_eq!(
            seen,
            [setuid_setgid, setuid_setgid, "1", "2", "1024", "5000", "web-1", "/usr", "0", "read-only", "8192", "may run", "200", "134217728", "64"]
        );
        assert_eq!(std::fs::read_to_string(at("lower").join("kept")).unwrap(), "old");
        assert_eq!(std::fs::read_to_string(at("upper").join("kept")).unwrap(), "new\n");
        assert!(at("upper").join("added").exists() && !at("lower").join("added").exists());
        bench.docker.remove(&spec.name).await.unwrap();
        assert_eq!(volumes(), before, "the overlay's volume went with it");
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        assert!(!mounts.contains(&*at("upper").to_string_lossy()));
    })
    .await;
}

#[tokio::test]
async fn ends() {
    Bench::with(|bench| async move {
        let image = bench_image(&bench).await;
        let hungry = bench.instance(1, &image, &["perl", "-e", "my @a; push @a, 'x' x 1e6 while 1"]);
        bench.docker.ensure_started(&hungry).await.unwrap();
        assert_eq!(bench.docker.wait(&hungry.name).await.unwrap(), Status::Exited { code: 137, out_of_memory: true });
        let absent = bench.instance(2, &image, &["/no/such/program"]);
        let answer = bench.docker.ensure_started(&absent).await;
        assert!(matches!(&answer, Err(EngineError::Failed { act, .. }) if act.starts_with("start ")), "{answer:?}");
        let comma = Mount::Overlay { lower: "/a,b".into(), upper: "/u".into(), work: "/w".into(), at: "/x".to_owned() };
        let mut odd = bench.instance(3, &image, &["true"]);
        odd.mounts = vec![comma];
        assert!(matches!(bench.docker.ensure_started(&odd).await, Err(EngineError::Failed { .. })));
    })
    .await;
}

#[tokio::test]
#[ignore = "a measurement: tests/bench/engine runs it"]
async fn how_long() {
    Bench::with(|bench| async move {
        let image = bench_image(&bench).await;
        let (mut starts, mut removals) = (Vec::new(), Vec::new());
        for n in 0..10 {
            let spec = bench.instance(n, &image, &["sleep", "100"]);
            let began = Instant::now();
            bench.docker.ensure_started(&spec).await.unwrap();
            starts.push(began.elapsed());
        }
        let began = Instant::now();
        assert_eq!(bench.docker.list(LABEL, &bench.run).await.unwrap().len(), 10);
        let listed = began.elapsed();
        for n in 0..10 {
            let began = Instant::now();
            bench.docker.remove(&bench.instance(n, &image, &[]).name).await.unwrap();
            removals.push(began.elapsed());
        }
        starts.sort();
        removals.sort();
        eprintln!("create+start {:?}, list of 10 {listed:?}, kill+remove {:?}", starts[5], removals[5]);
    })
    .await;
}

/// Passes connections on to Docker until it is dropped, then cuts them all.
async fn proxy(path: &Path, stop: CancellationToken) {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path).unwrap();
    let serve = async {
        let mut open = tokio::task::JoinSet::new();
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = UnixStream::connect(DEFAULT_SOCKET).await.unwrap();
            open.spawn(async move { drop(tokio::io::copy_bidirectional(&mut near, &mut far).await) });
        }
    };
    tokio::select! { () = stop.cancelled() => {}, () = serve => {} }
}

#[tokio::test]
async fn hints_survive_docker() {
    Bench::with(|bench| async move {
        let image = bench_image(&bench).await;
        let path = bench.data.path().join("proxy.sock");
        let tasks = Tasks::new();
        let docker = Docker::new(&path, tasks.clone());
        // Docker is not there yet.
        let mut hints = docker.hints(LABEL, &bench.run).await.unwrap();
        let next = async |hints: &mut mpsc::Receiver<Hint>, name: &str| {
            let hint = async { while hints.recv().await.unwrap().name != name {} };
            tokio::time::timeout(Duration::from_secs(8), hint).await.expect(name);
        };
        let own = path.clone();
        let first = CancellationToken::new();
        let stop = first.clone();
        tasks.spawn("proxy", move |_| async move { proxy(&own, stop).await });
        let one = bench.instance(1, &image, &["sleep", "100"]);
        bench.docker.ensure_started(&one).await.unwrap();
        next(&mut hints, &one.name).await;
        first.cancel();
        let waiting = Arc::new(docker);
        assert!(matches!(waiting.inspect(&one.name).await, Err(EngineError::NotRunning(_))));
        // It ends while nobody looks: the hint comes when Docker is there again, and a wait survives too.
        let (ended, ()) = tokio::join!(waiting.wait(&one.name), async {
            bench.docker.kill(&one.name).await.unwrap();
            let own = path.clone();
            tasks.spawn("proxy", |stop| async move { proxy(&own, stop).await });
            next(&mut hints, &one.name).await;
        });
        assert_eq!(ended.unwrap(), Status::Exited { code: 137, out_of_memory: false });
        drop(hints);
        assert_eq!(tasks.shutdown(Duration::from_secs(2)).await, 0);
    })
    .await;
}
