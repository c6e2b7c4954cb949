//! Pushes that are small on the wire and large in memory, and large ones that are meant well: both stay below 150 MB, counted
//! over git's processes and the server's growth.

use e2e::{App, Output, Peak, Running, User, World, peak, program, run};
use std::path::Path;
use std::time::Duration;

const MOST: u64 = 150_000_000;
const WITHIN: Duration = Duration::from_secs(600);

#[track_caller]
fn small(what: &str, peak: &Peak) {
    eprintln!("{what}: {} bytes at most in {} looks: {:?}", peak.bytes, peak.looks, peak.of);
    assert!(peak.looks > 5, "{peak:?}");
    assert!(peak.bytes < MOST, "{what}: {peak:?}");
}

/// `git-receive-pack` by hand: a client of git's would have to hold the bomb itself.
fn push_pack(world: &World, who: &User, app: &str, tip: &str, pack: &[u8]) -> Output {
    let line = format!("{} {tip} refs/heads/main\0report-status side-band-64k", "0".repeat(40));
    let mut wire = format!("{:04x}{line}0000", line.len() + 4).into_bytes();
    wire.extend_from_slice(pack);
    alive(world, run(who.ssh_command(&["git-receive-pack", &format!("/{app}")]), &wire, WITHIN))
}

/// The server must have outlived it.
#[track_caller]
fn alive(world: &World, said: Output) -> Output {
    assert_eq!(world.running("serve"), 1, "the server is gone: {said}");
    said
}

/// A number as the heads of deltas have it: seven bits a byte, the lowest first.
fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// A zlib stream of one stored block.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    let length = u16::try_from(bytes.len()).unwrap();
    let mut out = vec![0x78, 0x01, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend_from_slice(bytes);
    out.extend((b << 16 | a).to_be_bytes());
    out
}

/// A pack of 16 MiB of zeros and a difference to them that takes them 200 times: 3.3 GB out of some 17 kB.
fn delta_bomb(app: &App<'_>, times: u64) -> Vec<u8> {
    const BASE: u64 = 0xff_ff_ff;
    std::fs::write(app.dir.join("zeros"), vec![0; BASE as usize]).unwrap();
    let oid = app.git(&["hash-object", "-w", "zeros"]).ok().out.trim().to_owned();
    let mut make = app.user.git_command(&app.dir, &["pack-objects", "-q"]);
    make.arg(app.dir.join("bomb"));
    let name = run(make, oid.as_bytes(), WITHIN).ok().out.trim().to_owned();
    let pack = std::fs::read(app.dir.join(format!("bomb-{name}.pack"))).unwrap();
    let base = &pack[12..pack.len() - 20];
    let mut delta = [varint(BASE), varint(BASE * times)].concat();
    // Copy from the start, as many as three bytes can say.
    (0..times).for_each(|_| delta.extend([0x80 | 0x70, 0xff, 0xff, 0xff]));
    // Type 6, a difference to what lies so many bytes before; its size in the same way as all heads of entries.
    let mut entry = vec![0x80 | 6 << 4 | (delta.len() & 15) as u8];
    entry.extend(varint(delta.len() as u64 >> 4));
    let mut back = base.len() as u64;
    let mut offset = vec![(back & 0x7f) as u8];
    back >>= 7;
    while back > 0 {
        back -= 1;
        offset.insert(0, 0x80 | (back & 0x7f) as u8);
        back >>= 7;
    }
    entry.extend(offset);
    entry.extend(stored(&delta));
    let mut bomb = b"PACK\0\0\0\x02\0\0\0\x02".to_vec();
    bomb.extend_from_slice(base);
    bomb.extend(entry);
    let mut sum = program("sha1sum");
    sum.arg("-");
    let digest = run(sum, &bomb, WITHIN).ok().out;
    bomb.extend((0..40).step_by(2).map(|i| u8::from_str_radix(&digest[i..i + 2], 16).unwrap()));
    bomb
}

#[test]
fn a_pack_of_deltas_is_refused_below_the_limit_in_plain_words() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    app.push().ok();
    let bomb = delta_bomb(&app, 200);
    assert!(bomb.len() < 20_000, "{}", bomb.len());
    // A deploy key can as well.
    let ci = world.deploy_key("blog", "ci");
    for who in [&app.user, &ci] {
        let (said, peak) = peak(&world, || push_pack(&world, who, "blog", &app.head(), &bomb));
        small("a pack of deltas", &peak);
        let said = said.says("This push takes git more than 100.0 MB of memory").says("next: ");
        said.hides("died of signal").hides("malloc").hides("abnormal exit");
    }
    // One that fits is unpacked, and refused for what it is: no commit.
    let (said, peak) = peak(&world, || push_pack(&world, &ci, "blog", &"1".repeat(40), &delta_bomb(&app, 2)));
    small("a small one", &peak);
    said.hides("of memory");
    app.commit_change("more", "x");
    app.push().ok();
}

/// Git commands of a client that holds a bomb of its own making: its stack is not the point.
fn deep_git(app: &App<'_>, args: &[&str], input: &[u8]) -> Output {
    let plain = app.user.git_command(&app.dir, args);
    let mut git = program("prlimit");
    git.arg("--stack=unlimited").arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => git.env(name, value),
            None => git.env_remove(name),
        };
    }
    run(git, input, WITHIN)
}

#[test]
fn wide_and_deep_trees_are_refused_below_the_limit() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    app.push().ok();
    let blob = app.git(&["rev-parse", "HEAD:index.html"]).ok().out.trim().to_owned();
    // A folder of a million files, twice: one that git can hold and the server does not read, one that git cannot hold.
    for (entries, says) in [(600_000, "list of files is longer than 16.0 MB"), (3_000_000, "of memory")] {
        let list: String = (0..entries).map(|n| format!("100644 blob {blob}\tf{n:07}\n")).collect();
        let tree = deep_git(&app, &["mktree", "--missing"], list.as_bytes()).ok().out.trim().to_owned();
        let commit = app.git(&["commit-tree", "-m", "wide", &tree]).ok().out.trim().to_owned();
        let to = format!("{commit}:refs/heads/main");
        let (said, peak) = peak(&world, || app.git(&["push", "--force", "hoist", &to]));
        small(&format!("a folder of {entries}"), &peak);
        alive(&world, said).fails().says(says).says("next: ").hides("died of signal").hides("malloc");
    }
    // Git follows folders by calling itself; ours does not, and says where they end.
    let path = "d/".repeat(2_000);
    let import =
        format!("commit refs/heads/deep\ncommitter a <a@localhost> 1 +0000\ndata 0\nM 100644 {blob} {path}f\n");
    deep_git(&app, &["fast-import", "--quiet"], import.as_bytes()).ok();
    let (said, peak) = peak(&world, || deep_git(&app, &["push", "--force", "hoist", "deep:main"], b""));
    small("folders 2,000 deep", &peak);
    alive(&world, said).fails().says("cannot be unpacked safely").says("next: ");
    app.commit_change("more", "x");
    app.push().ok();
}

#[test]
fn a_large_file_and_a_long_history_still_push_and_clone() {
    let world = World::new();
    let app = world.app("big", "tests/apps/static");
    // Noise, so that it is as long on the wire.
    let mut noise = program("head");
    noise.args(["-c", "100000000", "/dev/urandom"]);
    let file = std::fs::File::create(app.dir.join("large.bin")).unwrap();
    assert!(noise.stdout(file).status().unwrap().success());
    app.commit_change("one", "1");
    let (said, first) = peak(&world, || app.push());
    said.ok();
    small("a file of 100 MB", &first);
    let history: String = (0..20_000)
        .map(|n| {
            let text = format!("line {n}\n").repeat(8);
            let from = if n == 0 { "from refs/heads/main^0\n" } else { "" };
            format!(
                "commit refs/heads/main\ncommitter a <a@localhost> {} +0000\ndata 2\nm\n{from}M 100644 inline d{}/f{}.txt\ndata {}\n{text}\n",
                1_600_000_000 + n, n % 20, n % 300, text.len()
            )
        })
        .collect();
    deep_git(&app, &["fast-import", "--quiet", "--force"], history.as_bytes()).ok();
    let (said, second) = peak(&world, || app.push());
    said.ok();
    small("20,000 commits", &second);
    let copy = world.folder("copies");
    app.user.git(&copy, &["clone", "-q", "--bare", &app.user.remote("big"), "copy"]).ok();
    let count = app.user.git(&copy.join("copy"), &["rev-list", "--count", "HEAD"]).ok();
    assert!(count.out.trim().parse::<u32>().unwrap() > 20_000, "{count}");
}

#[test]
fn pushes_of_one_user_have_a_bound_and_others_have_theirs() {
    let world = World::with(&[("pushes-per-user", "2")]);
    let app = world.app("blog", "tests/apps/static");
    app.push().ok();
    let (ci, bob) = (world.deploy_key("blog", "ci"), world.user("bob"));
    let hold = |who: &User| {
        // Its input stays open: a push that has not said what it wants.
        let plain = who.ssh_command(&["git-receive-pack", "/blog"]);
        let mut open = program("sh");
        open.args(["-c", "sleep 600 | exec \"$@\"", "sh"]).arg(plain.get_program()).args(plain.get_args());
        Running::start(open)
    };
    // The key of an app counts for its owner.
    let (_one, _two) = (hold(&app.user), hold(&ci));
    e2e::wait_for("two open pushes", Duration::from_secs(30), || children(&world).len() >= 2);
    app.commit_change("more", "x");
    app.push()
        .fails()
        .says("2 pushes are open for you")
        .says("next: wait until one of yours")
        .says("quota:set ana pushes=4");
    world.hoist(&["quota:set", "ana", "pushes=3"]).ok();
    app.push().ok();
    let his = world.app_of(bob, "his", "tests/apps/static");
    his.push().ok();
}

/// The processes of git that serve this world's data.
fn children(world: &World) -> Vec<u32> {
    let repos = world.data().join("repos");
    e2e::processes(&repos, "receive-pack")
}

#[test]
fn every_git_runs_within_its_walls() {
    let world = World::new();
    let app = world.app("blog", "tests/apps/static");
    app.push().ok();
    let plain = app.user.ssh_command(&["git-receive-pack", "/blog"]);
    let mut open = program("sh");
    open.args(["-c", "sleep 600 | exec \"$@\"", "sh"]).arg(plain.get_program()).args(plain.get_args());
    let _open = Running::start(open);
    let read = |pid: u32, file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    // What puts up the walls is there a moment before them.
    let walled = |pid: &u32| {
        read(*pid, "limits").lines().any(|l| l.starts_with("Max data size") && l.contains("100000000"))
            && read(*pid, "cmdline").contains("receive-pack")
    };
    e2e::wait_for("an open push within limits", Duration::from_secs(30), || children(&world).iter().any(walled));
    let pid = children(&world).into_iter().find(walled).unwrap();
    let read = |file: &str| read(pid, file);
    assert_eq!(read("oom_score_adj").trim(), "600");
    let group = format!("hoist-{}", world.install());
    let place = Path::new("/sys/fs/cgroup");
    if place.join("memory").join(&group).exists() || place.join(&group).exists() {
        assert!(read("cgroup").lines().any(|l| l.ends_with(&format!("/{group}"))), "{}", read("cgroup"));
    }
}
