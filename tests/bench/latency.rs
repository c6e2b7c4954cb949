//! Times trivial commands over SSH, against `true` by OpenSSH's sshd: same machine, same client, same kind of key.
//!
//! All are taken in turn in one run, so that their ratios hold when the machine's speed drifts. Also whether a stranger
//! could tell an app that is hidden from a name never used by how long the answer takes.
//! Run it by `tests/bench/latency`, which builds a release binary first. Needs `/usr/sbin/sshd`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "what fails in a measurement ends it"
)]

use e2e::{HostSshd, User, World, program, wait_for};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const COLD: usize = 40;
const WARM: usize = 100;
const TRIES: usize = 300;

fn main() {
    let world = World::new();
    let (ana, eve) = (world.user("ana"), world.user("eve"));
    for n in 0..20 {
        ana.ssh(&["apps:create", &format!("app{n}")]).ok();
    }
    ana.ssh(&["apps:create", "hidden"]).ok();
    let mut sshd = HostSshd::new();
    sshd.admit(&ana.public_key());
    sshd.run();
    let shell = ana.at(&sshd.user, sshd.address);

    let (mut ours, mut theirs) = (vec![], vec![]);
    for _ in 0..COLD {
        ours.push(millis(ana.ssh_command(&["whoami"])));
        theirs.push(millis(shell.ssh_command(&["true"])));
    }
    let base = median(&mut theirs);
    println!("cold, ssh HOST true by sshd: {}", shown(&mut theirs));
    println!("cold, whoami: {} = {:.2} x sshd (must 1, reach below)", shown(&mut ours), median(&mut ours) / base);

    let folder = world.folder("mux");
    let (to_us, to_sshd, as_eve) =
        (Master::open(&ana, &folder), Master::open(&shell, &folder), Master::open(&eve, &folder));
    let commands = ["whoami", "version", "apps:list"];
    let mut of_ours = vec![vec![]; commands.len()];
    let mut of_sshd = vec![];
    for _ in 0..WARM {
        for (n, command) in commands.iter().enumerate() {
            of_ours[n].push(millis(to_us.command(command)));
        }
        of_sshd.push(millis(to_sshd.command("true")));
    }
    println!("warm, ssh HOST true by sshd: {}", shown(&mut of_sshd));
    for (n, command) in commands.iter().enumerate() {
        println!("warm, {command}: {} (must 20 ms, reach 5 ms)", shown(&mut of_ours[n]));
    }

    for verb in ["ps", "config:set"] {
        let (mut hidden, mut absent) = (vec![], vec![]);
        for n in 0..TRIES * 2 {
            let (name, into) = if n % 2 == 0 { ("hidden", &mut hidden) } else { ("absent", &mut absent) };
            let line = format!("{verb} {name} {}", if verb == "ps" { "" } else { "A=1" });
            into.push(millis(as_eve.command(line.trim())));
        }
        let apart = median(&mut hidden) - median(&mut absent);
        println!(
            "{verb} by a stranger: hidden {}, never used {}: medians {apart:+.3} ms apart",
            shown(&mut hidden),
            shown(&mut absent)
        );
    }
}

/// A connection that is kept open and shared.
struct Master {
    user: User,
    socket: String,
    ssh: Child,
}

impl Master {
    fn open(user: &User, folder: &std::path::Path) -> Master {
        let socket = folder.join(format!("{}{}", user.login, user.name)).to_str().unwrap().to_owned();
        let mut ssh = program("ssh");
        ssh.args(["-M", "-N", "-S", &socket]).args(user.options()).args(["-p", &user.address.port().to_string()]);
        let ssh = ssh.arg(format!("{}@127.0.0.1", user.login)).stdin(Stdio::null()).spawn().unwrap();
        wait_for("the connection", Duration::from_secs(20), || std::path::Path::new(&socket).exists());
        Master { user: user.clone(), socket, ssh }
    }

    fn command(&self, line: &str) -> Command {
        let mut ssh = program("ssh");
        ssh.args(["-F", "/dev/null", "-S", &self.socket]).arg(format!("{}@127.0.0.1", self.user.login)).arg(line);
        ssh
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
    }
}

fn millis(mut command: Command) -> f64 {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let _ = command.status().unwrap();
    start.elapsed().as_secs_f64() * 1_000.0
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn shown(values: &mut [f64]) -> String {
    let middle = median(values);
    format!("{middle:.1} ms ({:.1} to {:.1})", values[values.len() / 10], values[values.len() * 9 / 10])
}
