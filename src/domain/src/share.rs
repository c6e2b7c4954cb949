//! One SSH port for two: what the host's own sshd is told, and the tickets by which its sessions reach us.
//!
//! sshd asks us, as root, whether a key is known, and gets a line of `authorized_keys` with a ticket in its forced command.
//! Invariant: a ticket stands for one key, works once, and not for long; without one nobody acts as anybody.
//! Absent: the clock and randomness, which come in; sockets.

use crate::refusal::Code;
use crate::refusal::Refusal;
use crate::time::Timestamp;
use std::collections::BTreeMap;

/// How long a ticket is good: sshd's own time limit for a login.
const GOOD_MILLIS: u64 = 120_000;
/// Tickets of one key; the oldest goes for another. A login takes one or two.
const PER_KEY: usize = 64;

/// Tickets that were handed out and not yet used.
#[derive(Debug, Clone, Default)]
pub struct Tickets {
    /// By ticket: the key's fingerprint, and when.
    open: BTreeMap<String, (String, Timestamp)>,
}

impl Tickets {
    /// Hands out a ticket for a key; `random` is its name.
    pub fn issue(&mut self, fingerprint: &str, random: [u8; 32], now: Timestamp) -> String {
        self.open.retain(|_, (_, at)| now.millis_since(*at) < GOOD_MILLIS);
        let of_key: Vec<(Timestamp, String)> =
            self.open.iter().filter(|(_, (f, _))| f == fingerprint).map(|(t, (_, at))| (*at, t.clone())).collect();
        if of_key.len() >= PER_KEY
            && let Some((_, oldest)) = of_key.into_iter().min()
        {
            self.open.remove(&oldest);
        }
        let ticket: String = random.iter().map(|b| format!("{b:02x}")).collect();
        self.open.insert(ticket.clone(), (fingerprint.to_owned(), now));
        ticket
    }

    /// The key that a ticket stands for; the ticket is used up.
    pub fn redeem(&mut self, ticket: &str, now: Timestamp) -> Option<String> {
        let (fingerprint, at) = self.open.remove(ticket)?;
        (now.millis_since(at) < GOOD_MILLIS).then_some(fingerprint)
    }
}

/// The line of `authorized_keys` for one login with a key.
pub fn authorized_line(public: &str, program: &str, socket: &str, ticket: &str) -> Result<String, Refusal> {
    let (program, socket) = (safe_path(program)?, safe_path(socket)?);
    Ok(format!("restrict,pty,command=\"{program} ssh-session {socket} {ticket}\" {public}"))
}

/// The file below `sshd_config.d` that hands the logins of `user` to us.
pub fn drop_in(user: &str, program: &str, data: &str) -> Result<String, Refusal> {
    let (program, data) = (safe_path(program)?, safe_path(data)?);
    Ok(format!(
        "# Hoist: {user}@this-host beside everybody else's logins. Made by `hoist sshd-config`; do not edit.
# The key decides who somebody is; {user} gets no shell, no forwarding, no file transfer.
Match User {user}
    AuthenticationMethods publickey
    PubkeyAuthentication yes
    PubkeyAcceptedAlgorithms ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256
    AuthorizedKeysFile none
    AuthorizedPrincipalsFile none
    TrustedUserCAKeys none
    AuthorizedKeysCommand {program} --data {data} ssh-keys %f
    AuthorizedKeysCommandUser root
    PasswordAuthentication no
    KbdInteractiveAuthentication no
    HostbasedAuthentication no
    DisableForwarding yes
    PermitTunnel no
    PermitUserRC no
    PermitTTY yes
    MaxSessions 10
    ClientAliveInterval 15
    ClientAliveCountMax 3
    AcceptEnv GIT_PROTOCOL
    Banner none
Match all
"
    ))
}

/// A path that means itself to sshd's parser, in `authorized_keys` and to a shell.
fn safe_path(path: &str) -> Result<&str, Refusal> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    if path.starts_with('/') && path.chars().all(plain) {
        return Ok(path);
    }
    Err(Refusal::new(Code::BadPath, format!("sshd cannot be told the path {}", crate::text::plain(path)))
        .why("it must be absolute, of letters, digits and / . _ - +")
        .next("put the program and the data folder where such a path leads"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp(0).plus_millis(millis)
    }

    #[test]
    fn a_ticket_works_once_for_its_key_and_not_for_long() {
        let mut tickets = Tickets::default();
        let (a, b) = (tickets.issue("SHA256:a", [1; 32], at(0)), tickets.issue("SHA256:b", [2; 32], at(0)));
        assert_eq!(a.len(), 64);
        assert_eq!(tickets.redeem("", at(1)), None);
        assert_eq!(tickets.redeem(&a, at(1)).as_deref(), Some("SHA256:a"));
        assert_eq!(tickets.redeem(&a, at(1)), None);
        assert_eq!(tickets.redeem(&b, at(120_000)), None);
        assert_eq!(tickets.redeem(&b, at(0)), None);
    }

    #[test]
    fn tickets_are_bounded() {
        let mut tickets = Tickets::default();
        let all: Vec<String> = (0..100).map(|n| tickets.issue("SHA256:a", [n; 32], at(i64::from(n)))).collect();
        let other = tickets.issue("SHA256:b", [200; 32], at(100));
        assert_eq!(tickets.open.len(), PER_KEY + 1);
        assert_eq!(tickets.redeem(&all[35], at(100)), None);
        assert!(tickets.redeem(&all[36], at(100)).is_some() && tickets.redeem(&other, at(100)).is_some());
        tickets.issue("SHA256:c", [201; 32], at(500_000));
        assert_eq!(tickets.open.len(), 1);
    }

    #[test]
    fn nothing_hides_in_a_path() {
        let line = authorized_line("ssh-ed25519 AAAA", "/usr/bin/hoist", "/run/hoist/ssh.sock", "00ff").unwrap();
        assert_eq!(
            line,
            "restrict,pty,command=\"/usr/bin/hoist ssh-session /run/hoist/ssh.sock 00ff\" ssh-ed25519 AAAA"
        );
        for bad in ["hoist", "/a b", "/a\nMatch all", "/a\"", "/$(id)", "/a%h", ""] {
            assert!(authorized_line("k", bad, "/s", "t").is_err() && drop_in("hoist", "/p", bad).is_err(), "{bad:?}");
        }
        let text = drop_in("hoist", "/usr/local/bin/hoist", "/var/lib/hoist").unwrap();
        assert!(text.contains("Match User hoist\n") && text.ends_with("Match all\n"), "{text}");
        assert!(text.contains("AuthorizedKeysCommand /usr/local/bin/hoist --data /var/lib/hoist ssh-keys %f\n"));
    }
}
