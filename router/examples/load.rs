//! Puts routers under load in turn and says what each request costs them: `load TARGET ROUNDS NAME=ADDR=PID …`.
//!
//! The target that they serve from (see the example `router`) is in here too, at the address TARGET. A round is short and
//! sends the same requests to each router, so that all have the machine's same moods; the figures are medians over rounds,
//! and the last is that of each round's ratio to the first router. Pin the routers to one core and this to another.

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
    [("small", "/", 64, 50, false), ("1 MiB", "/large", 4, 5, false), ("new", "/", 32, 10, true)];
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
        let mut costs: Vec<Vec<f64>> = vec![vec![]; routers.len()];
        let mut rates = costs.clone();
        for _ in 0..args[1].parse().unwrap() {
            for (n, router) in routers.iter().enumerate() {
                let (began, before) = (Instant::now(), spent(router.pid));
                let mut clients = JoinSet::new();
                for host in 0..connections {
                    clients.spawn(client(router.addr, format!("h{host}.test"), path, requests, anew));
                }
                clients.join_all().await;
                let all = (connections * requests) as f64;
                costs[n].push((spent(router.pid) - before) as f64 / 1000.0 / all);
                rates[n].push(all / began.elapsed().as_secs_f64());
            }
        }
        for (n, Router { name, .. }) in routers.iter().enumerate() {
            let ratios = costs[n].iter().zip(&costs[0]).map(|(cost, first)| cost / first).collect();
            let (cost, rate, ratio) = (median(costs[n].clone()), median(rates[n].clone()), median(ratios));
            println!(
                "{kind:6} {name:12} {cost:7.1} us of processor each, {rate:6.0}/s, {ratio:.3} of the first's cost"
            );
        }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn router(arg: &str) -> Router {
    let words: Vec<&str> = arg.split('=').collect();
    Router { name: words[0].into(), addr: words[1].parse().unwrap(), pid: words[2].parse().unwrap() }
}

/// The time that a process's threads have had, in nanoseconds.
fn spent(pid: u32) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let of = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("schedstat")).unwrap();
    threads.map(|thread| of(thread.unwrap()).split(' ').next().unwrap().parse::<u64>().unwrap()).sum()
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
