//! Open-loop load: requests at a constant rate, whatever the server does, so that a stall is seen and not waited out.

use crate::http::Client;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Requests in flight at most; with 200/s and no answer for 1 s this is not reached.
const WORKERS: u64 = 256;
const DEADLINE: Duration = Duration::from_secs(30);

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Report {
    /// How many were sent.
    pub sent: u64,
    /// Every one that was not a whole 2xx: when it was due, and why it was lost.
    pub lost: Vec<(Duration, String)>,
    /// Time from when each was due to its last byte, sorted.
    pub latencies: Vec<Duration>,
}

impl Report {
    /// Some were sent and none was lost.
    #[track_caller]
    pub fn none_lost(&self) {
        assert!(self.sent > 0, "no request was sent");
        assert!(self.lost.is_empty(), "{} of {} lost: {:#?}", self.lost.len(), self.sent, first(&self.lost));
    }

    /// The latency that this share of the requests kept to.
    pub fn percentile(&self, share: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }
}

fn first(lost: &[(Duration, String)]) -> &[(Duration, String)] {
    &lost[..lost.len().min(20)]
}

/// Sends `rate` requests per second while `during` runs; every second one on a fresh connection.
pub fn load<R>(address: SocketAddr, host: &str, rate: u32, during: impl FnOnce() -> R) -> (R, Report) {
    let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let report = Arc::new(Mutex::new(Report::default()));
    let start = Instant::now();
    let result = std::thread::scope(|scope| {
        for _ in 0..WORKERS.min(u64::from(rate) * 2) {
            let (stop, next, report) = (Arc::clone(&stop), Arc::clone(&next), Arc::clone(&report));
            scope.spawn(move || worker(&stop, &next, &report, &Target { address, host, rate, start }));
        }
        // Also when `during` panics: the scope would wait for the workers forever.
        let _at_the_end = Ends(&stop);
        during()
    });
    let mut report = std::mem::take(&mut *report.lock().unwrap());
    report.latencies.sort();
    (result, report)
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

struct Target<'a> {
    address: SocketAddr,
    host: &'a str,
    rate: u32,
    start: Instant,
}

fn worker(stop: &AtomicBool, next: &AtomicU64, report: &Mutex<Report>, to: &Target<'_>) {
    let mut kept = Client::new(to.address, true);
    while !stop.load(Ordering::Acquire) {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let due = Duration::from_secs_f64(number as f64 / f64::from(to.rate));
        // Pacing, not waiting for anything.
        std::thread::sleep((to.start + due).saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Acquire) {
            return;
        }
        let mut fresh = Client::new(to.address, false);
        let client = if number.is_multiple_of(2) { &mut kept } else { &mut fresh };
        let got = client.get(to.host, "/", DEADLINE);
        let mut report = report.lock().unwrap();
        report.sent += 1;
        report.latencies.push((to.start + due).elapsed());
        match got {
            Ok(response) if (200..300).contains(&response.status) => {}
            Ok(response) => report.lost.push((due, format!("{} {}", response.status, response.body.trim()))),
            Err(err) => report.lost.push((due, err.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Answers with what `answer` says for each request number; one request per connection.
    fn server(answer: fn(u64) -> &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for (n, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(answer(n as u64).as_bytes());
            }
        });
        address
    }

    #[test]
    fn what_is_lost_is_counted() {
        const GOOD: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
        let wait = |sent: &dyn Fn() -> bool| crate::wait_for("requests", Duration::from_secs(10), sent);
        let started = Instant::now();
        let half_a_second = || wait(&|| started.elapsed() > Duration::from_millis(500));
        let ((), report) = load(server(|_| GOOD), "x", 100, half_a_second);
        report.none_lost();
        assert!((30..=60).contains(&report.sent), "{}", report.sent);
        assert!(report.percentile(0.5) <= report.percentile(1.0));
        let answer = |n| match n % 4 {
            0 => "HTTP/1.1 503 no\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            1 => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut",
            2 => "",
            _ => GOOD,
        };
        let started = Instant::now();
        let ((), report) = load(server(answer), "x", 100, || wait(&|| started.elapsed() > Duration::from_millis(500)));
        let expected = report.sent * 3 / 4;
        assert!((report.lost.len() as u64).abs_diff(expected) <= 3, "{} of {}", report.lost.len(), report.sent);
    }
}
