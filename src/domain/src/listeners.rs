//! Reads the kernel's lists of TCP sockets: what an app that does not answer listens on instead, and whether it has taken a
//! connection.

use crate::app_settings::SECONDS_MAX;
use crate::refusal::{Code, Refusal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The address at which Docker's resolver listens inside every instance; not the app's.
const RESOLVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
/// The kernel's number for a socket that listens.
const LISTEN: &str = "0A";
/// For one whose last step the kernel waits for, or keeps back.
const SYN_RECV: &str = "03";
/// For one that is connected, and for one that the other side has ended.
const ESTABLISHED: &str = "01";
const CLOSE_WAIT: &str = "08";

/// A socket that accepts connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listener {
    /// The address it is bound to.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
}

impl Listener {
    /// Whether connections from outside the instance reach it: bound to every address, or to one that is not loopback.
    pub fn is_reachable(&self) -> bool {
        match self.address {
            IpAddr::V4(address) => !address.is_loopback(),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(mapped) => !mapped.is_loopback(),
                // Traffic comes over IPv4, which only a socket on every address takes.
                None => address.is_unspecified(),
            },
        }
    }
}

/// The listeners in the texts of `/proc/PID/net/tcp` and `tcp6`, in order, each once; lines that do not parse are skipped.
pub fn parse(tcp: &str, tcp6: &str) -> Vec<Listener> {
    let mut all: Vec<Listener> = tcp.lines().chain(tcp6.lines()).filter_map(listener).collect();
    all.retain(|one| one.address != RESOLVER);
    all.sort();
    all.dedup();
    all
}

/// What became of a connection that was made to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// The kernel has it; no process has accepted it. A master that opened the port for its workers lets it wait there.
    Waiting,
    /// A process holds it.
    Taken,
    /// The kernel keeps it from the process until it brings data (the server asked for that: TCP_DEFER_ACCEPT), or because
    /// there is no room among those that wait.
    KeptBack,
    /// It is not in the lists: closed again, most likely.
    Unseen,
}

/// The connection from `from` to `port`, in the texts of `/proc/PID/net/tcp` and `tcp6`. One that nobody has accepted has no
/// inode yet.
pub fn connection(tcp: &str, tcp6: &str, from: SocketAddr, port: u16) -> Connection {
    let mut lines = tcp.lines().chain(tcp6.lines());
    let found = lines.find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (here, there) = (words.get(1)?.rsplit_once(':')?.1, words.get(2)?.split_once(':')?);
        let address = match parse_address(there.0)? {
            IpAddr::V6(address) => address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4),
            address @ IpAddr::V4(_) => address,
        };
        let is_it = address == from.ip()
            && u16::from_str_radix(there.1, 16).ok()? == from.port()
            && u16::from_str_radix(here, 16).ok()? == port;
        let state = match *words.get(3)? {
            SYN_RECV => Connection::KeptBack,
            ESTABLISHED | CLOSE_WAIT if *words.get(9)? == "0" => Connection::Waiting,
            ESTABLISHED | CLOSE_WAIT => Connection::Taken,
            _ => return None,
        };
        is_it.then_some(state)
    });
    found.unwrap_or(Connection::Unseen)
}

/// What an instance was seen to listen on, as its port did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing: it is at work on its start still, or is no server.
    Nothing,
    /// Other ports, or addresses that nobody outside of it reaches; the one that explains most first.
    Elsewhere(Vec<Listener>),
    /// The port.
    There,
    /// Nobody could look.
    Unknown,
}

impl Seen {
    /// Of the listeners of an instance that should listen on `port`.
    pub fn of(listeners: &[Listener], port: u16) -> Seen {
        if listeners.iter().any(|one| one.port == port && one.is_reachable()) {
            return Seen::There;
        }
        // Nearest first: the right port on loopback explains more than another port.
        let mut nearest = listeners.to_vec();
        nearest.sort_by_key(|one| (one.port != port, !one.is_reachable(), *one));
        if nearest.is_empty() { Seen::Nothing } else { Seen::Elsewhere(nearest) }
    }

    /// What follows the instance's name in a sentence for the person whose app it is.
    pub fn words(&self, port: u16) -> String {
        match self {
            Seen::Nothing => "listens on no port yet".to_owned(),
            Seen::Elsewhere(all) => {
                let shown: Vec<String> = all.iter().take(3).map(shown).collect();
                format!("listens on {}; it must listen on 0.0.0.0:$PORT ({port})", shown.join(", "))
            }
            Seen::There => format!("listens on port {port}"),
            Seen::Unknown => "could not be looked at".to_owned(),
        }
    }
}

/// An instance whose port did not open in time.
#[derive(Debug, Clone, Copy)]
pub struct Late<'a> {
    /// `web.1`.
    pub label: &'a str,
    /// The app's name.
    pub app: &'a str,
    /// Its port.
    pub port: u16,
    /// How long it had.
    pub limit: Duration,
}

impl Late<'_> {
    /// The port did not open. What listens on nothing is most likely slow: more time comes first then, not the port.
    pub fn not_opened(self, seen: &Seen) -> Refusal {
        let Late { label, port, limit, .. } = self;
        let no =
            Refusal::new(Code::BootTimeout, format!("{label} did not open port {port} within {} s", limit.as_secs()));
        let listen = "make the app listen on 0.0.0.0 and the port in the variable PORT, commit, push again";
        match seen {
            Seen::Nothing => no
                .why(format!("{label} was running and listened on no port: it takes longer to start, or never listens"))
                .next(self.more_time())
                .next(listen),
            Seen::Elsewhere(_) | Seen::There | Seen::Unknown => {
                no.why(format!("{label} {}", seen.words(port))).next(listen)
            }
        }
    }

    /// The port opened, and no process took a connection.
    pub fn not_taken(self) -> Refusal {
        let Late { label, port, limit, .. } = self;
        let what = format!("{label} opened port {port} but took no connection within {} s", limit.as_secs());
        Refusal::new(Code::BootTimeout, what)
            .why("what it does before it serves takes longer, or never ends")
            .next(self.more_time())
            .next("make the app serve sooner, commit, push again")
    }

    fn more_time(self) -> String {
        let more = self.limit.as_secs().saturating_mul(3).clamp(1, SECONDS_MAX.into());
        format!("apps:set {} boot-timeout={more}  (if it only needs more time), push again", self.app)
    }
}

fn shown(listener: &Listener) -> String {
    match listener.address {
        IpAddr::V4(address) => format!("{address}:{}", listener.port),
        IpAddr::V6(address) => format!("[{address}]:{}", listener.port),
    }
}

/// `  0: 0100007F:0BB8 00000000:0000 0A …`
fn listener(line: &str) -> Option<Listener> {
    let mut words = line.split_ascii_whitespace();
    let local = words.nth(1)?;
    if words.nth(1)? != LISTEN {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    Some(Listener { address: parse_address(address)?, port: u16::from_str_radix(port, 16).ok()? })
}

/// The kernel writes each 32-bit word of an address in the byte order of the machine, which is little on all of ours.
fn parse_address(hex: &str) -> Option<IpAddr> {
    if !hex.is_ascii() {
        return None;
    }
    let word = |at: usize| u32::from_str_radix(hex.get(at..at + 8)?, 16).ok().map(u32::to_le_bytes);
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
            Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn check(tcp: &str, tcp6: &str, says: &str) {
        let tcp: String =
            tcp.lines().map(|l| format!("   0: {l} 00000000:00000000 00:00000000 00000000  1000\n")).collect();
        assert_eq!(Seen::of(&parse(&format!("{HEAD}{tcp}"), &format!("{HEAD}{tcp6}")), 5000).words(5000), says);
    }

    #[test]
    fn a_connection_waits_until_somebody_takes_it() {
        let from = "10.208.1.1:40000".parse().unwrap();
        let of = |tcp: &str, tcp6: &str| connection(&format!("{HEAD}{tcp}"), &format!("{HEAD}{tcp6}"), from, 5000);
        let line = |remote: &str, state: &str, inode: &str| {
            format!(
                "   1: 0201D00A:1388 {remote} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 20 4\n"
            )
        };
        let ours = "0101D00A:9C40";
        assert_eq!(of("", ""), Connection::Unseen);
        assert_eq!(of(&line(ours, "01", "0"), ""), Connection::Waiting);
        assert_eq!(of(&line(ours, "08", "0"), ""), Connection::Waiting);
        assert_eq!(of(&line(ours, "01", "88213"), ""), Connection::Taken);
        assert_eq!(of(&line(ours, "03", "0"), ""), Connection::KeptBack);
        // Not any more.
        for state in ["05", "06"] {
            assert_eq!(of(&line(ours, state, "0"), ""), Connection::Unseen);
        }
        // Of somebody else.
        assert_eq!(of(&line("0101D00A:9C41", "01", "0"), ""), Connection::Unseen);
        let mapped = |inode: &str| {
            format!(
                "   1: 0000000000000000FFFF00000201D00A:1388 0000000000000000FFFF00000101D00A:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0\n"
            )
        };
        assert_eq!(of("", &mapped("0")), Connection::Waiting);
        assert_eq!(of("", &mapped("7")), Connection::Taken);
    }

    #[test]
    fn what_apps_do_wrong() {
        check("", "", "listens on no port yet");
        check(
            "0100007F:0BB8 00000000:0000 0A",
            "",
            "listens on 127.0.0.1:3000; it must listen on 0.0.0.0:$PORT (5000)",
        );
        check(
            "00000000:1F90 00000000:0000 0A\n0100007F:1388 00000000:0000 0A",
            "",
            "listens on 127.0.0.1:5000, 0.0.0.0:8080; it must listen on 0.0.0.0:$PORT (5000)",
        );
        check("00000000:1388 00000000:0000 0A", "", "listens on port 5000");
        // Docker's own resolver, and connections that are not listeners.
        check("0B00007F:9C41 00000000:0000 0A\n0100007F:1388 0100007F:8000 01", "", "listens on no port yet");
        let v6 = |address: &str| format!("   0: {address}:1388 00000000000000000000000000000000:0000 0A x\n");
        check("", &v6("00000000000000000000000000000000"), "listens on port 5000");
        check(
            "",
            &v6("00000000000000000000000001000000"),
            "listens on [::1]:5000; it must listen on 0.0.0.0:$PORT (5000)",
        );
        check(
            "",
            &v6("0000000000000000FFFF00000100007F"),
            "listens on [::ffff:127.0.0.1]:5000; it must listen on 0.0.0.0:$PORT (5000)",
        );
    }

    #[test]
    fn a_slow_start_is_told_about_time_and_a_wrong_port_about_the_port() {
        let late = |secs| Late { label: "web.1", app: "shop", port: 5000, limit: Duration::from_secs(secs) };
        let slow = late(60).not_opened(&Seen::Nothing);
        assert_eq!(slow.what, "web.1 did not open port 5000 within 60 s");
        assert_eq!(slow.next[0], "apps:set shop boot-timeout=180  (if it only needs more time), push again");
        assert!(slow.next[1].contains("the port in the variable PORT"), "{slow}");
        let local = Listener { address: Ipv4Addr::LOCALHOST.into(), port: 3000 };
        let wrong = late(60).not_opened(&Seen::of(&[local], 5000));
        assert!(wrong.why.contains("127.0.0.1:3000") && wrong.next.len() == 1, "{wrong}");
        assert!(wrong.next[0].contains("the port in the variable PORT"), "{wrong}");
        let taken = late(2).not_taken();
        assert!(taken.next[0].starts_with("apps:set shop boot-timeout=6 "), "{taken}");
        assert!(late(SECONDS_MAX.into()).not_taken().next[0].contains(&format!("={SECONDS_MAX} ")));
    }

    #[test]
    fn any_text_is_taken() {
        for text in
            ["", "x", "0: :", "0: ZZZZZZZZ:ZZZZ x 0A", "0: ü100007F:0BB8 x 0A", "0: 0100007F:0BB8", "a b c 0A d"]
        {
            assert_eq!(parse(text, text), []);
        }
    }
}
