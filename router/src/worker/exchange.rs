//! One request, from its judged head to its access line: route, claim, connect, exchange, retry, page.
//!
//! Every attempt looks the route up again, so a request that was refused by a target never follows a table that has
//! been replaced. The access line is written in one place, at the end.

use std::{borrow::Cow, rc::Rc, time::Duration};

use tokio::time::Instant;

use super::{
    asked::Asked,
    backend::{Backend, Link},
    buf::Buf,
    conn::Conn,
    flow::{Down, Download, Flow, Up, Upload, Wants, take_arrived},
    hold::{Held, hold},
    rewrite::Passing,
    route_state::{Claim, Live, RouteState},
    state::Worker,
    transport::{Scheme, Transport, write},
    tunnel,
};
use crate::{
    access::Entry,
    code::{Code, Page, PageAsk},
};

/// How a request ended, for the line and for the connection.
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) code: Option<(Cow<'static, str>, Cow<'static, str>)>,
    pub(crate) bytes: u64,
    pub(crate) connect: Duration,
    pub(crate) backend: Option<Rc<Backend>>,
    /// Whether the client's connection serves another request.
    pub(crate) keep: bool,
}

/// What one attempt at a target came to.
enum Attempt {
    Over(Outcome),
    /// The target did not take the connection, or a reused one was dead: once more.
    Again,
}

/// What a request has been through so far.
struct Tries {
    refused_by: Vec<Rc<Backend>>,
    last: Code,
    deadline: Instant,
    /// A reused connection turned out dead: only new ones from now on.
    fresh_only: bool,
}

/// Serves one request and says whether the connection goes on.
pub(crate) async fn exchange<T: Transport>(worker: &Rc<Worker>, conn: &mut Conn<T>, asked: &mut Asked) -> bool {
    let (outcome, route) = match conn.guest.begin(asked.source) {
        Ok(_at_work) => dispatch(worker, conn, asked).await,
        Err(()) => (page(worker, conn, asked, &Page::too_many_at_once()).await, worker.find(&asked.name, asked.path())),
    };
    conn.guest.serves(None);
    if let Some(backend) = &outcome.backend {
        let counter = match &outcome.code {
            // What the client did is not the target's failure.
            Some((code, _)) if !["H26", "H27", "H28"].contains(&code.as_ref()) => &backend.failed,
            Some(_) | None => &backend.served,
        };
        counter.set(counter.get() + 1);
        conn.last = Some(backend.clone());
    }
    log(worker, conn, asked, &outcome, route.as_deref());
    outcome.keep
}

fn log<T: Transport>(worker: &Worker, conn: &Conn<T>, asked: &Asked, outcome: &Outcome, route: Option<&RouteState>) {
    let key = route.map_or(worker.own_log.as_ref(), |r| r.log.as_ref());
    let Some(key) = key else { return };
    let entry = Entry {
        code: outcome.code.as_ref().map(|(c, d)| (c.as_ref(), d.as_ref())),
        method: &asked.method,
        path: &asked.target,
        host: &asked.host,
        request_id: &asked.request_id,
        forwarded: &asked.forwarded,
        peer: conn.peer.ip(),
        instance: outcome.backend.as_ref().map_or("", |b| &b.name),
        connect: outcome.connect,
        service: asked.start.elapsed(),
        status: outcome.status,
        bytes: outcome.bytes,
        minor: asked.minor,
        tls: conn.entrance.scheme == Scheme::Https,
    };
    worker.sink.push(key, entry.line());
}

async fn dispatch<T: Transport>(
    worker: &Rc<Worker>,
    conn: &mut Conn<T>,
    asked: &mut Asked,
) -> (Outcome, Option<Rc<RouteState>>) {
    let mut tries = Tries {
        refused_by: vec![],
        last: Code::ConnectRefused,
        deadline: Instant::now() + worker.limits.connect_total,
        fresh_only: false,
    };
    loop {
        let Some(route) = worker.find(&asked.name, asked.path()) else {
            return (page(worker, conn, asked, &Page::unknown_host()).await, None);
        };
        let outcome = match &route.action {
            Live::Page(ours) => page(worker, conn, asked, ours).await,
            Live::Hold(max_wait) => match hold(worker, conn, asked, &route, *max_wait).await {
                Held::Changed => continue,
                Held::Gone => Outcome::of(Code::ClientInterrupted),
                Held::Expired => page(worker, conn, asked, &Code::BootTimeout.page()).await,
                Held::TooMany => page(worker, conn, asked, &Code::BacklogTooDeep.page()).await,
            },
            Live::Serve(backends) => {
                let which = Rc::as_ptr(&route).addr();
                let own = || worker.door.at_work_on(asked.source, which);
                conn.guest.serves(asked.source.map(|source| (source, which)));
                match route.claim(backends, worker.limits.per_target, &tries.refused_by, tries.last, own) {
                    Err(code) => page(worker, conn, asked, &code.page()).await,
                    Ok(claim) => match attempt(worker, conn, asked, claim, &mut tries).await {
                        Attempt::Over(outcome) => outcome,
                        Attempt::Again => continue,
                    },
                }
            }
        };
        return (outcome, Some(route));
    }
}

async fn attempt<T: Transport>(
    worker: &Rc<Worker>,
    conn: &mut Conn<T>,
    asked: &mut Asked,
    claim: Claim,
    tries: &mut Tries,
) -> Attempt {
    let since = Instant::now();
    let reuse = asked.repeatable && !tries.fresh_only;
    let link = match claim.backend.open(&worker.limits, reuse).await {
        Ok(link) => link,
        Err(code) => {
            tries.last = code;
            tries.refused_by.push(claim.backend.clone());
            if tries.refused_by.len() < worker.limits.connect_tries && Instant::now() < tries.deadline {
                return Attempt::Again;
            }
            let outcome = page(worker, conn, asked, &code.page()).await;
            return Attempt::Over(Outcome { backend: Some(claim.backend.clone()), ..outcome });
        }
    };
    let connect = if link.reused { Duration::ZERO } else { since.elapsed() };
    match talk(worker, conn, asked, &claim, link).await {
        Some(outcome) => Attempt::Over(Outcome { connect, backend: Some(claim.backend.clone()), ..outcome }),
        None => {
            tries.fresh_only = true;
            Attempt::Again
        }
    }
}

/// `None`: the reused connection was dead before a byte came.
async fn talk<T: Transport>(
    worker: &Rc<Worker>,
    conn: &mut Conn<T>,
    asked: &mut Asked,
    claim: &Claim,
    link: Link,
) -> Option<Outcome> {
    let Link { mut stream, reused } = link;
    let mut buf = Buf::default();
    let mut first = worker.spare.take();
    first.extend_from_slice(&asked.head);
    if take_arrived(&mut first, &mut conn.buf, &mut asked.body).is_err() {
        return Some(up_failed(worker, conn, asked, Up::Malformed, false).await);
    }
    let last = conn.last.clone();
    let closing =
        || worker.draining.get() || claim.backend.draining.get() || last.as_ref().is_some_and(|b| b.draining.get());
    let passing = Passing { minor: asked.minor, keep_alive: asked.keep_alive };
    let wants = Wants { head_only: asked.head_only, upgrade: asked.upgrade, reused, passing };
    let flow = Flow::new(asked.expects);
    let (limits, spare) = (&worker.limits, &worker.spare);
    let (up, down) = {
        let (client, client_write) = conn.stream.split();
        let (target_read, target) = stream.split();
        let upload = Upload { flow: &flow, limits, spare, client, buf: &mut conn.buf, target, body: asked.body };
        let download = Download {
            flow: &flow,
            limits,
            spare,
            target: target_read,
            buf: &mut buf,
            client: client_write,
            wants,
            closing: &closing,
        };
        race(upload.run(first), download.run()).await
    };
    asked.uploaded = flow.uploaded.get();
    Some(match down {
        None => up_failed(worker, conn, asked, up.unwrap_or(Up::Gone), flow.started.get()).await,
        Some(Down::Stale) => return None,
        Some(Down::Done { reusable, kept }) => {
            if reusable {
                worker.keep(&claim.backend, stream);
            }
            Outcome::served(&flow, kept && asked.uploaded)
        }
        Some(Down::Switched) => {
            let tunnels = &claim.backend.tunnels;
            tunnels.set(tunnels.get() + 1);
            let client = tunnel::End { stream: &mut conn.stream, buf: &mut conn.buf };
            let target = tunnel::End { stream: &mut stream, buf: &mut buf };
            let bytes = tunnel::run(client, target, limits, spare).await;
            tunnels.set(tunnels.get().saturating_sub(1));
            Outcome { bytes, ..Outcome::served(&flow, false) }
        }
        Some(Down::Failed(code)) if flow.started.get() || code.status() == 499 => {
            conn.cut();
            Outcome { bytes: flow.bytes.get(), ..Outcome::of(code) }
        }
        Some(Down::Failed(code)) => page(worker, conn, asked, &code.page()).await,
    })
}

/// Runs both directions until the response has ended or the client has failed.
async fn race(upload: impl Future<Output = Up>, download: impl Future<Output = Down>) -> (Option<Up>, Option<Down>) {
    let (mut upload, mut download) = (std::pin::pin!(upload), std::pin::pin!(download));
    let mut broken = false;
    loop {
        tokio::select! {
            biased;
            up = &mut upload, if !broken => match up {
                Up::Broken => broken = true,
                Up::Gone | Up::Malformed | Up::Slow => return (Some(up), None),
            },
            down = &mut download => return (None, Some(down)),
        }
    }
}

/// The client is the one that failed.
async fn up_failed<T: Transport>(
    worker: &Rc<Worker>,
    conn: &mut Conn<T>,
    asked: &mut Asked,
    up: Up,
    started: bool,
) -> Outcome {
    asked.uploaded = false;
    let ours = match up {
        Up::Gone | Up::Broken => return Outcome::of(Code::ClientInterrupted),
        Up::Malformed => Page { status: 400, ..Code::RequestError.page() },
        Up::Slow => Page { status: 408, ..Code::ClientIdle.page() },
    };
    if started {
        conn.cut();
        let code = if up == Up::Slow { Code::ClientIdle } else { Code::RequestError };
        return Outcome::of(code);
    }
    page(worker, conn, asked, &ours).await
}

/// Sends a page of ours. The connection goes on only if nothing of the request is left unread.
pub(crate) async fn page<T: Transport>(worker: &Worker, conn: &mut Conn<T>, asked: &Asked, ours: &Page) -> Outcome {
    let keep = asked.keep_alive && asked.uploaded && !asked.upgrade && !worker.draining.get();
    let mut out = worker.spare.take();
    let ask =
        PageAsk { accept: &asked.accept, request_id: &asked.request_id, keep_alive: keep, body: !asked.head_only };
    ours.write(&mut out, &ask);
    let sent = write(&mut conn.stream.split().1, &out, worker.limits.idle_window).await;
    let bytes = out.len() as u64;
    worker.spare.put(out);
    Outcome {
        status: ours.status,
        code: Some((ours.code.clone().into(), ours.desc.clone().into())),
        bytes,
        connect: Duration::ZERO,
        backend: None,
        keep: keep && sent.is_ok(),
    }
}

impl Outcome {
    fn of(code: Code) -> Self {
        Self {
            status: code.status(),
            code: Some((code.name().into(), code.desc().into())),
            bytes: 0,
            connect: Duration::ZERO,
            backend: None,
            keep: false,
        }
    }

    fn served(flow: &Flow, keep: bool) -> Self {
        let (status, bytes) = (flow.status.get(), flow.bytes.get());
        Self { status, code: None, bytes, connect: Duration::ZERO, backend: None, keep }
    }
}
