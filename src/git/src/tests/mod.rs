//! The git side against the real git client: a push goes through our pumps, git, our shims, the hook and the receiver.
//!
//! The test binary plays two more parts, chosen by `HOIST_TEST_ROLE`: the `hoist` that hooks run, and the `ssh` of the
//! client, which carries its streams over a unix socket.

mod fetching;
mod harness;
mod lfs;
mod pushing;
mod reading;
mod refusing;

use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;

/// Not a test by itself: the entry of the parts named above. File descriptor 3 is the real standard output.
#[test]
fn role() {
    let Ok(role) = std::env::var("HOIST_TEST_ROLE") else { return };
    let mut out = std::fs::OpenOptions::new().write(true).open("/dev/fd/3").unwrap();
    let code = match role.as_str() {
        "ssh" => ssh(&mut out),
        hook => super::hook::run_hook(
            hook,
            &|key| std::env::var(key).ok(),
            &mut BufReader::new(std::io::stdin().lock()),
            &mut out,
            &mut std::io::stderr().lock(),
        ),
    };
    std::process::exit(code.into());
}

fn ssh(out: &mut impl Write) -> u8 {
    let mut socket = UnixStream::connect(std::env::var("HOIST_TEST_SOCKET").unwrap()).unwrap();
    writeln!(socket, "{}", std::env::var("HOIST_TEST_VERB").unwrap()).unwrap();
    let mut up = socket.try_clone().unwrap();
    std::thread::spawn(move || {
        // Git closes its side once the pack is sent and still waits for the answer: an end of file is a chunk of no
        // bytes here, and only the socket's own end is leaving, as end-of-file and close are two messages in SSH.
        let mut buf = [0; 32 * 1024];
        while let Ok(n) = std::io::stdin().lock().read(&mut buf) {
            let chunk = [&u32::try_from(n).unwrap().to_be_bytes()[..], &buf[..n]].concat();
            if up.write_all(&chunk).is_err() || n == 0 {
                return;
            }
        }
    });
    let mut buf = [0; 32 * 1024];
    while let Ok(n @ 1..) = socket.read(&mut buf) {
        if out.write_all(&buf[..n]).is_err() {
            return 1;
        }
    }
    0
}
