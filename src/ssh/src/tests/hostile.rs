//! Floods, silence, sudden ends, rubbish, and the server's own end.

use super::*;

#[test]
fn streams_are_intact_and_memory_is_flat() {
    let world = world(Limits::default());
    let sent = noise(5_000_000);
    let mut cat = world.ssh_with("key", &["-o", "BatchMode=yes"], "cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = cat.stdin.take().unwrap();
    let to_send = sent.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&to_send).unwrap());
    let done = cat.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(done.status.success() && done.stdout == sent, "{} bytes back", done.stdout.len());

    let before = resident();
    let mut flood = world.ssh_with("key", &["-o", "BatchMode=yes"], "flood 52428800").spawn().unwrap();
    let mut stdout = flood.stdout.take().unwrap();
    let (mut total, mut most, mut buf) = (0, 0, vec![0; 256 * 1024]);
    loop {
        let n = stdout.read(&mut buf).unwrap();
        if n == 0 {
            break;
        }
        total += n;
        most = most.max(resident());
    }
    assert_eq!((total, flood.wait().unwrap().code()), (52_428_800, Some(0)));
    assert!(most.saturating_sub(before) < 40_000_000, "{} grew by {}", before, most - before);
}

/// This process's resident memory in bytes.

#[test]
fn a_client_that_outpaces_its_command_is_slowed_down_and_still_heard() {
    let world = world(Limits::default());
    // "hang" never reads: the client must not be able to send it all, and its end must be noticed all the same.
    let mut ssh = world.ssh_with("key", &["-o", "BatchMode=yes"], "hang").stdin(Stdio::piped()).spawn().unwrap();
    assert_eq!(world.report(), Report::Started);
    let mut stdin = ssh.stdin.take().unwrap();
    let (progress, sent) = std_mpsc::channel();
    std::thread::spawn(move || {
        let chunk = noise(64 * 1024);
        while stdin.write_all(&chunk).is_ok() {
            let _ = progress.send(chunk.len());
        }
    });
    let mut total = 0;
    while let Ok(n) = sent.recv_timeout(Duration::from_secs(2)) {
        total += n;
        assert!(total < 32_000_000, "the client is not slowed down");
    }
    rustix::process::kill_process(pid(&ssh), rustix::process::Signal::INT).unwrap();
    let killed = Instant::now();
    assert_eq!(world.report(), Report::HungUp);
    assert!(killed.elapsed() < Duration::from_secs(8), "{:?}", killed.elapsed());
    ssh.wait().unwrap();
}

#[test]
fn a_client_that_ends_hangs_up_at_once() {
    let world = world(Limits::default());
    for signal in [rustix::process::Signal::INT, rustix::process::Signal::TERM, rustix::process::Signal::KILL] {
        let mut ssh = world.ssh_with("key", &["-o", "BatchMode=yes"], "hang").spawn().unwrap();
        assert_eq!(world.report(), Report::Started);
        rustix::process::kill_process(pid(&ssh), signal).unwrap();
        let killed = Instant::now();
        assert_eq!(world.report(), Report::HungUp, "{signal:?}");
        assert!(killed.elapsed() < Duration::from_secs(8), "{signal:?}: {:?}", killed.elapsed());
        ssh.wait().unwrap();
    }
}

#[test]
fn silence_is_not_a_hangup() {
    let world = world(Limits { keepalive: Duration::from_millis(300), ..Limits::default() });
    let mut ssh = world.ssh_with("key", &["-o", "BatchMode=yes"], "hang").spawn().unwrap();
    assert_eq!(world.report(), Report::Started);
    rustix::process::kill_process(pid(&ssh), rustix::process::Signal::STOP).unwrap();
    assert_eq!(world.report(), Report::Deaf);
    ssh.kill().unwrap();
    ssh.wait().unwrap();
}

#[test]
fn half_open_connections_are_cut() {
    let door = door::Limits { per_loopback: 20, ..door::Limits::default() };
    let world = world(Limits { grace: Duration::from_millis(700), door, ..Limits::default() });
    let begun = Instant::now();
    let mut all: Vec<_> = (0..20).map(|_| world.raw()).collect();
    // One says who it is and nothing more; one trickles; one sends rubbish.
    all[0].write_all(b"SSH-2.0-quiet\r\n").unwrap();
    all[1].write_all(&[b'x'; 100]).unwrap();
    let mut over = world.raw();
    assert_eq!(over.read(&mut [0; 64]).unwrap_or(0), 0, "one too many is closed at once");
    for stream in &mut all {
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink);
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    wait_for(|| world.ssh("exit 6").status.code() == Some(6));
}

#[test]
fn hostile_bytes_end_their_own_connection_only() {
    let world = world(Limits::default());
    let mut held = world.ssh_with("key", &["-o", "BatchMode=yes"], "meet").stdin(Stdio::piped()).spawn().unwrap();
    wait_for(|| world.toy.running.load(Ordering::SeqCst) == 1);
    let before = resident();
    let oversize = [b"SSH-2.0-x\r\n".as_slice(), &[0xff, 0xff, 0xff, 0xff, 4, 20], &[0; 64]].concat();
    let banner = b"line before the banner\r\n".repeat(50_000);
    for bytes in [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200), oversize, banner, noise(100_000), vec![0; 4096]] {
        let mut stream = world.raw();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut sink = Vec::new();
        let _ = stream.read_to_end(&mut sink);
        assert!(sink.len() < 10_000);
    }
    assert!(resident().saturating_sub(before) < 20_000_000);
    drop(held.stdin.take());
    assert!(held.wait().unwrap().success());
    let _ = world.toy.most.load(Ordering::SeqCst);
}

#[test]
fn stopping_lets_commands_end_and_is_not_a_hangup() {
    let world = world(Limits { stop_grace: Duration::from_millis(300), ..Limits::default() });
    let ssh = world.ssh_with("key", &["-o", "BatchMode=yes"], "hang").spawn().unwrap();
    assert_eq!(world.report(), Report::Started);
    assert_eq!(world.runtime.block_on(world.tasks.shutdown(Duration::from_secs(10))), 0);
    assert_eq!(world.report(), Report::Deaf);
    let done = ssh.wait_with_output().unwrap();
    assert!(text(&done.stderr).contains("the server is stopping"), "{}", text(&done.stderr));
}
