//! Puts routers under load in turn and says what each request costs them: `load TARGET ROUNDS NAME=ADDR=PID …`.
//!
//! The target that they serve from (see the example `router`) is in here too, at the address TARGET. Each round sends the
//! same requests to each router; the figures are medians. Pin the routers to one core and this to another. Rounds: small
//! answers on 64 connections, 1 MiB answers on 4, a new connection for each request.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails in a measurement ends it")]
#![allow(clippy::disallowed_methods, reason = "no tasks of the product")]

use std::{net::SocketAddr, time::Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// What is asked, over how many connections, how many requests on each, and on a new one each time.
const KINDS: [(&str, &str, usize, usize, bool); 3] =
    [("small", "/", 64, 500, false), ("1 MiB", "/large", 4, 50, false), ("new", "/", 32, 100, true)];
const LARGE: usize = 1 << 20;

struct Router {
    name: String,
    addr: SocketAddr,
    pid: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let listener = TcpListener::bind(&args[0]).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(target(stream));
        }
    });
    let routers: Vec<Router> = args[2..].iter().map(|arg| router(arg)).collect();
    for (kind, path, connections, requests, anew) in KINDS {
        let mut figures: Vec<Vec<(f64, f64)>> = vec![vec![]; routers.len()];
        for _ in 0..args[1].parse().unwrap() {
            for (router, of_it) in routers.iter().zip(&mut figures) {
                let (began, before) = (Instant::now(), ticks(router.pid));
                let mut clients = JoinSet::new();
                for n in 0..connections {
                    clients.spawn(client(router.addr, format!("h{n}.test"), path, requests, anew));
                }
                clients.join_all().await;
                let all = (connections * requests) as f64;
                // A tick is a hundredth of a second.
                let spent = (ticks(router.pid) - before) as f64 * 10_000.0;
                of_it.push((spent / all, all / began.elapsed().as_secs_f64()));
            }
        }
        for (router, of_it) in routers.iter().zip(&mut figures) {
            of_it.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (cpu, rate) = of_it[of_it.len() / 2];
            let (least, most) = (of_it[0].0, of_it[of_it.len() - 1].0);
            println!(
                "{kind:6} {:8} {cpu:8.1} us of processor each ({least:.1} to {most:.1}), {rate:.0}/s",
                router.name
            );
        }
    }
}

fn router(arg: &str) -> Router {
    let words: Vec<&str> = arg.split('=').collect();
    Router { name: words[0].into(), addr: words[1].parse().unwrap(), pid: words[2].parse().unwrap() }
}

/// The time that a process has had, in ticks.
fn ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Answers what it is asked.
async fn target(mut stream: TcpStream) {
    let small = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!".to_vec();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    let large = [head.into_bytes(), vec![b'x'; LARGE]].concat();
    let mut buf = Vec::with_capacity(4096);
    while matches!(stream.read_buf(&mut buf).await, Ok(1..)) {
        if buf.ends_with(b"\r\n\r\n") {
            let answer = if buf.starts_with(b"GET /large ") { &large } else { &small };
            if stream.write_all(answer).await.is_err() {
                return;
            }
            buf.clear();
        }
    }
}

async fn client(addr: SocketAddr, host: String, path: &str, requests: usize, anew: bool) {
    let close = if anew { "Connection: close\r\n" } else { "" };
    let ask = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nUser-Agent: load\r\n{close}\r\n");
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let mut buf = Vec::with_capacity(LARGE + 4096);
    for n in 0..requests {
        if anew && n > 0 {
            stream = TcpStream::connect(addr).await.unwrap();
        }
        stream.set_nodelay(true).unwrap();
        stream.write_all(ask.as_bytes()).await.unwrap();
        buf.clear();
        let end = loop {
            assert!(stream.read_buf(&mut buf).await.unwrap() > 0, "closed early");
            if let Some(at) = buf.windows(4).take(4096).position(|w| w == b"\r\n\r\n") {
                let head = std::str::from_utf8(&buf[..at]).unwrap();
                assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
                let length = head.lines().find_map(|l| l.strip_prefix("Content-Length: ")).unwrap();
                break at + 4 + length.parse::<usize>().unwrap();
            }
        };
        while buf.len() < end {
            assert!(stream.read_buf(&mut buf).await.unwrap() > 0, "closed early");
        }
    }
}
