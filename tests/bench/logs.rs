//! Times `logs` over 1 GB of text, from the view of an ssh client, and what a flood of lines does to the server.
//!
//! The log is written as the server writes it, and sealed by the server. Each question is asked cold (after dropping the
//! kernel's caches, once) and warm, over a connection that is open already and over one that is opened for it. The same
//! files are searched by zstdcat and grep in the same run. Run it by `tests/bench/logs`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "what fails in a measurement ends it"
)]

use e2e::{App, User, World, processes, program, wait_for};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const TEXT: u64 = 1_000_000_000;
const SEGMENT: usize = 8 << 20;
const ROUNDS: usize = 9;
const NEEDLE: &str = "needle-7f3a";
/// Two days, so that `--since 1h` is a small part.
const SPAN_MICROS: u64 = 2 * 86_400 * 1_000_000;

fn main() {
    let world = World::with(&[("logs-app", "4000"), ("logs-total", "8000")]);
    questions(&world);
    flood(&world);
}

fn questions(world: &World) {
    let ana = world.user("ana");
    ana.ssh(&["apps:create", "big"]).ok();
    let dir = log_dir(&world.data());
    world.stop_serve();
    let (written, lines) = fill(&dir);
    let plain = size(&dir, "log");
    world.restart_serve();
    let cpu = cpu_seconds(world);
    let begun = Instant::now();
    wait_for("all segments sealed", Duration::from_secs(300), || count(&dir, "log") <= 1);
    let (took, used) = (begun.elapsed().as_secs_f64(), cpu_seconds(world) - cpu);
    let sealed = size(&dir, "zst");
    println!("{lines} lines, {:.0} MB of text, {:.0} MB as written", mb(written), mb(plain));
    println!(
        "sealed: {:.0} MB = text / {:.1}, {took:.1} s, {:.1} ms of CPU per MB",
        mb(sealed),
        written as f64 / sealed as f64,
        used * 1000.0 / mb(written)
    );
    println!("memory of serve (Pss) before questions: {:.1} MB", pss(world));

    let asked: [(&str, &[&str], &str); 8] = [
        ("-n 100", &["-n", "100"], "must 200 ms, reach 50 ms"),
        ("-n 100 -p web", &["-n", "100", "-p", "web"], "must 200 ms, reach 50 ms"),
        ("-n 100 -p clock (only at the beginning)", &["-n", "100", "-p", "clock"], ""),
        ("--since 2m", &["--since", "2m"], ""),
        ("--grep of a word that is at the beginning only", &["--grep", NEEDLE], "must 5 s, reach 1 s"),
        ("--grep of an expression that is nowhere", &["--grep", "/needle-[0-9]+x/"], ""),
        ("--grep of a common word, -n 100", &["--grep", "status=500", "-n", "100"], ""),
        ("-n 200000", &["-n", "200000"], ""),
    ];
    let warm = Master::open(&ana);
    for (name, words, figures) in asked {
        let mut line: Vec<&str> = vec!["logs", "big"];
        line.extend(words);
        drop_caches();
        let cold = seconds(|| drop(warm.ssh(&line)));
        let mut open: Vec<f64> = (0..ROUNDS).map(|_| seconds(|| drop(warm.ssh(&line)))).collect();
        let mut fresh: Vec<f64> = (0..3).map(|_| seconds(|| drop(ana.ssh(&line).ok()))).collect();
        let (shown, found) = (shown(&mut open), warm.ssh(&line).lines().count());
        println!(
            "{name}: {shown}, cold disk {cold:.3} s, new connection {:.3} s, {found} lines  {figures}",
            median(&mut fresh)
        );
    }
    println!(
        "a trivial verb over the same connection: {}",
        shown(&mut (0..ROUNDS).map(|_| seconds(|| drop(warm.ssh(&["version"])))).collect::<Vec<_>>())
    );
    println!(
        "memory of serve (Pss) after questions: {:.1} MB, at most (VmHWM) {:.1} MB",
        pss(world),
        high_water(world)
    );
    for (name, filter) in [("grep -F", vec!["grep", "-F", NEEDLE]), ("tail -n 100", vec!["tail", "-n", "100"])] {
        let mut all: Vec<f64> = (0..3).map(|_| seconds(|| zstdcat(&dir, &filter))).collect();
        println!("zstdcat of the same files | {name}: {}", shown(&mut all));
    }
}

/// An app that logs 100,000 lines a second beside a calm one.
fn flood(world: &World) {
    let calm = world.app("calm", "tests/apps/echo");
    calm.push().ok();
    let quiet = p99(world, &calm);
    let cpu = cpu_of(world, Duration::from_secs(10));
    println!("calm app: p99 {quiet:?}; serve uses {cpu:.1} % of a processor");
    let names = ["flood-1", "flood-2", "flood-3"];
    for (n, name) in names.iter().enumerate() {
        world.app(name, "tests/apps/flood").push().ok();
        // The burst is over when lines are dropped.
        wait_for("lines that are dropped", Duration::from_secs(120), || {
            world.user("ana").ssh(&["logs", name, "-n", "1", "--grep", "L10"]).ok().out.contains("dropped")
        });
        let cpu = cpu_of(world, Duration::from_secs(10));
        let during = p99(world, &calm);
        let said = format!("/calm-{n}");
        let begun = Instant::now();
        calm.get(&said).ok();
        wait_for("the calm line", Duration::from_secs(10), || calm.run("logs", &["-n", "20"]).ok().out.contains(&said));
        println!(
            "{} floods: calm app's p99 {during:?}, its line shown after {:.0} ms; serve uses {cpu:.1} % of a processor; \
            memory of serve (Pss) {:.1} MB",
            n + 1,
            begun.elapsed().as_secs_f64() * 1000.0,
            pss(world)
        );
    }
    for name in names {
        world.user("ana").ssh(&["apps:destroy", name, "--confirm", name]).ok();
    }
}

fn p99(world: &World, app: &App<'_>) -> Duration {
    let quiet = Instant::now();
    let (_, report) = world.load(&app.host(), 100, || {
        wait_for("ten seconds of load", Duration::from_secs(20), || quiet.elapsed() > Duration::from_secs(10));
    });
    report.none_lost();
    report.percentile(0.99)
}

/// Writes segments as the server has them before they are sealed; returns bytes of text and lines.
fn fill(dir: &Path) -> (u64, u64) {
    std::fs::create_dir_all(dir).unwrap();
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    let (mut random, mut text, mut lines, mut number) = (Random(88_172_645_463_325_252), 0_u64, 0_u64, 100_u64);
    let mut time = now - SPAN_MICROS;
    let step = SPAN_MICROS / (TEXT / 103);
    while text < TEXT {
        number += 1;
        let mut segment = format!("@F\t#{lines}\n");
        while segment.len() < SEGMENT && text < TEXT {
            time = (time + random.below(2 * step)).min(now - 1);
            let (origin, line) = match lines {
                1000 => ("app\tweb\tweb.1\t12\to".to_owned(), format!("job 77 {NEEDLE} done")),
                0..200 => ("app\tclock\tclock.1\t12\to".to_owned(), format!("tick {lines}")),
                _ => realistic(&mut random, lines),
            };
            let _ = writeln!(segment, "{time}\t{origin}\t{line}");
            text += line.len() as u64 + 1;
            lines += 1;
        }
        segment.push_str("@P\n");
        let mut file = std::fs::File::create(dir.join(format!("{number:08}.log"))).unwrap();
        file.write_all(segment.as_bytes()).unwrap();
    }
    (text, lines)
}

fn realistic(random: &mut Random, n: u64) -> (String, String) {
    let path = ["/api/users", "/api/orders/", "/static/app.js", "/health", "/api/search?q=", "/login"]
        [random.below(6) as usize];
    let instance = 1 + random.below(2);
    let web = format!("app\tweb\tweb.{instance}\t12\to");
    match random.below(5) {
        0 => (
            web,
            format!(
                r#"{{"level":"info","msg":"request done","method":"GET","path":"{path}{}","status":200,"ms":{},"req":"{:016x}"}}"#,
                random.below(10_000),
                random.below(900),
                random.next()
            ),
        ),
        1 => (
            "app\tworker\tworker.1\t12\to".to_owned(),
            format!(
                "INFO  [worker-{}] processed job {n} of queue mailers in {} ms",
                random.below(8),
                random.below(500)
            ),
        ),
        2 | 3 => (
            "router\trouter\trouter\t0\to".to_owned(),
            format!(
                "at=info method=GET path=\"{path}\" host=shop.example.com request_id={:08x}-{:04x} fwd=\"10.{}.{}.{}\" instance=web.{instance} \
             connect=0ms service={}ms status={} bytes={} protocol=http1.1 tls=false",
                random.below(1 << 32),
                random.below(65_536),
                random.below(255),
                random.below(255),
                random.below(255),
                random.below(300),
                if random.below(1000) == 0 { 500 } else { 200 },
                random.below(90_000)
            ),
        ),
        _ => (
            web.replace("\to", "\te"),
            format!(
                "DEBUG cache miss for key user:{}:profile, loading from database (pool={} idle={})",
                random.below(100_000),
                random.below(20),
                random.below(20)
            ),
        ),
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }
}

/// A connection that stays open; commands go over it.
struct Master<'a> {
    user: &'a User,
    socket: PathBuf,
}

impl Master<'_> {
    fn open(user: &User) -> Master<'_> {
        let master = Master { user, socket: user.home.join("mux") };
        let mut open = master.command(&["-MNf"], &[]);
        assert!(open.stdin(Stdio::null()).status().unwrap().success());
        master
    }

    fn command(&self, options: &[&str], words: &[&str]) -> Command {
        let plain = self.user.ssh_command(words);
        let mut command = program(plain.get_program());
        command.arg("-o").arg(format!("ControlPath={}", self.socket.display())).args(options).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    fn ssh(&self, words: &[&str]) -> String {
        let out = self.command(&[], words).stdin(Stdio::null()).output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    }
}

impl Drop for Master<'_> {
    fn drop(&mut self) {
        let _ = self.command(&["-O", "exit"], &[]).stderr(Stdio::null()).status();
    }
}

/// The folder of the only app's log.
fn log_dir(data: &Path) -> PathBuf {
    let apps = data.join("logs/apps");
    wait_for("the app's log", Duration::from_secs(10), || {
        std::fs::read_dir(&apps).is_ok_and(|mut d| d.next().is_some())
    });
    std::fs::read_dir(apps).unwrap().next().unwrap().unwrap().path()
}

fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(dir).unwrap().flatten().map(|e| e.path());
    let mut some: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == ending)).collect();
    some.sort();
    some
}

fn count(dir: &Path, ending: &str) -> usize {
    files(dir, ending).len()
}

fn size(dir: &Path, ending: &str) -> u64 {
    files(dir, ending).iter().map(|p| p.metadata().unwrap().len()).sum()
}

fn zstdcat(dir: &Path, filter: &[&str]) {
    let mut cat = program("zstdcat").args(files(dir, "zst")).stdout(Stdio::piped()).spawn().unwrap();
    let mut last = program(filter[0]);
    last.args(&filter[1..]).stdin(cat.stdout.take().unwrap()).stdout(Stdio::null());
    assert!(last.status().unwrap().success() && cat.wait().unwrap().success());
}

fn drop_caches() {
    let _ = program("sync").status();
    std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
}

fn serve_pid(world: &World) -> u32 {
    processes(&world.data(), "serve")[0]
}

fn cpu_seconds(world: &World) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", serve_pid(world))).unwrap();
    let after = stat.rsplit_once(") ").unwrap().1;
    let ticks = |n: usize| after.split(' ').nth(n).unwrap().parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// Percent of one processor over a while.
fn cpu_of(world: &World, span: Duration) -> f64 {
    let (before, begun) = (cpu_seconds(world), Instant::now());
    wait_for("the end of the measurement", span * 2, || begun.elapsed() >= span);
    (cpu_seconds(world) - before) / begun.elapsed().as_secs_f64() * 100.0
}

fn field(world: &World, file: &str, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/{file}", serve_pid(world))).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or(" 0 kB");
    line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1000.0
}

fn pss(world: &World) -> f64 {
    field(world, "smaps_rollup", "Pss:")
}

fn high_water(world: &World) -> f64 {
    field(world, "status", "VmHWM:")
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn seconds(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn shown(values: &mut [f64]) -> String {
    let middle = median(values);
    format!("{middle:.3} s ({:.3} to {:.3}, n {})", values[0], values[values.len() - 1], values.len())
}
