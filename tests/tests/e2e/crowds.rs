//! Many connections of one person or one place: everybody else still gets in.

use e2e::{Running, User, World, program, wait_for};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

/// Connections that say nothing, from an address of this machine.
fn silent(world: &World, from: Ipv4Addr, number: usize) -> Vec<TcpStream> {
    (0..number)
        .filter_map(|_| {
            let made = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
            bind(&made, &SocketAddrV4::new(from, 0)).unwrap();
            connect(&made, &world.ssh).ok()?;
            Some(TcpStream::from(made))
        })
        .collect()
}

/// How many of them the server keeps.
fn kept(all: &[TcpStream]) -> usize {
    // The server's first line may be there to be read; one that was turned away has an end, or an error.
    let open = |stream: &&TcpStream| {
        stream.set_nonblocking(true).unwrap();
        match stream.peek(&mut [0; 1]) {
            Ok(n) => n > 0,
            Err(err) => err.kind() == ErrorKind::WouldBlock,
        }
    };
    all.iter().filter(open).count()
}

#[test]
fn silent_connections_do_not_keep_an_administrator_out() {
    let world = World::new();
    let (boss, ana) = (world.admin("boss"), world.user("ana"));
    // A command that leaves an audit row: a later server knows the address by it.
    boss.ssh(&["apps:list"]).ok();
    for restarted in [false, true] {
        if restarted {
            // A server that has just started knows where people came from before.
            world.restart_serve();
        }
        let crowd: Vec<TcpStream> = (2..6).flat_map(|n| silent(&world, Ipv4Addr::new(127, 0, 0, n), 60)).collect();
        assert_eq!(crowd.len(), 240);
        let mut seen = 0;
        wait_for("a full door", Duration::from_secs(5), || {
            seen = kept(&crowd);
            seen <= 100
        });
        assert!(seen >= 40, "{seen} of them were let in");
        let begun = Instant::now();
        for user in [&boss, &ana] {
            user.ssh(&["whoami"]).ok();
        }
        assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    }
}

/// A connection that stays, as ControlMaster makes it.
fn idle(user: &User) -> Running {
    let mut ssh = program("ssh");
    ssh.arg("-N").args(user.options()).args(["-p", &user.address.port().to_string(), "-l", &user.login]);
    ssh.arg(user.address.ip().to_string());
    Running::start(ssh)
}

#[test]
fn idle_sessions_of_one_developer_leave_room_for_others() {
    let world = World::with(&[("sessions-per-user", "30")]);
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    ana.ssh(&["apps:create", "blog"]).ok();
    let ci = world.deploy_key("blog", "ci");
    // In batches: this machine has to make the clients as well.
    let mut all: Vec<Running> = Vec::new();
    for _ in 0..5 {
        all.extend((0..20).map(|n| idle(if n % 2 == 0 { &ana } else { &ci })));
        // Thirty stay; the others are told why and end.
        let most = all.len().min(30);
        wait_for("the server's answer", Duration::from_secs(60), || {
            all.iter_mut().map(|one| !one.is_over()).filter(|open| *open).count() <= most && sessions(&world) >= most
        });
    }
    wait_for("thirty that stay", Duration::from_secs(60), || {
        all.iter_mut().map(|one| !one.is_over()).filter(|open| *open).count() == 30
    });
    ana.ssh(&["whoami"]).exits(255).says("30 connections are open for you already");
    bob.ssh(&["whoami"]).ok();
    all.clear();
    wait_for("the places", Duration::from_secs(30), || ana.ssh(&["whoami"]).code == 0);
}

/// Connections to the server's port that are established, as the kernel lists them.
fn sessions(world: &World) -> usize {
    let port = format!("0100007F:{:04X}", world.ssh.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let open = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&port.as_str()) && fields.get(3) == Some(&"01")
    };
    table.lines().filter(open).count()
}

#[test]
fn commands_of_one_user_have_a_bound() {
    let world = World::with(&[("commands-per-user", "3")]);
    let (ana, bob) = (world.user("ana"), world.user("bob"));
    ana.ssh(&["apps:create", "blog"]).ok();
    let follow: Vec<Running> = (0..3).map(|_| Running::start(ana.ssh_command(&["logs", "blog", "-t"]))).collect();
    let mut said = String::new();
    wait_for("three commands", Duration::from_secs(30), || {
        let one = ana.ssh(&["whoami"]);
        said = one.all();
        one.code == 1
    });
    assert!(said.contains("3 commands run for you already") && said.contains("next: "), "{said}");
    bob.ssh(&["whoami"]).ok();
    // What an administrator sets for her holds at once; what she is shown says how much she has open.
    world.hoist(&["quota:set", "ana", "commands=4"]).ok();
    ana.ssh(&["quota"]).ok().says("set by root").says("sessions ").says("default (sessions-per-user)");
    let shown = world.hoist(&["quota", "ana", "--format", "json"]).ok().json();
    let of = |what: &str| shown.as_array().unwrap().iter().find(|row| row["what"] == what).unwrap()["used"].clone();
    assert_eq!((of("commands"), of("sessions"), of("pushes")), (3.into(), 3.into(), 0.into()));
    world.hoist(&["quota:set", "ana", "sessions=3"]).ok();
    ana.ssh(&["whoami"]).exits(255).says("3 connections are open for you").says("quota:set ana sessions=6");
    world.hoist(&["quota:unset", "ana", "sessions"]).ok().says("50 again, the default");
    drop(follow);
    wait_for("a place", Duration::from_secs(30), || ana.ssh(&["whoami"]).code == 0);
}
