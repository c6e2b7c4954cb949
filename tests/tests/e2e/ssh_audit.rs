//! What ssh-audit, the tool, says of the server.

use e2e::{Output, World, program, repository, run, wait_for};
use std::collections::BTreeSet;
use std::time::Duration;

fn audit(world: &World, words: &[&str]) -> Output {
    let mut audit = program("ssh-audit");
    audit.args(["-n", "-p", &world.ssh.port().to_string()]).args(words).arg(world.ssh.ip().to_string());
    run(audit, b"", Duration::from_secs(120))
}

/// Algorithms that it calls failed, without comments of a line's own.
fn failed(said: &Output) -> BTreeSet<String> {
    let mut of = String::new();
    let mut failed = BTreeSet::new();
    for line in said.out.lines() {
        if let Some((_, rest)) = line.split_once(") ").filter(|_| line.starts_with('(')) {
            of = rest.split(' ').next().unwrap_or_default().to_owned();
        }
        if line.contains("[fail]") {
            failed.insert(of.clone());
        }
    }
    failed
}

#[test]
fn ssh_audit_has_nothing_to_fail() {
    let world = World::bare(&[]);
    // Made in the first seconds, beside the server that listens.
    wait_for("the RSA key", Duration::from_secs(60), || world.data().join("ssh_host_rsa_key").exists());
    let policy = repository().join("tests/ssh-audit.policy");
    wait_for("all host keys", Duration::from_secs(20), || audit(&world, &[]).out.contains("rsa-sha2-512"));
    audit(&world, &["-P", policy.to_str().unwrap()]).ok().says("Result: ").hides("Failed");
    // Without a policy, by its own rules. It fails NIST's curves for who drew them; FIPS-bound clients have no others.
    let said = audit(&world, &[]).says("(kex) curve25519-sha256").says("(mac) hmac-sha2-256-etm@openssh.com");
    let nist = ["ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "ecdsa-sha2-nistp256"];
    assert_eq!(failed(&said), nist.map(String::from).into(), "{said}");
}
