//! A sound machine has no findings; each planted fault is found alone, with its state and its fix.

use super::*;
use crate::floors::Part;
use std::net::IpAddr;

fn sound() -> Facts {
    let here: IpAddr = "203.0.113.7".parse().unwrap();
    let listener = |what, port| Listener { what, port, holders: vec!["hoist (7)".to_owned()], ours: true };
    let disk = |what: &str| Disk {
        what: what.to_owned(),
        path: format!("/{what}"),
        bytes: Some((50_000_000_000, 100_000_000_000)),
        inodes: (900_000, 1_000_000),
    };
    Facts {
        docker: Ok(Docker {
            version: "26.1.5+dfsg1".to_owned(),
            api: "1.41".to_owned(),
            live_restore: true,
            store: "overlay2".to_owned(),
            parts: vec![(Part::Runc, "1.3.6".to_owned()), (Part::Containerd, "1.7.24".to_owned())],
        }),
        git: Some((2, 39)),
        programs: crate::programs::of_server().into_iter().map(|one| (one, true)).collect(),
        firewall: Firewall { holds: true, bridges_call: Some(true) },
        listeners: vec![listener("ssh", 2222), listener("http", 80)],
        router: Some(Router { pid: 7, user: Some("hoist-router".to_owned()), generation: 4, current: true }),
        router_is_ours: true,
        names: Some(Names {
            base: "apps.example".to_owned(),
            itself: Ok(vec![here]),
            below: Ok(vec!["192.0.2.1".parse().unwrap(), here]),
            ours: vec![here],
        }),
        stacks: vec![("deb13-run".to_owned(), true)],
        builder: Builder {
            installed: true,
            parts: Some(vec![(Part::BuildKit, "v0.13.2".to_owned()), (Part::Runc, "1.1.15+ds1-2+deb13u1".to_owned())]),
            old_allowed: false,
        },
        disks: vec![disk("data"), disk("docker")],
        folders: vec![Folder {
            path: "/data".to_owned(),
            mode: 0o700,
            owner: "root".to_owned(),
            wanted: "root".to_owned(),
        }],
        clock: Clock { now: BORN_LATER, stepped: 0, kept: Some(true) },
        queue: vec![Waiting { id: 3, idle: 60 }],
        step_max: 1000,
    }
}

const BORN_LATER: i64 = 1_800_000_000;

/// Spoils one thing: exactly this finding comes, and its fix says so.
fn check(spoil: impl FnOnce(&mut Facts), what: &str, state: State, fix: &str) {
    let mut facts = sound();
    spoil(&mut facts);
    let found: Vec<Finding> = findings(&facts).into_iter().filter(|f| f.state != State::Ok).collect();
    let [one] = &found[..] else { panic!("{what}: {found:#?}") };
    assert_eq!((one.check, one.state), (what, state), "{one:#?}");
    assert!(one.fix.contains(fix), "{one:#?}");
    assert!(!one.seen.is_empty());
}

fn docker(facts: &mut Facts) -> &mut Docker {
    facts.docker.as_mut().unwrap()
}

fn router(facts: &mut Facts) -> &mut Router {
    facts.router.as_mut().unwrap()
}

fn names(facts: &mut Facts) -> &mut Names {
    facts.names.as_mut().unwrap()
}

#[test]
fn a_sound_machine_is_ok_and_every_line_says_what_was_seen() {
    let found = findings(&sound());
    assert!(found.iter().all(|f| f.state == State::Ok && f.fix.is_empty() && !f.seen.is_empty()), "{found:#?}");
    let checks: Vec<&str> = found.iter().map(|f| f.check).collect();
    let all = "docker live-restore store programs git firewall bridges ssh http router domain wildcard stack builder disk disk folder \
               clock queue";
    assert_eq!(checks.join(" "), all);
}

#[test]
fn faults_of_what_builds_and_runs() {
    use State::{Bad, Warn};
    check(|f| f.docker = Err("Docker is not answering".to_owned()), "docker", Bad, "systemctl restart docker");
    check(|f| docker(f).version = "19.03.15".to_owned(), "docker", Bad, "20.10");
    check(|f| docker(f).parts[0].1 = "1.1.12".to_owned(), "docker-parts", Warn, "upgrade");
    check(
        |f| f.builder = Builder { installed: false, parts: None, old_allowed: false },
        "builder",
        Warn,
        "scripts/builder",
    );
    let old = |allowed: bool| {
        let parts = Some(vec![(Part::BuildKit, "v0.11.6".to_owned())]);
        move |f: &mut Facts| f.builder = Builder { installed: true, parts, old_allowed: allowed }
    };
    check(old(false), "builder", Bad, "scripts/builder");
    check(old(true), "builder", Warn, "scripts/builder");
    check(|f| docker(f).api = "1.40".to_owned(), "docker", Bad, "20.10");
    check(|f| docker(f).live_restore = false, "live-restore", Bad, "daemon.json");
    check(|f| docker(f).store = "vfs".to_owned(), "store", Warn, "overlay2");
    check(|f| f.git = Some((2, 20)), "git", Bad, "2.29");
    check(|f| f.git = None, "git", Bad, "git version");
    check(|f| f.stacks = vec![("deb13-run".to_owned(), false)], "stack", Bad, "scripts/stacks");
}

#[test]
fn programs_that_are_missing() {
    use State::{Bad, Warn};
    let lose =
        |f: &mut Facts, name| f.programs.iter_mut().filter(|(one, _)| one.name == name).for_each(|p| p.1 = false);
    let no_git = |f: &mut Facts| {
        f.git = None;
        lose(f, "git");
    };
    check(no_git, "programs", Bad, "apt-get install git");
    check(|f| lose(f, "rm"), "programs", Bad, "apt-get install coreutils");
    check(|f| lose(f, "timedatectl"), "programs", Warn, "apt-get install systemd");
    let mut facts = sound();
    lose(&mut facts, "nft");
    facts.firewall.holds = false;
    let bad: Vec<Finding> = findings(&facts).into_iter().filter(|f| f.state == Bad).collect();
    let told: Vec<(&str, &str)> = bad.iter().map(|f| (f.check, f.fix.as_str())).collect();
    let table = "install nft, as above; within 10 s the server makes the table";
    assert_eq!(told, [("programs", "apt-get install nftables"), ("firewall", table)]);
}

#[test]
fn faults_of_ways_in_and_out() {
    use State::{Bad, Warn};
    check(|f| f.firewall.holds = false, "firewall", Bad, "puts it back");
    check(|f| f.firewall.bridges_call = Some(false), "bridges", Bad, "sysctl -w");
    check(|f| f.firewall.bridges_call = None, "bridges", Bad, "modprobe br_netfilter");
    check(
        |f| (f.listeners[1].holders, f.listeners[1].ours) = (vec!["nginx (9)".to_owned()], false),
        "http",
        Bad,
        "--http-port",
    );
    check(|f| (f.listeners[0].holders, f.listeners[0].ours) = (vec![], false), "ssh", Bad, "restart hoist");
    check(|f| f.router = None, "router", Bad, "router.log");
    check(|f| (f.router, f.router_is_ours) = (None, false), "router", Bad, "systemctl start hoist-router");
    check(|f| router(f).current = false, "router", Bad, "doctor again");
    check(|f| router(f).user = Some("root".to_owned()), "router", Warn, "useradd");
    check(|f| names(f).itself = Err("no such name".to_owned()), "domain", Bad, "A record of apps.example");
    check(|f| names(f).below = Err("no such name".to_owned()), "wildcard", Bad, "A record of *.apps.example");
    let by_address = |f: &mut Facts| {
        (names(f).base, names(f).below) = ("203-0-113-7.sslip.io".to_owned(), Err("no answer".to_owned()));
    };
    check(by_address, "wildcard", Warn, "resolv.conf");
    check(|f| names(f).itself = Ok(vec!["192.0.2.1".parse().unwrap()]), "domain", Warn, "point apps.example here");
}

#[test]
fn faults_of_the_machine() {
    use State::{Bad, Warn};
    let gb = 1_000_000_000;
    check(|f| f.disks[0].bytes = Some((gb, 100 * gb)), "disk", Bad, "du -xh");
    check(|f| f.disks[1].bytes = Some((gb, 100 * gb)), "disk", Bad, "docker system df");
    check(|f| f.disks[1].bytes = Some((4 * gb, 10 * gb)), "disk", Warn, "docker system df");
    check(|f| f.disks[0].bytes = Some((40 * gb, 1000 * gb)), "disk", Warn, "du -xh");
    check(|f| f.disks[0].inodes = (500, 1_000_000), "disk", Bad, "du -xh");
    check(|f| f.disks[0].inodes = (20_000, 1_000_000), "disk", Warn, "du -xh");
    check(|f| f.disks[0].bytes = None, "disk", Warn, "df /data");
    check(|f| f.folders[0].mode = 0o755, "folder", Bad, "chmod 700 /data");
    check(|f| f.folders[0].owner = "ana".to_owned(), "folder", Bad, "chown -R root /data");
    check(|f| f.clock.now = 0, "clock", Bad, "timesyncd");
    check(|f| f.clock.stepped = -40, "clock", Warn, "timesyncd");
    check(|f| f.clock.kept = Some(false), "clock", Warn, "timesyncd");
    check(|f| f.queue.push(Waiting { id: 4, idle: 1001 }), "queue", Bad, "restart hoist");
    let mut calm = sound();
    (calm.queue, calm.clock.kept, calm.disks[0].inodes) = (vec![], None, (0, 0));
    assert!(findings(&calm).iter().all(|f| f.state == State::Ok));
}
