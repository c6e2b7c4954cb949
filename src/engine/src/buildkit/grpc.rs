//! The little of gRPC that is spoken here: framed messages, and how a call ended.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use hyper::HeaderMap;
use prost::Message;

/// The codes that are told apart.
pub(super) mod code {
    pub const OK: u16 = 0;
    pub const INVALID: u16 = 3;
    pub const NOT_FOUND: u16 = 5;
    pub const UNIMPLEMENTED: u16 = 12;
}

/// A message as it goes over the wire.
pub(super) fn framed(message: &impl Message) -> Bytes {
    let size = message.encoded_len();
    let mut out = BytesMut::with_capacity(size + 5);
    out.put_u8(0);
    out.put_u32(u32::try_from(size).unwrap_or(u32::MAX));
    // There is room for it: it was asked for just now.
    let _ = message.encode(&mut out);
    out.freeze()
}

/// One message from the front of what has arrived; `None`: there is no whole one yet. One over `max` bytes is refused.
pub(super) fn take(buffer: &mut BytesMut, max: usize) -> Result<Option<Bytes>, &'static str> {
    let Some((head, _)) = buffer.split_at_checked(5) else { return Ok(None) };
    if head.first() != Some(&0) {
        return Err("compressed");
    }
    let size = head.get(1..5).map_or(0, |mut size| size.get_u32()) as usize;
    if size > max {
        return Err("too large");
    }
    if buffer.len() < 5 + size {
        return Ok(None);
    }
    buffer.advance(5);
    Ok(Some(buffer.split_to(size).freeze()))
}

/// How a call ended, from its trailers (or its head, where there was no body): the code, and words without their escapes.
pub(super) fn status(trailers: &HeaderMap) -> Option<(u16, String)> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status")?.parse().ok()?;
    Some((code, unescaped(text("grpc-message").unwrap_or_default())))
}

fn unescaped(text: &str) -> String {
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (first, digits.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            (byte, _) => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_or_not() {
        let framed = framed(&super::super::messages::CredentialsRequest { host: "h".to_owned() });
        let mut buffer = BytesMut::from(framed.get(..4).unwrap());
        assert_eq!(take(&mut buffer, 100), Ok(None));
        buffer.extend_from_slice(framed.get(4..).unwrap());
        buffer.extend_from_slice(&[0]);
        assert_eq!(take(&mut buffer, 100).unwrap().unwrap().len(), 3);
        assert_eq!(buffer.len(), 1);
        assert!(take(&mut BytesMut::from(&[1, 0, 0, 0, 0][..]), 100).is_err());
        assert!(take(&mut BytesMut::from(&[0, 0, 0, 1, 0][..]), 100).is_err());
    }

    #[test]
    fn words_lose_their_escapes() {
        for (text, wanted) in [("a%20b%0A", "a b\n"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%C3%BC", "ü")] {
            assert_eq!(unescaped(text), wanted);
        }
    }
}
