//! A small blocking HTTP/1.1 client: one connection, kept alive if asked, a deadline for each request.
//!
//! It forgives nothing: a cut body, a missing length, junk in a chunk are errors, as lost requests are what tests count.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// `200`.
    pub status: u16,
    /// Names in small letters, in order.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: String,
}

impl Response {
    /// The first header of that name (small letters).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// It must be a 200; returns the body.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.body
    }
}

/// One client: at most one connection.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
    /// Whether the connection is used again.
    pub keep_alive: bool,
    fields: String,
}

impl Client {
    /// A client of the server at `address`.
    pub fn new(address: SocketAddr, keep_alive: bool) -> Client {
        Client { address, connection: None, keep_alive, fields: String::new() }
    }

    /// The same with an Accept field.
    pub fn accept(self, accept: &str) -> Client {
        if accept.is_empty() { self } else { self.field("accept", accept) }
    }

    /// The same with one more field.
    pub fn field(self, name: &str, value: &str) -> Client {
        Client { fields: format!("{}{name}: {value}\r\n", self.fields), ..self }
    }

    /// Gets a page; whatever is not a whole response within `deadline` is an error.
    pub fn get(&mut self, host: &str, path: &str, deadline: Duration) -> io::Result<Response> {
        let end = Instant::now() + deadline;
        let kept = self.connection.take().filter(still_open);
        let mut connection = match kept {
            Some(connection) => connection,
            None => BufReader::new(TcpStream::connect_timeout(&self.address, left(end)?)?),
        };
        let keep = if self.keep_alive { "keep-alive" } else { "close" };
        let fields = &self.fields;
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: {keep}\r\nuser-agent: hoist-e2e\r\n{fields}\r\n"
        );
        connection.get_ref().set_nodelay(true)?;
        connection.get_ref().set_write_timeout(Some(left(end)?))?;
        connection.get_mut().write_all(head.as_bytes())?;
        let response = read_response(&mut Timed { connection: &mut connection, end })?;
        let closes = response.header("connection").is_some_and(|v| v.eq_ignore_ascii_case("close"));
        if self.keep_alive && !closes {
            self.connection = Some(connection);
        }
        Ok(response)
    }
}

/// An idle connection that the server has closed is no lost request: a client looks before it sends.
fn still_open(connection: &BufReader<TcpStream>) -> bool {
    let stream = connection.get_ref();
    let quiet = |stream: &TcpStream| matches!(stream.peek(&mut [0]), Err(err) if err.kind() == ErrorKind::WouldBlock);
    let open = stream.set_nonblocking(true).is_ok() && connection.buffer().is_empty() && quiet(stream);
    stream.set_nonblocking(false).is_ok() && open
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::Error::new(ErrorKind::TimedOut, "deadline passed")) } else { Ok(left) }
}

/// Reads that keep to the request's deadline.
struct Timed<'a> {
    connection: &'a mut BufReader<TcpStream>,
    end: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.connection.get_ref().set_read_timeout(Some(left(self.end)?))?;
        self.connection.read(buf)
    }
}

impl BufRead for Timed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.connection.get_ref().set_read_timeout(Some(left(self.end)?))?;
        self.connection.fill_buf()
    }
    fn consume(&mut self, amount: usize) {
        self.connection.consume(amount);
    }
}

fn read_response(from: &mut impl BufRead) -> io::Result<Response> {
    let (mut status, mut headers) = (100, Vec::new());
    while (100..200).contains(&status) {
        let line = read_line(from)?;
        let code = line.strip_prefix("HTTP/1.").and_then(|l| l.get(2..5)).and_then(|c| c.parse().ok());
        status = code.ok_or_else(|| bad(&format!("not a status line: {line:?}")))?;
        headers.clear();
        loop {
            let line = read_line(from)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad("not a header"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let mut body = Vec::new();
    if header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        read_chunks(from, &mut body)?;
    } else if let Some(length) = header("content-length") {
        let length = length.parse().map_err(|_| bad("not a content-length"))?;
        from.take(length).read_to_end(&mut body)?;
        if (body.len() as u64) < length {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the body was cut"));
        }
    } else if !matches!(status, 204 | 304) {
        from.read_to_end(&mut body)?;
    }
    Ok(Response { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

fn read_chunks(from: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(from)?;
        let size = u64::from_str_radix(line.split(';').next().unwrap_or(""), 16).map_err(|_| bad("not a chunk"))?;
        let before = body.len() as u64;
        from.by_ref().take(size).read_to_end(body)?;
        if body.len() as u64 - before < size {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "a chunk was cut"));
        }
        if !read_line(from)?.is_empty() {
            return Err(bad("a chunk without its end"));
        }
        if size == 0 {
            return Ok(());
        }
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(64 * 1024).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, "closed in the middle of a response"));
    }
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\r').to_owned())
}

fn bad(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str) -> io::Result<Response> {
        read_response(&mut bytes.as_bytes())
    }

    #[test]
    fn whole_responses_only() {
        for (bytes, body) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", "hello"),
            ("HTTP/1.0 200 OK\r\n\r\nhello", "hello"),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        ] {
            assert_eq!(read(bytes).unwrap().body, body, "{bytes:?}");
        }
        for cut in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert!(read(cut).is_err(), "{cut:?}");
        }
    }
}
