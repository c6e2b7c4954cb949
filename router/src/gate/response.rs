//! What a response head says: status and framing, judged as strictly as a request's but for the line ends.

use super::{
    body::Body,
    chunk::Chunked,
    head::{Connection, Refused, Slots, length, odd_value},
};

/// A response head that passed.
#[derive(Debug)]
pub struct Response<'h, 'b> {
    /// 100 to 599.
    pub status: u16,
    /// The words after the status, possibly none.
    pub reason: &'b str,
    /// All fields as they came.
    pub fields: &'h [httparse::Header<'b>],
    /// Where the body ends.
    pub body: Body,
    /// The Content-Length as it came; it also says something where no body follows (HEAD, 304).
    pub length: Option<u64>,
    /// Whether the app keeps the connection.
    pub keep_alive: bool,
}

impl Response<'_, '_> {
    /// Whether another response to the same request follows.
    pub fn interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// Judges one complete head; `head_only` when the request was HEAD.
pub fn response<'h, 'b>(
    head: &'b [u8],
    slots: &'h mut Slots<'b>,
    head_only: bool,
) -> Result<Response<'h, 'b>, Refused> {
    let mut parsed = httparse::Response::new(&mut []);
    match httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, head, slots.room()) {
        Ok(httparse::Status::Complete(n)) if n == head.len() => {}
        Ok(_) | Err(_) => return Err(Refused::bad("malformed head")),
    }
    let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(Refused::bad("malformed status line"));
    };
    if !(100..600).contains(&status) {
        return Err(Refused::bad("odd status"));
    }
    let reason = parsed.reason.unwrap_or_default();
    let fields: &'h [httparse::Header<'b>] = parsed.headers;
    let (mut connection, mut declared, mut chunked) = (Connection::default(), None, false);
    for field in fields {
        if odd_value(field.value) {
            return Err(Refused::bad("control byte in a header"));
        }
        if field.name.eq_ignore_ascii_case("content-length") {
            let n = length(field.value).ok_or(Refused::bad("odd Content-Length"))?;
            if declared.replace(n).is_some_and(|old| old != n) {
                return Err(Refused::bad("differing Content-Length"));
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            if chunked || minor == 0 || !field.value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refused::bad("odd Transfer-Encoding"));
            }
            chunked = true;
        } else if field.name.eq_ignore_ascii_case("connection") {
            connection.read(field.value);
        }
    }
    let bodyless = head_only || status < 200 || status == 204 || status == 304;
    let body = match (chunked, declared) {
        (true, Some(_)) => return Err(Refused::bad("Content-Length with Transfer-Encoding")),
        _ if bodyless => Body::Empty,
        (true, None) => Body::Chunked(Chunked::response()),
        (false, Some(0)) => Body::Empty,
        (false, Some(n)) => Body::Length(n),
        (false, None) => Body::UntilClose,
    };
    let keep_alive = minor == 1 && !connection.close && !matches!(body, Body::UntilClose);
    Ok(Response { status, reason, fields, body, length: declared, keep_alive })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(head: &str, head_only: bool) -> String {
        let mut slots = Slots::of(9);
        match response(head.as_bytes(), &mut slots, head_only) {
            Ok(r) => format!("{} {:?} {}", r.status, r.body.kind(), r.keep_alive),
            Err(no) => no.why.to_string(),
        }
    }

    #[test]
    fn corpus() {
        for (fields, head_only, want) in [
            ("1.1 200 OK\r\nContent-Length: 5\r\n", false, "200 Length(5) true"),
            ("1.1 200 OK\r\nContent-Length: 5\r\n", true, "200 Empty true"),
            ("1.1 200\r\nContent-Length: 0\r\n", false, "200 Empty true"),
            ("1.1 200 OK\r\n", false, "200 UntilClose false"),
            ("1.1 204 No Content\r\n", false, "204 Empty true"),
            ("1.1 304 Not Modified\r\nContent-Length: 5\r\n", false, "304 Empty true"),
            ("1.1 100 Continue\r\n", false, "100 Empty true"),
            ("1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", false, "200 Chunked true"),
            ("1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n", false, "200 Chunked false"),
            ("1.0 200 OK\r\nContent-Length: 5\r\n", false, "200 Length(5) false"),
            ("1.0 200 OK\r\nTransfer-Encoding: chunked\r\n", false, "odd Transfer-Encoding"),
            ("1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n", false, "odd Transfer-Encoding"),
            (
                "1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                false,
                "odd Transfer-Encoding",
            ),
            (
                "1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n",
                false,
                "Content-Length with Transfer-Encoding",
            ),
            ("1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n", false, "200 Length(1) true"),
            ("1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n", false, "differing Content-Length"),
            ("1.1 200 OK\r\nContent-Length: x\r\n", false, "odd Content-Length"),
            ("1.1 99 OK\r\n", false, "malformed head"),
            ("1.1 600 OK\r\n", false, "odd status"),
            ("2.0 200 OK\r\n", false, "malformed head"),
            ("1.1 200 OK\r\nX : y\r\n", false, "malformed head"),
        ] {
            assert_eq!(judge(&format!("HTTP/{fields}\r\n"), head_only), want, "{fields:?}");
        }
    }
}
