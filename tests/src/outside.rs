//! A machine of its own for a visitor: a network namespace on a cable, with a resolver that answers as a test says.

use crate::proc::{Output, run};
use crate::programs::program;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(30);

/// A network namespace beside ours; removed when dropped.
#[derive(Debug)]
pub struct Outside {
    name: String,
    cable: String,
    /// The address on its end.
    pub there: Ipv4Addr,
    /// Our address on the cable, where a server is to listen and where the resolver answers.
    pub here: Ipv4Addr,
    _resolver: Resolver,
}

impl Outside {
    /// Lays a cable to a new namespace. `answer` is the DNS that both its programs and a `World::resolving` ask.
    pub fn new(answer: impl Fn(&str) -> Option<Ipv4Addr> + Send + 'static) -> Outside {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let (name, cable) =
            (format!("ho{}n{number}", std::process::id()), format!("ho{}c{number}", std::process::id()));
        // A network of four addresses out of 198.18.0.0/15, which nobody uses outside of measurements.
        let net = (std::process::id().wrapping_mul(7) + number) % 0x7fff;
        let address = |host| Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + net * 4 + host);
        let (here, there) = (address(1), address(2));
        let inside = format!("{cable}i");
        ip(&["netns", "add", &name]);
        ip(&["link", "add", &cable, "type", "veth", "peer", "name", &inside, "netns", &name]);
        ip(&["address", "add", &format!("{here}/30"), "dev", &cable]);
        ip(&["link", "set", &cable, "up"]);
        ip(&["-n", &name, "address", "add", &format!("{there}/30"), "dev", &inside]);
        ip(&["-n", &name, "link", "set", &inside, "up"]);
        let etc = etc(&name);
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::write(etc.join("resolv.conf"), format!("nameserver {here}\n")).unwrap();
        Outside { name, cable, there, here, _resolver: Resolver::start(here, answer) }
    }

    /// A program that runs there, not yet run.
    pub fn program(&self, words: &[&str]) -> std::process::Command {
        let mut ip = program("ip");
        ip.args(["netns", "exec", &self.name]).args(words);
        ip
    }

    /// Gets a URL there as a visitor would, by name.
    #[track_caller]
    pub fn curl(&self, url: &str) -> Output {
        let mut curl = program("ip");
        curl.args(["netns", "exec", &self.name, "curl", "-sS", "--noproxy", "*", "--max-time", "10", url]);
        run(curl, b"", DEADLINE)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = program("ip").args(["link", "delete", &self.cable]).status();
        let _ = program("ip").args(["netns", "delete", &self.name]).status();
        let _ = std::fs::remove_dir_all(etc(&self.name));
    }
}

fn etc(name: &str) -> PathBuf {
    PathBuf::from("/etc/netns").join(name)
}

#[track_caller]
fn ip(words: &[&str]) {
    let mut ip = program("ip");
    ip.args(words);
    run(ip, b"", DEADLINE).ok();
}

/// A thread that answers DNS over UDP: one A record, or none.
#[derive(Debug)]
struct Resolver {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Resolver {
    fn start(address: Ipv4Addr, answer: impl Fn(&str) -> Option<Ipv4Addr> + Send + 'static) -> Resolver {
        let socket = UdpSocket::bind((address, 53)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut packet = [0; 512];
            while !until.load(Ordering::Acquire) {
                let Ok((length, from)) = socket.recv_from(&mut packet) else { continue };
                if let Some(reply) = reply(&packet[..length], &answer) {
                    let _ = socket.send_to(&reply, from);
                }
            }
        });
        Resolver { stop, thread: Some(thread) }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The answer to a question of one name: its address for A, nothing for other types, NXDOMAIN if it has none.
fn reply(ask: &[u8], answer: &impl Fn(&str) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while *ask.get(at)? > 0 {
        let length = usize::from(ask[at]);
        labels.push(String::from_utf8_lossy(ask.get(at + 1..at + 1 + length)?).to_ascii_lowercase());
        at += 1 + length;
    }
    let question = ask.get(12..at + 5)?;
    let address = answer(&labels.join("."));
    let found = address.filter(|_| ask[at + 1..at + 3] == [0, 1]);
    let mut reply = ask.get(..2)?.to_vec();
    reply.extend([0x81, if address.is_some() { 0x80 } else { 0x83 }, 0, 1, 0, u8::from(found.is_some()), 0, 0, 0, 0]);
    reply.extend(question);
    if let Some(address) = found {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}
