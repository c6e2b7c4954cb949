//! Reason codes and the pages that carry them.
//!
//! The codes have Heroku's meaning. A page is small, self-contained, and comes as HTML, JSON or plain text by the
//! client's Accept. It says what happened, never where: no address and no target leaves the router here.

use std::{fmt::Write as _, sync::Arc};

/// Why a request did not get an app's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// More requests at once than the route may have.
    BacklogTooDeep,
    /// No first byte of a response in time.
    RequestTimeout,
    /// The app closed the connection without a response.
    ClosedWithoutResponse,
    /// The route has no target.
    NoInstances,
    /// A response stopped moving.
    IdleConnection,
    /// The app's response is not HTTP.
    PoorlyFormatted,
    /// The app closed within a response.
    ServerInterrupted,
    /// No target accepted a connection in time.
    ConnectTimeout,
    /// A held request waited too long.
    BootTimeout,
    /// Every target refused the connection.
    ConnectRefused,
    /// The router holds as many connections as it may.
    ConnectionLimit,
    /// The request does not pass the gate.
    RequestError,
    /// The client went away.
    ClientInterrupted,
    /// The client stopped sending or reading.
    ClientIdle,
    /// The router failed.
    Platform,
}

/// A page of the router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The reason code, for the header and the log.
    pub code: String,
    /// One line for the reader.
    pub desc: String,
    /// Seconds after which a client may ask again.
    pub retry_after: Option<u32>,
    /// HTML in place of ours.
    pub html: Option<Arc<str>>,
}

impl Code {
    /// Heroku's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BacklogTooDeep => "H11",
            Self::RequestTimeout => "H12",
            Self::ClosedWithoutResponse => "H13",
            Self::NoInstances => "H14",
            Self::IdleConnection => "H15",
            Self::PoorlyFormatted => "H17",
            Self::ServerInterrupted => "H18",
            Self::ConnectTimeout => "H19",
            Self::BootTimeout => "H20",
            Self::ConnectRefused => "H21",
            Self::ConnectionLimit => "H22",
            Self::RequestError => "H26",
            Self::ClientInterrupted => "H27",
            Self::ClientIdle => "H28",
            Self::Platform => "H99",
        }
    }

    /// The words of the access line.
    pub fn desc(self) -> &'static str {
        match self {
            Self::BacklogTooDeep => "Backlog too deep",
            Self::RequestTimeout => "Request timeout",
            Self::ClosedWithoutResponse => "Connection closed without response",
            Self::NoInstances => "No web instances running",
            Self::IdleConnection => "Idle connection",
            Self::PoorlyFormatted => "Poorly formatted HTTP response",
            Self::ServerInterrupted => "Server request interrupted",
            Self::ConnectTimeout => "Backend connection timeout",
            Self::BootTimeout => "App boot timeout",
            Self::ConnectRefused => "Backend connection refused",
            Self::ConnectionLimit => "Connection limit reached",
            Self::RequestError => "Request error",
            Self::ClientInterrupted => "Client request interrupted",
            Self::ClientIdle => "Client connection idle",
            Self::Platform => "Platform error",
        }
    }

    /// The HTTP status of its page.
    pub fn status(self) -> u16 {
        match self {
            Self::PoorlyFormatted => 502,
            Self::RequestError => 400,
            Self::ClientInterrupted | Self::ClientIdle => 499,
            Self::Platform => 500,
            Self::BacklogTooDeep | Self::RequestTimeout | Self::ClosedWithoutResponse | Self::NoInstances => 503,
            Self::IdleConnection | Self::ServerInterrupted | Self::ConnectTimeout | Self::BootTimeout => 503,
            Self::ConnectRefused | Self::ConnectionLimit => 503,
        }
    }

    /// Its page.
    pub fn page(self) -> Page {
        Page::new(self.status(), self.name(), self.desc())
    }
}

impl Page {
    /// A page of ours.
    pub fn new(status: u16, code: impl Into<String>, desc: impl Into<String>) -> Self {
        Self { status, code: code.into(), desc: desc.into(), retry_after: None, html: None }
    }

    /// The page for a host that is not in the table.
    pub fn unknown_host() -> Self {
        Self::new(404, "no-such-host", "There is no app at this address")
    }

    /// The page for one request too many of a source.
    pub fn too_many_at_once() -> Self {
        let page = Self::new(429, "too-many-at-once", "Too many requests at once from your address");
        Self { retry_after: Some(1), ..page }
    }

    /// The page for a request that does not pass the gate.
    pub fn refused(no: crate::gate::Refused) -> Self {
        Self::new(no.status, Code::RequestError.name(), format!("Request error: {}", no.why))
    }

    /// Writes the whole response. `accept` is the client's Accept field; `body` is false for HEAD.
    pub fn write(&self, out: &mut Vec<u8>, ask: &PageAsk<'_>) {
        let (kind, text) = self.render(ask);
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let code: String = self.code.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let _ = write!(head, "Content-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n", text.len());
        let _ = write!(head, "X-Hoist-Reason: {code}\r\n");
        if let Some(seconds) = self.retry_after {
            let _ = write!(head, "Retry-After: {seconds}\r\n");
        }
        if !ask.request_id.is_empty() {
            let _ = write!(head, "X-Request-Id: {}\r\n", ask.request_id);
        }
        let keep = if ask.keep_alive { "keep-alive" } else { "close" };
        let _ = write!(head, "Connection: {keep}\r\n\r\n");
        out.extend_from_slice(head.as_bytes());
        if ask.body {
            out.extend_from_slice(text.as_bytes());
        }
    }

    fn render(&self, ask: &PageAsk<'_>) -> (&'static str, String) {
        let (status, code, desc) = (self.status, &self.code, &self.desc);
        if ask.accept.contains("text/html") {
            let own = self.html.as_deref().map(str::to_owned);
            ("text/html; charset=utf-8", own.unwrap_or_else(|| self.ours(ask.request_id)))
        } else if ask.accept.contains("json") {
            let value =
                serde_json::json!({ "status": status, "code": code, "error": desc, "request_id": ask.request_id });
            ("application/json", format!("{value}\n"))
        } else {
            ("text/plain; charset=utf-8", format!("{status} {code}: {desc}\n"))
        }
    }

    /// One screen: what a visitor sees of it, what its owner can type, and the code and id to quote.
    fn ours(&self, request_id: &str) -> String {
        let Words { heading, visitor, owner } = words(&self.code);
        let (status, code, desc) = (self.status, escape_html(&self.code), escape_html(&self.desc));
        let heading = if heading.is_empty() { desc.as_str() } else { heading };
        let mut html = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
             <title>{heading}</title><style>{STYLE}</style><main><h1>{heading}</h1>"
        );
        if !visitor.is_empty() {
            let _ = write!(html, "<p>{visitor}</p>");
        }
        if !owner.is_empty() {
            let _ = write!(html, "<p>If it is yours: {owner}</p>");
        }
        let _ = write!(html, "<footer>{status} &middot; {code}");
        if heading != desc {
            let _ = write!(html, " {desc}");
        }
        if !request_id.is_empty() {
            let _ = write!(html, "<br>request {}", escape_html(request_id));
        }
        html.push_str("</footer></main></html>\n");
        html
    }
}

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0;display:grid;\
                     min-height:100vh;place-items:center}main{max-width:34em;padding:2em}h1{font-size:1.6em;\
                     line-height:1.25;margin:0 0 .5em}p{margin:0 0 1em}code{background:#8883;padding:.1em .35em;\
                     border-radius:.25em}footer{font-size:.85em;opacity:.65}";

/// What is said to people: a heading, what a visitor can do, what the owner of the app can do. Empty for codes that
/// explain themselves.
#[derive(Default)]
struct Words {
    heading: &'static str,
    visitor: &'static str,
    owner: &'static str,
}

const SOON: &str = "Please try again in a moment.";

fn words(code: &str) -> Words {
    let (heading, visitor, owner) = match code {
        "H10" => (
            "This app has crashed",
            SOON,
            "its last words are in <code>logs APP</code>; it is started again by itself.",
        ),
        "H14" => (
            "This app is not running",
            "It may be back later.",
            "<code>ps APP</code> shows what runs; <code>ps:start APP</code> or <code>ps:scale APP web=1</code> starts it.",
        ),
        "H81" => (
            "Nothing is deployed here yet",
            "The address is there; what belongs here is yet to come.",
            "<code>git push hoist main</code> deploys it.",
        ),
        "H80" => (
            "This app is being maintained",
            "It will be back. Please try again in a few minutes.",
            "<code>maintenance:off APP</code> ends it.",
        ),
        "H12" | "H20" => ("This app takes too long to answer", SOON, "<code>logs APP</code> shows what it was doing."),
        "H11" => ("This app is busy", SOON, "<code>ps:scale APP web+1</code> adds an instance."),
        "H22" => (
            "This server is busy",
            SOON,
            "The settings <code>http-connections</code> and <code>http-per-source</code> say how many may connect.",
        ),
        "too-many-at-once" => (
            "Too many requests at once from your address",
            "Please try again when some of them are done.",
            "The settings <code>http-requests-per-source</code> and <code>trusted-proxies</code> say how many are too many.",
        ),
        "H13" | "H15" | "H17" | "H18" | "H19" | "H21" => {
            ("This app did not answer", SOON, "<code>logs APP</code> shows what happened.")
        }
        "no-such-host" => (
            "There is no app at this address",
            "Is it spelt right?",
            "<code>apps:list</code> and <code>domains:list APP</code> show where your apps answer.",
        ),
        _ => return Words::default(),
    };
    Words { heading, visitor, owner }
}

/// How a page is asked for.
#[derive(Clone, Copy, Debug)]
pub struct PageAsk<'a> {
    /// The client's Accept field, possibly empty.
    pub accept: &'a str,
    /// The request's id, possibly empty.
    pub request_id: &'a str,
    /// Whether the connection stays open.
    pub keep_alive: bool,
    /// Whether the client expects a body.
    pub body: bool,
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Hoist",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_as_the_client_likes_it() {
        let page = Page::new(503, "H\r\n80", "<b>");
        for (accept, want) in
            [("text/html,*/*", "<h1>&lt;b&gt;</h1>"), ("application/json", "\"<b>\""), ("", ": <b>\n")]
        {
            let mut out = vec![];
            page.write(&mut out, &PageAsk { accept, request_id: "r", keep_alive: true, body: true });
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains(want), "{text}");
            assert!(text.contains("X-Hoist-Reason: H80\r\n"), "{text}");
        }
    }

    #[test]
    fn an_apps_own_page_is_for_those_who_read_html() {
        let page = Page {
            retry_after: Some(120),
            html: Some("<p>back soon</p>".into()),
            ..Page::new(503, "H80", "Maintenance mode")
        };
        for (accept, want) in
            [("text/html", "\r\n\r\n<p>back soon</p>"), ("*/*", "\r\n\r\n503 H80: Maintenance mode\n")]
        {
            let mut out = vec![];
            page.write(&mut out, &PageAsk { accept, request_id: "", keep_alive: true, body: true });
            let text = String::from_utf8(out).unwrap();
            assert!(text.ends_with(want) && text.contains("\r\nRetry-After: 120\r\n"), "{text}");
        }
    }
}
