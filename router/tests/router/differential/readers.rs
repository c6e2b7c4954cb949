//! Two readers of the same bytes: the gate, as the worker uses it, and hyper, over a connection in memory.

use std::{
    cell::{Cell, RefCell},
    convert::Infallible,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};

use hyper::{
    HeaderMap, Request, Response,
    body::{Body as _, Incoming},
    rt::{Read, ReadBufCursor, Write},
};
use router::gate::{self, Body, HeadLimits, Scan, Slots};

/// A message as a reader understood it.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Method and target, or the status.
    pub line: String,
    /// Names in small letters; of one name in the order that they came.
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Bytes of the input up to the end of this one; only where the reader tells.
    pub end: Option<usize>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} with", self.line)?;
        for (name, value) in &self.fields {
            write!(f, " {name}: {},", value.escape_ascii())?;
        }
        write!(f, " and the body {:?}, to byte {:?}", self.body.escape_ascii().to_string(), self.end)
    }
}

/// What a reader made of all bytes.
#[derive(Debug)]
pub struct Reading {
    pub messages: Vec<Message>,
    pub then: Then,
}

/// What comes after the last message.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    /// More bytes are needed.
    Waits,
    /// What follows is refused.
    Refuses(String),
    /// Nothing more is read from this connection.
    Closes,
}

fn sorted(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    fields
}

fn ours_of(fields: &[httparse::Header<'_>]) -> Vec<(String, Vec<u8>)> {
    sorted(fields.iter().map(|f| (f.name.to_ascii_lowercase(), f.value.to_vec())).collect())
}

/// Data, and how many bytes it took; `step` bytes come at once.
fn body_by_us(body: Body, input: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let mut body = match body {
        Body::Chunked(machine) => Body::Unchunked(machine),
        other => other,
    };
    let (mut data, mut at) = (vec![], 0);
    while !body.done() && at < input.len() {
        let piece = &input[at..input.len().min(at.saturating_add(step))];
        let run = body.take(piece).map_err(drop)?;
        assert!(run.len > 0, "the gate takes something");
        data.extend_from_slice(run.passed(piece));
        at += run.len;
    }
    let whole = body.done() || matches!(body, Body::UntilClose);
    Ok(whole.then_some((data, at)))
}

/// What is passed on of chunks, which must be read alike behind us.
fn passes_on_the_same(body: Body, input: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let Body::Chunked(machine) = body else { return None };
    let (mut taking, mut passed, mut at) = (body, vec![], 0);
    while !taking.done() {
        let run = taking.take(&input[at..]).unwrap();
        passed.extend_from_slice(run.passed(&input[at..]));
        at += run.len;
    }
    let again = body_by_us(Body::Chunked(machine), &passed, usize::MAX);
    assert_eq!(again, Ok(Some((data.to_vec(), passed.len()))), "{}", input.escape_ascii());
    Some(passed)
}

/// Requests as the worker takes them off a connection.
pub fn requests_by_us(input: &[u8], step: usize) -> Reading {
    let (mut messages, mut at) = (vec![], 0);
    let then = loop {
        let rest = &input[at..];
        let span = match Scan::default().advance(rest, &HeadLimits::REQUEST) {
            Ok(Some(span)) => span,
            Ok(None) => break Then::Waits,
            Err(no) => break Then::Refuses(format!("{} {}", no.status, no.why)),
        };
        let mut slots = Slots::of(span.fields);
        let request = match gate::request(&rest[span.start..span.end], &mut slots) {
            Ok(request) => request,
            Err(no) => break Then::Refuses(format!("{} {}", no.status, no.why)),
        };
        let (data, taken) = match body_by_us(request.body, &rest[span.end..], step) {
            Ok(Some(whole)) => whole,
            Ok(None) => break Then::Waits,
            Err(()) => break Then::Refuses("body".into()),
        };
        passes_on_the_same(request.body, &rest[span.end..], &data);
        at += span.end + taken;
        messages.push(Message {
            line: format!("{} {} 1.{}", request.method, request.target, request.minor),
            fields: ours_of(request.fields),
            body: data,
            end: Some(at),
        });
        if !request.keep_alive() || request.upgrade.is_some() {
            break Then::Closes;
        }
    };
    Reading { messages, then }
}

/// The response to one request as the worker takes it off a target's connection; and the input with the line ends of chunks
/// that hyper knows, where they were bare LFs.
pub fn response_by_us(input: &[u8], step: usize, head_only: bool) -> (Reading, Option<Vec<u8>>) {
    let (mut messages, mut at) = (vec![], 0);
    let mut mended = None;
    let limits = HeadLimits::RESPONSE;
    let then = loop {
        let rest = &input[at..];
        let span = match Scan::response().advance(rest, &limits) {
            Ok(Some(span)) if span.start == 0 => span,
            Ok(Some(_)) => break Then::Refuses("a line before the status".into()),
            Ok(None) => break Then::Waits,
            Err(no) => break Then::Refuses(no.why.into()),
        };
        let mut slots = Slots::of(span.fields);
        let response = match gate::response(&rest[..span.end], &mut slots, head_only) {
            Ok(response) => response,
            Err(no) => break Then::Refuses(no.why.into()),
        };
        at += span.end;
        if response.interim() {
            continue;
        }
        let (data, taken) = match body_by_us(response.body, &input[at..], step) {
            Ok(Some(whole)) => whole,
            Ok(None) => break Then::Waits,
            Err(()) => break Then::Refuses("body".into()),
        };
        let passed = passes_on_the_same(response.body, &input[at..], &data);
        let mut end = at + taken;
        if let Some(passed) = passed.filter(|_| bare_lf(response.body, &input[at..])) {
            mended = Some([&input[..at], &passed, &input[end..]].concat());
            end = at + passed.len();
        }
        let fields = ours_of(response.fields);
        messages.push(Message { line: response.status.to_string(), fields, body: data, end: Some(end) });
        break Then::Closes;
    };
    (Reading { messages, then }, mended)
}

/// Whether the framing of these chunks, or a trailer, has lines that end in LF alone.
fn bare_lf(mut body: Body, input: &[u8]) -> bool {
    let mut before = 0;
    for byte in input {
        if body.done() {
            break;
        }
        let piece = std::slice::from_ref(byte);
        let run = body.take(piece).unwrap();
        let dropped = run.passed(piece).is_empty();
        if run.passed(piece) == b"\r\n" || dropped && *byte == b'\n' && before != b'\r' {
            return true;
        }
        before = *byte;
    }
    false
}

/// A connection in memory: bytes to read, and what is written is thrown away.
struct Wire<'a> {
    input: &'a [u8],
    at: usize,
    step: usize,
    /// Nothing is there to read before something was written.
    speaks_second: bool,
}

impl Read for Wire<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.speaks_second {
            return Poll::Pending;
        }
        let n = self.step.min(self.input.len() - self.at).min(buf.remaining());
        buf.put_slice(&self.input[self.at..self.at + n]);
        self.at += n;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire<'_> {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.speaks_second = false;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// hyper gives way now and then, and nothing here waits for anything outside.
const POLLS: usize = 10_000;

fn theirs_of(headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    sorted(headers.iter().map(|(n, v)| (n.as_str().to_string(), v.as_bytes().to_vec())).collect())
}

async fn body_by_them(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut data = vec![];
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(bytes) = frame?.into_data() {
            data.extend_from_slice(&bytes);
        }
    }
    Ok(data)
}

fn then(err: &hyper::Error) -> Then {
    let unfinished = |e: &dyn std::error::Error| e.to_string().starts_with("end of file before message length");
    let in_time =
        std::error::Error::source(err).is_none_or(|e| !unfinished(e) && !e.to_string().starts_with("unexpected EOF"));
    if err.is_incomplete_message() || !in_time { Then::Waits } else { Then::Refuses(format!("{err:?}")) }
}

/// Requests as a server of hyper takes them off a connection.
pub fn requests_by_them(input: &[u8], step: usize) -> Reading {
    let (messages, broken) = (Rc::new(RefCell::new(vec![])), Rc::new(Cell::new(None)));
    let (seen, fault) = (messages.clone(), broken.clone());
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (seen, fault) = (seen.clone(), fault.clone());
        async move {
            let (head, body) = request.into_parts();
            let minor = u8::from(head.version == hyper::Version::HTTP_11);
            let target = head.uri.path_and_query().map_or("", |p| p.as_str());
            let line = format!("{} {target} 1.{minor}", head.method);
            match body_by_them(body).await {
                Ok(body) => seen.borrow_mut().push(Message { line, fields: theirs_of(&head.headers), body, end: None }),
                Err(err) => fault.set(Some(then(&err))),
            }
            Ok::<_, Infallible>(Response::new(String::new()))
        }
    });
    let wire = Wire { input, at: 0, step, speaks_second: false };
    let mut http = hyper::server::conn::http1::Builder::new();
    // The end of the input must not take away the request before it.
    http.auto_date_header(false).half_close(true).max_headers(HeadLimits::REQUEST.fields);
    let mut connection = pin!(http.serve_connection(wire, service));
    let mut cx = Context::from_waker(Waker::noop());
    let ended = (0..POLLS).find_map(|_| match connection.as_mut().poll(&mut cx) {
        Poll::Ready(end) => Some(end),
        Poll::Pending => None,
    });
    let then = match (broken.take(), ended) {
        (Some(fault), _) => fault,
        (None, Some(Ok(()))) => Then::Closes,
        (None, Some(Err(err))) => then(&err),
        (None, None) => panic!("hyper waits for ever: {}", input.escape_ascii()),
    };
    Reading { messages: messages.take(), then }
}

/// The response to one request as a client of hyper takes it off a connection.
pub fn response_by_them(input: &[u8], step: usize, head_only: bool) -> Reading {
    let mut cx = Context::from_waker(Waker::noop());
    let wire = Wire { input, at: 0, step, speaks_second: true };
    let mut http = hyper::client::conn::http1::Builder::new();
    http.max_headers(HeadLimits::RESPONSE.fields);
    let Poll::Ready(Ok((mut sender, mut connection))) = pin!(http.handshake::<_, String>(wire)).poll(&mut cx) else {
        panic!("no handshake")
    };
    let method = if head_only { "HEAD" } else { "GET" };
    let request = Request::builder().method(method).uri("/").header("host", "a").body(String::new()).unwrap();
    let asked = sender.send_request(request);
    let mut answer = pin!(async move {
        let (head, body) = asked.await?.into_parts();
        // An upgraded connection has no body: what follows is for whoever takes it over.
        let body = if head.status == 101 { vec![] } else { body_by_them(body).await? };
        Ok::<_, hyper::Error>(Message {
            line: head.status.as_str().into(),
            fields: theirs_of(&head.headers),
            body,
            end: None,
        })
    });
    let answered = (0..POLLS).find_map(|_| {
        let _ = connection.poll_without_shutdown(&mut cx);
        match answer.as_mut().poll(&mut cx) {
            Poll::Ready(answered) => Some(answered),
            Poll::Pending => None,
        }
    });
    match answered {
        Some(Ok(message)) => {
            let parts = connection.into_parts();
            let end = Some(parts.io.at - parts.read_buf.len());
            Reading { messages: vec![Message { end, ..message }], then: Then::Closes }
        }
        Some(Err(err)) => Reading { messages: vec![], then: then(&err) },
        None => panic!("hyper waits for ever: {}", input.escape_ascii()),
    }
}
