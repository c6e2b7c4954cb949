//! What clients usually do, and what is not offered to them.

use super::*;

#[test]
fn commands_streams_and_exit_codes() {
    let world = world(Limits::default());
    for code in [0, 1, 3, 70, 127] {
        let done = world.ssh(&format!("exit {code}"));
        assert_eq!(done.status.code(), Some(code), "{}", text(&done.stderr));
    }
    let both = world.ssh("both");
    assert_eq!((text(&both.stdout).as_str(), text(&both.stderr).ends_with("to stderr\n")), ("to stdout\n", true));
    assert_eq!(text(&world.ssh("").stdout), "hello\n");
    assert_eq!(text(&world.ssh("echo 'a b'  $(id) \"c\nü").stdout), "'a b'  $(id) \"c\nü\n");
    let long = "x".repeat(100_000);
    assert_eq!(text(&world.ssh(&format!("echo {long}")).stdout).len(), 100_001);
    let broken = world.ssh("panic");
    assert_eq!(broken.status.code(), Some(70), "{}", text(&broken.stderr));
    for key in ["rsa", "ecdsa"] {
        let done = world.ssh_with(key, &["-o", "BatchMode=yes"], "exit 4").output().unwrap();
        assert_eq!(done.status.code(), Some(4), "{key}: {}", text(&done.stderr));
    }
    for kex in ["curve25519-sha256", "curve25519-sha256@libssh.org"] {
        for cipher in ["chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr"] {
            let options =
                ["-o", "BatchMode=yes", "-o", &format!("KexAlgorithms={kex}"), "-o", &format!("Ciphers={cipher}")];
            let done = world.ssh_with("key", &options, "exit 5").output().unwrap();
            assert_eq!(done.status.code(), Some(5), "{kex} {cipher}: {}", text(&done.stderr));
        }
    }
}

#[test]
fn what_is_not_offered() {
    let world = world(Limits::default());
    let refused = |key: &str, options: &[&str]| {
        let done = world.ssh_with(key, options, "exit 0").output().unwrap();
        assert_eq!(done.status.code(), Some(255), "{options:?}");
        text(&done.stderr)
    };
    let batch = ["-o", "BatchMode=yes"];
    assert!(refused("other", &batch).contains("Permission denied (publickey"), "unknown key");
    let explained = refused("other", &[]);
    assert!(explained.contains("this key is not known here: SHA256:"), "{explained}");
    assert!(explained.contains("Permission denied (publickey)."), "{explained}");
    for options in [
        ["-o", "BatchMode=yes", "-o", "PreferredAuthentications=password"],
        ["-o", "BatchMode=yes", "-o", "PubkeyAcceptedAlgorithms=ssh-rsa"],
        ["-o", "BatchMode=yes", "-o", "KexAlgorithms=diffie-hellman-group14-sha1"],
        ["-o", "BatchMode=yes", "-o", "Ciphers=aes128-cbc"],
    ] {
        refused(if options[3].ends_with("ssh-rsa") { "rsa" } else { "key" }, &options);
    }
    for (value, want) in [("version=2", "Some(\"version=2\")"), ("--split-string=id", "None"), ("version=3", "None")] {
        let done = world
            .ssh_with("key", &["-o", "BatchMode=yes", "-o", "SendEnv=GIT_PROTOCOL LANG"], "env")
            .env("GIT_PROTOCOL", value)
            .output()
            .unwrap();
        assert_eq!(text(&done.stdout).trim(), want);
    }
    let options = ["-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1"];
    assert!(refused("key", &options).contains("remote port forwarding failed"));
    let jump = world.ssh_with("key", &["-o", "BatchMode=yes", "-W", "127.0.0.1:22"], "").output().unwrap();
    assert_eq!(jump.status.code(), Some(255));
    let subsystem = world.ssh_with("key", &["-o", "BatchMode=yes", "-s"], "sftp").output().unwrap();
    assert_ne!(subsystem.status.code(), Some(0));
}

#[test]
fn many_sessions_and_multiplexing() {
    let world = world(Limits::default());
    let meet = |options: &[&str]| {
        let mut all: Vec<_> =
            (0..10).map(|_| world.ssh_with("key", options, "meet").stdin(Stdio::piped()).spawn().unwrap()).collect();
        wait_for(|| world.toy.running.load(Ordering::SeqCst) == 10);
        for ssh in &mut all {
            drop(ssh.stdin.take());
        }
        assert!(all.iter_mut().all(|ssh| ssh.wait().unwrap().success()));
        assert_eq!(world.toy.running.load(Ordering::SeqCst), 0);
    };
    meet(&["-o", "BatchMode=yes"]);
    let control = format!("ControlPath={}", world.path("mux").display());
    let mut master = world.ssh_with("key", &["-o", "BatchMode=yes", "-o", &control, "-M", "-N"], "").spawn().unwrap();
    wait_for(|| world.path("mux").exists());
    meet(&["-o", "BatchMode=yes", "-o", &control]);
    let eleventh: Vec<_> = (0..11)
        .map(|_| {
            let options = ["-o", "BatchMode=yes", "-o", &control, "-o", "ControlMaster=no"];
            world.ssh_with("key", &options, "hang").spawn().unwrap()
        })
        .collect();
    for _ in 0..10 {
        assert_eq!(world.report(), Report::Started);
    }
    master.kill().unwrap();
    master.wait().unwrap();
    for _ in 0..10 {
        assert_eq!(world.report(), Report::HungUp);
    }
    for mut ssh in eleventh {
        let _ = ssh.kill();
        ssh.wait().unwrap();
    }
}

#[test]
fn terminals() {
    let world = world(Limits::default());
    let options = ["-o", "BatchMode=yes", "-tt"];
    let done = world.ssh_with("key", &options, "both").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "to stdout\r\nto stderr\r\n");
    let mut ssh = world.ssh_with("key", &options, "hang").stdin(Stdio::piped()).spawn().unwrap();
    assert_eq!(world.report(), Report::Started);
    ssh.stdin.as_mut().unwrap().write_all(b"\x03").unwrap();
    assert_eq!(world.report(), Report::HungUp);
    assert_eq!(ssh.wait().unwrap().code(), Some(130));
}
