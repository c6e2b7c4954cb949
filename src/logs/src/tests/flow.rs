//! The whole, with its tasks: follow, tail, watch, finish, restart, rest.

use super::core::meta;
use super::writer::{Writer, app};
use crate::{Ask, Logs, LogsConfig};
use domain::Timestamp;
use log_format::{Filter, Grep, Record, SpoolKey};
use std::path::Path;
use std::time::{Duration, Instant};
use system::tasks::Tasks;
use tokio::sync::mpsc::Receiver;

const DEADLINE: Duration = Duration::from_secs(30);

async fn open(dir: &Path) -> (Logs, Tasks) {
    let tasks = Tasks::new();
    (Logs::open(LogsConfig::at(dir.to_owned()), &tasks).await.unwrap(), tasks)
}

/// A follower, its batches taken apart.
struct Tail {
    batches: Receiver<Vec<Record>>,
    waiting: std::collections::VecDeque<Record>,
}

impl Tail {
    async fn recv(&mut self) -> Option<Record> {
        while self.waiting.is_empty() {
            self.waiting.extend(self.batches.recv().await?);
        }
        self.waiting.pop_front()
    }

    async fn next(&mut self) -> Record {
        tokio::time::timeout(DEADLINE, self.recv()).await.unwrap().unwrap()
    }
}

async fn follow(logs: &Logs, app: &domain::AppId, last: usize) -> Tail {
    let ask = Ask { filter: Filter::default(), last: Some(last), follow: true };
    Tail { batches: logs.read(app, ask).await.unwrap(), waiting: Default::default() }
}

async fn take(from: &mut Tail, n: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < n {
        texts.push(from.next().await.text);
    }
    texts
}

fn numbered(n: u64) -> Vec<String> {
    (0..n).map(|n| format!("n-{n}")).collect()
}

#[tokio::test]
async fn a_hundred_thousand_lines_come_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, _tasks) = open(dir.path()).await;
    let meta = meta(1, "i1", "web.1");
    let spool = logs.follow(meta.clone()).await.unwrap();
    let mut watched = logs.watch(&meta.key).await.unwrap();
    let mut writer = Writer::new(&spool, 64 << 20);
    writer.numbered("n", 100_000);
    let finish = tokio::time::timeout(DEADLINE, logs.finish(&meta.key));
    let take = async {
        let mut direct = Vec::new();
        while let Some(record) = watched.recv().await {
            direct.push(record.text);
        }
        direct
    };
    let (finished, direct) = tokio::join!(finish, take);
    finished.unwrap().unwrap();
    assert_eq!(direct, numbered(100_000));
    let found = logs.query(&app(1), Filter::default(), usize::MAX).await.unwrap();
    assert_eq!(found.iter().map(|r| &r.text).collect::<Vec<_>>(), numbered(100_000).iter().collect::<Vec<_>>());
    assert_eq!((found[0].process.as_str(), found[0].instance.as_str(), found[0].release), ("web", "web.1", 3));
    assert!(!spool.exists() && !dir.path().join("spool/i1.json").exists());
    assert!(logs.watch(&meta.key).await.is_err());
    logs.finish(&meta.key).await.unwrap();
    let started = Instant::now();
    assert_eq!(logs.query(&app(1), Filter::default(), 100).await.unwrap()[0].text, "n-99900");
    let one = Filter { grep: Some(Grep::Text("n-77".into())), ..Filter::default() };
    assert_eq!(logs.query(&app(1), one, 3).await.unwrap()[2].text, "n-77999");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_tail_joins_without_gap_or_double() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, _tasks) = open(dir.path()).await;
    let meta = meta(1, "i1", "web.1");
    let mut writer = Writer::new(&logs.follow(meta).await.unwrap(), 1 << 20);
    let mut first = follow(&logs, &app(1), 10).await;
    writer.numbered("n", 50);
    assert_eq!(take(&mut first, 50).await, numbered(50));
    let mut tails = Vec::new();
    for _ in 0..20 {
        writer.numbered("n", 25);
        tails.push(follow(&logs, &app(1), usize::MAX).await);
        writer.numbered("n", 25);
    }
    for tail in &mut tails {
        assert_eq!(take(tail, 1050).await, numbered(1050));
    }
    logs.forget(&app(1)).await.unwrap();
    assert!(tokio::time::timeout(DEADLINE, tails[0].recv()).await.unwrap().is_none());
    assert!(!dir.path().join("apps").join(app(1).as_str()).exists() && !dir.path().join("spool/i1").exists());
}

#[tokio::test]
async fn a_new_process_goes_on_where_the_last_one_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let key: SpoolKey = "i1".parse().unwrap();
    let mut writer: Option<Writer> = None;
    for round in 0..10_u64 {
        let (logs, tasks) = open(dir.path()).await;
        let spool = logs.follow(meta(1, "i1", "web.1")).await.unwrap();
        let writer = writer.get_or_insert_with(|| Writer::new(&spool, 1 << 20));
        let mut tail = follow(&logs, &app(1), usize::MAX).await;
        writer.numbered("n", 700);
        // Ended with some of it stored, at another place each time.
        let enough = usize::try_from(writer.count - round * 60).unwrap();
        take(&mut tail, enough).await;
        writer.numbered("n", 300);
        tasks.shutdown(DEADLINE).await;
        writer.numbered("n", 10);
    }
    let (logs, _tasks) = open(dir.path()).await;
    logs.finish(&key).await.unwrap();
    let found = logs.query(&app(1), Filter::default(), usize::MAX).await.unwrap();
    assert_eq!(found.into_iter().map(|r| r.text).collect::<Vec<_>>(), numbered(10_100));
}

#[tokio::test]
async fn platform_lines_recent_lines_and_a_reused_name() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, _tasks) = open(dir.path()).await;
    logs.append(&app(1), Record::platform(Timestamp(7), "one\ntwo")).await;
    let found = logs.query(&app(1), Filter::default(), 10).await.unwrap();
    assert_eq!(found.iter().map(|r| r.text.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert!(logs.query(&app(2), Filter::default(), 10).await.unwrap().is_empty());
    for round in ["first", "second"] {
        let meta = meta(1, "b1", "build.1");
        let mut writer = Writer::new(&logs.follow(meta.clone()).await.unwrap(), 1 << 20);
        for n in 0..5 {
            writer.line(&format!("{round} {n}"));
        }
        let recent = logs.recent(&meta.key, 2).await.unwrap();
        assert_eq!(
            recent.iter().map(|r| r.text.clone()).collect::<Vec<_>>(),
            [format!("{round} 3"), format!("{round} 4")]
        );
        logs.finish(&meta.key).await.unwrap();
    }
    let build = Filter { processes: vec!["build".into()], ..Filter::default() };
    assert_eq!(logs.query(&app(1), build, 100).await.unwrap().len(), 10);
}

#[tokio::test]
async fn a_flood_does_not_hurt_the_neighbour() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, _tasks) = open(dir.path()).await;
    let mut flood = Writer::new(&logs.follow(meta(1, "i1", "web.1")).await.unwrap(), 64 << 20);
    let mut calm = Writer::new(&logs.follow(meta(2, "i2", "web.1")).await.unwrap(), 1 << 20);
    let mut tail = follow(&logs, &app(2), 0).await;
    let flooding = std::thread::spawn(move || (0..20).for_each(|_| flood.numbered("flood", 10_000)));
    let mut slowest = Duration::ZERO;
    for n in 0..20 {
        let started = Instant::now();
        calm.line(&format!("calm {n}"));
        assert_eq!(tail.next().await.text, format!("calm {n}"));
        slowest = slowest.max(started.elapsed());
    }
    flooding.join().unwrap();
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

#[tokio::test]
async fn many_spools_at_rest_cost_nothing_and_wake_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, tasks) = open(dir.path()).await;
    let mut writers = Vec::new();
    for n in 0..200_u8 {
        let spool = logs.follow(meta(n, &format!("i{n}"), "web.1")).await.unwrap();
        let mut writer = Writer::new(&spool, 1 << 20);
        writer.line("start");
        writers.push(writer);
    }
    let mut tail = follow(&logs, &app(77), 10).await;
    assert_eq!(tail.next().await.text, "start");
    for n in 0..200_u8 {
        let mut one = follow(&logs, &app(n), 10).await;
        assert_eq!(one.next().await.text, "start", "{n}");
    }
    // A turn of the store is the only thing that opens files; none may happen while nothing is written.
    let turns = || logs.shared.turns.load(std::sync::atomic::Ordering::Relaxed);
    let mut at = turns();
    let settled = Instant::now();
    while settled.elapsed() < DEADLINE {
        tokio::time::sleep(Duration::from_millis(300)).await;
        if turns() == at {
            break;
        }
        at = turns();
    }
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(turns(), at);
    let started = Instant::now();
    writers[77].line("awake");
    assert_eq!(tail.next().await.text, "awake");
    let latency = started.elapsed();
    assert!(latency < Duration::from_millis(500), "{latency:?}");
    eprintln!("woke after {latency:?}");
    assert_eq!(tasks.shutdown(DEADLINE).await, 0);
}

#[tokio::test]
async fn several_may_finish_one_spool() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, _tasks) = open(dir.path()).await;
    for round in 0..20 {
        let meta = meta(1, "i1", "web.1");
        let spool = logs.follow(meta.clone()).await.unwrap();
        Writer::new(&spool, 1 << 20).numbered("n", 50);
        let (a, b, c) = tokio::join!(logs.finish(&meta.key), logs.finish(&meta.key), logs.finish(&meta.key));
        a.and(b).and(c).unwrap();
        assert!(!spool.exists());
        assert_eq!(logs.query(&app(1), Filter::default(), usize::MAX).await.unwrap().len(), 50 * (round + 1));
    }
}

#[tokio::test]
async fn a_follower_that_is_too_slow_is_told_and_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, _tasks) = open(dir.path()).await;
    let meta = meta(1, "i1", "web.1");
    let mut writer = Writer::new(&logs.follow(meta.clone()).await.unwrap(), 64 << 20);
    let mut slow = follow(&logs, &app(1), 0).await;
    let mut quick = follow(&logs, &app(1), 0).await;
    for _ in 0..20 {
        writer.numbered("n", 10_000);
        take(&mut quick, 10_000).await;
    }
    // It takes none until all are there: some are on their way to it, most are not.
    let (mut got, mut told) = (0, 0);
    while got + told < 200_000 {
        let record = slow.next().await;
        match record.text.strip_prefix("Error L11 (reader too slow): ") {
            Some(text) => told += text.split(' ').next().unwrap().parse::<u64>().unwrap(),
            None => {
                assert_eq!(record.text, format!("n-{}", got + told));
                got += 1;
            }
        }
    }
    assert!(told > 90_000 && got > 1_000, "{got} {told}");
}

#[tokio::test]
async fn answers_larger_than_what_is_held_come_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, _tasks) = open(dir.path()).await;
    let meta = meta(1, "i1", "web.1");
    let mut writer = Writer::new(&logs.follow(meta.clone()).await.unwrap(), 64 << 20);
    writer.numbered("n", 300_000);
    logs.finish(&meta.key).await.unwrap();
    let texts = |found: Vec<Record>| found.into_iter().map(|r| r.text).collect::<Vec<_>>();
    let all = texts(logs.query(&app(1), Filter::default(), usize::MAX).await.unwrap());
    assert!(all == numbered(300_000), "all of them");
    let last = texts(logs.query(&app(1), Filter::default(), 123_456).await.unwrap());
    assert!(last == numbered(300_000)[300_000 - 123_456..], "the last 123,456");
    let nines = Filter { grep: Some(Grep::Regex("9$".into())), ..Filter::default() };
    let found = texts(logs.query(&app(1), nines, 29_000).await.unwrap());
    let want: Vec<String> = numbered(300_000).into_iter().filter(|t| t.ends_with('9')).skip(1_000).collect();
    assert!(found == want, "the last 29,000 that end with 9");
    let after = Filter { after: Some(299_989), ..Filter::default() };
    assert_eq!(logs.query(&app(1), after, usize::MAX).await.unwrap().len(), 10);
}

/// As the init does it: opened by the names in its folder, which are then taken away.
#[tokio::test]
async fn a_writer_whose_files_have_no_names_any_more_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, tasks) = open(dir.path()).await;
    let meta = meta(1, "i1", "web.1");
    logs.follow(meta.clone()).await.unwrap();
    let seen = logs.writer_dir(&meta.key);
    let mut tail = follow(&logs, &app(1), 10).await;
    for life in 0..3_u64 {
        let names: Vec<_> = ["0", "1"].map(|name| seen.join(name)).into();
        let file = std::fs::File::options().write(true).open(&names[(life % 2) as usize]).unwrap();
        names.iter().for_each(|name| std::fs::remove_file(name).unwrap());
        // What runs inside fills what it sees, and finds nothing of the log there.
        assert_eq!(std::fs::read_dir(&seen).unwrap().count(), 0);
        std::fs::write(seen.join("0"), "hoist-spool 1 9 9\n5 o forged\n").unwrap();
        std::fs::create_dir_all(seen.join("1/much/more")).unwrap();
        file.set_len(0).unwrap();
        let line = format!("hoist-spool 1 {life} {life}\n{life} o life {life}\n");
        std::os::unix::fs::FileExt::write_all_at(&file, line.as_bytes(), 0).unwrap();
        assert_eq!(tail.next().await.text, format!("life {life}"));
        logs.offer(&meta.key).await.unwrap();
    }
    assert_eq!(std::fs::read_dir(&seen).unwrap().count(), 2);
    // The watch is on the files: nothing is looked at by the clock.
    assert!(
        logs.shared
            .spools
            .lock()
            .unwrap()
            .values()
            .all(|spool| spool.watched.load(std::sync::atomic::Ordering::Relaxed))
    );
    logs.finish(&meta.key).await.unwrap();
    assert!(logs.query(&app(1), Filter::default(), 100).await.unwrap().iter().all(|r| r.text.starts_with("life ")));
    assert_eq!(tasks.shutdown(DEADLINE).await, 0);
}

/// Whatever stands in a spool's place, it ends, and so does its app.
#[tokio::test]
async fn hostile_spools_end() {
    let dir = tempfile::tempdir().unwrap();
    let (logs, _tasks) = open(dir.path()).await;
    type Harm = fn(&Path);
    let harms: [(&str, Harm); 9] = [
        ("sparse", |spool| {
            for name in ["0", "1"] {
                std::fs::write(spool.join(name), "hoist-spool 1 3 3\n1 o x\n").unwrap();
                std::fs::File::options().write(true).open(spool.join(name)).unwrap().set_len(15 << 40).unwrap();
            }
        }),
        ("link", |spool| {
            std::fs::remove_file(spool.join("0")).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", spool.join("0")).unwrap();
        }),
        ("folder", |spool| {
            std::fs::remove_file(spool.join("1")).unwrap();
            std::fs::create_dir_all(spool.join("1/0")).unwrap();
        }),
        ("pipe", |spool| {
            std::fs::remove_file(spool.join("0")).unwrap();
            rustix::fs::mknodat(
                rustix::fs::CWD,
                spool.join("0"),
                rustix::fs::FileType::Fifo,
                rustix::fs::Mode::RWXU,
                0,
            )
            .unwrap();
        }),
        ("socket", |spool| {
            std::fs::remove_file(spool.join("0")).unwrap();
            drop(std::os::unix::net::UnixListener::bind(spool.join("0")).unwrap());
        }),
        ("many", |spool| {
            (0..5_000).for_each(|n| std::fs::write(spool.join(format!("in/{n}")), "").unwrap());
        }),
        ("bytes", |spool| {
            use std::os::unix::ffi::OsStrExt;
            std::fs::write(spool.join("in").join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "").unwrap();
            std::fs::write(spool.join("0"), [b"hoist-spool 1 0 0\n".as_slice(), &[0xff; 3_000_000]].concat()).unwrap();
        }),
        ("backwards", |spool| {
            std::fs::write(spool.join("0"), format!("hoist-spool 1 {0} {0}\n1 o x\n", 1_u64 << 53)).unwrap();
            std::fs::write(spool.join("1"), "hoist-spool 1 0 0\n1 o x\n").unwrap();
        }),
        ("gone", |spool| std::fs::remove_dir_all(spool).unwrap()),
    ];
    for (n, (what, harm)) in harms.into_iter().enumerate() {
        let meta = meta(1, &format!("i{n}"), "web.1");
        let spool = logs.follow(meta.clone()).await.unwrap();
        Writer::new(&spool, 1 << 20).line(what);
        harm(&spool);
        tokio::time::timeout(DEADLINE, logs.finish(&meta.key)).await.expect(what).expect(what);
        assert!(!spool.exists(), "{what}");
    }
    let meta = meta(1, "i99", "web.1");
    let spool = logs.follow(meta).await.unwrap();
    harms[0].1(&spool);
    tokio::time::timeout(DEADLINE, logs.forget(&app(1))).await.unwrap().unwrap();
    assert!(!spool.exists());
}
