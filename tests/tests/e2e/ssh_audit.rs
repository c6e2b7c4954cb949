//! What ssh-audit, the tool, says of the server.

use e2e::{Output, World, program, repository, run};
use std::time::Duration;

fn audit(world: &World, words: &[&str]) -> Output {
    let mut audit = program("ssh-audit");
    audit.args(["-n", "-p", &world.ssh.port().to_string()]).args(words).arg(world.ssh.ip().to_string());
    run(audit, b"", Duration::from_secs(120))
}

#[test]
fn ssh_audit_has_nothing_to_fail() {
    let world = World::bare(&[]);
    let policy = repository().join("tests/ssh-audit.policy");
    audit(&world, &["-P", policy.to_str().unwrap()]).ok().says("Result: ").hides("Failed");
    // Without a policy, by its own rules. What it does not know yet it warns of; a failure is 3.
    let said =
        audit(&world, &[]).hides("[fail]").says("(kex) curve25519-sha256").says("(mac) hmac-sha2-256-etm@openssh.com");
    assert!([0, 2].contains(&said.code), "{said}");
}
