//! The firewall with real instances: who reaches whom. Needs root, Docker and the stacks; run it with `--ignored`.

use super::*;
use domain::InstallId;
use domain::addresses::{BUILDS, Subnet, bridge_name, network};
use engine::bench::{Bench, LABEL};
use engine::images::ensure_stack;
use engine::{Attachment, Docker, Engine, InstanceSpec, Limits, Mount, NetworkSpec, Status, listeners};
use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Answers every connection with a word.
const LISTENER: &str = "use IO::Socket::INET; my $s = IO::Socket::INET->new(Listen => 9, LocalPort => 5000, ReuseAddr => 1) \
                        or die; while (my $c = $s->accept) { print $c \"yes\\n\"; close $c }";
const PORT: u16 = 5000;
/// What a cloud's metadata service is reached at, and an address of a private network behind the host.
const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 252, 251, 2);
const HOST_SIDE: &str = "10.252.251.1/30";

struct World {
    bench: Arc<Bench>,
    install: InstallId,
    pool: Subnet,
    shares: Vec<Subnet>,
    image: String,
    out: PathBuf,
}

impl World {
    fn policy(&self) -> Policy {
        Policy {
            install: self.install.clone(),
            pool: self.pool,
            shares: self.shares.clone(),
            resolvers: resolvers().unwrap(),
            builds_may_reach: Vec::new(),
            host_services: Vec::new(),
        }
    }
    fn network(&self, n: u16) -> NetworkSpec {
        let subnet = network(&self.shares, n).unwrap();
        NetworkSpec {
            name: format!("{}-n{n}", self.bench.run),
            bridge: bridge_name(&self.install, n),
            subnet: (subnet.network(), subnet.prefix()),
            gateway: subnet.gateway(),
            members_talk: n != BUILDS,
            labels: self.bench.labels(),
        }
    }
    fn address(&self, n: u16, member: u32) -> Ipv4Addr {
        network(&self.shares, n).unwrap().address(member).unwrap()
    }
    fn instance(&self, n: u16, member: u32, argv: &[&str]) -> InstanceSpec {
        InstanceSpec {
            name: format!("{}-n{n}-i{member}", self.bench.run),
            image: self.image.clone(),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            env: BTreeMap::new(),
            cwd: Some("/tmp".to_owned()),
            capabilities: Vec::new(),
            read_only: false,
            mounts: vec![Mount::Bind { host: self.out.clone(), at: "/out".to_owned(), writable: true }],
            limits: Limits { memory: 1 << 30, cpu_millis: 1000, pids: 200, files: 1024 },
            attachment: Attachment { network: self.network(n).name, address: Some(self.address(n, member)) },
            hostname: "x".to_owned(),
            labels: BTreeMap::from([(LABEL.to_owned(), self.bench.run.clone())]),
        }
    }
    async fn listener(&self, n: u16, member: u32) {
        self.bench.docker.ensure_started(&self.instance(n, member, &["perl", "-e", LISTENER])).await.unwrap();
    }
    /// Tries to connect from inside network `n`; returns the names of those that answered.
    async fn reached(&self, n: u16, targets: &[(&str, Ipv4Addr, u16)]) -> Vec<String> {
        let tries: String = targets
            .iter()
            .map(|(name, address, port)| {
                format!("(timeout 2 bash -c 'cat </dev/tcp/{address}/{port}' | grep -q yes && echo {name}) & ")
            })
            .collect();
        let script = format!("({tries} wait) >/out/{n}.txt 2>/dev/null");
        self.finish(&self.instance(n, 40, &["bash", "-c", &script])).await;
        let text = std::fs::read_to_string(self.out.join(format!("{n}.txt"))).unwrap();
        let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
        names.sort();
        names
    }
    async fn finish(&self, spec: &InstanceSpec) {
        let docker: &Docker = &self.bench.docker;
        docker.ensure_started(spec).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(30), docker.wait(&spec.name)).await.unwrap().unwrap();
        assert!(matches!(ended, Status::Exited { code: 0, .. }), "{ended:?}");
        docker.remove(&spec.name).await.unwrap();
    }
}

/// A neighbour of the host in a network namespace of its own, at the metadata address and at a private one.
struct Neighbour {
    name: String,
    listener: std::process::Child,
}

impl Neighbour {
    fn new(run: &str) -> Neighbour {
        let (name, host_end, far_end) = (format!("hst{run}"), format!("v{run}"), format!("w{run}"));
        ip(&["netns", "add", &name]);
        ip(&["link", "add", &host_end, "type", "veth", "peer", "name", &far_end]);
        ip(&["link", "set", &far_end, "netns", &name]);
        ip(&["addr", "add", HOST_SIDE, "dev", &host_end]);
        ip(&["link", "set", &host_end, "up"]);
        let inside = |args: &[&str]| ip(&[&["-n", &name], args].concat());
        inside(&["addr", "add", &format!("{PRIVATE}/30"), "dev", &far_end]);
        inside(&["addr", "add", &format!("{METADATA}/32"), "dev", &far_end]);
        inside(&["link", "set", &far_end, "up"]);
        inside(&["route", "add", "default", "via", HOST_SIDE.trim_end_matches("/30")]);
        ip(&["route", "add", &format!("{METADATA}/32"), "dev", &host_end]);
        let listener = Command::new("ip").args(["netns", "exec", &name, "perl", "-e", LISTENER]).spawn().unwrap();
        Neighbour { name, listener }
    }
    fn reaches(&self, address: Ipv4Addr) -> bool {
        let script = format!("cat </dev/tcp/{address}/{PORT}");
        let inside = ["netns", "exec", &self.name, "timeout", "2", "bash", "-c", &script];
        let output = Command::new("ip").args(inside).output().unwrap();
        output.stdout.starts_with(b"yes")
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.listener.kill();
        let _ = self.listener.wait();
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(args: &[&str]) {
    assert!(Command::new("ip").args(args).status().unwrap().success(), "ip {args:?}");
}

/// From the host, as the router does.
fn host_reaches(address: Ipv4Addr) -> bool {
    let Ok(mut stream) = TcpStream::connect_timeout(&SocketAddr::from((address, PORT)), Duration::from_secs(2)) else {
        return false;
    };
    let mut text = String::new();
    stream.read_to_string(&mut text).is_ok() && text == "yes\n"
}

/// Listens on every address of the host.
fn host_listener() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut stream, b"yes\n");
        }
    });
    port
}

/// Each test has a pool of its own: two that run at once would make the same networks.
async fn open(bench: Arc<Bench>, stack: &str, pool: &str) -> World {
    let image = ensure_stack(&bench.docker, &bench.registry, &Bench::stacks(), stack).await.unwrap().image;
    let install = InstallId::from_random(rand::random());
    let pool: Subnet = pool.parse().unwrap();
    let shares = domain::addresses::shares_to_try(pool, &install).into_iter().take(1).collect();
    let out = bench.data.path().join("out");
    std::fs::create_dir(&out).unwrap();
    World { bench, install, pool, shares, image, out }
}

/// Undoes the table also when the test fails.
async fn with_firewall<F: Future<Output = ()>>(
    stack: &'static str,
    pool: &'static str,
    body: impl FnOnce(Arc<World>, Arc<Firewall>) -> F,
) {
    Bench::with(|bench| async move {
        let world = Arc::new(open(bench, stack, pool).await);
        let firewall = Arc::new(Firewall::new(&world.policy()));
        let body = std::panic::AssertUnwindSafe(body(world.clone(), firewall.clone()));
        let outcome = futures_util::FutureExt::catch_unwind(body).await;
        firewall.remove().await.unwrap();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the server suite of tests/run: needs root, Docker, the run stack, 20 seconds"]
async fn who_reaches_whom() {
    with_firewall("deb13-run", "10.253.0.0/16", |world, firewall| async move {
        for n in [BUILDS, 1, 2] {
            world.bench.docker.ensure_network(&world.network(n)).await.unwrap();
        }
        tokio::join!(world.listener(BUILDS, 10), world.listener(1, 10), world.listener(2, 10));
        let neighbour = Neighbour::new(&world.bench.run);
        let host_port = host_listener();
        let eth = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        eth.connect("192.0.2.1:9").unwrap();
        let std::net::IpAddr::V4(eth) = eth.local_addr().unwrap().ip() else { panic!() };
        let targets = [
            ("a-app1", world.address(1, 10), PORT),
            ("b-app2", world.address(2, 10), PORT),
            ("c-build", world.address(BUILDS, 10), PORT),
            ("d-gateway", world.address(1, 1), host_port),
            ("e-own-gateway", world.address(BUILDS, 1), host_port),
            ("f-host", eth, host_port),
            ("g-metadata", METADATA, PORT),
            ("h-private", PRIVATE, PORT),
        ];
        // Without rules the things tried do answer.
        let open_app = world.reached(1, &targets).await;
        assert_eq!(open_app, ["a-app1", "d-gateway", "e-own-gateway", "f-host", "g-metadata", "h-private"]);
        let open_build = world.reached(BUILDS, &targets).await;
        assert_eq!(open_build, ["d-gateway", "e-own-gateway", "f-host", "g-metadata", "h-private"]);

        let started = Instant::now();
        assert_eq!(firewall.ensure().await.unwrap(), Ensured::Replaced);
        let took = started.elapsed();
        assert_eq!(firewall.ensure().await.unwrap(), Ensured::Unchanged);
        eprintln!("made in {took:?}, looked at in {:?}", started.elapsed() - took);
        assert_eq!(world.reached(1, &targets).await, ["a-app1", "h-private"], "an app");
        assert_eq!(world.reached(BUILDS, &targets).await, Vec::<String>::new(), "a build");
        opened(&world, &targets, host_port).await;
        assert_eq!(firewall.ensure().await.unwrap(), Ensured::Replaced);
        for n in [BUILDS, 1, 2] {
            assert!(host_reaches(world.address(n, 10)), "the router reaches network {n}");
            assert!(!neighbour.reaches(world.address(n, 10)), "an outsider does not reach network {n}");
        }
        let one = world.bench.docker.inspect(&format!("{}-n1-i10", world.bench.run)).await.unwrap().unwrap();
        let Status::Running { pid } = one.status else { panic!("{one:?}") };
        assert_eq!(
            domain::listeners::Seen::of(&listeners(pid).unwrap(), 3000).words(3000),
            "listens on 0.0.0.0:5000; it must listen on 0.0.0.0:$PORT (3000)"
        );
        tampering(&world, &firewall).await;
        drop(neighbour);
    })
    .await;
}

/// A port of the host that an operator opens is open to apps, at whichever address of the host, and to no build.
async fn opened(world: &World, targets: &[(&str, Ipv4Addr, u16)], port: u16) {
    let firewall = Firewall::new(&Policy { host_services: vec![port], ..world.policy() });
    assert_eq!(firewall.ensure().await.unwrap(), Ensured::Replaced);
    let reached = world.reached(1, targets).await;
    assert_eq!(reached, ["a-app1", "d-gateway", "e-own-gateway", "f-host", "h-private"], "an app");
    assert_eq!(world.reached(BUILDS, targets).await, Vec::<String>::new(), "a build");
}

/// A table that is not ours any more is noticed and replaced; other tables are not touched.
async fn tampering(world: &World, firewall: &Firewall) {
    let table = format!("hoist_{}", world.install);
    let nft = |words: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        assert!(Command::new("nft").args(&words).status().unwrap().success(), "{words:?}");
    };
    assert!(Firewall::new(&world.policy()).verify().await.unwrap(), "a new process knows it by its mark");
    let other = Policy { resolvers: Vec::new(), ..world.policy() };
    assert!(!Firewall::new(&other).verify().await.unwrap(), "not what another policy asks for");
    nft(&format!("add table inet {table}x"));
    nft(&format!("flush chain inet {table} to_host"));
    assert!(!firewall.verify().await.unwrap(), "one chain was emptied");
    assert_eq!(firewall.ensure().await.unwrap(), Ensured::Replaced);
    nft(&format!("delete table inet {table}"));
    assert_eq!(firewall.ensure().await.unwrap(), Ensured::Replaced);
    nft(&format!("delete table inet {table}x"));
    firewall.remove().await.unwrap();
    firewall.remove().await.unwrap();
    assert!(!firewall.verify().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in the server suite of tests/run: needs root, Docker, the build stack, a package registry"]
async fn builds_reach_package_registries() {
    with_firewall("deb13-build", "10.251.0.0/16", |world, firewall| async move {
        firewall.ensure().await.unwrap();
        world.bench.docker.ensure_network(&world.network(BUILDS)).await.unwrap();
        let bundle = "/etc/ssl/certs/ca-certificates.crt";
        let mut spec = world.instance(BUILDS, 11, &["bash", "-c", "npm view is-number version >/out/npm.txt 2>&1"]);
        spec.mounts.push(Mount::Bind { host: bundle.into(), at: bundle.to_owned(), writable: false });
        spec.mounts.push(Mount::Tmpfs { at: "/tmp".to_owned(), size: 64 << 20 });
        spec.env =
            [("NODE_EXTRA_CA_CERTS", bundle), ("HOME", "/tmp")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
        let started = Instant::now();
        world.finish(&spec).await;
        let said = std::fs::read_to_string(world.out.join("npm.txt")).unwrap();
        eprintln!("npm says {said:?} after {:?}", started.elapsed());
        assert!(said.starts_with(|c: char| c.is_ascii_digit()), "{said}");
    })
    .await;
}
