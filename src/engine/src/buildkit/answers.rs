//! What the session answers with: one message, a stream of them, or a refusal, each as gRPC ends it.

use super::grpc::{code, framed};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use hyper::{HeaderMap, Response};
use prost::Message;
use std::convert::Infallible;

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(super) fn message(message: &impl Message) -> Response<Body> {
    let frames = [Ok(Frame::data(framed(message))), Ok(trailers(code::OK, ""))];
    response(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
}

pub(super) fn refuse(code: u16, words: &str) -> Response<Body> {
    let frames = [Ok(trailers(code, words))];
    response(StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync())
}

/// A stream of messages, and the good end after it.
pub(super) fn stream(messages: tokio::sync::mpsc::Receiver<Bytes>) -> Response<Body> {
    let messages = futures_util::stream::unfold(messages, |mut from| async move { Some((from.recv().await?, from)) });
    let end = futures_util::stream::once(async { trailers(code::OK, "") });
    response(StreamBody::new(messages.map(Frame::data).chain(end).map(Ok)).boxed_unsync())
}

fn response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/grpc"));
    response
}

fn trailers(code: u16, words: &str) -> Frame<Bytes> {
    let mut all = HeaderMap::new();
    all.insert("grpc-status", hyper::header::HeaderValue::from(code));
    // Percent signs and control characters would have to be escaped: they are left out.
    let words: String = words.chars().filter(|c| matches!(c, ' '..='~') && *c != '%').collect();
    if let Ok(words) = hyper::header::HeaderValue::from_str(&words) {
        all.insert("grpc-message", words);
    }
    Frame::trailers(all)
}
